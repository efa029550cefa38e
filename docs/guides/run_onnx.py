"""Classify a recording with an ONNX file of this project.

This script needs only NumPy and onnxruntime. See docs/guides/deploy.md.
"""
import argparse
import json
import sys

import numpy as np
import onnxruntime

TINY = np.finfo(np.float32).tiny


def find_detected(joints, score):
    """Set joints that were not detected to zero, and find all others."""
    found = np.broadcast_to(joints.any((2, 3))[..., None], joints.shape[:3])
    if score is not None:
        found = found & (score > 0)
    return joints * found[..., None], found


def choose(joints, score, frames):
    """Choose frames by their indices or by a mask."""
    return joints[:, frames], None if score is None else score[:, frames]


def min_max_normalize(joints, score):
    joints, found = find_detected(joints, score)
    if found.any():
        low, high = joints[found].min(0), joints[found].max(0)
        joints = (joints - low) * found[..., None]
        joints = joints / np.maximum(high - low, TINY) * 2 - 1
    return joints * found[..., None], score


def standardize(joints, score):
    joints, found = find_detected(joints, score)
    if found.any():
        seen = joints[found].astype(float)
        spread = max((seen - seen.mean(0)).std(), TINY)
        joints = (joints - seen.mean(0)) / spread
    return joints * found[..., None], score


def center_on_joint(joints, score, joint=1):
    joints, found = find_detected(joints, score)
    shown = found[0, :, joint]
    if shown.any():
        joints = joints - joints[0, shown.argmax(), joint]
    return joints * found[..., None], score


def pre_normalize_2d(joints, score, img_shape):
    joints, found = find_detected(joints, score)
    found = found & joints.any(-1)
    seen = joints[found]
    outside = ((seen < 0) | (seen > img_shape[::-1])).any(-1)
    if len(seen) and (outside.mean() > 0.5 or abs(seen).max() <= max(
            1, min(img_shape) / 100)):
        sys.exit('error: the coordinates are not pixels of an image of height '
                 f'{img_shape[0]} and width {img_shape[1]}')
    half = np.array(img_shape[::-1], np.float32) / 2
    return (joints - half) / half * found[..., None], score


def drop_empty_frames(joints, score):
    found = find_detected(joints, score)[1]
    there, shown = found.any((1, 2)), found.any((0, 2))
    return choose(joints[there], None if score is None else score[there],
                  shown)


def turn(vector, target):
    """Return the matrix that turns a vector to the direction of a target."""
    axis, length = np.cross(vector, target), np.linalg.norm(vector)
    if abs(axis).sum() < 1e-6:
        return np.eye(3)
    sine = np.linalg.norm(axis)
    x, y, z = axis / sine
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    cosine = np.dot(vector, target) / length
    return np.eye(3) + sine / length * cross + (1 - cosine) * cross @ cross


def pre_normalize_3d(joints, score, zaxis=(0, 1), xaxis=(8, 4),
                     align_spine=True, align_shoulder=True, align_center=True):
    joints, found = find_detected(joints, score)
    seen = (abs(joints) > 1e-8).any((2, 3))  # (persons, frames)
    if not seen.any():
        return joints, score
    first = int(len(seen) == 2 and seen[1].sum() > seen[0].sum())
    order = slice(None, None, -1 if first else 1)
    joints, score = choose(joints[order], score if score is None
                           else score[order], seen[first])
    middle = 1 if joints.shape[2] == 25 else -1
    used = ([middle] * align_center + [*zaxis] * align_spine
            + [*xaxis] * align_shoulder)
    frame = found[first, seen[first]][:, used].all(1).argmax()
    if align_center:
        there = joints.any(-1, keepdims=True)
        joints = (joints - joints[0, frame, middle]) * there
    pose, matrix = joints[0, frame], np.eye(3)
    if align_spine:
        matrix = turn(pose[zaxis[1]] - pose[zaxis[0]], [0, 0, 1])
    if align_shoulder:
        pose = pose @ matrix.T
        matrix = turn(pose[xaxis[0]] - pose[xaxis[1]], [1, 0, 0]) @ matrix
    return joints @ matrix.T, score


def crop_resize(joints, score, clip_len, proportion, min_frames=64):
    first = int((1 - proportion) * joints.shape[1] / 2)
    length = joints.shape[1] - 2 * first
    at = (np.arange(clip_len, dtype=np.float32) + 0.5) * np.float32(
        length / clip_len) - np.float32(0.5)
    at = np.maximum(at, 0)
    before = at.astype(int)
    after = np.minimum(before + 1, length - 1)

    def resize(array):
        weight = (at - before).reshape(-1, *[1] * (array.ndim - 2))
        return (array[:, first + before] * (1 - weight)
                + array[:, first + after] * weight)

    if score is None:
        return resize(joints), None
    joints, found = find_detected(joints, score)
    share = resize(found[..., None].astype(np.float32))
    return resize(joints) / np.where(share > 0, share, 1), resize(score)


