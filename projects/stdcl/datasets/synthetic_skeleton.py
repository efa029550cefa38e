"""Synthetic skeleton sequences, to try the code without a download."""
from collections.abc import Callable

import numpy as np
from mmaction.datasets.base import BaseActionDataset
from mmaction.registry import DATASETS

from ..utils.input_error import InputError, require_known
from ..utils.skeleton_layout import SkeletonLayout
from .transforms.random_rotation import rotation

SPLITS = ('train', 'test')
PROGRAMS = ('lift then swing', 'swing then lift', 'slow swing', 'fast swing')
NUM_LIMBS = 4

# Joints of a standing subject, in meters. The axes point to the subject's left
# (x), up (y) and forward (z). The right side mirrors the left.
REST_POSE = {
    'base of spine': (0, 0.95, 0), 'middle of spine': (0, 1.18, 0.01),
    'spine': (0, 1.42, 0), 'neck': (0, 1.48, 0), 'nose': (0, 1.62, 0.10),
    'head': (0, 1.66, 0.02), 'left eye': (0.03, 1.66, 0.08),
    'left ear': (0.07, 1.64, 0), 'left shoulder': (0.18, 1.42, 0),
    'left elbow': (0.23, 1.14, -0.02), 'left wrist': (0.25, 0.89, 0.03),
    'left hand': (0.25, 0.80, 0.05), 'left hand tip': (0.25, 0.71, 0.06),
    'left thumb': (0.22, 0.78, 0.09), 'left hip': (0.10, 0.92, 0),
    'left knee': (0.11, 0.50, 0.03), 'left ankle': (0.11, 0.09, 0),
    'left foot': (0.13, 0.03, 0.12)}
REST_POSE.update({f'right {name[5:]}': (-x, y, z)
                  for name, (x, y, z) in REST_POSE.items()
                  if name.startswith('left ')})
OTHER_ROOT = (0, 1, 0)  # position of a root outside REST_POSE
OTHER_BONE = 0.3  # meters between a joint outside REST_POSE and its parent

# Ranges of uniform distributions; angles in radians
FRAMES = (40, 90)
WARP = (0, 0.4)  # 0: constant pace, 1: the body stops for a moment
LIFT = (1, 1.5)
SWING = (0.6, 0.9)
CYCLES = {'slow swing': (1.25, 1.75), 'fast swing': (4.25, 5.25)}
HALF_CYCLES = (1.25, 2)  # cycles of a swing in half of the sequence
POSTURE = 0.55  # largest constant angle of a limb, in either direction
SWAY = (0.02, 0.12)  # amplitude of the sway of all limbs
SWAY_CYCLES = (0.5, 4)
SIZE = (0.8, 1.2)  # scale of the subject
LENGTH = (0.85, 1.15)  # scale of each limb
YAW = np.pi / 2  # largest turn of the view, in either direction
TILT = np.pi / 18
SHIFT = 1  # largest shift in meters, in either direction
NOISE = 0.01  # standard deviation of a joint's position, meters

# Camera of two-dimensional layouts
IMAGE_SHAPE = (1080, 1920)  # height, width in pixels
PIXELS_PER_METER = 300
CONFIDENCE = (0.6, 1)


def rest_pose(layout: SkeletonLayout) -> np.ndarray:
    """Return the positions (V, 3) of the joints at rest, in meters.

    The y axis points up. A joint that is not in :data:`REST_POSE` extends the
    bone of its parent in the same direction. Several such siblings fan out.
    """
    parents, names = layout.parents, layout.joint_names
    pose = np.zeros((layout.num_joints, 3))
    for joint, parent in parents.items():
        if names[joint] in REST_POSE:
            pose[joint] = REST_POSE[names[joint]]
        elif parent < 0:
            pose[joint] = OTHER_ROOT
        else:
            at_root = parents[parent] < 0
            ahead = (0, -1, 0) if at_root else pose[parent] - pose[
                parents[parent]]
            siblings = [other for other, above in parents.items()
                        if above == parent and names[other] not in REST_POSE]
            share = (siblings.index(joint) + 0.5) / len(siblings) - 0.5
            span = 2 * np.pi if at_root else 2 * np.pi / 3
            pose[joint] = pose[parent] + OTHER_BONE * (
                _unit(ahead) @ rotation(0, 0, share * span))
    return pose


