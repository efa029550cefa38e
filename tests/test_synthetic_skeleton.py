"""Tests of the synthetic data set."""
import pickle

import numpy as np
import pytest
import torch

from projects.stdcl.datasets import synthetic_skeleton as synthetic
from projects.stdcl.utils.skeleton_layout import LAYOUTS, SkeletonLayout

NUM_CLASSES = synthetic.NUM_LIMBS * len(synthetic.PROGRAMS)

# a root with five chains of three joints, whose names are arbitrary
SPIDER = dict(
    name='spider', center=0,
    joint_names=['root'] + [f'{part} {leg}' for leg in range(5)
                            for part in ('coxa', 'femur', 'tibia')],
    edges=[(3 * leg + part + 1, 3 * leg + part if part else 0)
           for leg in range(5) for part in range(3)])
# a two-dimensional body with two arms, two legs and a short tail
FIGURE = dict(
    name='figure', center=0, dims=2,
    joint_names=['base of spine', 'neck', 'left elbow', 'left hand',
                 'right elbow', 'right hand', 'left knee', 'left foot',
                 'right knee', 'right foot', 'tail', 'end of tail'],
    edges=[(1, 0), (2, 1), (3, 2), (4, 1), (5, 4), (6, 0), (7, 6), (8, 0),
           (9, 8), (10, 0), (11, 10)])
every_layout = pytest.mark.parametrize(
    'layout', [*LAYOUTS.values(), *(
        SkeletonLayout(**layout) for layout in (SPIDER, FIGURE))],
    ids=lambda layout: layout.name)


def make(layout='nw-ucla', num_sequences=32, **kwargs):
    return synthetic.SyntheticSkeletonDataset([], layout=layout,
                                    num_sequences=num_sequences, **kwargs)


def sequences(dataset):
    """Return keypoints (T, V, C) and labels (N,) of all sequences."""
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return ([info['keypoint'][0] for info in infos],
            torch.tensor([info['label'] for info in infos]))


@every_layout
def test_sequences_have_the_format_of_pose_dataset(layout):
    dataset = make(layout)
    assert len(dataset) == 32
    names = set()
    for index in range(32):
        info = dataset[index]
        names.add(info['frame_dir'])
        frames, keypoint = info['total_frames'], info['keypoint']
        assert 40 <= frames <= 90
        assert keypoint.shape == (1, frames, layout.num_joints, layout.dims)
        assert keypoint.dtype == np.float32 and np.isfinite(keypoint).all()
        assert info['label'] == index % NUM_CLASSES
        assert info['sample_idx'] == index
        assert info['modality'] == 'Pose' and info['start_index'] == 0
        if layout.dims == 2:
            scores = info['keypoint_score']
            assert scores.shape == keypoint.shape[:-1]
            assert scores.dtype == np.float32
            assert scores.min() > 0 and scores.max() <= 1
            assert info['img_shape'] == (1080, 1920)
    assert len(names) == 32 and f'{dataset.layout.name}_0_train_00012' in names


@every_layout
def test_bones_keep_their_length(layout):
    """Without noise, each bone has the same length in all frames."""
    dataset = make(layout, 1)
    pose, parents = synthetic.rest_pose(dataset.layout), dataset.layout.parents
    angles = np.random.default_rng(0).normal(size=(2, 4, 50))
    joints = dataset.body.move(angles, np.ones(5))
    for joint, parent in parents.items():
        if parent < 0:
            assert np.allclose(joints[:, joint], pose[joint])
            continue
        at_rest = np.linalg.norm(pose[joint] - pose[parent])
        assert at_rest > 0.01
        lengths = np.linalg.norm(joints[:, joint] - joints[:, parent], axis=1)
        assert np.allclose(lengths, at_rest)
    still = dataset.body.move(np.zeros_like(angles), np.ones(5))
    assert np.allclose(still, pose)


@pytest.mark.parametrize('layout, tops', [
    ('nturgb+d', 'left shoulder, right shoulder, left hip, right hip'),
    ('nw-ucla', 'left shoulder, right shoulder, left hip, right hip'),
    ('coco', 'left elbow, right elbow, left hip, right hip'),
    ('openpose', 'right elbow, left elbow, right hip, left hip')])
def test_limbs_are_the_arms_and_legs(layout, tops):
    skeleton = SkeletonLayout.get(layout)
    limbs = synthetic.find_limbs(skeleton)
    names = [skeleton.joint_names[limb[0]] for limb in limbs]
    assert ', '.join(names) == tops
    joints = [joint for limb in limbs for joint in limb]
    assert len(joints) == len(set(joints))
    if layout == 'nturgb+d':  # the hand has a tip and a thumb
        assert limbs[0] == (4, 5, 6, 7, 21, 22)


def test_deterministic_by_seed_split_and_index():
    keypoints, _ = sequences(make(num_sequences=20))
    again, _ = sequences(make(num_sequences=40))
    assert all(map(np.array_equal, keypoints, again))
    for other in (make(num_sequences=20, seed=1),
                  make(num_sequences=20, split='test')):
        assert not any(map(np.array_equal, keypoints, sequences(other)[0]))
    # sequences of the same class differ
    assert not np.array_equal(keypoints[0], keypoints[NUM_CLASSES])


def test_classes_are_balanced_and_named():
    dataset = make(num_sequences=160)
    classes = dataset.metainfo['classes']
    assert len(set(classes)) == NUM_CLASSES
    assert classes[6] == 'right shoulder: slow swing'
    other = make(num_sequences=1, split='test', seed=3)
    assert pickle.dumps(dataset.metainfo) == pickle.dumps(other.metainfo)


@pytest.mark.parametrize('arguments, message', [
    (dict(split='val'), "split is 'val', expected one of train, test"),
    (dict(layout='nwucla'), '"nwucla" is unknown'),
    (dict(layout=dict(
        name='worm', joint_names='abcdef', center=2,
        edges=[(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)])),
     r'"worm": limbs .* at: b, d .2 in.*expected 4')])
def test_invalid_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
