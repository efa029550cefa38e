"""Transforms equal those of MMAction2 and of published preprocessing."""
from copy import deepcopy
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.datasets.transforms import PreNormalize3D, UniformSampleFrames
from mmaction.registry import TRANSFORMS

from projects.stdcl import datasets
from projects.stdcl.datasets.transforms.random_rotation import rotation


def sequence(seed, persons=2, joints=25, frames=None):
    """Make a sequence with empty frames, absent persons and missing joints."""
    rng = np.random.default_rng(seed)
    frames = frames or int(rng.integers(20, 130))
    keypoint = rng.normal(size=(persons, frames, joints, 3))
    keypoint[:, rng.random(frames) < 0.1] = 0  # no person
    for person in range(persons):
        begin, end = np.sort(rng.integers(0, frames, 2))
        keypoint[person, begin:end // 2] = 0
    keypoint[0, frames // 2] = rng.normal(size=(joints, 3))
    keypoint[rng.random(keypoint.shape[:3]) < 0.01] = 0  # missing joints
    return dict(frame_dir=f'seq{seed}', label=0, total_frames=frames,
                keypoint=keypoint.astype(np.float32))


def both(ours, stock, results):
    """Apply two transforms to a sequence with the same random draws."""
    made = []
    for transform in (ours, stock):
        np.random.seed(1)
        made.append(transform(deepcopy(results)))
    return made


PRE_NORMALIZE = [
    {}, dict(align_spine=False), dict(align_shoulder=False),
    dict(align_spine=False, align_shoulder=False), dict(zaxis=[2, 5]),
    dict(xaxis=[3, 9])]


@pytest.mark.parametrize('seed', range(2))
@pytest.mark.parametrize('persons', [1, 2])
@pytest.mark.parametrize('joints', [25, 20])
@pytest.mark.parametrize('options', PRE_NORMALIZE, ids=str)
def test_pre_normalize_3d_equals_mmaction2(seed, persons, joints, options):
    ours, stock = both(datasets.FastPreNormalize3D(**options),
                       PreNormalize3D(**options),
                       sequence(seed, persons, joints))
    assert ours['total_frames'] == stock['total_frames']
    np.testing.assert_allclose(ours['keypoint'], stock['keypoint'], rtol=0,
                               atol=1e-6)
    np.testing.assert_array_equal(ours['body_center'], stock['body_center'])


@pytest.mark.parametrize('changes', [
    # the second person becomes the first
    [(np.s_[0, 3:], 0), (np.s_[1, ::2], 1.5)],
    # the spine is already along z, or has no length
    [(np.s_[..., 0, :], 0.5), (np.s_[..., 1, :], [0.5, 0.5, 0.9])],
    [(np.s_[..., :2, :], 0.5)], [(..., 0)]],
    ids=['swap', 'upright', 'coincident', 'nobody'])
def test_pre_normalize_3d_of_special_cases(changes):
    results = sequence(0)
    for place, value in changes:
        results['keypoint'][place] = value
    ours, stock = both(datasets.FastPreNormalize3D(), PreNormalize3D(),
                       results)
    assert ours['total_frames'] > 3
    np.testing.assert_allclose(ours['keypoint'], stock['keypoint'], rtol=0,
                               atol=1e-6)


@pytest.mark.parametrize('persons, channels', [(3, 3), (1, 2)])
def test_pre_normalize_3d_of_other_shapes(persons, channels):
    other = sequence(0, persons=persons)
    other['keypoint'] = other['keypoint'][..., :channels]
    with pytest.raises(ValueError, match=f'seq0 has {persons} persons and '
                       f'{channels} channels, expected 1 or 2 persons and 3'):
        datasets.FastPreNormalize3D()(other)


@pytest.mark.parametrize('clip_len', [16, 50, 100])
@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('num_clips', [1, 3, 150])
def test_uniform_sample_equals_mmaction2(clip_len, test_mode, num_clips):
    options = dict(clip_len=clip_len, test_mode=test_mode, num_clips=num_clips)
    for seed in range(8):
        results = sequence(seed, persons=1 + seed % 2)
        results['start_index'] = 0
        ours, stock = both(datasets.FastUniformSampleFrames(**options),
                           UniformSampleFrames(**options), results)
        assert ours['frame_inds'].dtype == stock['frame_inds'].dtype
        np.testing.assert_array_equal(ours['frame_inds'], stock['frame_inds'])
        for name in ('clip_len', 'num_clips', 'frame_interval'):
            assert ours[name] == stock[name]


def test_testing_does_not_change_the_global_generator():
    results, state = sequence(0), str(np.random.get_state())
    datasets.FastUniformSampleFrames(clip_len=30, test_mode=True)(results)
    assert str(np.random.get_state()) == state


@pytest.mark.parametrize('persons', [1, 2])
def test_centers_as_published(persons):
    for seed in range(8):
        results = sequence(seed, persons)
        keypoint = results['keypoint']
        first = next(t for t in range(keypoint.shape[1])
                     if keypoint[0, t].any())
        expected = np.zeros_like(keypoint)
        for m in range(persons):
            for t in range(keypoint.shape[1]):
                if keypoint[m, t].any():
                    expected[m, t] = keypoint[m, t] - keypoint[0, first, 1]
        made = datasets.CenterOnJoint()(dict(results))['keypoint']
        np.testing.assert_array_equal(made, expected)
        assert made.dtype == np.float32 and not made[0, first, 1].any()


def test_drops_frames_without_persons():
    results = sequence(2)
    results['keypoint_score'] = np.random.rand(*results['keypoint'].shape[:3])
    kept = [t for t in range(results['total_frames'])
            if results['keypoint'][:, t].any()]
    assert 0 < len(kept) < results['total_frames']
    made = datasets.DropEmptyFrames()(dict(results))
    assert made['total_frames'] == len(kept)
    for name in ('keypoint', 'keypoint_score'):
        np.testing.assert_array_equal(made[name], results[name][:, kept])

    nobody = np.zeros((1, 3, 25, 3))
    made = datasets.DropEmptyFrames()(dict(keypoint=nobody, total_frames=3))
    assert made['keypoint'].shape == nobody.shape


def resized_by_pytorch(stretch, clip_len):
    """Resize as published: all frames and coordinates form an image."""
    persons, frames, joints, channels = stretch.shape
    image = torch.from_numpy(stretch).permute(3, 2, 0, 1).reshape(
        1, 1, -1, frames)
    image = F.interpolate(image, size=(image.shape[2], clip_len),
                          mode='bilinear', align_corners=False)
    return image.reshape(channels, joints, persons, clip_len).permute(
        2, 3, 1, 0).numpy()


@pytest.mark.parametrize('frames', [1, 2, 5, 63, 64, 65, 100, 300])
def test_crops_the_middle_as_published(frames):
    results = sequence(1, frames=frames)
    margin = int((1 - 0.95) * frames / 2)
    expected = resized_by_pytorch(
        results['keypoint'][:, margin:frames - margin], 64)
    made = datasets.CropResize(64, proportion=0.95)(dict(results))
    assert made['total_frames'] == 64 and made['keypoint'].dtype == np.float32
    np.testing.assert_allclose(made['keypoint'], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('frames', [1, 30, 64, 80, 130, 300])
def test_crops_a_random_segment_as_published(frames):
    """Each frame contains its number, which shows the chosen segment."""
    ramp = np.arange(1, frames + 1, dtype=np.float32)
    results = dict(keypoint=np.broadcast_to(
        ramp[None, :, None, None], (2, frames, 25, 3)).copy())
    results['keypoint_score'] = results['keypoint'][..., 0]
    lengths, firsts = set(), set()
    for seed in range(300):
        np.random.seed(seed)
        share = np.random.uniform(0.5, 1)
        length = min(max(int(np.floor(frames * share)), 64), frames)
        first = np.random.randint(0, frames - length + 1)
        np.random.seed(seed)
        made = datasets.CropResize(64, (0.5, 1))(dict(results))
        expected = resized_by_pytorch(
            results['keypoint'][:, first:first + length], 64)
        np.testing.assert_allclose(made['keypoint'], expected, rtol=0,
                                   atol=1e-4)
        np.testing.assert_array_equal(made['keypoint_score'],
                                      made['keypoint'][..., 0])
        lengths.add(length)
        firsts.add(first)
    assert min(lengths) >= min(64, frames) and max(lengths) <= frames
    if frames == 300:
        assert min(lengths) < 155 and max(lengths) > 295 and 0 in firsts


@pytest.mark.parametrize('proportion', [0, 1.1, (0, 1), (0.5, 2),
                                        (0.1, 0.2, 0.3), (0.95, ), '1',
                                        float('nan')])
def test_invalid_proportions_raise(proportion):
    with pytest.raises(ValueError, match='proportion is .* expected one or'):
        datasets.CropResize(64, proportion)


def test_rotates_as_published():
    x, y, z = 0.1, -0.2, 0.3
    sin, cos = np.sin, np.cos
    about = [np.array([[1, 0, 0], [0, cos(x), sin(x)], [0, -sin(x), cos(x)]]),
             np.array([[cos(y), 0, -sin(y)], [0, 1, 0], [sin(y), 0, cos(y)]]),
             np.array([[cos(z), sin(z), 0], [-sin(z), cos(z), 0], [0, 0, 1]])]
    results = sequence(0)
    np.random.seed(3)
    made = datasets.RandomRotation(0.3)(dict(results))['keypoint']
    np.random.seed(3)
    angles = np.random.uniform(-0.3, 0.3, 3)
    np.testing.assert_allclose(rotation(x, y, z),
                               about[2] @ about[1] @ about[0], atol=1e-7)
    matrix = rotation(*angles)
    for m, t, v in ((0, 0, 0), (1, 7, 24), (0, 11, 3)):
        np.testing.assert_allclose(
            made[m, t, v], matrix @ results['keypoint'][m, t, v], atol=1e-6)
    assert made.dtype == np.float32
    empty = ~results['keypoint'].any(axis=-1)
    assert empty.any() and not made[empty].any()


@pytest.mark.parametrize('transform, channels', [
    (datasets.RandomRotation(), 4), (datasets.RandomView(), 2)])
def test_wrong_numbers_of_channels_raise(transform, channels):
    with pytest.raises(ValueError, match=f'a: .* has {channels} chan'):
        transform(dict(frame_dir='a', keypoint=np.zeros((1, 3, 18, channels))))


NORMALIZED = dict(
    MinMaxNormalize=lambda joints, seen:
        (joints - seen.min(axis=0)) / np.ptp(seen, axis=0) * 2 - 1,
    Standardize=lambda joints, seen:
        (joints - seen.mean(axis=0)) / (seen - seen.mean(axis=0)).std(),
    PreNormalize2D=lambda joints, _: joints / (960, 540) - 1,
    # joint 1 of the first person is lost in the first two frames
    CenterOnJoint=lambda joints, _: joints - joints[0, 2, 1])


@pytest.mark.parametrize('kind', NORMALIZED)
@pytest.mark.parametrize('score', [True, False])
@pytest.mark.parametrize('dtype', ['f4', 'f8', 'i2', 'u8', 'f2'])
def test_joints_that_were_not_detected(kind, score, dtype):
    """Coordinates of undetected joints have no influence and become zero."""
    rng = np.random.default_rng(0)
    keypoint = rng.integers(300, 900, (2, 6, 20, 2)).astype(dtype)
    detected = np.ones((2, 6, 20), bool)
    detected[1, 3:] = False  # the second person leaves
    if score:
        detected[rng.random(detected.shape) < 0.2] = False
        detected[0, :2, 1], detected[0, 2, 1] = False, True
    exact = keypoint.astype(float)
    expected = NORMALIZED[kind](exact, exact[detected]) if (
        score or kind != 'CenterOnJoint') else exact - exact[0, 0, 1]
    expected[~detected] = 0
    # the first person may be absent
    for lost, absent in product((0, 2000) if score else (0, ), (0, 1)):
        keypoint[~detected] = lost
        before = (absent, 0), (0, 0), (0, 0)
        results = dict(keypoint=np.pad(keypoint, (*before, (0, 0))))
        if score:
            results['keypoint_score'] = np.pad(
                detected * np.float16(0.7), before)
        results['img_shape'] = (1080, 1920)
        made = TRANSFORMS.build(dict(type=kind))(results)['keypoint']
        assert made.dtype == np.float32 and not made[:absent].any()
        np.testing.assert_allclose(made[absent:], expected, atol=1e-5)
    nobody = np.zeros_like(keypoint)
    assert not TRANSFORMS.build(dict(type=kind))(
        dict(keypoint=nobody, img_shape=(9, 9)))['keypoint'].any()


@pytest.mark.parametrize('img_shape, largest, third, message', [
    (None, 99, 1, 'sequence a: img_shape is None, expected the height and wi'),
    ((0, 0), 99, 1, 'img_shape is'), (720, 99, 1, 'img_shape is 720'),
    ((99, 99, 3), 99, 1, 'img_shape is'), ((240, 320), 1, 1, 'expected pixel'),
    ((640, 100), 640, 1, 'expected pixels of an image of height 640'),
    ((99, 99), 99, 4, 'sequence a: a confidence .* is 4, expected 0 to 1')])
def test_coordinates_that_are_not_pixels(img_shape, largest, third, message):
    keypoint = np.linspace(0, largest, 9 * 17 * 2).reshape(1, 9, 17, 2)
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(dict(type='PreNormalize2D'))(dict(
            frame_dir='a', keypoint=np.insert(keypoint, 2, third, axis=-1),
            img_shape=img_shape))


def test_confidences_leave_the_coordinates():
    lost = np.full((1, 9, 17, 2), 7)
    lost[0, 0, 0] = 0
    made = TRANSFORMS.build(dict(type='PreNormalize2D'))(dict(
        keypoint=lost, img_shape=(9, 9)))
    assert not made['keypoint'][0, 0, 0].any()
    results = dict(keypoint=np.insert(np.full(
        (1, 9, 17, 2), 7), 2, 1, axis=-1), img_shape=(9, 9))
    for step in ('PreNormalize2D', 'RandomRotation', 'FormatGCNInput'):
        results = TRANSFORMS.build(dict(type=step))(results)
    assert (results['keypoint'][:, 0, ..., 2] == 1).all()
    with pytest.raises(ValueError, match='is 95, expected 0 to 1'):
        TRANSFORMS.build(dict(type='FormatGCNInput'))(dict(
            keypoint=np.ones((1, 9, 17, 2)),
            keypoint_score=np.full((1, 9, 17), 95)))


def test_lost_joints_before_a_rotation_and_between_frames():
    results = sequence(4, frames=40)
    results['keypoint'][:] += 5  # no joint is zero
    score = np.ones((2, 40, 25), np.float32)
    score[0, :3, [1, 4]] = 0  # the center and a shoulder
    stock = PreNormalize3D()(dict(
        keypoint=results['keypoint'][:, 3:], total_frames=37))
    results['keypoint'][:, :, 2] = score[..., 2] = 0
    made = TRANSFORMS.build(dict(type='PreNormalize3D'))(dict(
        results, keypoint_score=score))
    assert not made['keypoint'][0, :3, [1, 4]].any()
    np.testing.assert_allclose(
        made['keypoint'][:, 3:, 3:], stock['keypoint'][:, :, 3:], atol=1e-6)
    # the scores of a frame without persons are also dropped, and exchanged
    # like the persons, of whom the more visible comes first
    score[:, 7] = score[0, 9:] = 0
    made = datasets.FastPreNormalize3D()(dict(results, keypoint_score=score))
    np.testing.assert_array_equal(made['keypoint_score'],
                                  np.delete(score, 7, axis=1)[::-1])
    made = datasets.FastPreNormalize3D()(dict(
        results, keypoint_score=0 * score))
    assert not made['keypoint'].any()

    keypoint = np.array([[1, 3], [0, 0], [5, 7]], 'f4').reshape(1, 3, 1, 2)
    made = datasets.CropResize(6, proportion=1)(dict(
        keypoint=keypoint, keypoint_score=keypoint.any(axis=-1)))
    np.testing.assert_allclose(made['keypoint'][0, :, 0, 0],
                               [1, 1, 1, 5, 5, 5])
    np.testing.assert_allclose(made['keypoint_score'].ravel(),
                               [1, .75, .25, .25, .75, 1])
