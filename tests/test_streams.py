"""The streams equal those of MMAction2 and of the published code."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import GenSkeFeat

from projects.stdcl.apis.train import add_stream, load_run_config
from projects.stdcl.catalogue import STREAMS
from projects.stdcl.models import SkeletonDataPreprocessor
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import LAYOUTS


@pytest.mark.parametrize('stream', STREAMS)
@pytest.mark.parametrize('layout, channels', [
    ('nturgb+d', 3), ('coco', 2), ('coco', 3), ('openpose', 3)])
def test_equals_mmaction2(layout, channels, stream):
    joints = LAYOUTS[layout].num_joints
    clips = torch.randn(2, 7, joints, channels)  # (M, T, V, C)
    if layout != 'nturgb+d' and channels == 3:
        clips[..., 2].abs_()  # all joints were detected
    else:
        clips[1, 3:] = 0  # a person leaves
    ours = SkeletonDataPreprocessor(layout, stream).make_stream(clips)
    name = ''.join(word[0] for word in stream.split('-'))  # such as "bm"
    theirs = GenSkeFeat(dataset=layout, feats=[name]).transform(
        dict(keypoint=clips.numpy()))['keypoint']
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def obvious(joints, stream, center_relative, layout):
    """Apply the published preprocessing of NW-UCLA, joint by joint."""
    frames, center = len(joints), layout.center
    x = joints.clone()
    if stream.startswith('bone'):
        x = torch.zeros_like(joints)
        for child, parent in layout.bones:
            x[:, child] = joints[:, child] - joints[:, parent]
        if center_relative:
            x[:, center] = joints[:, center]
    elif center_relative:
        for t in range(frames):
            trajectory = joints[t, center].clone()
            x[t] = joints[t] - trajectory
            x[t, center] = trajectory
    if stream.endswith('motion'):
        moved = torch.zeros_like(x)
        for t in range(frames - 1):
            moved[t] = x[t + 1] - x[t]
        x = moved
    return x


@pytest.mark.parametrize('stream', STREAMS)
@pytest.mark.parametrize('center_relative', [False, True])
def test_equals_the_published_preprocessing(stream, center_relative):
    ucla = LAYOUTS['nw-ucla']
    layout = replace(ucla, bones=[(2, 2), *ucla.bones])  # marks a root
    preprocessor = SkeletonDataPreprocessor(layout, stream, center_relative)
    joints = torch.randn(9, 20, 3)
    data = preprocessor(dict(inputs=[joints[None, None]] * 2,
                             data_samples=None))
    assert data['inputs'].shape == (2, 1, 1, 9, 20, 3)
    torch.testing.assert_close(
        data['inputs'][1, 0, 0],
        obvious(joints, stream, center_relative, layout))


@pytest.mark.parametrize('layout, dims', [('coco', 2), ('nw-ucla', 3)])
@pytest.mark.parametrize('center_relative', [False, True])
@pytest.mark.parametrize('stream', STREAMS)
def test_bones_and_motions_of_lost_joints_are_zero(layout, dims,
                                                   center_relative, stream):
    """The confidence of a lost joint is 0, and so are its coordinates."""
    preprocessor = SkeletonDataPreprocessor(layout, stream, center_relative)
    joints = torch.rand(1, 7, LAYOUTS[layout].num_joints, dims + 1) + 1
    full = preprocessor.make_stream(joints)
    joints[0, 3, 9] = 0
    seen = preprocessor.make_stream(joints)
    lost = torch.zeros(7, LAYOUTS[layout].num_joints, dtype=bool)
    frames = [2, 3] if stream.endswith('motion') else [3]
    lost[frames, 9] = True
    if stream.startswith('bone'):
        for child, parent in LAYOUTS[layout].bones:
            lost[frames, child] |= parent == 9
    assert not seen[0, lost].any()
    torch.testing.assert_close(seen[0, ~lost], full[0, ~lost])


def test_a_lost_center():
    """Joints are relative to the center in the nearest frame that shows it."""
    preprocessor = SkeletonDataPreprocessor('coco', center_relative=True)
    center, joints = preprocessor.layout.center, torch.rand(2, 7, 17, 3) + 1
    joints[0, [0, 3, 4], center] = 0
    made = preprocessor.make_stream(joints)  # does not change the joints
    nearest = joints[:, :, [center], :2].clone()
    nearest[0, [0, 3, 4]] = nearest[0, [1, 2, 5]]
    expected = joints[..., :2] - nearest
    expected[:, :, center] = joints[:, :, center, :2]
    torch.testing.assert_close(made[..., :2], expected)


def test_the_root_of_the_bones_keeps_its_position():
    """In the OpenPose layout, the root is not the center (the neck)."""
    joints = torch.randn(1, 4, 18, 2)
    bones = SkeletonDataPreprocessor('openpose', 'bone',
                                     True).make_stream(joints)
    assert torch.equal(bones[..., 0, :], joints[..., 0, :])
    assert torch.equal(bones[..., 1, :], joints[..., 1, :] - joints[..., 0, :])


def test_unknown_stream_and_wrong_joints_raise():
    with pytest.raises(ValueError, match="stream is 'bones'.*joint-motion"):
        SkeletonDataPreprocessor('nw-ucla', 'bones')
    with pytest.raises(ValueError, match='25 joints.*"nw-ucla" has 20'):
        SkeletonDataPreprocessor('nw-ucla').make_stream(torch.zeros(4, 25, 3))


@pytest.mark.parametrize('work_dir, stream, expected', [
    ('out/stgcn_1xb16-joint-u52_x', 'bone', 'out/stgcn_1xb16-bone-u52_x'),
    ('stgcn_1xb16-joint-u52', 'bone-motion', 'stgcn_1xb16-bone-motion-u52'),
    ('stgcn_1xb16-joint-u52', 'joint', 'stgcn_1xb16-joint-u52'),
    ('stgcn_1xb16-joint-motion-u52', 'bone', 'stgcn_1xb16-bone-u52'),
    ('stgcn_synthetic', 'bone', 'stgcn_synthetic_bone'),
    ('stgcn_synthetic_bone', 'bone', 'stgcn_synthetic_bone'),
    ('stgcn_synthetic', 'joint', 'stgcn_synthetic'),
    ('my_joints', 'bone', 'my_joints_bone'), ('mine', None, 'mine')])
def test_work_directories_carry_the_stream(work_dir, stream, expected):
    assert add_stream(work_dir, stream) == expected


def load(config, **kwargs):
    return load_run_config(config, **{**dict(
        work_dir=None, stream=None, split=None, cfg_options=None,
        launcher='none'),
        **kwargs})


def test_stream_option_is_a_shorthand(root):
    config = root / 'configs/stdcl/stdcl-stgcn_synthetic.py'
    short = load(config, stream='bone')
    option = load(config, cfg_options=['model.data_preprocessor.stream=bone'])
    assert short.model.data_preprocessor.stream == 'bone'
    assert short.to_dict() == option.to_dict()
    assert short.work_dir == 'work_dirs/stdcl-stgcn_synthetic_bone'
    assert load(config, stream='bone', work_dir='mine').work_dir == 'mine'
    assert load(config).work_dir == 'work_dirs/stdcl-stgcn_synthetic'
    with pytest.raises(InputError, match="stream is 'bones', expected one of "
                       'joint, bone, joint-motion, bone-motion'):
        load(config, stream='bones')


def test_stream_option_requires_the_preprocessor(tmp_path):
    path = tmp_path / 'other.py'
    path.write_text("_base_ = 'mmaction::skeleton/stgcn/stgcn_8xb16-joint-"
                    "u100-80e_ntu60-xsub-keypoint-2d.py'")
    with pytest.raises(InputError, match='expected SkeletonDataPreprocessor'):
        load(path, stream='bone')
