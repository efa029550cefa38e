"""Hooks set up indices and banks and check the data before training."""
import copy
import json
import os
import subprocess
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmaction.datasets.transforms import Flip
from mmaction.models import GCNHead, RecognizerGCN
from mmaction.registry import DATA_SAMPLERS, DATASETS, MODELS
from mmcv.transforms import RandomApply
from mmengine.dataset import (
    BaseDataset,
    Compose,
    ConcatDataset,
    RepeatDataset,
    pseudo_collate,
)
from mmengine.hooks import EMAHook
from mmengine.runner import FlexibleRunner
from torch.utils.data import BatchSampler

from projects.stdcl.datasets.data_description import layouts_of
from projects.stdcl.datasets.dataset_access import (
    add_indices,
    summarize,
    unwrap_datasets,
)
from projects.stdcl.engine.hooks import MemoryBankHook, RunRecordHook
from projects.stdcl.engine.hooks.memory_bank_hook import largest_class
from projects.stdcl.models import STDCLHead
from projects.stdcl.utils import environment
from projects.stdcl.utils.clip_check import check_encoder, check_features
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from runs.studies.parts.contrast_diagnosis import gradient_norms
from tests import tiny_run
from tests.tiny_run import plain, run, tiny_config, train


@pytest.fixture
def config(tmp_path, tiny_annotations):
    return tiny_config(tmp_path / 'work', tiny_annotations(), 8)


def pose(ann_file, pipeline=None, **kwargs):
    pipeline = pipeline or [
        dict(type='MinMaxNormalize'),
        dict(type='RandomSampleFrames', clip_len=8), dict(type='PoseDecode'),
        dict(type='FormatGCNInput', num_person=1),
        dict(type='PackActionInputs')]
    return dict(type='PoseDataset', ann_file=ann_file, pipeline=pipeline,
                split='xview_train', **kwargs)


def index_of(sample):
    return sample['data_samples'].metainfo['sample_idx']


def build(dataset):
    dataset = DATASETS.build(dataset)
    dataset.full_init()
    return dataset


def test_indices_through_repeat_and_concat(tiny_annotations):
    first = pose(tiny_annotations(num=5, name='a.pkl'))
    second = pose(tiny_annotations(num=7, name='b.pkl'))
    dataset = build(dict(type='RepeatDataset', times=3, dataset=dict(
        type='ConcatDataset', datasets=[
            first, dict(type='RepeatDataset', times=2, dataset=second)])))
    assert add_indices(dataset) == add_indices(dataset) == 12
    assert largest_class(dataset) == 2  # labels 0 to 4 and 0 to 6
    part, _ = next(unwrap_datasets(dataset))
    for step in (str, Flip(flip_label_map={0: 1}), RandomApply([str])):
        part.pipeline.transforms.append(step)  # may change the labels
        assert largest_class(dataset) is None
        part.pipeline.transforms.pop()
    assert largest_class(dataset, GCNHead, pseudo_collate) == 2
    assert largest_class(dataset, index_of) is None
    expected = [*range(12), *range(5, 12)] * 3
    assert [index_of(dataset[i]) for i in range(57)] == expected


def test_rare_classes_are_sampled_more_often(tiny_annotations):
    """The second of three sequences is the only one of its class."""
    path = tiny_annotations(num=3, classes=2)
    dataset = build(dict(
        type='ClassBalancedDataset', oversample_thr=0.6,
        dataset=dict(pose(path), type='SkeletonDataset')))
    assert add_indices(dataset) == 3
    seen = [index_of(dataset[i]) for i in range(len(dataset))]
    assert seen == [0, 1, 1, 2]


class Unnamed(BaseDataset):
    """Data set without names of sequences."""

    def __init__(self):
        super().__init__(pipeline=[dict(type='PackActionInputs')])

    def load_data_list(self):
        return [dict(label=0), dict(label=1)]


