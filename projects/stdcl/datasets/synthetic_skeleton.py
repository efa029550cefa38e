"""Skeleton sequences made in memory, to try everything without a download.

A body moves as a kinematic chain. A class is told by both the joints (which
limb moves) and time (how it moves): neither a single frame nor the mean over
frames does.
"""
from typing import Callable, Dict, List, Tuple, Union

import numpy as np
from mmaction.datasets.base import BaseActionDataset
from mmaction.registry import DATASETS

from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout

SPLITS = ('train', 'test')
PROGRAMS = ('lift then swing', 'swing then lift', 'slow swing', 'fast swing')
NUM_LIMBS = 4

# Standing, arms down: metres, x to the subject's left, y up, z ahead. The
# right side mirrors the left.
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
OTHER_ROOT = (0, 1, 0)  # where a root of another name stands
OTHER_BONE = 0.3  # and how far other joints are from their parents, metres

# Ranges to draw from, uniformly; angles in radians.
FRAMES = (40, 90)
WARP = (0, 0.4)  # 0: even pace, 1: stands still for a moment
LIFT = (1, 1.5)
SWING = (0.6, 0.9)
CYCLES = {'slow swing': (1.25, 1.75), 'fast swing': (4.25, 5.25),
          'half': (1.25, 2)}  # 'half': in half of the sequence
POSTURE = 0.55  # constant angle of each limb, either way
SWAY = (0.02, 0.12)  # amplitude of what all limbs do besides
SWAY_CYCLES = (0.5, 4)
SIZE = (0.8, 1.2)  # factor for the subject
LENGTH = (0.85, 1.15)  # factor for each limb
YAW = np.pi / 2  # view, either way
TILT = np.pi / 18
SHIFT = 1  # place, metres either way
NOISE = 0.01  # standard deviation of a joint's position, metres

# The camera of two-dimensional layouts.
IMAGE_SHAPE = (1080, 1920)  # height, width in pixels
PIXELS_PER_METRE = 300
CONFIDENCE = (0.6, 1)


def rest_pose(layout: SkeletonLayout) -> np.ndarray:
    """Where the joints are at rest, by their names.

    A joint whose name is not in :data:`REST_POSE` goes on from its parent as
    the parent does from its own; several such siblings fan out.

    Args:
        layout (SkeletonLayout): The layout.

    Returns:
        ndarray: Positions in metres, y up, shape (V, 3).
    """
    pose = np.zeros((layout.num_joints, 3))
    others: Dict[int, List[int]] = {}  # parent -> children to fan out
    for joint, parent in layout.parents.items():
        if layout.joint_names[joint] not in REST_POSE:
            others.setdefault(parent, []).append(joint)
    for joint, parent in layout.parents.items():
        if layout.joint_names[joint] in REST_POSE:
            pose[joint] = REST_POSE[layout.joint_names[joint]]
        elif parent < 0:
            pose[joint] = OTHER_ROOT
        else:
            before = layout.parents[parent]
            ahead = (0, -1, 0) if before < 0 else pose[parent] - pose[before]
            span = 2 * np.pi if before < 0 else 2 * np.pi / 3
            siblings = others[parent]
            share = (siblings.index(joint) + 0.5) / len(siblings) - 0.5
            pose[joint] = pose[parent] + OTHER_BONE * (
                _about_axis(2, share * span) @ _unit(ahead))
    return pose


