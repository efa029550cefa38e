"""Encoders equal their twins and reproduce the authors' outputs."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from projects.stdcl.catalogue import ENCODERS, find_config
from projects.stdcl.deployment import authors_checkpoint
from projects.stdcl.models import (
    CTRGCN,
    HCN,
    BlockGCN,
    HCNHead,
    Hyperformer,
    ProjectionDecoupler,
)
from projects.stdcl.models.backbones.batch_norm import BatchNorm2d
from projects.stdcl.models.backbones.ctrgcn import spatial_partition
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from tests.twins.ctrgcn import adjacency_of
from tests.twins.encoders import KEYS, Size, converted, for_twin, ours, twin

NAMES = ['CTR-GCN', 'Hyperformer', 'HCN']
GOLDEN = {'CTR-GCN': 'ctrgcn_ntu', 'Hyperformer': 'hyperformer_stdcl_ntu',
          'HCN': 'hcn_ntu'}
HAND = dict(name='hand', joint_names=['wrist', 'thumb', 'index', 'index tip'],
            edges=[(1, 0), (2, 0), (3, 2)], center=0, parts=[0, 1, 2, 2])
# layouts of 4 to 25 joints, one to three persons, several lengths and widths
SIZES = [Size(base_channels=48, frames=32),
         Size('nw-ucla', persons=1, frames=48, classes=10, base_channels=48),
         Size('coco', persons=3, frames=16, base_channels=72),
         Size('openpose', persons=1, frames=16, channels=2, base_channels=48),
         Size(HAND, persons=1, frames=13, channels=2, base_channels=48)]
TINY_HCN = dict(type='HCN', layout='nw-ucla', base_channels=8, num_frames=32)
TINY_HEAD = dict(type='HCNHead', num_classes=4, in_channels=32,
                 feature_size=(2, 2), hidden_channels=16)


def disturb(module: torch.nn.Module) -> None:
    """Disturb the weights, so that terms whose weights start at 0 count."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() < 2:
                parameter.add_(torch.randn_like(parameter) / 4)
            elif name.endswith(('PA', 'outer', 'rpe', 'w1')):
                parameter.add_(torch.randn_like(parameter) / 8)
            if name.endswith(('bn.weight', 'alpha')):
                parameter.copy_(torch.rand_like(parameter) / 2 + 0.25)


def assert_same(value, expected, what='') -> None:
    """Compare up to float64 rounding errors, which deep networks amplify."""
    scale = expected.abs().max()
    assert (value - expected).abs().max() <= 1e-7 * scale, what
    assert scale > 0, what


def drop_nothing(module: torch.nn.Module) -> None:
    """Disable dropout, because two models would draw different masks."""
    for part in module.modules():
        if isinstance(part, (torch.nn.Dropout, torch.nn.Dropout2d)):
            part.p = 0


