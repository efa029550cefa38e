"""Random draws depend only on seed, epoch, index and repeat."""
import random
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS
from mmaction.structures import ActionDataSample
from mmcv.transforms import BaseTransform
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader

from projects.stdcl.datasets import SeededDataset, packed_collate
from projects.stdcl.engine.loops import reproducible_train_loop as loops
from projects.stdcl.utils.random_seed import derive_seed


@TRANSFORMS.register_module()
class DrawNumbers(BaseTransform):
    """Transform that draws from each random generator of the CPU."""

    def transform(self, results):
        results['inputs'] = torch.tensor([
            random.random(), np.random.random(), torch.rand(()).item()])
        return results


SET = dict(type='SyntheticSkeletonDataset', num_sequences=16,
           pipeline=[dict(type='DrawNumbers')])


def build(wrapped=SET, seed=3):
    """Return a seeded data set and its sampler."""
    dataset = SeededDataset(DATASETS.build(wrapped))
    assert len(SeededDataset(wrapped)) == len(dataset)
    return dataset, DATA_SAMPLERS.build(dict(
        type='SeededSampler', sampler=dict(type='DefaultSampler'), seed=seed),
        default_args=dict(dataset=dataset))


def draws(epoch=0, seed=3, disturb=False):
    """Return (index, numbers drawn) in the order of the sampler."""
    dataset, sampler = build(dict(type='RepeatDataset', times=2, dataset=SET),
                             seed)
    assert len(sampler) == len(dataset) == 32
    sampler.set_epoch(epoch)
    result = []
    for draw in sampler:
        if disturb:
            torch.manual_seed(0), np.random.seed(0), random.random()
        result.append((int(draw), tuple(dataset[draw]['inputs'].tolist())))
    return result


def test_draws_are_independent_of_earlier_draws():
    assert draws() == draws(disturb=True)


def test_draws_differ_by_epoch_index_repeat_and_seed():
    drawn = [numbers for chosen in (draws(), draws(epoch=1), draws(seed=4))
             for _, numbers in chosen]
    for generator in zip(*drawn):
        assert len(set(generator)) == len(drawn) == 96
    orders = [[index for index, _ in draws(epoch)] for epoch in (0, 1)]
    assert orders[0] != orders[1]


def test_steps_and_processes_have_their_own_seed(monkeypatch):
    seeds, loop = [], object.__new__(loops.ReproducibleTrainLoop)
    loop._runner = SimpleNamespace(seed=1, _randomness_cfg={})
    monkeypatch.setattr(loops, 'set_random_seed', seeds.append)
    monkeypatch.setattr(loops.EpochBasedTrainLoop, 'run_iter', print)
    for loop._iter, rank in product(range(2), range(2)):
        monkeypatch.setattr(loops, 'get_rank', lambda rank=rank: rank)
        loop.run_iter(0, None)
    assert len({*seeds}) == 4


def test_processes_share_the_seed_of_the_run(monkeypatch):
    """With ``diff_rank_seed``, MMEngine adds the rank to the seed."""
    monkeypatch.setattr(loops, 'get_rank', lambda: 2)
    for differs, seed in (True, 9), (False, 7):
        assert loops.seed_of(SimpleNamespace(seed=seed, _randomness_cfg=dict(
            diff_rank_seed=differs))) == 7


def test_draws_of_a_repeated_index_differ():
    _, sampler = build()
    sampler.sampler = type('Oversampler', (list, ), {})([5, 5, 7, 5])
    drawn = list(sampler)
    assert len({draw.seed for draw in drawn if draw == 5}) == 3
    # the first draw does not depend on it
    assert drawn[0].seed in {draw.seed for draw in build()[1]}
    sampler.skip = 2
    sampler.sampler[:] = torch.tensor([5, 5, 7, 5])
    assert [(draw, draw.seed) for draw in sampler] == [
        (draw, draw.seed) for draw in drawn[2:]]


def test_sampler_receives_the_wrapped_data_set():
    assert 'label' in build()[1].sampler.dataset.get_data_info(5)


def test_plain_index_is_not_seeded():
    dataset = SeededDataset(SET)
    first, second = (dataset[3]['inputs'] for _ in range(2))
    assert not torch.equal(first, second)
    assert dataset.metainfo['classes'] == dataset.dataset.metainfo['classes']


def test_derived_seeds():
    assert derive_seed(1, 2, 3) == derive_seed(1, 2, 3) == 3922471037
    seeds = {derive_seed(a, b, c) for a in range(10) for b in range(10)
             for c in range(10)}
    assert len(seeds) == 1000 and min(seeds) >= 0 and max(seeds) < 2**32


@pytest.mark.parametrize('workers', [0, 1])
def test_a_worker_sends_two_storages(workers):
    """They contain the same clips and labels as MMEngine's batches."""
    samples = [
        dict(inputs=torch.rand(1, 4, 3), data_samples=ActionDataSample(
            ).set_gt_label(index)) for index in range(5)]
    assert FUNCTIONS.get('pseudo_collate') is packed_collate
    batch, = DataLoader(samples, 5, collate_fn=packed_collate,
                        num_workers=workers)
    expected = pseudo_collate(samples)
    for ours, theirs in (
            (batch['inputs'], expected['inputs']), *(
                [[one.gt_label for one in part['data_samples']]
                 for part in (batch, expected)], )):
        assert isinstance(ours, list) and torch.equal(
            torch.stack(ours), torch.stack(theirs))
        storages = {one.untyped_storage().data_ptr() for one in ours}
        assert len(storages) == (1 if workers else 5)
    assert packed_collate([1, 2]) == [1, 2]