def test_unknown_wrappers_and_duplicates_raise(tiny_annotations):
    with pytest.raises(ValueError, match='contains a list, whose sequences'):
        add_indices([1, 2])
    part = build(pose(tiny_annotations()))
    for other in (part, build(pose(os.path.relpath(part.ann_file),
                                   indices=[2]))):
        with pytest.raises(ValueError, match='in more than one data set'):
            add_indices(ConcatDataset([part, other]))
    for part in (own := [Unnamed(), Unnamed()]):
        part.full_init()
    assert add_indices(ConcatDataset(own)) == 4
    part = build(pose(tiny_annotations(), pipeline=[dict(type='PoseDecode')]))
    with pytest.raises(ValueError, match='no PackActionInputs'):
        add_indices(part)


def test_fingerprint_depends_on_names_labels_and_order(tiny_annotations):
    path = tiny_annotations(num=6)

    def fingerprint(**kwargs):
        return summarize(build(pose(path, **kwargs)), samples=0)[0]

    assert fingerprint() == fingerprint(serialize_data=False)
    assert fingerprint() != fingerprint(indices=[1, 0, 2, 3, 4, 5])
    assert fingerprint() != fingerprint(indices=5)


def test_a_loader_with_a_batch_sampler_has_no_batch_size(config):
    DATA_SAMPLERS.register_module(module=BatchSampler, force=True)
    drop_last = config.train_dataloader.pop('drop_last')
    config.train_dataloader.batch_sampler = dict(
        type='BatchSampler', drop_last=drop_last)
    config.train_dataloader.batch_size = 6
    runner, _ = train(config)
    assert runner.model.cls_head.batch_size == 6


@pytest.mark.parametrize('bank', [{}, dict(dtype='float16'), dict(
    type='ClassBalancedMemoryBank', slots_per_class=2)])
def test_resuming_restores_the_banks(config, bank):
    config.model.cls_head.memory_bank.update(bank)
    expected = train(config)[0].model.state_dict()
    config.train_cfg.max_epochs = 2
    second, restored = train(config, resume=True)
    banks = [name for name in expected if '_bank.' in name]
    assert len(banks) >= 4
    for name in banks:
        assert torch.equal(restored[name], expected[name])
    assert second.epoch == 2


def test_flexible_runner_restores_the_banks(config, monkeypatch):
    """It loads a checkpoint before it calls ``before_run``."""
    monkeypatch.setattr(tiny_run, 'Runner', FlexibleRunner)
    test_resuming_restores_the_banks(config, {})
    config.optim_wrapper.optimizer.lr = 5
    with pytest.raises(InputError, match='lr 0.1, but this run uses 5'):
        run(config, resume=True).train()


def test_a_second_run_of_a_runner_keeps_its_banks(config):
    """A new hook, as in a new Runner, empties the banks."""
    runner, _ = train(config)
    hook, = (hook for hook in runner.hooks if isinstance(hook, MemoryBankHook))
    for one, expected in ((hook, True), (MemoryBankHook(), False)):
        one.before_run(runner)
        labels = runner.model.cls_head.spatial_bank.labels
        assert bool((labels >= 0).all()) is expected


def test_averaged_weights_are_kept_after_training(config):
    runner, _ = train(config, custom_hooks=[
        *config.custom_hooks, dict(type='EMAHook', momentum=0.5)])
    hook, = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    expected = [one.clone() for one in hook.ema_model.module.parameters()]
    runner.test()
    assert all(map(torch.equal, hook.ema_model.module.parameters(), expected))
    assert not all(map(torch.equal, runner.model.parameters(), expected))


def test_validation_may_precede_training(config):
    run(config).train()
    weights = torch.load(f'{config.work_dir}/epoch_1.pth',
                         weights_only=True)['state_dict']
    torch.save(weights, bare := f'{config.work_dir}/bare.pth')
    config.optim_wrapper.optimizer.lr = 0
    runner = run(config, load_from=bare, custom_hooks=[
        *config.custom_hooks, dict(type='EMAHook', begin_iter=2)])
    for method in (runner.val, runner.train, runner.train):
        method()
        assert torch.equal(runner.model.cls_head.fc.weight,
                           weights['cls_head.fc.weight'])
    runner = run(config)
    runner.load_checkpoint(bare)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.train_dataloader, runner.test()  # which also builds the loop
    with pytest.raises(InputError, match='loaded before train'):
        runner.train()


