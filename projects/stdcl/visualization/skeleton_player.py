"""Moving skeletons as an HTML page with a player."""
from pathlib import Path
from typing import Sequence, Tuple

import numpy as np

from ..utils.atomic_write import atomic_write
from ..utils.skeleton_layout import SkeletonLayout
from .page import render_page
from .skeleton_animation import (
    BANDS,
    BONE_WIDTH,
    FILL,
    FRAME_TIME,
    JOINT_RADIUS,
    PALETTE,
    Animation,
    bone_sides,
    joint_sides,
    legend,
)
from .views import VIEWS, fit


def write_player(path: Path, title: str, animations: Sequence[Animation],
                 layout: SkeletonLayout, view: Tuple[float, float]) -> None:
    """Write a page with a player, complete or not at all.

    Args:
        path (Path): The file; missing folders are created.
        title, animations, layout, view: As in :func:`player_page`.
    """
    page = player_page(title, animations, layout, view)
    with atomic_write(path) as partial:
        partial.write_text(page, encoding='utf-8')


def player_page(title: str, animations: Sequence[Animation],
                layout: SkeletonLayout, view: Tuple[float, float]) -> str:
    """Make a page that plays animations; dragging turns 3D skeletons.

    Args:
        title (str): Title of the page.
        animations (sequence[Animation]): One or more, listed on the page.
        layout (SkeletonLayout): The bones.
        view (tuple): Azimuth and elevation to start with, in degrees; ignored
            in 2D.

    Returns:
        str: HTML that needs no other file and no network.
    """
    turns = layout.dims == 3
    return render_page('skeleton_player', title, dict(
        view=view if turns else VIEWS['front'], turns=turns,
        time=FRAME_TIME, fill=FILL, bone=BONE_WIDTH, joint=JOINT_RADIUS,
        colors=PALETTE, bands=BANDS, edges=layout.edges,
        bone_sides=bone_sides(layout), joint_sides=joint_sides(layout),
        sequences=[dict(
            name=animation.name, class_name=animation.class_name,
            note=animation.note, steps=animation.num_steps,
            timeline=animation.timeline,
            legend=legend(animation, layout),
            panels=[dict(caption=panel.caption,
                         radii=np.sqrt(panel.weights).round(2).tolist(),
                         frames=_to_numbers(panel.points))
                    for panel in animation.panels])
            for animation in animations]))


def _to_numbers(points: np.ndarray) -> list:
    """Round points (M, T, V, 3) to thousandths of the unit ball.

    Returns:
        list: ``[T][M][V]``, each [x, y, z] or None if missing.
    """
    thousandths = np.rint(1000 * fit(points)).swapaxes(0, 1)  # (T, M, V, 3)
    return [[[None if np.isnan(joint).any() else [int(x) for x in joint]
              for joint in person] for person in frame]
            for frame in thousandths]
