"""Several processes keep equal banks and match a single process."""
import re
import sys
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import BaseDataset, DefaultSampler
from mmengine.hooks import EMAHook
from mmengine.registry import init_default_scope
from mmengine.runner import BaseLoop
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import BatchSampler, DataLoader

from projects.stdcl.engine.hooks import ConsistencyHook
from projects.stdcl.engine.hooks.consistency_hook import _settings
from projects.stdcl.utils.model_parts import make_stream

MODEL = dict(
    type='STDCLRecognizer', clip_shape=(2, 5, 20, 3),
    backbone=dict(
        type='STGCN', base_channels=4, num_stages=2, inflate_stages=[],
        down_stages=[], graph_cfg=dict(layout='nw-ucla',
                                       mode='stgcn_spatial')),
    cls_head=dict(
        type='STDCLHead', num_classes=6, in_channels=4,
        decoupler=dict(type='ProjectionDecoupler', out_channels=8,
                       reduction=2),
        # all negatives are used, so that none are drawn at random
        loss_contrast=dict(type='CrossSequenceContrastiveLoss',
                           num_negatives=99)))
# name of a scenario -> changes of the model
CHANGES = dict(
    attentive=dict(cls_head=dict(decoupler=dict(type='AttentiveDecoupler'))),
    blockgcn=dict(
        data_preprocessor=dict(type='SkeletonDataPreprocessor',
                               layout='nw-ucla', append_joints=True),
        cls_head=dict(in_channels=8), backbone=dict(
            _delete_=True, type='BlockGCN', layout='nw-ucla', base_channels=8,
            num_stages=2, inflate_stages=[], down_stages=[])),
    hcn=dict(
        clip_shape=(2, 16, 20, 3), backbone=dict(
            _delete_=True, type='HCN', layout='nw-ucla', base_channels=4,
            num_frames=16),
        cls_head=dict(type='STDCLHCNHead', in_channels=16,
                      feature_size=(1, 1))))
FULL = dict(type='MemoryBank')
GLOBAL_BATCH = 8
# sequences repeat within and across processes
REPEATS = [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 0, 1, 8, 8],
           [4, 4, 4, 4, 11, 10, 2, 3]]


def even(steps):
    """Return a function that splits global batches among the processes."""

    def batches(rank, world_size):
        share = GLOBAL_BATCH // world_size
        return [step[rank * share:(rank + 1) * share] for step in steps]

    return batches


def sampled(num_samples, round_up, num_sequences=99):
    """Return a function that forms batches as MMEngine's loader does."""

    def batches(rank, world_size):
        sampler = DefaultSampler(range(num_samples), seed=1, round_up=round_up)
        return [[sample % num_sequences for sample in batch]
                for batch in BatchSampler(
                    sampler, GLOBAL_BATCH // world_size, False)]

    return batches


# name=(labels of the sequences, batches, bank, accumulation steps)
SCENARIOS = dict(
    repeats=(3 * [0, 1, 2, 0], even(REPEATS), FULL, 1),
    **dict.fromkeys(CHANGES, (3 * [0, 1, 2, 0], even(REPEATS), FULL, 1)),
    half_precision=(3 * [0, 1, 2, 0], even(REPEATS),
                    dict(FULL, dtype='float16'), 1),
    class_balanced=(3 * [0, 1, 2, 0], even(REPEATS), dict(
        type='ClassBalancedMemoryBank', slots_per_class=3), 1),
    accumulation=(3 * [0, 1, 2, 0], even(REPEATS), FULL, 2),
    # with 15 samples, the last batch of the last process is one sample short;
    # each of the six sequences occurs more than once
    uneven_batches=(2 * [0, 1, 2], sampled(
        15, round_up=False, num_sequences=6), FULL, 1),
    uneven_class_balanced=(5 * [0, 1, 2], sampled(15, round_up=False), dict(
        type='ClassBalancedMemoryBank', slots_per_class=3), 1),
    # the four processes repeat three of the 13 sequences
    padding=(5 * [0, 1, 2], sampled(13, round_up=True), FULL, 1),
    # in the first step, no sequence of the last process has a positive
    drop_out=([0, 0, 1, 1, 2, 3, 4, 5, 0, 1, 0, 1], even(REPEATS), FULL, 1),
    overflow=(3 * [0, 1, 2, 0], even(REPEATS), FULL, 1))


def make_model(bank, num_sequences, name=''):
    torch.manual_seed(0)
    init_default_scope('mmaction')
    config = Config(MODEL)
    config.cls_head.memory_bank = bank
    config.merge_from_dict(Config(CHANGES).get(name, {}))
    model = MODELS.build(config)
    model.init_weights()
    model.cls_head.resize_banks(num_sequences)
    for layer in model.cls_head.children():
        if isinstance(layer, torch.nn.Linear):
            layer.requires_grad_(False)  # not used by the loss
    return model.eval()  # otherwise, batch statistics would differ


def make_inputs(rows, model):
    """Make clips (N, 1, M, T, V, C), each of which depends on its seed."""
    return make_stream(model.data_preprocessor, torch.stack([torch.randn(
        1, *model.clip_shape, generator=torch.Generator().manual_seed(seed))
        for seed, _ in rows]))


def make_sample(index, label):
    return ActionDataSample(metainfo=dict(sample_idx=index)).set_gt_label(
        label)


def run(name, batches, wrap=lambda model: model):
    """Run a scenario, and return the results of each step.

    ``batches`` contains (seed, index) of the sequences of each step, and
    ``wrap`` wraps the model, for example in DDP.
    """
    labels, _, bank, accumulate = SCENARIOS[name]
    model = make_model(bank, len(labels), name)
    head, wrapped = model.cls_head, wrap(model)
    head.batch_size = max(map(len, batches))
    history = []
    for number, rows in enumerate(batches):
        samples = [make_sample(index, labels[index]) for _, index in rows]
        inputs = make_inputs(rows, model)
        if name == 'overflow' and number == 0 and rows[-1][1] == 7:
            inputs[-1] = torch.inf
        last = (number + 1) % accumulate == 0 or number + 1 == len(batches)
        with nullcontext() if last or wrapped is model else wrapped.no_sync():
            losses = wrapped(inputs, samples, mode='loss')
            loss = losses['loss_spatial'] + losses['loss_temporal']
            loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()
                              if p.requires_grad])
        if last:
            model.zero_grad()
        history.append(dict(
            indices=[index for _, index in rows], loss=loss.detach(),
            gradient=gradient if last else None,
            share=losses['anchor_share'], banks={
                key: value.clone() for key, value in model.state_dict().items()
                if '_bank.' in key}))
    return history