def test_resuming_with_different_banks_raises(config):
    run(config).train()
    config.train_cfg.max_epochs = 2
    path = f'{config.work_dir}/epoch_1.pth'
    bank = 'cls_head.temporal_bank.features'
    for edit, message in (
            (lambda weights, meta: weights.pop(bank),
             r'edited.pth contains .*expected .*temporal_bank.f.*\(24, 25'),
            (lambda weights, meta: weights[bank].resize_(20, 256),
             r'edited.pth.*\(20, 256\).*expected .*\(24, 256\)'),
            (lambda weights, meta: meta.update(memory_bank_sequences='other'),
             'edited.pth.*different list of training')):
        checkpoint = torch.load(path, weights_only=True)
        edit(checkpoint['state_dict'], checkpoint['meta'])
        torch.save(checkpoint, edited := f'{config.work_dir}/edited.pth')
        with pytest.raises(ValueError, match=message):
            run(config, resume=True, load_from=edited).train()
    config.model.cls_head.memory_bank.type = 'ClassBalancedMemoryBank'
    with pytest.raises(ValueError, match='banks .*, expected .*bank.indices'):
        run(config, resume=True).train()


def test_a_head_may_change_the_labels(config):
    """A class may then have more sequences than in the data set."""

    class OneClassHead(STDCLHead):

        def contrast(self, feats, labels, indices):
            return super().contrast(feats, labels * 0, indices)

    config.model.cls_head.type = OneClassHead
    runner = run(config)
    runner.train()  # a loss that is not finite raises an error
    assert runner.model.cls_head.spatial_bank.class_size is None


def test_a_plain_model_is_not_changed(config):
    run(plain(config)).train()
    assert 'memory_bank_sequences' not in torch.load(
        f'{config.work_dir}/epoch_1.pth', weights_only=True)['meta']


CTRGCN = dict(_delete_=True, type='CTRGCN', layout='nw-ucla', base_channels=8)


@pytest.mark.parametrize('data, model, message', [
    (dict(joints=17), {}, 'is 17.*SkeletonDataPreprocessor is built for '
     '20.*data_preprocessor.layout'),
    (dict(joints=17), dict(data_preprocessor=dict(layout=dict(
        asdict(SkeletonLayout.get('coco')), dims=3, _delete_=True))),
     'joints is 17.*STGCN is built for 20.*graph_cfg.layout'),
    (dict(channels=2), {}, 'is 2.*STGCN is built for 3.*in_channels=2'),
    ({}, dict(backbone=dict(data_bn_type='MVC', num_person=2)),
     'persons is 1.*STGCN is built for 2.*num_person=1'),
    ({}, dict(backbone=dict(CTRGCN, num_person=2)),
     'persons is 1.*CTRGCN is built for 2.*num_person=1'),
    ({}, dict(backbone=dict(_delete_=True, type='HCN', layout='nw-ucla')),
     r'frames is 52.*HCN is built for \d+.*clip_len=\d+.*'
     'model.backbone.num_frames.*model.cls_head.feature_size'),
    ({}, dict(cls_head=dict(in_channels=24)),
     'STGCN returns .* channels, but STDCLHead is built for 24'),
])
def test_mismatched_data_raise(config, tiny_annotations, data, model, message):
    config.train_dataloader.dataset.dataset.ann_file = tiny_annotations(
        name='mismatch.pkl', **data)
    # a dry run of the projection would find the fault before the hook
    config.merge_from_dict({'model.clip_shape': None,
                            'model.cls_head.decoupler.type':
                            'AttentiveDecoupler'})
    config.merge_from_dict(dict(model=model))
    with pytest.raises(ValueError, match=message):
        run(config).train()