def find_limbs(layout: SkeletonLayout) -> Tuple[Tuple[int, ...], ...]:
    """The four longest limbs of a skeleton.

    A limb is a subtree of two joints or more that does not itself hold two
    such subtrees side by side; as large as possible, so a thumb belongs to its
    arm. The center is in none.

    Args:
        layout (SkeletonLayout): The layout.

    Returns:
        tuple[tuple[int]]: The joints of each limb, the top one first, parents
        before children; limbs ordered by their top joints.

    Raises:
        ValueError: The skeleton has fewer than four limbs.
    """
    pose = rest_pose(layout)
    below = {joint: [joint] for joint in layout.parents}  # joint -> subtree
    children = {joint: [] for joint in layout.parents}
    for joint, parent in reversed(layout.parents.items()):
        if parent >= 0:
            below[parent] += below[joint]
            children[parent].append(joint)

    def split(top: int) -> List[int]:
        """Tops of the limbs in the subtree of a joint."""
        inner = [limb for child in children[top] for limb in split(child)]
        is_limb = len(inner) < 2 <= len(below[top])
        return [top] if is_limb and top != layout.center else inner

    def length(top: int) -> float:
        return sum(np.linalg.norm(pose[joint] - pose[layout.parents[joint]])
                   for joint in below[top])

    tops = sorted(split(layout.center), key=lambda top: (-length(top), top))
    if len(tops) < NUM_LIMBS:
        names = ', '.join(
            layout.joint_names[top] for top in sorted(tops)) or 'none'
        raise InputError(
            f'Skeleton layout "{layout.name}" has {len(tops)} limbs of two '
            f'joints or more (from: {names}), expected {NUM_LIMBS}: synthetic '
            'sequences move one of four limbs.')
    order = list(layout.parents)
    return tuple(tuple(sorted(below[top], key=order.index))
                 for top in sorted(tops[:NUM_LIMBS]))


def _unit(vector: np.ndarray) -> np.ndarray:
    """A vector of length 1 (0 stays 0)."""
    return np.asarray(vector) / max(np.linalg.norm(vector), 1e-9)


def _about_axis(axis: int, angle: float) -> np.ndarray:
    """The matrix (3, 3) of a rotation about a coordinate axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[j, i] = np.sin(angle)
    matrix[i, j] = -matrix[j, i]
    return matrix


class _Body:
    """Forward kinematics of a layout, for all frames at once.

    Every limb turns about two axes at right angles to its direction at rest.
    Joints share the angles of their limb: those further out turn more, the
    girdle (the top bone of a limb of three or more) hardly.

    Args:
        layout (SkeletonLayout): The layout.
    """

    def __init__(self, layout: SkeletonLayout) -> None:
        pose, num_joints = rest_pose(layout), layout.num_joints
        self.limbs = find_limbs(layout)
        self.center = pose[layout.center]  # (3, )
        self.limb_of = np.full(num_joints, NUM_LIMBS)  # trunk: the last
        self.gain = np.zeros(num_joints)  # share of the limb's angles
        self.frames = np.tile(np.eye(3), (num_joints, 1, 1))  # rows are axes
        for index, limb in enumerate(self.limbs):
            self._add_limb(layout, pose, index, limb)
        # bones that lead from the center to each joint, (V, V)
        self.chain = np.zeros((num_joints, num_joints))
        bones = np.zeros((num_joints, 3))
        for joint, parent in layout.parents.items():
            if parent >= 0:
                self.chain[joint] = self.chain[parent]
                self.chain[joint, joint] = 1
                bones[joint] = pose[joint] - pose[parent]
        # in the axes of the limbs, (V, 3)
        self.bones = np.einsum('vac,vc->va', self.frames, bones)

    def _add_limb(self, layout: SkeletonLayout, pose: np.ndarray, index: int,
                  limb: Tuple[int, ...]) -> None:
        depth = {layout.parents[limb[0]]: -1}
        for joint in limb:
            depth[joint] = depth[layout.parents[joint]] + 1
        girdle = int(max(depth.values()) > 1)
        along = _unit(pose[limb[-1]] - pose[limb[0]])
        ahead = (0, 0, 1) if abs(along[2]) < 0.9 else (1, 0, 0)
        lift_axis = _unit(np.cross(along, ahead))
        swing_axis = np.cross(lift_axis, along)
        for joint in limb:
            self.limb_of[joint] = index
            self.gain[joint] = 0.2 if depth[joint] < girdle else \
                1 + 0.2 * (depth[joint] - girdle)
            self.frames[joint] = lift_axis, swing_axis, along

    def move(self, angles: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Bend the limbs.

        Args:
            angles (ndarray): Radians, shape (2, 4, T): lift and swing of each
                limb in each frame.
            lengths (ndarray): Factor for the bones of each limb and of the
                trunk, shape (5, ).

        Returns:
            ndarray: Positions in metres, shape (T, V, 3).
        """
        angles = np.pad(angles, ((0, 0), (0, 1), (0, 0)))  # still trunk
        angles = angles[:, self.limb_of] * self.gain[:, None]  # (2, V, T)
        (cos_l, cos_s), (sin_l, sin_s) = np.cos(angles), np.sin(angles)
        x, y, z = (self.bones * lengths[self.limb_of, None]).T[:, :, None]
        y, z = cos_l * y - sin_l * z, sin_l * y + cos_l * z  # about x
        x, z = cos_s * x + sin_s * z, cos_s * z - sin_s * x  # about y
        turned = np.stack([x, y, z], axis=-1)  # (V, T, 3), axes of the limbs
        turned = turned @ self.frames  # (V, T, 3)
        return self.center + np.tensordot(turned, self.chain, (0, 1)
                                          ).transpose(0, 2, 1)


