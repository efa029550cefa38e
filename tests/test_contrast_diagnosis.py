"""ContrastDiagnosisHook logs correct scalars and does not alter training."""
import json

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample

from runs.studies.parts.contrast_diagnosis import (
    ContrastDiagnosisHook,
    gradient_norms,
)
from tests.test_hooks import config, run  # noqa: F401  a fixture
from tests.tiny_run import plain


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


def make_head(**bank):
    head = MODELS.build(dict(
        type='STDCLHead', num_classes=3, in_channels=8,
        decoupler=dict(type='AttentiveDecoupler', out_channels=4, reduction=2),
        memory_bank={'type': 'MemoryBank', **bank},
        loss_contrast=dict(type='CrossSequenceContrastiveLoss')))
    head.resize_banks(5)
    return head


def make_samples(indices, labels):
    return [ActionDataSample(metainfo=dict(sample_idx=index)).set_gt_label(
        label) for index, label in zip(indices, labels)]


def test_similarities_by_hand():
    """Sequences 0 and 1 have the same class; both steps contain sequence 1."""
    head = make_head()
    hook = ContrastDiagnosisHook()
    hook.head, hook.loss = head, head.loss
    feats = torch.randn(3, 1, 8, 2, 3, requires_grad=True)
    hook._diagnosed_loss(feats, make_samples([0, 1, 2], [0, 0, 1]))
    before = head.spatial_bank.features.clone()
    again = torch.randn(1, 1, 8, 2, 3, requires_grad=True)
    scalars = hook._diagnosed_loss(again, make_samples([1], [0]))

    vector = F.normalize(head.decoupler(again)[0], dim=1)[0]
    assert scalars['staleness_spatial'].item() == pytest.approx(
        1 - (vector @ before[1]).item(), abs=1e-6)
    assert scalars['positive_spatial'].item() == pytest.approx(
        (vector @ before[0]).item(), abs=1e-6)
    assert scalars['negative_spatial'].item() == pytest.approx(
        (vector @ before[2]).item(), abs=1e-6)
    assert {'loss_cls', 'loss_spatial', 'gradient_cls',
            'gradient_temporal', 'gradient_cosine'} <= scalars.keys()


@pytest.mark.parametrize('kind, block', [
    ('MemoryBank', None), ('ClassBalancedMemoryBank', 1), (None, None)])
def test_hook_does_not_change_training(config, kind, block):  # noqa: F811
    if kind is None:  # without STD-CL
        config = plain(config)
    else:
        config.model.cls_head.memory_bank.type = kind
        config.model.contrast_block = block
    weights = []
    for hooks in ({}, dict(diagnosis=dict(type='ContrastDiagnosisHook'))):
        runner = run(config, randomness=dict(seed=0), default_hooks={
            **config.default_hooks, **hooks})
        runner.train()
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