def test_batch_norm_of_joints_takes_any_number_of_persons():
    encoder = MODELS.build(dict(
        type='AAGCN', base_channels=4, num_stages=1, data_bn_type='VC',
        graph_cfg=dict(layout='nw-ucla', mode='spatial')))
    check_encoder(encoder, (1, 52, 20, 3))  # AAGCN has the default of 2
    own = SimpleNamespace(layout='coco', graph=[1], in_channels=512)
    check_encoder(own, (1, 52, 20, 3))  # of an own class
    assert layouts_of(SimpleNamespace(backbone=own)) == []


def test_schedules_that_do_not_fit_the_run_warn(config, capsys):
    for epochs, warnings in (2, 2), (3, 0), (6, 1):
        config.train_cfg.max_epochs = epochs
        config.param_scheduler = [dict(
            type='CosineAnnealingLR', T_max=3, begin=1, by_epoch=True,
            convert_to_iter_based=True), dict(
            type='MultiStepLR', milestones=[2, 9], by_epoch=True)]
        run(config).train()
        log = capsys.readouterr().out
        assert log.count(', because it runs from ') == warnings


def test_iterations_with_workers(config):
    config.train_dataloader.num_workers = 1
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=9)
    with pytest.raises(InputError, match='num_workers is 1, expected 0'):
        run(config).train()


@DATASETS.register_module(force=True)
class WithPipeline(RepeatDataset):
    """Wrapper with a pipeline of its own."""

    def __init__(self, pipeline, **kwargs):
        super().__init__(times=1, **kwargs)
        self.pipeline = Compose(pipeline)

    def __getitem__(self, index):
        return self.pipeline(super().__getitem__(index))


def test_own_transforms_may_map_labels(config):
    config.model.cls_head.num_classes = 2
    with pytest.raises(InputError, match='label is 2, expected 0 to 1'):
        run(config).train()
    for loader in tiny_run.loaders(config):
        part = loader.dataset.get('dataset', loader.dataset)
        part.pipeline.insert(0, lambda results: {
            **results, 'label': results['label'] % 2})
    run(config).train()
    config.train_dataloader.dataset.dataset.pipeline[0] = dict  # maps nothing
    with pytest.raises(InputError, match='label is 2, expected 0 to 1'):
        run(config).train()


def test_the_last_step_may_be_in_a_wrapper(config):
    part = config.train_dataloader.dataset.dataset
    config.train_dataloader.dataset = dict(
        type='WithPipeline', pipeline=[part.pipeline.pop()], dataset=part)
    run(config).train()
    config.model.data_preprocessor.stream = 'bone'
    part.pipeline.insert(-1, dict(type='GenSkeFeat', feats=['b']))
    with pytest.raises(InputError, match='pipeline also computes bones'):
        run(config).train()


def test_other_recognizers_and_heads_are_not_refused(config):
    config.model = dict(  # takes N x C x T x H x W
        type='Recognizer3D', backbone=dict(
            type='Conv3d', in_channels=1, out_channels=4, kernel_size=3),
        cls_head=dict(type='I3DHead', num_classes=10, in_channels=4,
                      average_clips='prob'))
    run(config).train()
    for feats in (torch.ones(2), ), torch.ones(5 * [1]), torch.ones(
            1, 9, 4, 1, 1):
        check_features(SimpleNamespace(cls_head=SimpleNamespace(
            in_channels=feats[0].numel())), feats, 1)
    with pytest.raises(InputError, match=r'\(1, 3, 1, 1, 1\), expected \(N,'):
        check_features(SimpleNamespace(backbone=0, cls_head=SimpleNamespace(
            decoupler=0)), torch.ones(1, 3, 1, 1, 1), 2)


@pytest.mark.parametrize('model, message', [
    (dict(type='RecognizerGCN', clip_shape=None, cls_head=dict(decoupler=dict(
        num_joints=20, num_frames=16))), 'fails: mat1.*num_frames to T'),
    # as if clip_len had been changed in the pipelines only
    (dict(clip_shape=None, contrast_block=1, cls_head=dict(decoupler=dict(
        type='AttentiveDecoupler', in_channels=8))), 'set in_channels to C'),
    (dict(clip_shape=(1, 64, 20, 3)),
     r'model.clip_shape is \(1, 64, 20, 3\), '
     r'expected \(1, 52, 20, 3\), .* clips in train_dataloader')])
