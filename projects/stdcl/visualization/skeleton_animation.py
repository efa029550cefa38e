"""What the player and the GIFs show: moving skeletons and notes on them."""
import re
from dataclasses import dataclass, field
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout

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
        caption (str): Its caption, such as "before (1, 40, 20, 3)".
        points (ndarray): Joints as :func:`to_points` returns, (M, T, V, 3).
        weights (ndarray, optional): Areas of the joints' dots relative to the
            default, (M, V). Defaults to 1.
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

    @property
    def num_persons(self) -> int:
        """Largest number of persons in a panel."""
        return max(len(panel.points) for panel in self.panels)

    def frame_at(self, step: int, panel: Panel) -> int:
        """The frame that a panel shows at a step."""
        return step * panel.points.shape[1] // self.num_steps

    def label_at(self, step: int) -> str:
        """The text of the segment that contains a step, '' outside."""
        return next((segment.text for segment in self.timeline
                     if segment.start <= step < segment.end), '')


def to_points(data: np.ndarray, layout: SkeletonLayout) -> np.ndarray:
    """Convert joints to the axes of a Kinect; missing ones become NaN.

    A person whose joints are all zero in a frame is missing from it. A joint
    is missing if it is not finite or, in two dimensions, has confidence 0.

    Args:
        data (ndarray): Joints, (M, T, V, C) with at least ``layout.dims``
            channels. The third channel of two-dimensional data is the
            confidence.
        layout (SkeletonLayout): The layout.

    Returns:
        ndarray: x to the left, y up, z away, float64, (M, T, V, 3).

    Raises:
        InputError: The shape does not match the layout.
    """
    data = np.asarray(data, dtype=np.float64)
    if data.ndim != 4:
        raise InputError(f'the joints have shape {data.shape}, expected '
                         '(persons, frames, joints, channels).')
    if data.shape[2] != layout.num_joints:
        raise InputError(
            f'the data have {data.shape[2]} joints, expected the '
            f'{layout.num_joints} of the layout "{layout.name}".')
    if not layout.dims <= data.shape[3] <= 3:
        raise InputError(
            f'a joint has {data.shape[3]} channels, expected the '
            f'{layout.dims} dimensions of the layout "{layout.name}".')
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
    """Joints of an annotation with their confidence, (M, T, V, C).

    Raises:
        InputError: It has no ``keypoint``.
    """
    if 'keypoint' not in annotation:
        raise InputError(
            f'the annotation has {", ".join(map(str, annotation))}, expected '
            'keypoint among them.')
    keypoint = np.asarray(annotation['keypoint'], dtype=np.float32)
    score = annotation.get('keypoint_score')
    if score is None or keypoint.shape[-1] != 2:
        return keypoint
    return np.concatenate(
        [keypoint, np.asarray(score, dtype=np.float32)[..., None]], axis=-1)


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
    persons = min(animation.num_persons, len(PALETTE))
    sides = SIDES if layout.mirror else SIDES[:1]
    entries = []
    for person in range(persons):
        for side, color in zip(sides, PALETTE[person]):
            words = [f'person {person + 1}'] if persons > 1 else []
            words += [side] if len(sides) > 1 else []
            entries.append((', '.join(words), color))
    return entries if len(entries) > 1 else []


def file_names(names: Sequence[str]) -> List[str]:
    """Turn names of sequences into names of files, all different."""
    taken: List[str] = []
    for index, name in enumerate(names):
        name = re.sub(r'[^\w.-]+', '_', name)
        while name in taken:
            name = f'{name}_{index}'
        taken.append(name)
    return taken