class Exchanges(TorchDispatchMode):
    """Mode that records collective operations and the bytes that they send."""

    def __init__(self):
        super().__init__()
        self.sent = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == 'c10d':
            name = func._schema.name.rpartition('::')[2]
            tensors = args[1] if name == 'allgather_' else args[0]
            self.sent.append((name, sum(one.nbytes for one in tensors)))
        return func(*args, **(kwargs or {}))


def exchanges_of_a_step():
    """Return the exchanges of a step whose batch lacks one sequence."""
    model = make_model(FULL, 12)
    model.cls_head.batch_size = 4
    samples = [make_sample(index, index) for index in range(3)]
    with Exchanges() as exchanges:
        losses = model(make_inputs([(0, 0), (1, 1), (2, 2)], model), samples,
                       mode='loss')
        (losses['loss_spatial'] + losses['loss_temporal']).backward()
    return exchanges.sent


class Sequences(BaseDataset):
    """Data set of three sequences, one of which can be changed."""

    def __init__(self, field=None, index=1, value=None):
        self.annotations = [dict(frame_dir=f'a{number}', label=number,
                                 keypoint=torch.arange(24.).numpy(),
                                 keypoint_score=torch.ones(12).numpy())
                            for number in range(3)]
        if field:
            self.annotations[index][field] = value
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return self.annotations


class Loop(BaseLoop):

    def __init__(self, dataset, **kwargs):
        self.dataloader = DataLoader(dataset, **kwargs)

    def run(self):
        pass


# what the last process changes, and whether this must raise an error
DATA = dict(
    same=((), False), name=(('frame_dir', 1, 'b'), True),
    label=(('label', 1, 2), True),
    scores=(('keypoint_score', 1, torch.zeros(12).numpy()), True),
    joints=(('keypoint', 2, torch.arange(24.).flip(0).numpy()), True),
    rounding=(('keypoint', 2, torch.arange(24.).mul(1 + 1e-7).numpy()), False))


def error_of_hook(rank, change='', train=None, val=None):
    """Return the error if the processes differ in their data or settings."""
    own = {name: rank if name == change else 0
           for name in ('model', 'weight', 'seed', 'path')}
    runner = SimpleNamespace(
        _train_loop=train or Loop(Sequences()), _val_loop=val, _test_loop={},
        _resume=False, _load_from=None, _randomness_cfg={}, seed=own['seed'],
        cfg=Config(dict(model=dict(temperature=own['model'],
                                   file=f'{own["path"]}/a'))))
    try:
        (hook := ConsistencyHook()).before_run(runner)
        hook.after_load_checkpoint(runner, dict(
            state_dict=dict(weight=torch.tensor(own['weight']))))
    except ValueError as error:
        return str(error)


def average_of(rank):
    """Yield the batch-norm means that ``EMAHook`` uses."""
    runner = SimpleNamespace(model=torch.nn.BatchNorm1d(1))
    hook = EMAHook(update_buffers=True)
    hook.before_run(runner)
    means = [one.running_mean for one in (runner.model, hook.ema_model.module)]
    for name in 'after_train_epoch', 'before_val_epoch', 'before_test_epoch':
        means[1].fill_(rank)
        getattr(hook, name)(runner)
        yield max(means).item()


