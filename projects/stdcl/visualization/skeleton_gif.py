"""Moving skeletons as GIFs, drawn with matplotlib."""
import math
from pathlib import Path
from typing import Callable, Iterator, Sequence, Tuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb, to_rgba_array
from matplotlib.figure import Figure
from PIL import Image

from ..utils.atomic_write import atomic_write
from ..utils.skeleton_layout import SkeletonLayout
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
from .views import VIEWS, fit, project

PAPER, INK, GRAY = '#f5f5f2', '#1a202c', '#718096'
# sizes in pixels
DPI = 72  # so that a point, matplotlib's unit of lines and fonts, is a pixel
PANEL, GAP = 320, 12
HEADER = 90  # title, note and captions
TIMELINE, LEGEND_ROW, LEGEND_COLUMN = 34, 18, 110
LEGEND_COLUMNS = 3
SHADES = 17  # of each color on paper


def write_gif(path: Path, animation: Animation, layout: SkeletonLayout,
              view: Tuple[float, float]) -> None:
    """Write an animated GIF, complete or not at all.

    Args:
        path (Path): The file; missing folders are created.
        animation (Animation): What to draw.
        layout (SkeletonLayout): The bones.
        view (tuple): Azimuth and elevation in degrees; ignored in 2D.
    """
    table = _color_table()
    frames = (image.quantize(palette=table, dither=Image.Dither.NONE)
              for image in draw_frames(animation, layout, view))
    with atomic_write(path) as partial:
        # one frame at a time, as long recordings would fill the memory
        next(frames).save(partial, format='GIF', save_all=True,
                          append_images=frames, duration=FRAME_TIME, loop=0)


def draw_frames(animation: Animation, layout: SkeletonLayout,
                view: Tuple[float, float]) -> Iterator[Image.Image]:
    """Draw an animation frame by frame.

    Args:
        animation, layout, view: As in :func:`write_gif`.

    Yields:
        Image: RGB, panels side by side.
    """
    view = view if layout.dims == 3 else VIEWS['front']
    entries = legend(animation, layout)
    rows = math.ceil(len(entries) / LEGEND_COLUMNS)
    bottom = GAP + LEGEND_ROW * rows
    if animation.timeline:
        bottom += TIMELINE
    width = GAP + len(animation.panels) * (PANEL + GAP)
    height = HEADER + PANEL + bottom
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(figure)

    def box(left: float, low: float, wide: float, high: float, **limits):
        return figure.add_axes(
            (left / width, low / height, wide / width, high / height),
            facecolor=PAPER, xticks=[], yticks=[], **limits)

    _write_texts(figure, animation, entries, height - 4 - LEGEND_ROW * rows)
    moves = [_add_panel(
        box(GAP + index * (PANEL + GAP), bottom, PANEL, PANEL,
            xlim=(-1 / FILL, 1 / FILL), ylim=(-1 / FILL, 1 / FILL)),
        animation, index, layout, view)
        for index in range(len(animation.panels))]
    if animation.timeline:
        moves.append(_add_timeline(
            box(GAP, bottom - TIMELINE, width - 2 * GAP, 10,
                xlim=(0, animation.num_steps), ylim=(0, 1)), animation))
    # draw what does not move only once
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    moving = sorted(figure.findobj(Artist.get_animated),
                    key=Artist.get_zorder)
    for step in range(animation.num_steps):
        canvas.restore_region(background)
        for move in moves:
            move(step)
        for artist in moving:
            figure.draw_artist(artist)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())).convert('RGB')


