"""Animated GIFs of skeletons, drawn with matplotlib."""
import math
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from ..utils.atomic_write import atomic_write
from ..utils.skeleton_layout import SkeletonLayout
from . import skeleton_animation as scene
from .colors import PALETTE

PAPER, INK, GRAY = '#f5f5f2', '#1a202c', '#718096'
# sizes in pixels
DPI = 72  # makes a point, matplotlib's unit of lines and fonts, one pixel
PANEL, GAP = 320, 12
HEADER = 108  # title, note and captions
TIMELINE, LEGEND = 34, 60


def write_gif(path: Path, animation: scene.Animation, layout: SkeletonLayout,
              view: tuple[float, float]) -> None:
    """Write an animated GIF. Missing folders are created.

    ``view`` is the azimuth and elevation in degrees; it is ignored in 2D.
    """
    images = draw_frames(animation, layout, view)
    first = next(images)
    # all frames share the colors of the first, so that nothing flickers
    colors = first.quantize(method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    frames = (image.quantize(palette=colors, dither=Image.Dither.NONE)
              for image in chain([first], images))
    with atomic_write(path) as partial:
        # one frame at a time, because a long recording would fill the memory
        next(frames).save(partial, format='GIF', save_all=True,
                          append_images=frames, loop=0,
                          duration=scene.FRAME_TIME)


def draw_frames(animation: scene.Animation, layout: SkeletonLayout,
                view: tuple[float, float]) -> Iterator[Image.Image]:
    """Yield RGB frames with panels side by side; see :func:`write_gif`."""
    view = view if layout.dims == 3 else scene.VIEWS['front']
    entries = scene.legend(animation, layout)
    bottom = (GAP + LEGEND * bool(entries)
              + TIMELINE * bool(animation.timeline))
    width = GAP + len(animation.panels) * (PANEL + GAP)
    height = HEADER + PANEL + bottom
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(figure)

    def box(left: float, low: float, wide: float, high: float, **limits):
        axes = figure.add_axes(
            (left / width, low / height, wide / width, high / height),
            facecolor=PAPER, xticks=[], yticks=[], **limits)
        axes.spines[:].set_visible(False)
        return axes

    figure.text(GAP / width, 1 - 10 / height,
                f'{animation.name}  {animation.class_name}\n{animation.note}',
                size=14, color=INK, va='top', parse_math=False, wrap=True)
    figure.legend(handles=[Patch(color=color, label=text)
                           for text, color in entries], loc='lower left',
                  ncols=min(3, math.ceil(len(entries) / 3)) or 1,
                  frameon=False, fontsize=9, handlelength=1, columnspacing=1)
    limits = -1 / scene.FILL, 1 / scene.FILL
    moves = [_add_panel(
        box(GAP + index * (PANEL + GAP), bottom, PANEL, PANEL, xlim=limits,
            ylim=limits), panel, animation.num_steps, layout, view)
        for index, panel in enumerate(animation.panels)]
    if animation.timeline:
        moves.append(_add_timeline(
            box(GAP, bottom - TIMELINE, width - 2 * GAP, 10,
                xlim=(0, animation.num_steps), ylim=(0, 1)), animation))
    canvas.draw()  # draws the background only once
    background = canvas.copy_from_bbox(figure.bbox)
    for step in range(animation.num_steps):
        canvas.restore_region(background)
        for move in moves:
            move(step)
        for artist in figure.findobj(Artist.get_animated):
            figure.draw_artist(artist)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())).convert('RGB')


def _add_panel(axes: Axes, panel: scene.Panel, num_steps: int,
               layout: SkeletonLayout,
               view: tuple[float, float]) -> Callable[[int], None]:
    """Set up a panel, and return a function that moves it to a step."""
    edges = list(layout.edges)
    # all frames share one scale, so that nothing jumps
    places = scene.fit(scene.project(panel.points, *view))  # (M, T, V, 2)
    colors = np.array([to_rgba_array(colors) for colors in PALETTE])
    colors = colors[np.arange(len(places)) % len(PALETTE)]  # (M, sides, 4)
    bone_colors = colors[:, scene.bone_sides(layout)]  # (M, E, 4)
    joint_colors = colors[:, scene.joint_sides(layout)]  # (M, V, 4)
    width, diameter = (PANEL * size for size in (
        scene.BONE_WIDTH, 2 * scene.JOINT_RADIUS))
    axes.set_title(panel.caption, loc='left', size=13, color=INK,
                   parse_math=False)
    counter = axes.set_title('', loc='right', size=13, color=GRAY,
                             animated=True)
    bones = axes.add_collection(LineCollection(
        [], linewidths=width, capstyle='round', animated=True))
    dots = axes.scatter([], [], linewidth=0, animated=True)

    def move(step: int) -> None:
        total = places.shape[1]
        now = step * total // num_steps
        counter.set_text(f'frame {now + 1}/{total}')
        joints = places[:, now]  # (M, V, 2)
        lines = joints[:, edges]  # (M, E, 2, 2)
        there = np.isfinite(lines).all(axis=(2, 3))
        bones.set(segments=lines[there], color=bone_colors[there])
        there = np.isfinite(joints).all(axis=2)
        dots.set(offsets=joints[there], facecolor=joint_colors[there],
                 sizes=diameter**2 * panel.weights[there])

    return move


def _add_timeline(axes: Axes,
                  animation: scene.Animation) -> Callable[[int], None]:
    """Set up the timeline, and return a function that moves it to a step."""
    for start, end, _, color, height in animation.timeline:
        axes.bar(start, height, end - start, align='edge', color=color)
    cursor = axes.axvline(0, color=INK, linewidth=3, animated=True)
    label = axes.set_title('', loc='left', size=13, color=INK, animated=True,
                           parse_math=False)

    def move(step: int) -> None:
        cursor.set_xdata([step + 0.5] * 2)
        label.set_text(''.join(
            segment.text for segment in animation.timeline
            if segment.start <= step < segment.end))

    return move
