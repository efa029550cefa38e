"""Two processes: equal banks after every step, one loss for all."""
import os
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmaction.structures import ActionDataSample

from projects.stdcl.models import STDCLHead

PARTS = dict(
    decoupler=dict(type='AttentiveDecoupler', out_channels=8, reduction=2),
    memory_bank=dict(type='MemoryBank'),
    loss_contrast=dict(type='CrossSequenceContrastiveLoss', num_negatives=99))
STEPS = [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 0, 1, 8, 8],
         [4, 4, 4, 4, 11, 10, 2, 3]]  # repeats within and across processes


def make_head():
    torch.manual_seed(0)
    head = STDCLHead(num_classes=3, in_channels=6, **PARTS)
    head.init_weights()
    head.spatial_bank.resize(12)
    head.temporal_bank.resize(12)
    return head


def samples_of(indices, labels):
    samples = []
    for index in indices:
        sample = ActionDataSample().set_gt_label(labels[index])
        sample.set_metainfo(dict(sample_idx=index))
        samples.append(sample)
    return samples


def features_of(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(8, 2, 6, 5, 4, generator=generator)


def steps(rank, world_size, labels):
    """Run all steps; returns the losses, gradients and banks of each."""
    head = make_head()
    if world_size > 1:
        model = torch.nn.parallel.DistributedDataParallel(_Contrast(head))
    else:
        model = _Contrast(head)
    history = []
    share = 8 // world_size
    mine = slice(rank * share, (rank + 1) * share)
    for number, indices in enumerate(STEPS):
        head.zero_grad()
        losses = model(features_of(number)[mine],
                       samples_of(indices[mine], labels))
        (losses['loss_spatial'] + losses['loss_temporal']).backward()
        history.append(dict(
            spatial=losses['loss_spatial'].detach(),
            gradient=torch.cat([p.grad.flatten()
                                for p in head.decoupler.parameters()]),
            banks=[bank.features.clone() for bank in (
                head.spatial_bank, head.temporal_bank)],
            labels=head.spatial_bank.labels.clone()))
    return history


class _Contrast(torch.nn.Module):

    def __init__(self, head):
        super().__init__()
        self.head = head
        head.fc.requires_grad_(False)  # only the contrast is looked at

    def forward(self, features, samples):
        return self.head.contrast(features, samples)


def worker(rank, folder, labels):
    dist.init_process_group('gloo', init_method=f'file://{folder}/init',
                            rank=rank, world_size=2)
    torch.save(steps(rank, 2, labels), f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def run(folder, labels):
    root = str(Path(__file__).parents[1])
    os.environ['PYTHONPATH'] = os.pathsep.join(
        [root, os.environ.get('PYTHONPATH', '')])
    mp.spawn(worker, args=(str(folder), labels), nprocs=2)
    return [torch.load(f'{folder}/{rank}.pth', weights_only=True)
            for rank in range(2)]


def test_banks_are_equal_and_the_loss_is_that_of_one_process(tmp_path):
    labels = [i % 3 for i in range(12)]
    ranks = run(tmp_path, labels)
    alone = steps(0, 1, labels)
    for first, second, single in zip(*ranks, alone):
        for a, b, c in zip(first['banks'], second['banks'], single['banks']):
            assert torch.equal(a, b)
            torch.testing.assert_close(a, c, atol=1e-5, rtol=0)
        assert torch.equal(first['labels'], second['labels'])
        assert torch.equal(first['gradient'], second['gradient'])
        # K is the number of negatives, so there is no chance in the draw
        torch.testing.assert_close(first['gradient'], single['gradient'],
                                   atol=1e-5, rtol=1e-4)
        mean = (first['spatial'] + second['spatial']) / 2
        torch.testing.assert_close(mean, single['spatial'], atol=1e-5, rtol=0)
    assert (ranks[0][-1]['labels'] >= 0).all()  # every sequence is there


def test_anchors_that_drop_out_on_one_process_only(tmp_path):
    # in the first step the second process has only classes of one sequence
    labels = [0, 0, 1, 1, 2, 3, 4, 5, 0, 1, 0, 1]
    ranks = run(tmp_path, labels)
    alone = steps(0, 1, labels)
    assert ranks[1][0]['spatial'] == 0 and ranks[0][0]['spatial'] > 0
    for first, second, single in zip(*ranks, alone):
        assert torch.equal(first['gradient'], second['gradient'])
        torch.testing.assert_close(first['gradient'], single['gradient'],
                                   atol=1e-5, rtol=1e-4)