def _write_texts(figure: Figure, animation: Animation,
                 entries: Sequence[Tuple[str, str]], low: int) -> None:
    """Write title and note, and the legend from ``low`` pixels downwards."""
    width, height = figure.bbox.size

    def write(left: float, top: float, text: str, size: int, color: str):
        return figure.text(left / width, 1 - top / height, text, size=size,
                           color=color, va='top', parse_math=False, wrap=True)

    title = write(GAP, 10, animation.name, 17, INK)
    write(title.get_window_extent().x1 + GAP, 10, animation.class_name, 17,
          GRAY)
    write(GAP, 36, animation.note, 12, GRAY)
    for index, (text, color) in enumerate(entries):
        row, column = divmod(index, LEGEND_COLUMNS)
        write(GAP + LEGEND_COLUMN * column, low + LEGEND_ROW * row,
              f'\N{BLACK CIRCLE} {text}', 11, color)


def _add_panel(axes: Axes, animation: Animation, index: int,
               layout: SkeletonLayout,
               view: Tuple[float, float]) -> Callable[[int], None]:
    """Set up a panel; returns a function that moves it to a step."""
    panel, edges = animation.panels[index], list(layout.edges)
    # all frames have the same scale, so that nothing jumps
    places = fit(project(panel.points, *view))  # (M, T, V, 2)
    bone_colors, joint_colors = (
        _person_colors(len(places), sides(layout))
        for sides in (bone_sides, joint_sides))
    axes.spines[:].set_visible(False)
    axes.set_title(panel.caption, loc='left', size=13, color=INK,
                   parse_math=False)
    counter = axes.set_title('', loc='right', size=13, color=GRAY,
                             animated=True)
    bones = axes.add_collection(LineCollection(
        [], linewidths=BONE_WIDTH * PANEL, capstyle='round', zorder=2,
        animated=True))
    dots = axes.scatter([], [], linewidth=0, zorder=3, animated=True)

    def move(step: int) -> None:
        now, total = animation.frame_at(step, panel), places.shape[1]
        counter.set_text(f'frame {min(now + 1, total)}/{total}')
        if not total:
            return
        joints = places[:, now]  # (M, V, 2)
        lines = joints[:, edges]  # (M, E, 2, 2)
        there = np.isfinite(lines).all(axis=(2, 3))
        bones.set(segments=lines[there], color=bone_colors[there])
        there = np.isfinite(joints).all(axis=2)
        dots.set(offsets=joints[there], facecolor=joint_colors[there],
                 sizes=(2 * JOINT_RADIUS * PANEL)**2 * panel.weights[there])

    return move


def _add_timeline(axes: Axes,
                  animation: Animation) -> Callable[[int], None]:
    """Set up the timeline; returns a function that moves it to a step."""
    axes.spines[:].set_visible(False)
    for index, (start, end, _, height) in enumerate(animation.timeline):
        axes.bar(start, height, end - start, align='edge',
                 color=BANDS[index % len(BANDS)])
    cursor = axes.axvline(0, color=INK, linewidth=3, animated=True)
    label = axes.set_title('', loc='left', size=13, color=INK, animated=True,
                           parse_math=False)

    def move(step: int) -> None:
        cursor.set_xdata([step + 0.5] * 2)
        label.set_text(animation.label_at(step))

    return move


def _person_colors(persons: int, sides: Sequence[int]) -> np.ndarray:
    """RGBA of each joint or bone by its side, (M, V or E, 4)."""
    colors = np.array([to_rgba_array(colors) for colors in PALETTE])
    return colors[np.arange(persons) % len(PALETTE)][:, list(sides)]


def _color_table() -> Image.Image:
    """All colors in steps to that of the paper.

    All frames share it. A GIF whose frames have tables of their own flickers.
    """
    paper = np.array(to_rgb(PAPER))
    colors = [(1, 1, 1), *map(to_rgb, BANDS)]
    for color in (INK, GRAY, *sum(PALETTE, ())):
        colors += [paper + (np.array(to_rgb(color)) - paper) * share
                   for share in np.linspace(0, 1, SHADES)]
    table = Image.new('P', (1, 1))
    table.putpalette(np.rint(255 * np.array(colors)).astype(np.uint8)
                     .tobytes())
    return table