def sample_evenly(joints, score, clip_len, num_clips=1, test_mode=True,
                  proportion=None):
    frames = np.linspace(0, joints.shape[1] - 1, clip_len).astype(int)
    return choose(joints, score, np.tile(frames, num_clips))


def sample_uniformly(joints, score, clip_len, num_clips=1, test_mode=True,
                     seed=255):
    total, random, clips = joints.shape[1], np.random.RandomState(seed), []
    for number in range(num_clips):
        if total < clip_len:
            start = (number if total < num_clips
                     else number * total // num_clips)
            clips.append(np.arange(start, start + clip_len) % total)
        elif total < 2 * clip_len:
            skipped = np.zeros(clip_len + 1, int)
            skipped[random.choice(clip_len + 1, total - clip_len,
                                  replace=False)] = 1
            clips.append(np.arange(clip_len) + skipped.cumsum()[:-1])
        else:
            edges = np.arange(clip_len + 1) * total // clip_len
            clips.append(edges[:-1] + random.randint(np.diff(edges)))
    return choose(joints, score, np.concatenate(clips))


def format_gcn_input(joints, score, num_person=2, mode='zero'):
    if len(joints) > num_person:
        sys.exit(f'error: {len(joints)} persons, expected at most '
                 f'{num_person}')
    if score is not None:
        joints = np.concatenate([joints, np.maximum(score, 0)[..., None]], -1)
    absent = np.zeros((num_person - len(joints), *joints.shape[1:]))
    if mode == 'loop' and len(joints) == 1:
        absent = absent + joints
    return np.concatenate([joints, absent]), None


def keep(joints, score, **options):
    return joints, score


STEPS = dict(
    MinMaxNormalize=min_max_normalize, Standardize=standardize,
    CenterOnJoint=center_on_joint, PreNormalize2D=pre_normalize_2d,
    PreNormalize3D=pre_normalize_3d, FastPreNormalize3D=pre_normalize_3d,
    DropEmptyFrames=drop_empty_frames, CropResize=crop_resize,
    RandomSampleFrames=sample_evenly, UniformSampleFrames=sample_uniformly,
    FastUniformSampleFrames=sample_uniformly, FormatGCNInput=format_gcn_input,
    PoseDecode=keep, PackActionInputs=keep)


def check_coordinates(seen):
    """Exit if the coordinates (joints, C) show lost joints or wrong axes."""
    if seen.shape[1] == 2 and not seen.any(0).all():
        sys.exit('error: x or y is 0 for all joints, expected the axes '
                 '(persons, frames, joints, channels)')
    # without confidences, zeros are coordinates
    for mark in {-1, seen.min(), seen.max()} - {0}:
        lost = (seen == mark).all(1)
        if lost.sum() <= (mark > 0):  # one joint can be there by chance
            continue
        rest = seen[~lost]
        # integers around the center of the body can be -1 by chance
        alone = (rest % 1).any() and not (rest == mark).any() and (
            abs(seen).max() > 1 or seen.shape[1] == 3 and lost.sum() > 1)
        if mark < 0 <= rest.min(initial=0) or mark == -1 and alone or (
                rest.size and abs(rest - mark).min() > np.ptp(rest) > 0):
            sys.exit(f'error: the coordinates of {lost.sum()} of {len(seen)} '
                     f'joints are all {mark:g}, like a placeholder '
                     'value, expected 0 as their coordinates and confidence')


def prepare(joints, metadata, img_shape=None):
    """Turn a recording into clips (clips, persons, frames, joints, C)."""
    joints = np.asarray(joints, np.float32)
    persons, frames, *sizes = json.loads(metadata['clip_shape'])
    if joints.ndim not in (3, 4) or [*joints.shape[-2:]] != sizes or (
            not joints.size):
        sys.exit(f'error: the recording has the shape {joints.shape}, expected'
                 f' (persons, frames, {sizes[0]} joints, {sizes[1]} channels)')
    if not (abs(joints) < 1e15).all():
        sys.exit('error: the recording contains NaN or numbers beyond 1e15, '
                 'expected finite numbers')
    joints, score = joints.reshape(-1, *joints.shape[-3:]), None
    present = joints.any((1, 2, 3)).sum()
    if present > max(joints.shape[1], 2):
        sys.exit(f'error: the recording has {present} persons in '
                 f'{joints.shape[1]} frames, expected the axes (persons, '
                 'frames, joints, channels)')
    dims = int(metadata['dims'])
    if joints.shape[-1] > dims:
        joints, score = joints[..., :dims], joints[..., dims]
    most, third = abs(joints[..., :2]).max(), joints[..., 2:]
    low, high = (0, 0) if score is None else (score.min(), score.max())
    flags = score is not None and not (score % 1).any()  # 2: visible in COCO
    peak = 2 if most > 10 or flags else 1.2
    if not -0.1 <= low <= high <= peak or 1.2 < low < high:
        sys.exit(f'error: the confidences range from {low:g} to {high:g}, '
                 'expected 0 to 1')
    if most > 100 and third.size and -0.1 <= third.min() < third.max() <= 1.2:
        sys.exit(f'error: the third channel ranges from {third.min():g} to '
                 f'{third.max():g}, like a confidence, expected z')
    found = find_detected(joints, score)[1]
    if not found.any():
        sys.exit('error: no joint was detected')
    check_coordinates(joints[found])
    there = found.any((1, 2))
    order = np.argsort(~there, kind='stable')[:max(there.sum(), persons)]
    joints, score = joints[order], None if score is None else score[order]
    for step in json.loads(metadata['pipeline']):
        kind = step.pop('type')
        if kind not in STEPS:
            sys.exit(f'error: the transform {kind!r} is unknown')
        if kind == 'PreNormalize2D':
            step['img_shape'] = img_shape or step.get('img_shape') or sys.exit(
                'error: the height and width of the images are missing')
        joints, score = STEPS[kind](joints, score, **step)
    clips = joints.reshape(len(joints), -1, frames, *joints.shape[2:])
    return np.ascontiguousarray(clips.swapaxes(0, 1), np.float32)


def read(path, dims='2'):
    """Read a recording; a confidence becomes the last channel."""
    arrays = np.load(path)
    if isinstance(arrays, np.ndarray):
        return arrays
    names = sorted(arrays.files)
    if names != ['keypoint', 'keypoint_score'] and (
            len(names) > 1 or 'keypoint_score' in names):
        raise ValueError(names)
    if len(names) > 1 and dims == '3':
        sys.exit(f'error: {path} contains keypoint_score, a confidence, '
                 'expected x, y and z of each joint')
    joints, *scores = (arrays[name] for name in names)
    return np.concatenate([joints, *(one[..., None] for one in scores)], -1)


def classify(session, joints, img_shape=None):
    """Return the probabilities of all classes, averaged over the clips."""
    metadata = session.get_modelmeta().custom_metadata_map
    clips = prepare(joints, metadata, img_shape)
    logits, = session.run(None, {'clips': clips})
    if not np.isfinite(logits).all():
        sys.exit('error: the network returns NaN or infinity, expected finite '
                 'numbers')
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).mean(axis=0)


