"""What the player and the GIFs show: moving skeletons, seen from a side."""
import re
from dataclasses import dataclass, field
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout

# Azimuth and elevation of the viewer in degrees. (0, 0) is the position of a
# Kinect sensor: x points to its left, y up, z away from it.
VIEWS = dict(front=(0, 0), side=(90, 0), back=(180, 0), top=(0, 90),
             oblique=(35, 15))
# Colors of each person: trunk, left, right. The fifth person has those of the
# first.
PALETTE = (('#2d3748', '#2b6cb0', '#c05621'),
           ('#8a6d4b', '#2f855a', '#b83280'),
           ('#5f7f8f', '#0b98a8', '#b7860b'),
           ('#7a6ab0', '#6b46c1', '#c53030'))
SIDES = ('trunk', 'left', 'right')
BANDS = ('#9fb8d9', '#e0b48c')  # colors of a timeline, in turn

FRAME_TIME = 40  # milliseconds
# relative to the side of a panel
FILL = 0.86  # diameter of the circle that the skeleton fills
BONE_WIDTH = 3 / 320
JOINT_RADIUS = 3.5 / 320


@dataclass
class Panel:
    """One of the drawings side by side.

    Args:
        caption (str): Its caption.
        points (ndarray): Joints as :func:`to_points` returns, (M, T, V, 3).
        weights (ndarray, optional): Areas of the joints' dots, (M, V).
            Defaults to 1.
    """
    caption: str
    points: np.ndarray
    weights: Optional[np.ndarray] = None

    def __post_init__(self) -> None:
        if self.weights is None:
            persons, _, joints = self.points.shape[:3]
            self.weights = np.ones((persons, joints))


class Segment(NamedTuple):
    """A labeled part of an animation."""
    start: int
    end: int  # first step after it
    text: str
    height: float = 1  # of its band in the timeline, from 0 to 1


@dataclass
class Animation:
    """A sequence to draw.

    Args:
        name (str): Name of the sequence.
        class_name (str): Name of its class.
        panels (list[Panel]): One or more drawings, side by side. Each is
            stretched over the duration of the longest.
        note (str): A line below the title. Defaults to ''.
        timeline (list[Segment]): Consecutive segments. Defaults to none.
    """
    name: str
    class_name: str
    panels: List[Panel]
    note: str = ''
    timeline: List[Segment] = field(default_factory=list)

    @property
    def num_steps(self) -> int:
        """Number of steps, at least one."""
        return max(1, *(panel.points.shape[1] for panel in self.panels))


def to_points(data: np.ndarray, layout: SkeletonLayout) -> np.ndarray:
    """Convert joints to the axes of a Kinect; missing ones become NaN.

    A person whose joints are all zero in a frame is missing from it. A joint
    is missing if it is not finite or, in two dimensions, has confidence 0.

    Args:
        data (ndarray): Joints, (M, T, V, C). The third channel of
            two-dimensional data is the confidence.
        layout (SkeletonLayout): The layout.

    Returns:
        ndarray: x to the left, y up, z away, float64, (M, T, V, 3).

    Raises:
        InputError: The shape does not match the layout.
    """
    data = np.asarray(data, dtype=np.float64)
    if (data.ndim != 4 or data.shape[2] != layout.num_joints
            or not layout.dims <= data.shape[3] <= 3):
        raise InputError(
            f'the joints have shape {data.shape}, expected (persons, frames, '
            f'{layout.num_joints} joints, {layout.dims} to 3 channels) in the '
            f'layout "{layout.name}".')
    places = data[..., :layout.dims]
    there = np.isfinite(places).all(axis=-1)  # (M, T, V)
    there &= (there & places.any(axis=-1)).any(axis=-1, keepdims=True)
    if layout.dims == 2:
        if data.shape[3] == 3:
            there &= data[..., 2] > 0
        # in an image, x points to the right and y down
        places = np.pad(-places, [(0, 0)] * 3 + [(0, 1)])
    return np.where(there[..., None], places, np.nan)


def joints_of(annotation: dict) -> np.ndarray:
    """Joints of an annotation with their confidence, (M, T, V, C)."""
    keypoint = np.asarray(annotation['keypoint'], dtype=np.float32)
    score = annotation.get('keypoint_score')
    if score is None or keypoint.shape[-1] != 2:
        return keypoint
    return np.concatenate(
        [keypoint, np.asarray(score, dtype=np.float32)[..., None]], axis=-1)


def project(points: np.ndarray, azimuth: float,
            elevation: float) -> np.ndarray:
    """Project points (..., 3) to the right and up in the picture, (..., 2).

    Azimuth, in degrees, is counted from the sensor towards the left side of a
    person who faces it.
    """
    a, e = np.radians([azimuth, elevation])
    axes = np.array([[-np.cos(a), 0, np.sin(a)],
                     [np.sin(a) * np.sin(e), np.cos(e),
                      np.cos(a) * np.sin(e)]])
    return points @ axes.T


def fit(points: np.ndarray) -> np.ndarray:
    """Shift and scale all points (..., D) together into the unit ball."""
    finite = points[np.isfinite(points).all(axis=-1)]  # (P, D)
    if not len(finite):
        return points
    middle = (finite.min(axis=0) + finite.max(axis=0)) / 2
    radius = np.linalg.norm(finite - middle, axis=-1).max()
    return (points - middle) / (radius or 1)


def joint_sides(layout: SkeletonLayout) -> List[int]:
    """Index in :data:`SIDES` of each joint, from ``layout.mirror``."""
    sides = [0] * layout.num_joints
    for left, right in layout.mirror:
        sides[left], sides[right] = 1, 2
    return sides


def bone_sides(layout: SkeletonLayout) -> List[int]:
    """Index in :data:`SIDES` of each edge.

    An edge from the trunk to a side belongs to that side, an edge from left
    to right to the trunk.
    """
    sides = joint_sides(layout)
    return [max(pair) if 0 in pair or pair[0] == pair[1] else 0
            for pair in ((sides[i], sides[j]) for i, j in layout.edges)]


def legend(animation: Animation,
           layout: SkeletonLayout) -> List[Tuple[str, str]]:
    """(text, color) of each person's sides; none if all has one color."""
    persons = max(len(panel.points) for panel in animation.panels)
    sides = SIDES if layout.mirror else SIDES[:1]
    entries = [(f'person {person + 1}, {side}' if persons > 1 else side, color)
               for person, colors in enumerate(PALETTE[:persons])
               for side, color in zip(sides, colors)]
    return entries if len(entries) > 1 else []


def file_names(names: Sequence[str]) -> List[str]:
    """Turn names of sequences into names of files, all different."""
    safe = [re.sub(r'[^\w.-]+', '_', name) for name in names]
    return [name if safe.count(name) == 1 else f'{name}_{index}'
            for index, name in enumerate(safe)]
