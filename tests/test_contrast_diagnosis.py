"""ContrastDiagnosisHook logs correct scalars and does not alter training."""
import json

import pytest
import torch

from runs.studies.parts.contrast_diagnosis import gradient_norms
from tests.test_hooks import config  # noqa: F401  a fixture
from tests.tiny_run import plain, train


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
def test_hook_does_not_change_training(config, kind, block):  # noqa: F811
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
