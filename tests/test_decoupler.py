import pytest
import torch
import torch.nn as nn

from projects.stdcl.models import (
    AttentiveDecoupler,
    ProjectionDecoupler,
    STDCLRecognizer,
)
from runs.studies.parts import ideas

STGCN = dict(type='STGCN', base_channels=8,
             graph_cfg=dict(layout='nw-ucla', mode='stgcn_spatial'))


def head(**decoupler):
    return dict(type='STDCLHead', num_classes=4, in_channels=32,
                decoupler=decoupler, memory_bank=dict(type='MemoryBank'),
                loss_contrast=dict(type='CrossSequenceContrastiveLoss'))


def test_projection_has_the_size_of_the_paper():
    decoupler = ProjectionDecoupler(216, 25, 16, out_channels=256, reduction=8)
    assert sum(p.numel() for p in decoupler.parameters()) == 295622


def test_nonlinear_branches_of_the_studies():
    decoupler = ideas.NonlinearProjectionDecoupler(16, 3, 2)
    assert isinstance(decoupler.spatial, ideas.NonlinearProjectionBranch)
    assert isinstance(decoupler.temporal, ideas.NonlinearProjectionBranch)


def test_projection_flattens_channels_first():
    decoupler = ProjectionDecoupler(8, 3, 2, out_channels=5, reduction=4)
    x = torch.randn(2, 1, 8, 2, 3)
    branch = decoupler.spatial
    reduced = branch.reduce(x[:, 0].mean(dim=2))  # (N, 2, V)
    flat = torch.stack([reduced[:, c, v] for c in range(2) for v in range(3)],
                       dim=1)
    torch.testing.assert_close(decoupler(x)[0], branch.project(flat))


def test_initialization():
    decoupler = ProjectionDecoupler(256, 20, 13, out_channels=256)
    convolution = decoupler.spatial.reduce.weight.clone()
    decoupler.init_weights()
    linear = decoupler.spatial.project
    assert linear.bias.abs().sum() == 0
    # Kaiming normal (fan out) has a standard deviation of sqrt(2 / 256)
    assert linear.weight.std().item() == pytest.approx((2 / 256)**.5, rel=.02)
    assert torch.equal(decoupler.spatial.reduce.weight, convolution)


def test_attentive_equals_the_twin():
    decoupler = AttentiveDecoupler(8, 5, 2)
    assert decoupler.temporal is not decoupler.spatial
    x = torch.randn(2, 3, 8, 4, 6)
    expected = torch.zeros(2, 5)
    for n in range(2):
        for m in range(3):
            pooled = x[n, m].mean(dim=1)  # (C, V)
            scores = decoupler.spatial.score(pooled[None])[0, 0]
            weights = scores.exp() / scores.exp().sum()
            vector = sum(weights[v] * pooled[:, v] for v in range(6))
            expected[n] += decoupler.spatial.project(vector) / 3
    torch.testing.assert_close(decoupler(x)[0], expected)


@pytest.mark.parametrize('cls', [AttentiveDecoupler, ProjectionDecoupler])
def test_branches_see_only_their_axis(cls):
    sizes = dict(num_joints=5, num_frames=4) \
        if cls is ProjectionDecoupler else {}
    decoupler = cls(8, reduction=2, **sizes)
    x = torch.randn(1, 1, 8, 4, 5)
    shuffled_frames = x[..., torch.tensor([2, 0, 3, 1]), :]
    shuffled_joints = x[..., torch.tensor([4, 2, 0, 1, 3])]
    close = torch.testing.assert_close
    close(decoupler(x)[0], decoupler(shuffled_frames)[0])
    close(decoupler(x)[1], decoupler(shuffled_joints)[1])
    decoupler.spatial = decoupler.temporal = nn.Flatten()
    x = torch.full((1, 1, 8, 4, 5), 3e4, dtype=torch.float16)
    # the sums exceed the range of float16
    for means in super(cls, decoupler).forward(x):
        assert (means == 3e4).all()


@pytest.mark.parametrize('cls', [AttentiveDecoupler, ProjectionDecoupler])
@pytest.mark.parametrize('wrong, message', [
    (dict(out_channels=0), 'out_channels is 0, expected'),
    (dict(reduction=0), 'reduction is 0, expected'),
    (dict(reduction=9), 'reduction is 9, expected at most 8'),
])
def test_invalid_sizes_raise(cls, wrong, message):
    with pytest.raises(ValueError, match=message):
        cls(8, **wrong)


def test_recognizer_requires_a_head_with_a_decoupler():
    plain = dict(type='GCNHead', num_classes=4, in_channels=32)
    with pytest.raises(ValueError, match="to 'RecognizerGCN'"):
        STDCLRecognizer(backbone=STGCN, cls_head=plain)


@pytest.mark.parametrize('frames', [52, 20, 17])
def test_recognizer_sets_the_sizes_in_a_dry_run(frames):
    model = STDCLRecognizer(
        backbone=STGCN, clip_shape=(1, frames, 20, 3),
        cls_head=head(type='ProjectionDecoupler', reduction=8))
    decoupler = model.cls_head.decoupler
    assert decoupler.spatial.project.in_features == 4 * 20
    assert decoupler.temporal.project.in_features == 4 * -(-frames // 4)
    batch_norm = model.backbone.data_bn
    assert batch_norm.num_batches_tracked == 0  # despite the dry run
    assert model.training


def test_an_encoder_that_fails_in_the_dry_run_is_named(monkeypatch):
    def fail(self, x):
        raise RuntimeError('two\nlines')

    monkeypatch.setattr('mmaction.models.STGCN.forward', fail)
    with pytest.raises(ValueError, match='^model.clip_shape: STGCN fails on '
                       r'a clip of shape \(1, 52, 20, 3\).*: two lines$'):
        STDCLRecognizer(backbone=STGCN,
                        cls_head=head(type='ProjectionDecoupler'),
                        clip_shape=(1, 52, 20, 3))