@DATASETS.register_module()
class SyntheticSkeletonDataset(BaseActionDataset):
    """Synthetic skeleton sequences of 16 classes, for any layout.

    A class is one of four limbs with one of four programs. Two pairs of
    programs differ in nothing but time: "lift then swing" and "swing then
    lift" are each other reversed, "slow swing" and "fast swing" pass through
    the same poses. Limbs that mirror each other differ in nothing but the
    joints that move. Subjects, views, places, postures, pace and phases are
    random, all limbs sway besides, and joints are noisy.

    Sequence i depends on nothing but ``layout``, ``seed``, ``split`` and i;
    its class is i modulo 16. A sequence is given as :class:`PoseDataset` does:
    ``keypoint`` of shape (1, T, V, 3) in metres, y up; or, of layouts with
    ``dims=2``, (1, T, V, 2) in pixels of an image of 1920 x 1080, y down, with
    ``keypoint_score`` of shape (1, T, V).

    Args:
        pipeline (list[dict | callable]): Data transforms.
        layout (str | dict): The skeleton layout, as in
            :class:`SkeletonLayout`. Defaults to 'nw-ucla'.
        split (str): 'train' or 'test'. Defaults to 'train'.
        num_sequences (int): Number of sequences. Defaults to 1600.
        seed (int): Not negative. Defaults to 0.
        **kwargs: As :class:`BaseActionDataset` takes, such as ``test_mode``.

    Raises:
        ValueError: ``split``, ``num_sequences`` or ``seed`` is wrong, or the
            skeleton has fewer than four limbs.
    """

    def __init__(self,
                 pipeline: List[Union[dict, Callable]],
                 layout: Union[str, dict] = 'nw-ucla',
                 split: str = 'train',
                 num_sequences: int = 1600,
                 seed: int = 0,
                 **kwargs) -> None:
        if split not in SPLITS:
            raise InputError(f'{type(self).__name__}: split is "{split}", '
                             f'expected one of {", ".join(SPLITS)}.')
        if num_sequences < 1 or seed < 0:
            raise InputError(
                f'{type(self).__name__}: num_sequences is {num_sequences} and '
                f'seed {seed}, expected at least 1 and at least 0.')
        self.layout = SkeletonLayout.get(layout)
        self.split = split
        self.num_sequences = num_sequences
        self.seed = seed
        self.body = _Body(self.layout)
        kwargs = {'ann_file': '', 'modality': 'Pose', **kwargs}
        super().__init__(pipeline=pipeline, **kwargs)
        self._metainfo.setdefault('classes', tuple(
            f'{self.layout.joint_names[limb[0]]}: {program}'
            for limb in self.body.limbs for program in PROGRAMS))

    def load_data_list(self) -> List[dict]:
        """Synthesise all sequences."""
        return [self._sequence(i) for i in range(self.num_sequences)]

    def _sequence(self, index: int) -> dict:
        """Annotation of a sequence, which it alone determines."""
        rng = np.random.default_rng(
            (self.seed, SPLITS.index(self.split), index))
        label = index % (NUM_LIMBS * len(PROGRAMS))
        num_frames = int(rng.integers(*FRAMES, endpoint=True))
        angles = self._angles(rng, label, num_frames)
        lengths = np.append(rng.uniform(*LENGTH, NUM_LIMBS), 1)
        joints = self.body.move(angles, lengths)  # (T, V, 3)
        joints = self._view(rng, joints)
        joints += rng.normal(0, NOISE, joints.shape)
        name = f'{self.layout.name}_{self.seed}_{self.split}_{index:05d}'
        info = dict(frame_dir=name, label=label, total_frames=num_frames)
        if self.layout.dims == 2:
            info.update(self._project(rng, joints))
        else:
            info.update(keypoint=joints[None].astype(np.float32))
        return info

    @staticmethod
    def _angles(rng: np.random.Generator, label: int,
                num_frames: int) -> np.ndarray:
        """Lift and swing of the limbs in radians, shape (2, 4, T)."""
        limb, program = divmod(label, len(PROGRAMS))
        time = np.linspace(0, 1, num_frames)
        size = (2, NUM_LIMBS, 1)
        phases = rng.uniform(0, 2 * np.pi, size)
        angles = rng.uniform(*SWAY, size) * np.sin(
            2 * np.pi * rng.uniform(*SWAY_CYCLES, size) * time + phases)
        angles += rng.uniform(-POSTURE, POSTURE, size)

        # reversed in time this pace is one with the phase negated, and so as
        # likely as before
        phase, strength = rng.uniform(0, 2 * np.pi), rng.uniform(*WARP)
        time = time + strength / (2 * np.pi) * (
            np.sin(2 * np.pi * time + phase) - np.sin(phase))
        angles[:, limb] += _act(rng, PROGRAMS[program], time)
        return angles

    @staticmethod
    def _view(rng: np.random.Generator, joints: np.ndarray) -> np.ndarray:
        """A subject of another size, elsewhere, from another side."""
        turn = (_about_axis(0, rng.uniform(-TILT, TILT))
                @ _about_axis(2, rng.uniform(-TILT, TILT))
                @ _about_axis(1, rng.uniform(-YAW, YAW)))
        return (rng.uniform(*SIZE) * joints @ turn.T
                + rng.uniform(-SHIFT, SHIFT, 3))

    @staticmethod
    def _project(rng: np.random.Generator, joints: np.ndarray) -> dict:
        """What a detector of poses in images gives: without the depth."""
        height, width = IMAGE_SHAPE
        pixels = joints[..., :2] * (PIXELS_PER_METRE, -PIXELS_PER_METRE)
        pixels += width / 2, height / 2 + PIXELS_PER_METRE  # 1 m: the middle
        scores = rng.uniform(*CONFIDENCE, joints.shape[:2])
        return dict(keypoint=pixels[None].astype(np.float32),
                    keypoint_score=scores[None].astype(np.float32),
                    img_shape=IMAGE_SHAPE, original_shape=IMAGE_SHAPE)


def _act(rng: np.random.Generator, program: str,
         time: np.ndarray) -> np.ndarray:
    """Lift and swing of the limb that acts.

    Args:
        rng (Generator): Source of the amplitude, cycles and phase.
        program (str): One of :data:`PROGRAMS`.
        time (ndarray): From 0 to 1, shape (T, ).

    Returns:
        ndarray: Angles in radians, shape (2, T).
    """
    lift, swing = rng.uniform(*LIFT), rng.uniform(*SWING)
    phase = rng.uniform(0, 2 * np.pi)
    cycles = rng.uniform(*CYCLES.get(program, CYCLES['half']))
    if program in CYCLES:
        swing = swing * np.sin(2 * np.pi * cycles * time + phase)
        return np.stack([np.zeros_like(time), swing])
    half = 2 * time % 1
    lifts = (time < 0.5) == (program == 'lift then swing')
    rise = np.sin(np.pi * half)
    lift = lift * rise**2
    swing = swing * rise * np.sin(2 * np.pi * cycles * half + phase)
    return np.stack([lift * lifts, swing * ~lifts])