def pair(name: str, size: Size) -> tuple:
    """Build our model and the twin with the same disturbed weights."""
    reference = twin(name, size).double()
    disturb(reference)
    norms = [part for part in reference.modules()
             if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1  # keep the statistics of the next batch
    reference(for_twin(size.clips(2, dtype=torch.float64)))
    for norm in norms:
        norm.momentum = 0.1
    model = ours(name, size).double()
    model.load_state_dict(converted(name, reference.state_dict()))
    drop_nothing(model)
    drop_nothing(reference)
    return model, reference


@pytest.mark.parametrize('name, size, expected', [
    ('CTR-GCN', Size(base_channels=64), 1446672),
    ('CTR-GCN', Size('nw-ucla', 1, classes=10, base_channels=64), 1426892),
    ('Hyperformer', Size(base_channels=216), 2729194),
    ('HCN', Size(base_channels=64), 2647868)])
def test_number_of_parameters_at_the_published_width(name, size, expected):
    for model in (ours(name, size), twin(name, size)):
        assert sum(p.numel() for p in model.parameters()) == expected


@pytest.mark.parametrize('size', SIZES,
                         ids=lambda size: f'{size.persons}-{size.frames}')
@pytest.mark.parametrize('name', NAMES)
def test_equals_twin(name, size):
    if name == 'HCN' and size.frames % 16:
        size = size._replace(frames=16)
    model, reference = pair(name, size)
    model.eval(), reference.eval()
    clips = size.clips(2, dtype=torch.float64)
    features = model.backbone(clips)
    theirs = reference.extract(for_twin(clips))
    assert_same(features, theirs.view(features.shape))
    logits, theirs = model(clips), reference(for_twin(clips))
    assert_same(logits, theirs)

    direction = torch.randn_like(logits)
    logits.backward(direction)
    theirs.backward(direction)
    gradients = converted(name, {
        **reference.state_dict(),  # buffers have no gradient
        **{key: value.grad for key, value in reference.named_parameters()}})
    for key, parameter in model.named_parameters():
        assert_same(parameter.grad, gradients[key], key)


@pytest.mark.parametrize('shape', [(64, 8, 64, 25), (2, 3, 13, 1)])
def test_batch_norm_of_channels_last_maps(shape):
    norm = BatchNorm2d(shape[1])
    exact = torch.nn.BatchNorm2d(shape[1]).double()
    x = (torch.randn(shape) + 3).to(memory_format=torch.channels_last)
    grad, results = torch.randn(shape), []
    for net in (exact, norm):
        clip = x.to(net.weight.dtype).requires_grad_()
        y = net(clip)
        y.backward(grad.to(y.dtype))
        results.append([y, clip.grad, net.weight.grad, net.bias.grad,
                        *net.buffers()])
    for found, expected in zip(*results[::-1]):
        error = (found - expected).abs().max() / expected.abs().max()
        assert error < 2e-6  # about 1e-5 with torch.nn.BatchNorm2d


@pytest.mark.parametrize('name', NAMES)
def test_equals_twin_in_training(name):
    """Outputs and the updated statistics of batch norm are equal."""
    size = SIZES[1]
    model, reference = pair(name, size)
    clips = size.clips(4, dtype=torch.float64)
    assert_same(model(clips), reference(for_twin(clips)))
    kept = converted(name, reference.state_dict())
    for key, value in model.state_dict().items():
        assert_same(value, kept[key], key)


@pytest.mark.parametrize('name', NAMES)
def test_golden(name, reference, warm, tmp_path):
    """With converted weights, outputs equal those of the authors' code."""
    golden = np.load(reference / 'golden' / f'{GOLDEN[name]}.npz')
    source = {key.removeprefix('param/'): torch.from_numpy(golden[key])
              for key in golden.files if key.startswith('param/')}
    torch.save(source, tmp_path / 'authors.pt')
    warm('tools/model_converters/authors_checkpoint.py', KEYS[name],
         'authors.pt', 'ours.pth', cwd=tmp_path)
    model = ours(name, Size()).eval()
    if name == 'Hyperformer':
        model.cls_head.decoupler = ProjectionDecoupler(
            216, 25, 16, out_channels=256, reduction=8)
        assert np.array_equal(SkeletonLayout.get('nturgb+d').hops,
                              golden['hops'])
        assert np.array_equal(SkeletonLayout.get('nturgb+d').parts,
                              golden['joint_label'])
    if name == 'CTR-GCN':
        np.testing.assert_allclose(
            spatial_partition(SkeletonLayout.get('nturgb+d')), golden['A'])
    model.load_state_dict(torch.load(tmp_path / 'ours.pth')['state_dict'])

    clips = torch.from_numpy(golden['input']).permute(0, 4, 2, 3, 1)
    with torch.no_grad():
        features = model.backbone(clips)
        output = dict(logits=model.cls_head(features), feature=features.view(
            golden['feature'].shape))
        if name == 'Hyperformer':
            output['x_s'], output['x_t'] = model.cls_head.decoupler(features)
    for key, value in output.items():
        np.testing.assert_allclose(value, golden[key], rtol=0, atol=1e-4)


def test_converters_are_encoders_of_the_catalogue():
    assert set(authors_checkpoint.TABLES) <= set(ENCODERS)
    with pytest.raises(InputError, match="encoder is 'stgcn', expected"):
        authors_checkpoint.convert('stgcn', {})


@pytest.mark.parametrize('name', NAMES)
def test_every_tensor_is_required(name):
    source = twin(name, SIZES[1]).state_dict()
    for lost in source:
        rest = {key: value for key, value in source.items() if key != lost}
        if lost.endswith('num_batches_tracked'):  # counters are optional
            converted(name, rest)
            continue
        with pytest.raises(InputError, match=f'Missing tensors: {lost}'):
            converted(name, rest)
    if name != 'HCN':  # remove a whole block or layer
        for start in 'l10.', 'l5.residual.', 'l1.':
            with pytest.raises(InputError, match=f'Missing tensors: {start}'):
                converted(name, {key: value for key, value in source.items()
                                 if not key.startswith(start)})
    source['l1.surplus'] = source['extra.weight'] = source.pop(lost)
    with pytest.raises(InputError, match='Unexpected tensors: extra.weight, '
                       f'l1.surplus. Missing tensors: {lost}'):
        converted(name, source)


def test_converter_unwraps_checkpoints(tmp_path):
    size = SIZES[1]
    source = twin('CTR-GCN', size).state_dict()
    torch.save(dict(state_dict={f'module.{key}': value
                                for key, value in source.items()}),
               tmp_path / 'authors.pt')
    authors_checkpoint.convert_file(
        'ctrgcn', tmp_path / 'authors.pt', tmp_path / 'ours.pth')
    ours('CTR-GCN', size).load_state_dict(
        torch.load(tmp_path / 'ours.pth')['state_dict'])


def test_converted_decoupler():
    table = authors_checkpoint._decoupler({'std.conv1.weight': None})
    assert [table[f'cls_head.decoupler.{name}.weight'][0] for name in (
        'spatial.reduce', 'spatial.project', 'temporal.reduce',
        'temporal.project')] == [[f'std.{name}.weight'] for name in (
            'conv1', 'convs', 'conv2', 'convt')]


@pytest.mark.parametrize('layout', ['nturgb+d', 'nw-ucla', 'coco',
                                    'openpose', HAND])
def test_adjacency(layout):
    layout = SkeletonLayout.get(layout)
    torch.testing.assert_close(spatial_partition(layout),
                               adjacency_of(layout.num_joints, layout.bones))


@pytest.mark.parametrize('make, error', [
    (lambda: CTRGCN('nw-ucla', base_channels=54), 'multiple of 4.*branches'),
    (lambda: BlockGCN('nw-ucla', base_channels=20), 'of 8, which is num_h'),
    (lambda: BlockGCN('nw-ucla', base_channels=8)(
        torch.zeros(1, 2, 4, 20, 3)), 'append_joints=True'),
    (lambda: Hyperformer('nw-ucla', base_channels=220), 'is num_heads'),
    (lambda: Hyperformer('nw-ucla', base_channels=60, num_heads=3,
                         proj_groups=7), '7, which is proj_groups'),
    (lambda: CTRGCN('nw-ucla', num_person=0), 'num_person is 0'),
    (lambda: CTRGCN('nw-ucla', base_channels=8, num_person=1)(
        torch.zeros(2, 2, 16, 25, 3)),
     'joints is 25, but CTRGCN is built for 20.*backbone.layout'),
    (lambda: CTRGCN('nw-ucla', down_stages=(0, 5)),
     r'down_stages is \(0, 5\)'),
    (lambda: HCN('nw-ucla', num_frames=52), 'frames is 52.* of 16.*pool'),
    (lambda: HCN('nw-ucla', base_channels=15), 'is 15.*multiple of 2.*half'),
    (lambda: HCN('nw-ucla', base_channels=2)(torch.zeros(1, 1, 64, 25, 3)),
     'joints is 25, but HCN is built for 20'),
    (lambda: HCNHead(4, feature_size=(4, 4.5)),
     r'feature_size is \(4, 4.5\), expected positive integers'),
    (lambda: HCNHead(4, hidden_channels=0), 'hidden_channels is 0')])
def test_invalid_sizes_raise(make, error):
    with pytest.raises(ValueError, match=error):
        make()


def test_parts_of_the_layout():
    """Renumbering the parts does not change the model."""
    kwargs = dict(base_channels=24, num_heads=1, num_stages=1, num_person=1)
    one, other = (
        Hyperformer(replace(SkeletonLayout.get('nw-ucla'), parts=parts),
                    **kwargs)
        for parts in ([0] * 4 + [1] * 8 + [2] * 8,
                      [7] * 4 + [3] * 8 + [5] * 8))
    disturb(one)
    with torch.no_grad():
        one.blocks[0].spatial.hyperedge_bias.normal_()
    other.load_state_dict(one.state_dict())
    clips = torch.randn(2, 1, 8, 20, 3)
    torch.testing.assert_close(one(clips), other(clips))


@pytest.mark.parametrize('name', ['CTR-GCN', 'Hyperformer'])
def test_initialization_equals_the_twin(name):
    """Mean, standard deviation and maximum are close to those of the twin."""
    model = MODELS.build(Config.fromfile(
        find_config(KEYS[name], 'nw-ucla-xview', stdcl=False)).model)
    model.init_weights()
    size = Size('nw-ucla', persons=1, classes=10)
    expected = converted(name, twin(name, size).state_dict())
    for key, weight in model.named_parameters():
        theirs = expected[key]
        spread, noise = theirs.std(correction=0), 7 / theirs.numel()**0.5
        if spread < 1e-6:
            torch.testing.assert_close(weight, theirs)
            continue
        assert abs(weight.mean() - theirs.mean()) < noise * spread, key
        assert abs(weight.std() / spread - 1) < noise, key
        if theirs.numel() > 500:  # distinguishes uniform from normal weights
            largest = weight.abs().max() / theirs.abs().max()
            assert 0.7 < largest < 1.4, key


@pytest.mark.parametrize('name', NAMES)
def test_gradients_under_autocast(name):
    """Gradients in bfloat16 and in float32 have a similar direction."""
    size = Size(HAND, persons=1, frames=16, classes=4, base_channels=48)
    model = ours(name, size)
    drop_nothing(model)
    clips, labels = 10 * size.clips(8), torch.arange(8) % 4
    gradients = []
    for enabled in (False, True):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            logits = model(clips)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        gradients.append(torch.cat([part.flatten() for part in (
            torch.autograd.grad(loss, list(model.parameters())))]))
    assert logits.dtype == torch.bfloat16
    assert torch.cosine_similarity(*gradients, dim=0) > 0.8


def test_root_listed_as_a_bone_changes_nothing():
    bones = [(1, 0), (2, 0), (3, 2)]
    plain = SkeletonLayout.get(HAND)
    rooted = SkeletonLayout.get({**HAND, 'bones': [(0, 0), *bones]})
    assert torch.equal(spatial_partition(plain), spatial_partition(rooted))


def test_dropout_of_hcn_equals_the_twin():
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


def test_initialization_of_hcn():
    model = MODELS.build(dict(
        type='RecognizerGCN', backbone=TINY_HCN,
        cls_head={**TINY_HEAD, 'hidden_channels': 512}))
    model.init_weights()
    assert model.cls_head.average_clips == 'prob'  # as in MMAction2's heads
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