def find_limbs(layout: SkeletonLayout) -> tuple[tuple[int, ...], ...]:
    """Find the four longest limbs of a skeleton.

    A limb is the largest subtree of at least two joints, without the center,
    that does not contain two such subtrees side by side.

    Return the joints of each limb, parents before children, in the order of
    the top joints. Fewer than four limbs raise an ``InputError``.
    """
    pose, parents = rest_pose(layout), layout.parents
    below = {joint: [joint] for joint in parents}  # joint -> its subtree
    # joint -> top joints of the limbs in its subtree
    tops = {joint: [] for joint in parents}
    for joint, parent in reversed(parents.items()):  # children first
        if parent >= 0:
            if len(tops[joint]) < 2 <= len(below[joint]):
                tops[joint] = [joint]
            below[parent] += below[joint]
            tops[parent] += tops[joint]

    def length(top: int) -> float:
        return sum(np.linalg.norm(pose[joint] - pose[parents[joint]])
                   for joint in below[top])

    longest = sorted(tops[layout.center],
                     key=lambda top: (-length(top), top))[:NUM_LIMBS]
    if len(longest) < NUM_LIMBS:
        names = ', '.join(
            layout.joint_names[top] for top in sorted(longest)) or 'none'
        raise InputError(
            f'Skeleton layout "{layout.name}": limbs of at least two joints '
            f'start at: {names} ({len(longest)} in total), expected '
            f'{NUM_LIMBS}, because synthetic sequences move one of them.')
    order = list(parents)
    return tuple(tuple(sorted(below[top], key=order.index))
                 for top in sorted(longest))


def _unit(vector: np.ndarray) -> np.ndarray:
    # a zero vector stays zero
    return np.asarray(vector) / max(np.linalg.norm(vector), 1e-9)