def test_sizes_of_the_decoupler_are_checked_before_the_first_step(
        config, model, message):
    config.merge_from_dict(dict(model=model))
    if config.model.clip_shape is None:
        config.model.pop('clip_shape')
    runner = run(config)
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert runner.iter == 0
    assert (runner.model.cls_head.spatial_bank.labels == -1).all()


def test_validation_and_test_data_are_checked_too(config, tiny_annotations):
    path = tiny_annotations(joints=17, name='mismatch.pkl')
    config.test_dataloader.dataset.ann_file = path
    with pytest.raises(ValueError, match='test_dataloader.*joints is 17'):
        run(config).test()
    config.val_dataloader.dataset.ann_file = path
    with pytest.raises(ValueError, match='val_dataloader.*joints is 17'):
        run(config).train()


def test_activation_checkpointing_changes_no_step(config):
    """Without the repair, the encoder gets no gradient of the contrast."""
    config.model.contrast_block = 2
    config.model.cls_head.update(spatial_weight=9)
    states = []
    for changes in {}, dict(activation_checkpointing='backbone'):
        runner, _ = train(config, **changes)
        states.append(dict(runner.model.named_parameters()))
        copy.deepcopy(runner.model)
    for name, parameter in states[0].items():
        torch.testing.assert_close(parameter, states[1][name], msg=name)


@MODELS.register_module(force=True)
class HardestOfTheBatch(torch.nn.Module):
    """Loss that needs several samples."""

    def forward(self, scores, labels):
        return F.cross_entropy(scores, labels, reduction='none').topk(4)[
            0].mean()


@MODELS.register_module(force=True)
class Headless(RecognizerGCN):
    """Recognizer for pretraining."""

    def loss(self, inputs, data_samples, **kwargs):
        return dict(loss=self.backbone(inputs[:, 0]).square().mean())


def test_own_losses(config):
    config.model.cls_head.loss_cls = dict(type='HardestOfTheBatch')
    run(config).train()
    config = plain(config)
    config.model.update(type='Headless', cls_head=None)
    run(config, val_cfg=None, val_dataloader=None, val_evaluator=None).train()


def test_arguments_for_the_head(config, monkeypatch):
    """A recognizer may pass arguments to its head, like Recognizer2D."""
    extract, forward = RecognizerGCN.extract_feat, GCNHead.forward
    monkeypatch.setattr(
        RecognizerGCN, 'extract_feat', lambda *args, **kwargs: (
            extract(*args, **kwargs)[0], dict(num_segs=1)))
    monkeypatch.setattr(GCNHead, 'forward', lambda self, x, num_segs,
                        **kwargs: forward(self, x))
    run(plain(config)).train()


