"""Animations of skeletons, shown in the player and in GIFs."""
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..utils.input_error import InputError, printable
from ..utils.skeleton_layout import SkeletonLayout
from .colors import COLORS, PALETTE

# Azimuth and elevation of the viewer in degrees. (0, 0) is the position of a
# Kinect sensor, whose axes point to its left (x), up (y) and away from it (z).
VIEWS = dict(front=(0, 0), side=(90, 0), back=(180, 0), top=(0, 90),
             oblique=(35, 15))
SIDES = ('trunk', 'left', 'right')

FRAME_TIME = 40  # milliseconds
# lengths relative to the side of a panel
FILL = 0.86  # diameter of the circle that encloses the skeleton
BONE_WIDTH = 3 / 320
JOINT_RADIUS = 3.5 / 320


@dataclass
class Panel:
    """A drawing of a sequence; an animation shows one or more panels."""
    caption: str
    points: np.ndarray  # from to_points(), (M, T, V, 3)
    # relative areas of the joints, (M, V); None sets them to 1
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.weights is None:
            persons, _, joints = self.points.shape[:3]
            self.weights = np.ones((persons, joints))


class Segment(NamedTuple):
    """A labeled part of an animation."""
    start: int
    end: int  # first step after the segment
    text: str
    color: str = COLORS[0]  # in the timeline
    height: float = 1  # in the timeline, from 0 to 1


@dataclass
class Animation:
    """A sequence to draw."""
    name: str
    class_name: str
    # one or more drawings; each is stretched to the duration of the longest
    panels: list[Panel]
    note: str = ''  # line below the title
    timeline: list[Segment] = field(default_factory=list)  # consecutive

    def __post_init__(self) -> None:
        self.name = printable(self.name)
        self.class_name = printable(self.class_name)

    @property
    def num_steps(self) -> int:
        """Number of frames in the longest panel."""
        return max(panel.points.shape[1] for panel in self.panels)


def to_points(data: np.ndarray, layout: SkeletonLayout,
              up: str = 'y') -> np.ndarray:
    """Map joints (M, T, V, C) to float64 points (M, T, V, 3).

    Points use the axes of :data:`VIEWS`. ``up`` is the vertical axis of 3D
    data. In two dimensions, y points down, a third channel is the confidence,
    and the depth is set to 0. Missing joints become NaN: those of absent
    persons, and any joint that is not finite or has confidence 0. An
    ``InputError`` is raised if the shape does not match the layout.
    """
    data = np.asarray(data, dtype=np.float64)
    if (data.ndim != 4 or data.shape[2] != layout.num_joints
            or not layout.dims <= data.shape[3] <= 3):
        raise InputError(
            f'the joints have shape {data.shape}, expected (persons, frames, '
            f'{layout.num_joints} joints, {"2 or " * (layout.dims == 2)}3 '
            f'channels) in the layout "{layout.name}".')
    places = data[..., :layout.dims]
    there = np.isfinite(places).all(axis=-1)  # (M, T, V)
    there &= (there & places.any(axis=-1)).any(axis=-1, keepdims=True)
    if layout.dims == 2:
        if data.shape[3] == 3:
            there &= data[..., 2] > 0
        # in an image, x points right, and y points down
        places = np.pad(-places, [(0, 0)] * 3 + [(0, 1)])
    elif up == 'z':  # PreNormalize3D: x is a person's right, y is ahead
        places = places[..., [0, 2, 1]] * [1, 1, -1]
    else:
        places = np.roll(places, 1 - 'xyz'.index(up), axis=-1)
    return np.where(there[..., None], places, np.nan)


def joints_of(annotation: dict) -> np.ndarray:
    """Return joints (M, T, V, C); append the confidence of 2D joints."""
    keypoint = np.asarray(annotation['keypoint'], dtype=np.float32)
    score = annotation.get('keypoint_score')
    if score is None or keypoint.shape[-1] != 2:
        return keypoint
    return np.concatenate(
        [keypoint, np.asarray(score, dtype=np.float32)[..., None]], axis=-1)


def project(points: np.ndarray, azimuth: float,
            elevation: float) -> np.ndarray:
    """Map points (..., 3) to their coordinates (right, up), (..., 2).

    Azimuth and elevation are in degrees. The azimuth increases from the sensor
    toward the left side of a person who faces it.
    """
    a, e = np.radians([azimuth, elevation])
    axes = np.array([[-np.cos(a), 0, np.sin(a)],
                     [np.sin(a) * np.sin(e), np.cos(e),
                      np.cos(a) * np.sin(e)]])
    return points @ axes.T


def fit(points: np.ndarray) -> np.ndarray:
    """Shift and scale points (..., D) into the unit ball; NaN stays NaN."""
    finite = points[np.isfinite(points).all(axis=-1)]  # (P, D)
    if not len(finite):
        return points
    middle = (finite.min(axis=0) + finite.max(axis=0)) / 2
    radius = np.linalg.norm(finite - middle, axis=-1).max()
    return (points - middle) / (radius or 1)


def joint_sides(layout: SkeletonLayout) -> list[int]:
    """Return the index in :data:`SIDES` of each joint."""
    sides = [0] * layout.num_joints
    for left, right in layout.mirror:
        sides[left], sides[right] = 1, 2
    return sides


def bone_sides(layout: SkeletonLayout) -> list[int]:
    """Return the index in :data:`SIDES` of each edge.

    An edge within the trunk, or between left and right, belongs to the trunk.
    """
    sides = joint_sides(layout)
    return [max(pair) if 0 in pair or pair[0] == pair[1] else 0
            for pair in ((sides[i], sides[j]) for i, j in layout.edges)]


def legend(animation: Animation,
           layout: SkeletonLayout) -> list[tuple[str, str]]:
    """Return (text, color) by person and side; [] if there is one color."""
    persons = max(len(panel.points) for panel in animation.panels)
    sides = SIDES if layout.mirror else SIDES[:1]
    entries = [(f'person {person + 1}, {side}' if persons > 1 else side, color)
               for person, colors in enumerate(PALETTE[:persons])
               for side, color in zip(sides, colors)]
    return entries if len(entries) > 1 else []