def printable(name):
    """Replace characters with which a file could forge other output."""
    return ''.join(one if one.isprintable() else '?' for one in str(name))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('network', help='ONNX file of this project')
    parser.add_argument('recording', help='array of joints (*.npy), '
                        'or keypoint and keypoint_score (*.npz)')
    parser.add_argument('img_shape', nargs='*', type=int, default=(),
                        help='height and width of the images')
    args = parser.parse_args()
    if args.img_shape and (
            len(args.img_shape) != 2 or min(args.img_shape) < 1):
        parser.error(f'img_shape is {args.img_shape}, expected the height and '
                     'width in pixels')
    try:
        file, kind = args.network, 'an ONNX file of this project'
        session = onnxruntime.InferenceSession(
            file, providers=['CPUExecutionProvider'])
        metadata = session.get_modelmeta().custom_metadata_map
        names = json.loads(metadata['classes'])
        file, kind = args.recording, (
            'an array of joints (*.npy), or keypoint and keypoint_score '
            '(*.npz); see docs/guides/deploy.md for tables (*.csv)')
        joints = np.asarray(read(file, metadata['dims']), np.float32)
    except Exception as error:  # onnxruntime has its own types
        sys.exit(f'error: {file} cannot be read ({type(error).__name__}), '
                 f'expected {kind}')
    found = classify(session, joints, args.img_shape)
    for label in found.argsort()[::-1][:5]:
        name = names[label] if label < len(names) else f'class {label}'
        print(f'{found[label]:.4f}', printable(name))


if __name__ == '__main__':
    main()