def worker(rank, world_size, folder):
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/init', rank=rank,
        world_size=world_size, timeout=timedelta(seconds=60))
    results = {}
    for name, (_, batches, _, _) in SCENARIOS.items():
        rows = [[(1000 * step + 100 * rank + row, index)
                 for row, index in enumerate(indices)]
                for step, indices in enumerate(batches(rank, world_size))]
        results[name] = rows, run(
            name, rows, torch.nn.parallel.DistributedDataParallel)
    results['sent'] = exchanges_of_a_step()
    results['average'] = [*average_of(rank)]
    for name, (change, _) in DATA.items():
        results[name] = error_of_hook(rank, val=Loop(Sequences(
            *change * (rank == world_size - 1))))
    # with 9 sequences, the first process has one more batch
    results['batches'] = error_of_hook(rank, train=Loop(
        Sequences(), sampler=DefaultSampler(range(9), round_up=False)))
    for name in ('model', 'weight', 'seed', 'path'):
        results[name] = error_of_hook(rank, change=name)
    torch.save(results, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def ranks(warm, tmp_path_factory):
    """Return the results of each of four processes in every scenario."""
    folder = tmp_path_factory.mktemp('ranks')
    warm(__file__, folder, cwd=folder)
    return [torch.load(folder / f'{rank}.pth', weights_only=True)
            for rank in range(4)]


@pytest.mark.parametrize('name', SCENARIOS)
def test_equals_a_single_process(ranks, name):
    rows = [sum(parts, []) for parts in zip(*(rank[name][0]
                                              for rank in ranks))]
    alone = run(name, rows)
    # half precision rounds by up to 2**-11; BlockGCN has large gradients
    close = dict(atol=1e-5 if name not in ('half_precision', 'blockgcn')
                 else 1e-3, rtol=0, equal_nan=name == 'overflow')
    for single, *steps in zip(alone, *(rank[name][1] for rank in ranks)):
        for key, expected in single['banks'].items():
            for step in steps:
                assert torch.equal(step['banks'][key], steps[0]['banks'][key])
            torch.testing.assert_close(steps[0]['banks'][key], expected,
                                       **close)
        mean = sum(step['loss'] for step in steps) / len(steps)
        torch.testing.assert_close(mean, single['loss'], **close)
        for step in steps if single['gradient'] is not None else ():
            assert torch.equal(step['gradient'], steps[0]['gradient']) or (
                name == 'overflow')
            torch.testing.assert_close(step['gradient'], single['gradient'],
                                       **close)
    assert alone[-1]['gradient'].abs().max() > 1e-3  # far above the tolerance


@pytest.mark.parametrize('name, message', [
    ('batches', 'train_dataloader: the number of batches is 2 in process 1, '
     'expected 3, as in process 0.'),
    ('model', 'model.temperature is 1 in process 1, expected 0, as in .*'),
    ('weight', 'The checkpoint: the processes read different weights. .*'),
    ('seed', 'seed is 1 in process 1, expected 0, as in process 0.')])
def test_different_settings_raise_in_all_processes(ranks, name, message):
    assert ranks[0]['path'] is None  # machines may have different paths
    for rank in ranks:
        assert re.fullmatch(message, rank[name])


def test_settings_that_must_be_equal():
    names = ('optim_wrapper.lr', 'param_scheduler.0.gamma',
             'train_cfg.max_epochs', 'val_dataloader.pipeline.0.clip_len')
    cfg = dict(optim_wrapper=dict(lr=1), param_scheduler=[dict(gamma=1)],
               train_cfg=dict(max_epochs=1), val_dataloader=dict(
                   pipeline=[dict(clip_len=1)]))
    assert {*names} < {*_settings(Mock(cfg=cfg, seed=0))}


def test_averaged_batch_norm_is_that_of_all_processes(ranks):
    assert [rank['average'] for rank in ranks] == [[1.5] * 3] * 4


def test_communication_of_a_step(ranks):
    """A step sends features, labels and indices, then a count per bank."""
    for rank in ranks:
        # three rows are padded to a full batch of four
        assert rank['sent'] == [('allgather_', 4 * (2 * 8 + 2) * 4),
                                ('allreduce_', 2 * 4)]


@pytest.mark.parametrize('name', DATA)
def test_different_data_raise_in_all_processes(ranks, name):
    for rank in ranks:
        assert (rank[name] is not None) is DATA[name][1]
        if rank[name]:
            assert rank[name].startswith('val_dataloader.dataset: ')
            assert f'differ from process 0: {len(ranks) - 1}.' in rank[name]


if __name__ == '__main__':
    mp.start_processes(worker, args=(4, sys.argv[1]), nprocs=4,
                       start_method='fork')
