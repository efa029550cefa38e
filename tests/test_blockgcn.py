"""BlockGCN equals its slow twins and treats sequences independently."""
import numpy as np
import pytest
import torch
from mmaction.models.heads import GCNHead

from projects.stdcl.deployment.authors_checkpoint import _group, convert
from projects.stdcl.models import BlockGCN, SkeletonDataPreprocessor
from projects.stdcl.models.backbones import blockgcn
from projects.stdcl.utils.skeleton_layout import LAYOUTS
from tests.twins.blockgcn import block_gc, topology_features, tree_lengths


@pytest.mark.parametrize('points', [
    *(torch.randn(8, number, 5, dtype=torch.float64)
      for number in (1, 2, 3, 20, 33)),
    # repeated squaring needs the most steps if the points form a line
    torch.rand(41, dtype=torch.float64).cumsum(0)[torch.randperm(41)].view(
        1, -1, 1)])
def test_spanning_tree_against_scipy(points):
    lengths = blockgcn.spanning_tree_lengths(points).sort(dim=1).values
    for ours, own in zip(lengths, points):
        np.testing.assert_allclose(ours, np.sort(tree_lengths(own)),
                                   rtol=1e-12)


def test_topology_features_against_twin():
    module = blockgcn.TopologyFeatures(6)
    joints = torch.randn(4, 2, 7, 10, 3)
    torch.testing.assert_close(module(joints), topology_features(
        joints, module.centers, module.sharpness))


def test_topology_in_float32_under_autocast():
    module, joints = blockgcn.TopologyFeatures(), torch.randn(2, 1, 5, 20, 3)
    expected = module(joints)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = module(joints)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize('out_channels', [16, 32])
def test_block_gc_against_twin(out_channels):
    hops = torch.tensor(LAYOUTS['coco'].hops)
    module = blockgcn.BlockGC(16, out_channels, 4, hops).double().eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(3, 16, 5, 17, dtype=torch.float64)
    y = block_gc(x, module.weight, module.hop_weight, hops, module.conv,
                 module.bias)
    expected = (module.bn(y) + module.shortcut(x)).relu()
    torch.testing.assert_close(module(x), expected)


def test_converted_kernels():
    """The authors' code has a grouped convolution for each subset."""
    kernels = [torch.randn(8, 3, 1, 1) for _ in range(3)]
    conv = _group(torch.zeros(3, 2, 4, 4), *kernels)
    x = torch.randn(1, 6, 1, 1)
    for k, kernel in enumerate(kernels):
        torch.testing.assert_close(
            (x.view(2, 1, 3) @ conv[:, k]).flatten(),
            torch.conv2d(x, kernel, groups=2).flatten())


def test_golden(reference):
    """With the authors' weights, outputs equal those of the authors' code."""
    golden = np.load(reference / 'golden' / 'blockgcn_ntu.npz')
    source = {key.removeprefix('param/'): torch.from_numpy(golden[key])
              for key in golden.files if key.startswith('param/')}
    model = torch.nn.ModuleDict(dict(
        backbone=BlockGCN('nturgb+d'), cls_head=GCNHead(60, 256))).eval()
    model.load_state_dict(convert('blockgcn', source))
    assert np.array_equal(model.backbone.layout.hops, golden['hops'])
    joints = torch.from_numpy(golden['joints']).permute(0, 4, 2, 3, 1)
    clips = SkeletonDataPreprocessor(
        'nturgb+d', center_relative=True,
        append_joints=True).make_stream(joints)
    with torch.no_grad():
        topology = model.backbone.topology(joints)
        features = model.backbone(clips)
        logits = model.cls_head(features)
    for value, key, atol in ((topology, 'topology', 1e-5),
                             (features.flatten(0, 1), 'feature', 1e-4),
                             (logits, 'logits', 2e-4)):
        np.testing.assert_allclose(value, golden[key], rtol=0, atol=atol)


def model_and_clips(layout='nw-ucla', persons=2, channels=3, stream='joint'):
    preprocessor = SkeletonDataPreprocessor(layout, stream, append_joints=True)
    encoder = BlockGCN(layout, base_channels=16, num_heads=2,
                       num_person=persons, in_channels=channels,
                       num_stages=5)
    encoder.init_weights()
    for bn in encoder.modules():  # as if it were trained
        if isinstance(bn, torch.nn.modules.batchnorm._BatchNorm):
            bn.running_mean.normal_(std=0.1)
            bn.running_var.uniform_(0.5, 2)
    joints = torch.randn(3, persons, 12, preprocessor.layout.num_joints,
                         channels)
    return preprocessor, encoder.eval(), joints


@pytest.mark.parametrize('layout, channels, stream, persons', [
    ('nturgb+d', 3, 'bone', 3), ('coco', 2, 'joint-motion', 1),
    ('coco', 3, 'bone', 1), ('openpose', 3, 'joint-motion', 3)])
def test_sequences_are_independent(layout, channels, stream, persons):
    preprocessor, encoder, joints = model_and_clips(
        layout, persons, channels, stream)
    joints[1] *= 10
    joints[2] = 0  # an empty sequence
    with torch.no_grad():
        together = encoder(preprocessor.make_stream(joints))
        for index in range(len(joints)):
            alone = encoder(preprocessor.make_stream(
                joints[index:index + 1]))[0]
            scale = alone.abs().max()
            torch.testing.assert_close(together[index] / scale, alone / scale,
                                       rtol=0, atol=1e-5)


def test_streams_share_the_topology_of_the_joints():
    joints = torch.randn(2, 1, 8, 17, 3)  # x, y and confidence
    for stream in ('joint', 'bone-motion'):
        clips = SkeletonDataPreprocessor(
            'coco', stream, append_joints=True).make_stream(joints)
        assert torch.equal(clips[..., 3:], joints[..., :2])
    _, encoder, joints = model_and_clips()
    seen = []
    encoder.topology.register_forward_hook(lambda *args: seen.append(args[2]))
    for stream in joints, 0 * joints:
        encoder(torch.cat([stream, joints], dim=-1))
    assert torch.equal(*seen)


def test_initialization():
    published = BlockGCN('nturgb+d', base_channels=128)
    assert sum(map(torch.numel, published.parameters())) == 1357360
    module = blockgcn.BlockGC(64, 128, 8, torch.tensor(LAYOUTS['coco'].hops))
    module.init_weights()
    assert module.conv.std().item() == pytest.approx(0.125, rel=0.05)
    assert torch.equal(module.weight[2, 7], torch.eye(17))


def test_trains_on_a_single_sequence():
    """With one sequence, batch norm uses its running statistics."""
    preprocessor, encoder, joints = model_and_clips()
    clips = preprocessor.make_stream(joints[:1])
    projection = encoder.topology_projections[0]
    topology = encoder.topology(clips[..., 3:])
    expected = projection(topology)
    encoder.train()
    assert torch.equal(projection(topology), expected)
    encoder(clips).sum().backward()
    assert encoder.topology.centers.grad.isfinite().all()