class _Body:
    """Forward kinematics of a layout for all frames at once.

    Every limb turns about two axes at right angles to its direction at rest.
    Outer joints turn more than inner ones. The girdle, which is the top joint
    of a chain of at least three, turns least.
    """

    def __init__(self, layout: SkeletonLayout) -> None:
        pose, num_joints = rest_pose(layout), layout.num_joints
        self.center = pose[layout.center]  # (3, )
        self.limbs = find_limbs(layout)
        self.limb_of = np.full(num_joints, NUM_LIMBS)  # the trunk comes last
        self.gain = np.zeros(num_joints)  # multiple of the limb's angles
        self.axes = np.tile(np.eye(3), (num_joints, 1, 1))  # axes as rows
        for index, limb in enumerate(map(list, self.limbs)):
            depth = np.array(layout.hops[limb[0]])[limb]
            girdle = int(depth.max() > 1)
            along = _unit(pose[limb[-1]] - pose[limb[0]])
            ahead = (0, 0, 1) if abs(along[2]) < 0.9 else (1, 0, 0)
            lift_axis = _unit(np.cross(along, ahead))
            self.limb_of[limb] = index
            self.gain[limb] = np.where(depth < girdle, 0.2,
                                       1 + 0.2 * (depth - girdle))
            self.axes[limb] = lift_axis, np.cross(lift_axis, along), along
        # bones on the path from the center to each joint, (V, V)
        self.chain = np.zeros((num_joints, num_joints))
        bones = np.zeros((num_joints, 3))
        for joint, parent in list(layout.parents.items())[1:]:
            self.chain[joint] = self.chain[parent]
            self.chain[joint, joint] = 1
            bones[joint] = pose[joint] - pose[parent]
        # in the coordinates of the limbs, (V, 3)
        self.bones = np.einsum('vac,vc->va', self.axes, bones)

    def move(self, angles: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the positions of the joints in meters, (T, V, 3).

        ``angles`` are the lift and swing of each limb in radians, (2, 4, T).
        ``lengths`` scales the bones of each limb and of the trunk, (5,).
        """
        angles = np.pad(angles, ((0, 0), (0, 1), (0, 0)))  # trunk at rest
        angles = angles[:, self.limb_of] * self.gain[:, None]  # (2, V, T)
        (cos_l, cos_s), (sin_l, sin_s) = np.cos(angles), np.sin(angles)
        x, y, z = (self.bones * lengths[self.limb_of, None]).T[:, :, None]
        y, z = cos_l * y - sin_l * z, sin_l * y + cos_l * z  # about x
        x, z = cos_s * x + sin_s * z, cos_s * z - sin_s * x  # about y
        turned = np.stack([x, y, z], axis=-1) @ self.axes  # (V, T, 3)
        return self.center + np.tensordot(turned, self.chain, (0, 1)
                                          ).transpose(0, 2, 1)


@DATASETS.register_module()
class SyntheticSkeletonDataset(BaseActionDataset):
    """Synthetic skeleton sequences of 16 classes, for any layout.

    A class combines one of four limbs with one of four motion programs. The
    programs form two pairs, and those of a pair differ only in timing: "lift
    then swing" and "swing then lift", "slow swing" and "fast swing". Neither a
    single frame nor the mean of all frames reveals the class. Subject, view,
    place, posture, pace and phase are random; limbs sway; positions are noisy.

    Sequence i depends only on ``layout``, ``seed``, ``split`` and i; its class
    is i modulo 16. ``keypoint``, (1, T, V, 3), is in meters, and y points up.
    For layouts with ``dims=2``, ``keypoint``, (1, T, V, 2), is in pixels, y
    points down, and ``keypoint_score`` has the shape (1, T, V).

    Args:
        pipeline (list[dict | callable]): Data transforms.
        layout (str | dict): Name or arguments of a :class:`SkeletonLayout`
            with at least four limbs. Defaults to 'nw-ucla'.
        split (str): 'train' or 'test'. Defaults to 'train'.
        num_sequences (int): Number of sequences. Defaults to 1600.
        seed (int): Random seed, at least 0. Defaults to 0.
        **kwargs: Arguments of ``BaseActionDataset``, such as ``test_mode``.

    Raises:
        InputError: ``split`` or ``layout`` is unknown, or ``layout`` has fewer
            than four limbs.
    """

    def __init__(self, pipeline: list[dict | Callable],
                 layout: str | dict = 'nw-ucla', split: str = 'train',
                 num_sequences: int = 1600, seed: int = 0, **kwargs) -> None:
        require_known('SyntheticSkeletonDataset: split', split, SPLITS)
        self.layout = SkeletonLayout.get(layout)
        self.split, self.seed = split, seed
        self.num_sequences = num_sequences
        self.body = _Body(self.layout)
        super().__init__(pipeline=pipeline, **{
            'ann_file': '', 'modality': 'Pose', **kwargs})
        self._metainfo.setdefault('classes', tuple(
            f'{self.layout.joint_names[limb[0]]}: {program}'
            for limb in self.body.limbs for program in PROGRAMS))

    def load_data_list(self) -> list[dict]:
        """Generate all sequences."""
        return [self._sequence(i) for i in range(self.num_sequences)]

    def _sequence(self, index: int) -> dict:
        rng = np.random.default_rng(
            (self.seed, SPLITS.index(self.split), index))
        label = index % (NUM_LIMBS * len(PROGRAMS))
        frames = int(rng.integers(*FRAMES, endpoint=True))
        angles = _angles(rng, label, frames)
        lengths = np.append(rng.uniform(*LENGTH, NUM_LIMBS), 1)
        joints = self.body.move(angles, lengths)  # (T, V, 3)
        x, z = rng.uniform(-TILT, TILT, 2)
        turn = rotation(0, rng.uniform(-YAW, YAW), 0) @ rotation(x, 0, z)
        joints = (rng.uniform(*SIZE) * joints @ turn
                  + rng.uniform(-SHIFT, SHIFT, 3))
        joints += rng.normal(0, NOISE, joints.shape)
        name = f'{self.layout.name}_{self.seed}_{self.split}_{index:05d}'
        info = dict(frame_dir=name, label=label, total_frames=frames)
        if self.layout.dims == 2:
            return dict(info, **_project(rng, joints))
        return dict(info, keypoint=joints[None].astype(np.float32))


def _angles(rng: np.random.Generator, label: int, frames: int) -> np.ndarray:
    """Draw the lift and swing angles of all limbs in radians, (2, 4, T)."""
    limb, program = divmod(label, len(PROGRAMS))
    time = np.linspace(0, 1, frames)
    size = (2, NUM_LIMBS, 1)
    phases = rng.uniform(0, 2 * np.pi, size)
    angles = rng.uniform(*SWAY, size) * np.sin(
        2 * np.pi * rng.uniform(*SWAY_CYCLES, size) * time + phases)
    angles += rng.uniform(-POSTURE, POSTURE, size)
    # reversing time negates the phase, so both directions are equally likely
    phase, strength = rng.uniform(0, 2 * np.pi), rng.uniform(*WARP)
    time = time + strength / (2 * np.pi) * (
        np.sin(2 * np.pi * time + phase) - np.sin(phase))
    angles[:, limb] += _act(rng, PROGRAMS[program], time)
    return angles


def _act(rng: np.random.Generator, program: str,
         time: np.ndarray) -> np.ndarray:
    """Draw the lift and swing angles of the acting limb in radians, (2, T)."""
    lift, swing = rng.uniform(*LIFT), rng.uniform(*SWING)
    phase = rng.uniform(0, 2 * np.pi)
    cycles = rng.uniform(*CYCLES.get(program, HALF_CYCLES))
    if program in CYCLES:
        swing = swing * np.sin(2 * np.pi * cycles * time + phase)
        return np.stack([np.zeros_like(time), swing])
    half = 2 * time % 1
    lifts = (time < 0.5) == (program == 'lift then swing')
    rise = np.sin(np.pi * half)
    lift = lift * rise**2
    swing = swing * rise * np.sin(2 * np.pi * cycles * half + phase)
    return np.stack([lift * lifts, swing * ~lifts])


def _project(rng: np.random.Generator, joints: np.ndarray) -> dict:
    """Simulate a pose detector, which returns confidences but no depth."""
    height, width = IMAGE_SHAPE
    pixels = joints[..., :2] * (PIXELS_PER_METER, -PIXELS_PER_METER)
    # the center of the image is 1 m above the ground
    pixels += width / 2, height / 2 + PIXELS_PER_METER
    scores = rng.uniform(*CONFIDENCE, joints.shape[:2])
    return dict(keypoint=pixels[None].astype(np.float32),
                keypoint_score=scores[None].astype(np.float32),
                img_shape=IMAGE_SHAPE, original_shape=IMAGE_SHAPE)
