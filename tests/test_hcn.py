"""HCN and its classifier. test_encoders.py tests all encoders."""
import pytest
import torch
from mmaction.registry import MODELS

from tests.twins.encoders import Size, converted, for_twin, ours, twin

TINY = dict(type='HCN', layout='nw-ucla', base_channels=8, num_frames=32)
TINY_HEAD = dict(type='HCNHead', num_classes=4, in_channels=32,
                 feature_size=(2, 2), hidden_channels=16)


def test_dropout_equals_the_twin():
    # for one person, both models draw masks in the same order
    size = Size('nw-ucla', persons=1, frames=32, classes=10, base_channels=16)
    model, reference = ours('HCN', size), twin('HCN', size)
    model.load_state_dict(converted('HCN', reference.state_dict()))
    clips, outputs = size.clips(2), []
    for run in (lambda: model(clips), lambda: reference(for_twin(clips))):
        torch.manual_seed(3)
        outputs.append(run())
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=0)
    model.eval()
    assert not torch.allclose(model(clips), outputs[0])


def test_initialization():
    model = MODELS.build(dict(
        type='RecognizerGCN', backbone=TINY,
        cls_head={**TINY_HEAD, 'hidden_channels': 512}))
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


@pytest.mark.parametrize('shape', [(16, 2, 2), (32, 4, 2), (32, 2, 4)])
def test_different_feature_map_raises(shape):
    head = MODELS.build(TINY_HEAD)
    with pytest.raises(ValueError, match=(
            rf'{shape[0]} channels of size \({shape[1]}, {shape[2]}\), but '
            r'in_channels is 32 and feature_size is \(2, 2\).*'
            rf'feature_size=\({shape[1]}, {shape[2]}\)')):
        head(torch.randn(1, 1, *shape))