def test_run_record(config):
    config.train_cfg.max_epochs = 2
    config.optim_wrapper.update(clip_grad=dict(max_norm=1),
                                accumulative_counts=2)
    runner, _ = train(config, randomness=dict(seed=3))
    with open(f'{config.work_dir}/run.json') as file:
        record = json.load(file)
    losses, _ = runner.message_hub.get_scalar('train/loss').data
    assert record['epochs'][1]['train']['loss'] == pytest.approx(
        losses[3:].mean())
    # steps without an update have no gradient norm
    assert 'grad_norm' not in record['epochs'][0]['train']
    assert record['seed'] == 3
    assert record['versions']['mmaction2'] == '1.2.0'
    assert record['config']['model']['cls_head']['type'] == 'STDCLHead'
    assert [epoch['epoch'] for epoch in record['epochs']] == [1, 2]
    for epoch in record['epochs']:
        assert epoch['train']['anchor_share'] <= 1
        assert 0 <= epoch['val']['acc/top1'] <= 1
        assert epoch['seconds'] > 0
    # resuming continues the curves and keeps the record of the first part
    config.train_cfg.max_epochs = 3
    config.val_evaluator = [dict(type='AccMetric'),
                            dict(type='ConfusionMatrix')]
    runner, _ = train(config, resume=True, randomness=dict(seed=3))
    with open(f'{config.work_dir}/run.json') as file:
        resumed = json.load(file)
    assert resumed['epochs'][:2] == record['epochs']
    assert len(resumed['epochs']) == 3
    part, = resumed['resumed']
    assert part['epoch'] == 2 and part['seed'] == 3 and part['machine']
    assert part['versions'] == record['versions']
    hook, = (hook for hook in runner.hooks if type(hook) is RunRecordHook)
    hook.after_val_epoch(runner, {
        'own': torch.tensor(0.5, dtype=torch.bfloat16), 'table': [1, 2],
        'classes': dict(a=1), 'text': 'x', 'none': None})
    assert hook.epochs[2]['val'] == {'own': 0.5}
    del hook.epochs[2]  # as if the run had been killed before it was written
    hook.after_val_epoch(runner, {'own': 0.7})
    assert hook.epochs == record['epochs']
    hook.before_train(runner)  # as if it had been resumed once more
    assert len(hook.record['resumed']) == 2


def test_local_changes_outside_runs_are_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, 'ROOT', tmp_path)
    for words in 'init -q', ('-c user.name=a -c user.email=a commit -qm a '
                             '--allow-empty'):
        subprocess.run(['git', *words.split()], cwd=tmp_path, check=True)
    for name, clean in ('runs', True), ('tool.py', False):
        (tmp_path / name).touch()
        monkeypatch.setenv('GIT_DIR', '/none')  # as a hook of git sets it
        assert environment.current_commit()['clean'] is clean


def test_gradient_norms_are_those_of_the_losses_alone():
    feats = torch.randn(3, 2, 4, requires_grad=True)
    weight = torch.randn(3, 8, requires_grad=True)
    losses = dict(loss_cls=(feats.flatten(1) * weight).sum() / 3,
                  loss_spatial=-2 * (feats.flatten(1) * weight).sum() / 3,
                  accuracy=torch.tensor(0.5))
    scalars = gradient_norms(feats, losses)
    norm = weight.norm(dim=1).mean()
    torch.testing.assert_close(scalars['gradient_cls'], norm)
    torch.testing.assert_close(scalars['gradient_spatial'], 2 * norm)
    torch.testing.assert_close(scalars['gradient_cosine'], torch.tensor(-1.))
    assert weight.grad is None
    assert gradient_norms(feats.detach(), losses) == {}


@pytest.mark.parametrize('kind, block', [
    ('MemoryBank', None), ('ClassBalancedMemoryBank', 1), (None, None)])
def test_diagnosis_does_not_change_training(config, kind, block):
    """ContrastDiagnosisHook logs correct scalars."""
    if kind is None:  # without STD-CL
        config = plain(config)
    else:
        config.model.cls_head.memory_bank.type = kind
        config.model.contrast_block = block
    weights = []
    for hooks in ({}, dict(diagnosis=dict(type='ContrastDiagnosisHook'))):
        runner, _ = train(config, randomness=dict(seed=0), default_hooks={
            **config.default_hooks, **hooks})
        weights.append(runner.model.state_dict())
        assert 'loss' not in vars(runner.model.cls_head)
    assert all(torch.equal(*pair) for pair in zip(
        weights[0].values(), weights[1].values()))
    with open(f'{config.work_dir}/run.json') as file:
        scalars = json.load(file)['epochs'][-1]['train']
    assert scalars['gradient_cls'] > 0
    assert ('gradient_spatial' in scalars) == (kind is not None)
    # the contrast of an earlier block does not reach the encoder's output
    assert (scalars.get('gradient_spatial', 1) == 0) == (block is not None)
    assert ('staleness_spatial' in scalars) == (kind == 'MemoryBank')
