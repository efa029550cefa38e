"""HCN and its classifier. test_encoders.py tests all encoders."""
import pytest
import torch
from mmaction.registry import MODELS

from tests.twins.encoders import converted, for_twin
from tests.twins.hcn import HCNTwin

TINY = dict(type='HCN', layout='nw-ucla', base_channels=8, num_frames=32)
TINY_HEAD = dict(type='HCNHead', num_classes=4, in_channels=32,
                 feature_size=(2, 2), hidden_channels=16)


def pair(persons, width):
    """Build our model and the twin with the same weights, in eval mode."""
    twin = HCNTwin(num_classes=10, num_person=persons, num_joint=20,
                   base_channels=16, window_size=32, out_channels=width)
    ours = build(dict(TINY, base_channels=16, cooccurrence_channels=width),
                 dict(type='HCNHead', num_classes=10, in_channels=64,
                      feature_size=[2, width // 16]))
    ours.load_state_dict(converted('HCN', twin.state_dict()), strict=True)
    return ours.eval(), twin.eval()


def build(backbone=TINY, head=TINY_HEAD, **kwargs):
    return MODELS.build(dict(type='RecognizerGCN', backbone=backbone,
                             cls_head=head, **kwargs))


def logits(model, x):
    return model(x[:, None], stage='head')  # one clip per sequence


def test_more_channels_than_frames_in_the_temporal_layer():
    # in double precision, rounding does not change which entry is the maximum
    ours, twin = (model.double() for model in pair(2, 48))
    x = torch.randn(2, 2, 32, 20, 3, dtype=torch.double)
    features = ours.backbone(x)
    assert features.shape == (2, 2, 64, 2, 3)
    torch.testing.assert_close(features, twin.extract(for_twin(x)))
    outputs = logits(ours, x), twin(for_twin(x))
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    seen = {name: p.grad for name, p in ours.named_parameters()}
    torch.testing.assert_close(seen, converted('HCN', {
        name: p.grad for name, p in twin.named_parameters()}))


def test_dropout_equals_the_twin():
    # for one person, both models draw masks in the same order
    ours, twin = pair(1, 32)
    x, outputs = torch.randn(2, 1, 32, 20, 3), []
    for model, run in ((ours, lambda: logits(ours, x)),
                       (twin, lambda: twin(for_twin(x)))):
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
