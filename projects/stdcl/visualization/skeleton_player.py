"""HTML pages with a player of skeleton animations."""
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template

import numpy as np

from ..utils.skeleton_layout import SkeletonLayout
from . import skeleton_animation as scene
from .colors import PALETTE


def player_page(title: str, animations: Sequence[scene.Animation],
                layout: SkeletonLayout, view: tuple[float, float]) -> str:
    """Return an HTML page that lists and plays one or more animations.

    The page needs no other file and no network. Dragging turns 3D skeletons.
    ``view`` is their initial azimuth and elevation in degrees.
    """
    turns = layout.dims == 3
    return render_page('skeleton_player', title, dict(
        view=view if turns else scene.VIEWS['front'], turns=turns,
        time=scene.FRAME_TIME, fill=scene.FILL, bone=scene.BONE_WIDTH,
        joint=scene.JOINT_RADIUS, colors=PALETTE, edges=layout.edges,
        bone_sides=scene.bone_sides(layout),
        joint_sides=scene.joint_sides(layout),
        sequences=[dict(
            name=animation.name, class_name=animation.class_name,
            note=animation.note, steps=animation.num_steps,
            timeline=animation.timeline,
            legend=scene.legend(animation, layout),
            panels=[dict(caption=panel.caption,
                         radii=np.sqrt(panel.weights).round(2).tolist(),
                         frames=_to_numbers(panel.points))
                    for panel in animation.panels])
            for animation in animations]))


def _to_numbers(points: np.ndarray) -> list:
    """List points (M, T, V, 3) as [T][M][V][3 or None], in thousandths."""
    thousandths = np.rint(1000 * scene.fit(points))
    return [[[None if np.isnan(joint).any() else [int(x) for x in joint]
              for joint in person] for person in frame]
            for frame in thousandths.swapaxes(0, 1)]  # (T, M, V, 3)


def render_page(name: str, title: str, data: dict, **parts: str) -> str:
    """Fill the template ``NAME.html`` of this package, and return the page.

    The page contains ``NAME.css`` and ``NAME.js``. The script reads ``data``
    as JSON. ``parts`` are further texts, which are escaped.
    """
    folder = files(__package__)
    style, script, page = ((folder / f'{name}.{kind}').read_text('utf-8')
                           for kind in ('css', 'js', 'html'))
    text = json.dumps(data, separators=(',', ':'), allow_nan=False)
    return Template(page).substitute(
        title=html.escape(title), style=style, script=script,
        # a "<" in a string could end the script element
        data=text.replace('<', '\\u003c'),
        **{key: html.escape(part) for key, part in parts.items()})
