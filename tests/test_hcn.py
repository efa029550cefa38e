"""HCN and its classifier. test_encoders.py tests all encoders."""
import pytest
import torch
from mmaction.registry import MODELS

from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from tests.twins.encoders import converted
from tests.twins.hcn import HCNTwin

# arguments of pair()
SIZES = [('nturgb+d', 2, 64, None, 3, 64), ('nw-ucla', 1, 64, None, 3, 64),
         ('coco', 3, 32, None, 2, 16), ('nw-ucla', 2, 32, 48, 3, 16)]
TINY = dict(type='HCN', layout='nw-ucla', base_channels=8, num_frames=32)
TINY_HEAD = dict(type='HCNHead', num_classes=4, in_channels=32,
                 feature_size=(2, 2), hidden_channels=16)


def pair(layout, persons, frames, width, channels, base):
    """Build our model and the twin with the same weights, in eval mode."""
    twin = HCNTwin(num_classes=10, num_person=persons, in_channels=channels,
                   num_joint=SkeletonLayout.get(layout).num_joints,
                   base_channels=base, window_size=frames, out_channels=width)
    backbone = dict(type='HCN', layout=layout, in_channels=channels,
                    base_channels=base, num_frames=frames,
                    cooccurrence_channels=width)
    head = dict(type='HCNHead', num_classes=10, in_channels=4 * base,
                feature_size=[frames // 16, (width or frames) // 16])
    ours = build(backbone, head)
    ours.load_state_dict(converted('HCN', twin.state_dict()), strict=True)
    return ours.eval(), twin.eval()


def build(backbone=TINY, head=TINY_HEAD, **kwargs):
    return MODELS.build(dict(type='RecognizerGCN', backbone=backbone,
                             cls_head=head, **kwargs))


def clips(layout, persons, frames, channels, batch=2):
    """Make a batch in the formats of our model and of the twin."""
    joints = SkeletonLayout.get(layout).num_joints
    x = torch.randn(batch, persons, frames, joints, channels)
    return x, x.permute(0, 4, 2, 3, 1)  # (N, C, T, V, M)


def logits(model, x):
    return model(x[:, None], stage='head')  # one clip per sequence


@pytest.mark.parametrize('size', SIZES)
def test_equals_the_twin(size):
    # in double precision, rounding does not change which entry is the maximum
    ours, twin = (model.double() for model in pair(*size))
    x, for_twin = (part.double() for part in clips(
        size[0], size[1], size[2], size[4]))
    features = ours.backbone(x)
    torch.testing.assert_close(features, twin.extract(for_twin))
    base, width = size[5], size[3] or size[2]
    assert features.shape == (2, size[1], 4 * base, size[2] // 16, width // 16)
    outputs = logits(ours, x), twin(for_twin)
    torch.testing.assert_close(*outputs)
    weights = torch.randn(2, 10, dtype=torch.double)
    for output in outputs:
        (output * weights).sum().backward()
    seen = {name: p.grad for name, p in ours.named_parameters()}
    expected = converted('HCN', {name: p.grad for name, p in
                                 twin.named_parameters()})
    assert all(gradient.abs().max() > 0 for gradient in expected.values())
    torch.testing.assert_close(seen, expected)


def test_dropout_equals_the_twin():
    # for one person, both models draw masks in the same order
    ours, twin = pair('nw-ucla', 1, 32, None, 3, 16)
    x, for_twin = clips('nw-ucla', 1, 32, 3)
    outputs = []
    for model, run in ((ours, lambda: logits(ours, x)),
                       (twin, lambda: twin(for_twin))):
        model.train()
        torch.manual_seed(3)
        outputs.append(run())
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=0)
    ours.eval()
    assert not torch.allclose(logits(ours, x), outputs[0])


@torch.no_grad()
def test_any_number_of_persons():
    model = build().eval()
    x = torch.randn(2, 5, 32, 20, 3)
    features = model.backbone(x)
    assert features.shape == (2, 5, 32, 2, 2)
    for person in range(5):
        alone = model.backbone(x[:, person:person + 1])
        torch.testing.assert_close(features[:, person:person + 1], alone)
    torch.testing.assert_close(logits(model, x),
                               logits(model, x[:, [3, 1, 4, 0, 2]]))
    one = x[:, :1]
    torch.testing.assert_close(logits(model, one),
                               logits(model, one.repeat(1, 2, 1, 1, 1)))


def test_initialization():
    model = build(head={**TINY_HEAD, 'hidden_channels': 512})
    model.init_weights()
    stream = model.backbone.joint_stream
    # Xavier weights are uniform up to sqrt(6 / (fan in + fan out))
    for layer, fans in ((stream.conv2, 3 * (8 + 32)),
                        (stream.conv3, 9 * (20 + 4)),
                        (model.backbone.conv6, 9 * (16 + 32)),
                        (model.cls_head.fc7, 32 * 4 + 512)):
        bound = (6 / fans)**0.5
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=.02)
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5,
                                                          rel=.1)
    for name, parameter in model.named_parameters():
        assert not name.endswith('bias') or not parameter.any(), name


@pytest.mark.parametrize('field, value, expected', [
    ('num_frames', 52, 'num_frames is 52.*multiple of 16.*pool'),
    ('num_frames', 0, 'num_frames is 0.*multiple of 16'),
    ('cooccurrence_channels', 40,
     'cooccurrence_channels is 40.*multiple of 16.*pool'),
    ('base_channels', 15, 'base_channels is 15.*multiple of 2.*half'),
    ('layout', 'ntu', '"ntu" is unknown')])
def test_invalid_sizes_raise(field, value, expected):
    with pytest.raises(ValueError, match=expected):
        MODELS.build({**TINY, field: value})


def test_different_clip_length_raises():
    with pytest.raises(ValueError, match=(
            'frames is 52.*is built for 32.*clip_len=32.*'
            'model.backbone.num_frames.*model.cls_head.feature_size')):
        build().backbone(torch.randn(1, 1, 52, 20, 3))


@pytest.mark.parametrize('shape', [(16, 2, 2), (32, 4, 2), (32, 2, 4)])
def test_different_feature_map_raises(shape):
    head = MODELS.build(TINY_HEAD)
    with pytest.raises(ValueError, match=(
            rf'{shape[0]} channels of size \({shape[1]}, {shape[2]}\), but '
            r'in_channels is 32 and feature_size is \(2, 2\).*'
            rf'feature_size=\({shape[1]}, {shape[2]}\)')):
        head(torch.randn(1, 1, *shape))
