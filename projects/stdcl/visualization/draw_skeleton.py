"""Drawing moving skeletons, as a GIF or as an HTML page to turn them in."""
import html
import json
import re
from argparse import ArgumentTypeError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..utils.atomic_write import atomic_write
from ..utils.skeleton_layout import SkeletonLayout

# Azimuth and elevation of the viewer in degrees. At (0, 0) is the sensor of a
# Kinect: y points up, z away from the viewer, x to the left.
VIEWS = dict(front=(0, 0), side=(90, 0), back=(180, 0), top=(0, 90),
             oblique=(35, 15))

# Colours of each person: trunk, left, right. Further persons start anew.
PALETTE = (('#2d3748', '#2b6cb0', '#c05621'),
           ('#8a6d4b', '#2f855a', '#b83280'),
           ('#5f7f8f', '#0b98a8', '#b7860b'),
           ('#7a6ab0', '#6b46c1', '#c53030'))
SIDES = ('trunk', 'left', 'right')
PAGE, PAPER, INK, GRAY = '#ffffff', '#f5f5f2', '#1a202c', '#718096'
BANDS = ('#9fb8d9', '#e0b48c')  # of a timeline, in turn

# Sizes in pixels, time in milliseconds.
PANEL = 320  # side of a panel, a square
GAP = 12
HEADER, CAPTION, FOOTER = 58, 26, 30
BAND = 8  # height of a timeline
FILL = 0.86  # share of a panel that the skeleton fills
BONE, JOINT = 3, 3.5  # width of a bone, radius of a joint
FRAME_TIME = 40
SUPERSAMPLE = 2  # drawn as many times larger, for smooth lines
SHADES = 17  # of each colour on paper, in the GIF's table


@dataclass
class Panel:
    """One of the drawings side by side.

    Args:
        caption (str): What it shows, such as "before (1, 40, 20, 3)".
        points (ndarray): As :func:`to_points` returns, (M, T, V, 3).
        weights (ndarray, optional): Areas of the joints' dots, (M, V), 1 for
            the usual. Defaults to 1 for all.
    """
    caption: str
    points: np.ndarray
    weights: Optional[np.ndarray] = None

    @property
    def radii(self) -> np.ndarray:
        """Of the joints' dots, (M, V), 1 for the usual."""
        persons, _, joints = self.points.shape[:3]
        return np.ones((persons, joints)) if self.weights is None else (
            np.sqrt(self.weights))


class Segment(NamedTuple):
    """A part of an animation of which something is said."""
    start: int
    end: int  # the first step that is not in it
    text: str
    height: float = 1  # of its band in the timeline, from 0 to 1


@dataclass
class Animation:
    """A sequence to draw.

    Args:
        name (str): Name of the sequence.
        class_name (str): Its class.
        panels (list[Panel]): Drawn side by side, at least one. Each is
            stretched over the time of the longest.
        note (str): A line under the title. Defaults to none.
        timeline (list[Segment]): What is said of parts of it, one after the
            other. Defaults to nothing.
    """
    name: str
    class_name: str
    panels: List[Panel]
    note: str = ''
    timeline: List[Segment] = field(default_factory=list)

    @property
    def num_steps(self) -> int:
        """Frames of the animation, at least one."""
        return max(1, *(panel.points.shape[1] for panel in self.panels))


def parse_view(text: str) -> Tuple[float, float]:
    """Read a name in :data:`VIEWS`, or "AZIMUTH,ELEVATION" in degrees.

    Raises:
        ValueError: It is neither.
    """
    if text in VIEWS:
        return VIEWS[text]
    try:
        azimuth, elevation = map(float, text.split(','))
    except ValueError:
        raise ValueError(
            f'the view is "{text}", expected one of {", ".join(VIEWS)} or '
            'AZIMUTH,ELEVATION in degrees, such as 35,15') from None
    return azimuth, elevation


def view_type(text: str) -> Tuple[float, float]:
    """:func:`parse_view` as the type of an argument, whose error is shown."""
    try:
        return parse_view(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def to_points(data: np.ndarray, layout: SkeletonLayout) -> np.ndarray:
    """Positions of the joints that there are, in the axes of a Kinect.

    A person whose joints are all at 0 is missing from that frame; a joint is
    if it is not finite or, of two dimensions, its confidence is 0.

    Args:
        data (ndarray): Joints, (M, T, V, C) with at least ``layout.dims``
            channels; a third channel of two dimensions is the confidence.
        layout (SkeletonLayout): The layout.

    Returns:
        ndarray: x to the left, y up, z away, float64, (M, T, V, 3); NaN
        where a joint is missing.

    Raises:
        ValueError: The shape is not that of the layout.
    """
    data = np.asarray(data, dtype=np.float64)
    if data.ndim != 4:
        raise ValueError(f'the joints have shape {data.shape}, expected '
                         '(persons, frames, joints, channels)')
    if data.shape[2] != layout.num_joints:
        raise ValueError(
            f'the data have {data.shape[2]} joints, but the layout '
            f'"{layout.name}" has {layout.num_joints}')
    if not layout.dims <= data.shape[3] <= 3:
        raise ValueError(
            f'a joint has {data.shape[3]} channels, but the layout '
            f'"{layout.name}" has {layout.dims} dimensions')
    places = data[..., :layout.dims]
    there = np.isfinite(places).all(axis=-1)  # (M, T, V)
    there &= (there & places.any(axis=-1)).any(axis=-1, keepdims=True)
    if layout.dims == 2:
        if data.shape[3] == 3:
            there &= data[..., 2] > 0
        # in images x points to the right and y down
        places = np.pad(-places, [(0, 0)] * 3 + [(0, 1)])
    return np.where(there[..., None], places, np.nan)


def project(points: np.ndarray, azimuth: float,
            elevation: float) -> np.ndarray:
    """Orthographic projection.

    Args:
        points (ndarray): x to the left, y up, z away, (..., 3).
        azimuth (float): Where the viewer stands, in degrees from the sensor
            towards the left side of someone who faces the sensor.
        elevation (float): How far above, in degrees.

    Returns:
        ndarray: To the right and up in the picture, (..., 2).
    """
    a, e = np.radians([azimuth, elevation])
    axes = np.array([[-np.cos(a), 0, np.sin(a)],
                     [np.sin(a) * np.sin(e), np.cos(e),
                      np.cos(a) * np.sin(e)]])
    return points @ axes.T


def fit(points: np.ndarray) -> np.ndarray:
    """Shift and scale all points by the same into the unit ball.

    Args:
        points (ndarray): (..., D); NaN stays.

    Returns:
        ndarray: Of the same shape; the middle of their extent is at 0.
    """
    finite = points[np.isfinite(points).all(axis=-1)]  # (P, D)
    if not len(finite):
        return points
    middle = (finite.min(axis=0) + finite.max(axis=0)) / 2
    radius = np.linalg.norm(finite - middle, axis=-1).max()
    return (points - middle) / (radius or 1)


def joint_sides(layout: SkeletonLayout) -> List[int]:
    """Index in :data:`SIDES` of each joint, by ``layout.mirror``."""
    sides = [0] * layout.num_joints
    for left, right in layout.mirror:
        sides[left], sides[right] = 1, 2
    return sides


def bone_sides(layout: SkeletonLayout) -> List[int]:
    """Index in :data:`SIDES` of each edge.

    One that leads from the trunk to a side is of that side.
    """
    sides = joint_sides(layout)
    return [max(pair) if 0 in pair or pair[0] == pair[1] else 0
            for pair in ((sides[i], sides[j]) for i, j in layout.edges)]


def frame_at(step: int, num_steps: int, num_frames: int) -> int:
    """The frame of a panel to show at a step of the animation."""
    return step * num_frames // num_steps


def segment_at(timeline: Sequence[Segment], step: int) -> str:
    """What is said of a step."""
    return next((segment.text for segment in timeline
                 if segment.start <= step < segment.end), '')


def panel_corner(index: int) -> Tuple[int, int]:
    """Left and top of a panel in the picture."""
    return GAP + index * (PANEL + GAP), HEADER + CAPTION


def image_size(num_panels: int) -> Tuple[int, int]:
    """Width and height of the picture."""
    left, top = panel_corner(num_panels)
    return left, top + PANEL + FOOTER


def to_pixels(points: np.ndarray, view: Tuple[float, float],
              index: int) -> np.ndarray:
    """Where the joints of a panel are in the picture.

    Args:
        points (ndarray): As :func:`to_points` returns, (M, T, V, 3).
        view (tuple): Azimuth and elevation in degrees.
        index (int): Number of the panel.

    Returns:
        ndarray: Pixels to the right and down, (M, T, V, 2). The scale is the
        same in all frames, so that nothing jumps.
    """
    middle = np.add(panel_corner(index), PANEL / 2)
    half = FILL * PANEL / 2
    return middle + fit(project(points, *view)) * (half, -half)


class _Canvas:
    """A picture drawn :data:`SUPERSAMPLE` times larger than it will be."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.draw = ImageDraw.Draw(image)

    @classmethod
    def blank(cls, size: Tuple[int, int]):
        return cls(Image.new(
            'RGB', [SUPERSAMPLE * side for side in size], PAGE))

    def copy(self):
        return type(self)(self.image.copy())

    def square(self, corner: tuple, side: int, color: str) -> None:
        left, top = corner
        self.draw.rounded_rectangle(
            [SUPERSAMPLE * x for x in (left, top, left + side - 1,
                                       top + side - 1)],
            radius=SUPERSAMPLE * 8, fill=color)

    def bar(self, left: float, right: float, top: float, height: float,
            color: str) -> None:
        self.draw.rectangle([SUPERSAMPLE * x for x in (
            left, top, right, top + height)], fill=color)

    def line(self, ends: np.ndarray, color: str) -> None:
        self.draw.line(tuple(SUPERSAMPLE * ends.ravel()), fill=color,
                       width=SUPERSAMPLE * BONE)

    def dot(self, center: np.ndarray, radius: float, color: str) -> None:
        self.draw.circle(tuple(SUPERSAMPLE * np.asarray(center)),
                         SUPERSAMPLE * radius, fill=color)

    def text(self, place: tuple, text: str, size: int, color: str,
             width: float, anchor: str = 'ls') -> float:
        """Write on one line, shortened to a width; returns its width."""
        font = ImageFont.load_default(SUPERSAMPLE * size)
        shown = text
        while font.getlength(shown) > SUPERSAMPLE * width:
            text = text[:-1]
            shown = f'{text}...'
        self.draw.text([SUPERSAMPLE * x for x in place], shown, fill=color,
                       font=font, anchor=anchor)
        return font.getlength(shown) / SUPERSAMPLE

    def finish(self) -> Image.Image:
        return self.image.reduce(SUPERSAMPLE)


def _background(animation: Animation, layout: SkeletonLayout) -> _Canvas:
    """All that does not move."""
    num_panels = len(animation.panels)
    width, height = image_size(num_panels)
    canvas = _Canvas.blank((width, height))
    room = width - 2 * GAP
    used = canvas.text((GAP, 26), animation.name, 17, INK, room)
    if room - used > 60:
        canvas.text((GAP + used + 12, 26), animation.class_name, 17, GRAY,
                    room - used - 12)
    canvas.text((GAP, 46), animation.note, 12, GRAY, room)
    for index in range(num_panels):
        canvas.square(panel_corner(index), PANEL, PAPER)
    persons = max(len(panel.points) for panel in animation.panels)
    left, low = GAP, height - 10
    for person in range(min(persons, len(PALETTE))):
        labels = SIDES if any(joint_sides(layout)) else SIDES[:1]
        if persons > 1:
            left += canvas.text((left, low), f'person {person + 1}', 12, GRAY,
                                width) + 10
        elif len(labels) == 1:
            break  # one colour needs no legend
        for label, color in zip(labels, PALETTE[person]):
            canvas.dot((left + 4, low - 4), 4, color)
            left += 12
            if len(labels) > 1:
                left += canvas.text((left, low), label, 12, GRAY, width) + 10
        left += 12
    return canvas


def _draw_persons(canvas: _Canvas, pixels: np.ndarray, radii: np.ndarray,
                  edges: Sequence, sides_of_bones: Sequence,
                  sides_of_joints: Sequence) -> None:
    """Draw the persons of a frame, pixels (M, V, 2); joints over bones."""
    there = np.isfinite(pixels).all(axis=-1)  # (M, V)
    colors = [PALETTE[person % len(PALETTE)] for person in range(len(pixels))]
    for person, joints in enumerate(pixels):
        for (i, j), side in zip(edges, sides_of_bones):
            if there[person, i] and there[person, j]:
                canvas.line(joints[[i, j]], colors[person][side])
    for person, joint in np.argwhere(there):
        canvas.dot(pixels[person, joint], JOINT * radii[person, joint],
                   colors[person][sides_of_joints[joint]])


def draw_frames(animation: Animation, layout: SkeletonLayout,
                view: Tuple[float, float]) -> Iterator[Image.Image]:
    """Draw an animation frame by frame.

    Args:
        animation (Animation): What to draw.
        layout (SkeletonLayout): The bones.
        view (tuple): Azimuth and elevation in degrees; 2D data ignore it.

    Yields:
        Image: RGB, of size :func:`image_size`.
    """
    view = view if layout.dims == 3 else VIEWS['front']
    background = _background(animation, layout)
    pixels = [to_pixels(panel.points, view, index)
              for index, panel in enumerate(animation.panels)]
    sides = bone_sides(layout), joint_sides(layout)
    for step in range(animation.num_steps):
        canvas = background.copy()
        for index, panel in enumerate(animation.panels):
            total = panel.points.shape[1]
            now = frame_at(step, animation.num_steps, total)
            left, top = panel_corner(index)
            used = canvas.text((left + PANEL, top - 8),
                               f'frame {now + 1 if total else 0}/{total}', 13,
                               GRAY, PANEL, anchor='rs')
            canvas.text((left, top - 8), panel.caption, 13, INK,
                        PANEL - used - 8)
            if total:
                _draw_persons(canvas, pixels[index][:, now], panel.radii,
                              layout.edges, *sides)
        if animation.timeline:
            _draw_timeline(canvas, animation, step)
        yield canvas.finish()


def _draw_timeline(canvas: _Canvas, animation: Animation, step: int) -> None:
    """A band along the lower edge of the panels, and what is said now."""
    left, top = panel_corner(0)
    width = image_size(len(animation.panels))[0] - 2 * GAP
    low = top + PANEL - BAND

    def place(at: int) -> float:
        return left + width * at / animation.num_steps

    for index, segment in enumerate(animation.timeline):
        height = segment.height * BAND
        canvas.bar(place(segment.start), place(segment.end),
                   low + BAND - height, height, BANDS[index % len(BANDS)])
    canvas.bar(place(step), place(step + 1), low - 3, BAND + 3, INK)
    canvas.text((left + 6, low - 8), segment_at(animation.timeline, step), 13,
                INK, width - 12)


def _color_table() -> Image.Image:
    """All colours on paper in steps, so that they are the same in all frames.

    What a GIF's encoder would choose for each frame flickers.
    """
    def rgb(color):
        return np.array([int(color[i:i + 2], 16) for i in (1, 3, 5)])

    colors = [rgb(color) for color in (PAGE, *BANDS)]
    for color in (INK, GRAY, *sum(PALETTE, ())):
        colors += [rgb(PAPER) + (rgb(color) - rgb(PAPER)) * share
                   for share in np.linspace(0, 1, SHADES)]
    table = Image.new('P', (1, 1))
    table.putpalette(np.rint(colors).astype(np.uint8).tobytes())
    return table


def write_gif(path: Path, animation: Animation, layout: SkeletonLayout,
              view: Tuple[float, float]) -> None:
    """Write an animated GIF, complete or not at all.

    Args:
        path (Path): The file; folders are made.
        animation, layout, view: As in :func:`draw_frames`.
    """
    table = _color_table()
    frames = (image.quantize(palette=table, dither=Image.Dither.NONE)
              for image in draw_frames(animation, layout, view))
    with atomic_write(path) as partial:
        next(frames).save(partial, format='GIF', save_all=True,
                          append_images=frames, duration=FRAME_TIME, loop=0)


def _to_numbers(points: np.ndarray) -> list:
    """Points (M, T, V, 3) as whole thousandths of the unit ball.

    Returns:
        list: ``[T][M][V]``, each [x, y, z] or None.
    """
    whole = np.rint(1000 * fit(points)).swapaxes(0, 1)  # (T, M, V, 3)
    return [[[None if np.isnan(joint).any() else [int(x) for x in joint]
              for joint in person] for person in frame] for frame in whole]


def make_page(title: str, animations: Sequence[Animation],
              layout: SkeletonLayout, view: Tuple[float, float]) -> str:
    """Make one page with a player.

    It needs no other file and no network. Skeletons of three dimensions are
    turned by dragging.

    Args:
        title (str): Its title.
        animations (sequence[Animation]): Listed on the page.
        layout, view: As in :func:`draw_frames`.

    Returns:
        str: HTML.
    """
    data = dict(
        view=view if layout.dims == 3 else VIEWS['front'],
        turns=layout.dims == 3, time=FRAME_TIME, fill=FILL,
        bone=BONE / PANEL, joint=JOINT / PANEL, colors=PALETTE, sides=SIDES,
        bands=BANDS, edges=layout.edges, names=layout.joint_names,
        bone_sides=bone_sides(layout), joint_sides=joint_sides(layout),
        sequences=[dict(
            name=animation.name, class_name=animation.class_name,
            note=animation.note, steps=animation.num_steps,
            timeline=animation.timeline,
            panels=[dict(caption=panel.caption,
                         radii=panel.radii.round(2).tolist(),
                         frames=_to_numbers(panel.points))
                    for panel in animation.panels])
            for animation in animations])
    # "<" in a string could end the script element
    text = json.dumps(data, separators=(',', ':'), allow_nan=False
                      ).replace('<', '\\u003c')
    parts = {'@TITLE': html.escape(title), '@DATA': text}
    return re.sub('|'.join(parts), lambda match: parts[match[0]], HTML)


def write_html(path: Path, *page) -> None:
    """Write a page, complete or not at all.

    Args:
        path (Path): The file; folders are made.
        *page: As :func:`make_page` takes.
    """
    text = make_page(*page)
    with atomic_write(path) as partial:
        partial.write_text(text, encoding='utf-8')


HTML = '''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@TITLE</title>
<style>
* { box-sizing: border-box; }
body { margin: 0; display: flex; height: 100vh; color: #1a202c;
  font: 15px/1.4 system-ui, sans-serif; background: #fff; }
nav { width: 270px; flex: none; overflow-y: auto; background: #f5f5f2;
  padding: 12px 8px; }
nav h1 { font-size: 13px; color: #718096; margin: 0 10px 10px;
  overflow-wrap: anywhere; font-weight: 600; }
nav button { display: block; width: 100%; text-align: left; border: 0;
  background: none; border-radius: 8px; padding: 7px 10px; font: inherit;
  color: inherit; cursor: pointer; overflow-wrap: anywhere; }
nav button:hover { background: #e9e9e4; }
nav button[aria-current="true"] { background: #fff;
  box-shadow: 0 1px 3px #0002; }
small, .gray { color: #718096; font-size: 13px; display: block; }
main { flex: 1; min-width: 0; overflow: auto; padding: 18px 24px; }
h2 { font-size: 19px; margin: 0; overflow-wrap: anywhere; }
h2 span { color: #718096; font-weight: 400; margin-left: 10px; }
#panels { display: flex; flex-wrap: wrap; gap: 16px; margin: 14px 0; }
figure { margin: 0; flex: 1 1 260px; max-width: 520px; }
figcaption { display: flex; justify-content: space-between; gap: 12px;
  font-size: 13px; margin-bottom: 6px; }
figcaption span { color: #718096; white-space: nowrap; }
canvas { width: 100%; aspect-ratio: 1; display: block; border-radius: 10px;
  background: #f5f5f2; touch-action: none; }
canvas.turns { cursor: grab; }
#controls { display: flex; align-items: center; gap: 12px;
  max-width: 1056px; }
#play { width: 74px; padding: 6px 0; border: 1px solid #cbd5e0;
  border-radius: 8px; background: #fff; font: inherit; cursor: pointer; }
#scrub { flex: 1; accent-color: #2b6cb0; }
#timeline { display: flex; align-items: flex-end; height: 26px;
  max-width: 1056px; margin-top: 10px; border-radius: 6px; overflow: hidden; }
#timeline.bars { height: 56px; gap: 1px; }
#timeline div { overflow: hidden; white-space: nowrap; font-size: 12px;
  text-overflow: ellipsis; padding: 4px 6px; cursor: pointer; min-width: 0; }
#timeline div[aria-current="true"] { outline: 2px solid #1a202c;
  outline-offset: -2px; }
#legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-top: 12px;
  font-size: 13px; color: #718096; }
#legend i { display: inline-block; width: 9px; height: 9px;
  border-radius: 50%; margin-right: 5px; }
</style>
</head>
<body>
<nav><h1>@TITLE</h1><div id="list"></div></nav>
<main>
<h2 id="title"></h2>
<small id="note"></small>
<div id="panels"></div>
<div id="controls"><button id="play">Pause</button>
<input id="scrub" type="range" min="0" value="0" aria-label="time"></div>
<div id="timeline"></div>
<div id="legend"></div>
<p class="gray" id="help"></p>
</main>
<script type="application/json" id="data">@DATA</script>
<script>
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const find = id => document.getElementById(id);
const make = (tag, parent, text) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
};
let sequence, panels = [], step = 0, playing = true, last = 0;
let view = data.view.slice();

// the same projection as the GIFs': to the right and up
function project([x, y, z]) {
  const [a, e] = view.map(angle => angle * Math.PI / 180);
  return [-Math.cos(a) * x + Math.sin(a) * z,
    Math.sin(a) * Math.sin(e) * x + Math.cos(e) * y
    + Math.cos(a) * Math.sin(e) * z];
}

function drawPanel({canvas, counter, frames, radii}) {
  const total = frames.length;
  const now = Math.floor(step * total / sequence.steps);
  counter.textContent = `frame ${total ? now + 1 : 0}/${total}`;
  const side = Math.round(
    canvas.clientWidth * (window.devicePixelRatio || 1));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, side, side);
  context.lineWidth = data.bone * side;
  context.lineCap = 'round';
  const scale = data.fill * side / 2000;
  const persons = (total ? frames[now] : []).map((person, index) => ({
    colors: data.colors[index % data.colors.length],
    radii: radii[index],
    pixels: person.map(joint => {
      if (!joint) return null;
      const [right, up] = project(joint);
      return [side / 2 + scale * right, side / 2 - scale * up];
    })
  }));
  persons.forEach(({colors, pixels}) => {
    data.edges.forEach(([i, j], bone) => {
      if (!pixels[i] || !pixels[j]) return;
      context.strokeStyle = colors[data.bone_sides[bone]];
      context.beginPath();
      context.moveTo(...pixels[i]);
      context.lineTo(...pixels[j]);
      context.stroke();
    });
  });
  persons.forEach(({colors, pixels, radii}) => {
    pixels.forEach((pixel, joint) => {
      if (!pixel) return;
      context.fillStyle = colors[data.joint_sides[joint]];
      context.beginPath();
      context.arc(...pixel, radii[joint] * data.joint * side, 0, 2 * Math.PI);
      context.fill();
    });
  });
}

function draw() {
  find('scrub').value = step;
  panels.forEach(drawPanel);
  sequence.timeline.forEach(([start, end], index) =>
    find('timeline').children[index].setAttribute(
      'aria-current', String(start <= step && step < end)));
}

function drawTimeline() {
  find('timeline').textContent = '';
  const low = sequence.timeline.some(([, , , height]) => height < 1);
  find('timeline').className = low ? 'bars' : '';
  sequence.timeline.forEach(([start, end, text, height], index) => {
    const band = make('div', find('timeline'), low ? '' : text);
    band.style.flex = `${end - start} 1 0`;
    band.style.height = `${100 * height}%`;
    band.style.background = data.bands[low ? 0 : index % data.bands.length];
    band.title = `${text}, frames ${start + 1} to ${end}`;
    band.onclick = () => { setPlaying(false); step = start; draw(); };
  });
}

function drawLegend() {
  const legend = find('legend');
  legend.textContent = '';
  const persons = Math.max(0, ...sequence.panels.map(
    panel => panel.frames.length ? panel.frames[0].length : 0));
  const sided = data.joint_sides.some(side => side);
  if (persons < 2 && !sided) return;
  data.colors.slice(0, persons).forEach((colors, person) => {
    data.sides.slice(0, sided ? 3 : 1).forEach((side, index) => {
      const item = make('span', legend);
      make('i', item).style.background = colors[index];
      const words = [];
      if (persons > 1) words.push(`person ${person + 1}`);
      if (sided) words.push(side);
      item.append(words.join(', '));
    });
  });
}

function turn(canvas) {
  canvas.className = 'turns';
  let from = null;
  canvas.onpointerdown = event => {
    from = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  };
  canvas.onpointermove = event => {
    if (!from) return;
    view[0] -= (event.clientX - from[0]) / 2;
    view[1] += (event.clientY - from[1]) / 2;
    view[1] = Math.max(-90, Math.min(90, view[1]));
    from = [event.clientX, event.clientY];
    draw();
  };
  canvas.onpointerup = canvas.onpointercancel = () => { from = null; };
  canvas.ondblclick = () => { view = data.view.slice(); draw(); };
}

function open(index) {
  sequence = data.sequences[index];
  step = 0;
  find('title').textContent = sequence.name;
  make('span', find('title'), sequence.class_name);
  find('note').textContent = sequence.note;
  find('scrub').max = sequence.steps - 1;
  find('panels').textContent = '';
  panels = sequence.panels.map(({caption, frames, radii}) => {
    const figure = make('figure', find('panels'));
    const line = make('figcaption', figure);
    make('b', line, caption);
    const counter = make('span', line);
    const canvas = make('canvas', figure);
    if (data.turns) turn(canvas);
    return {canvas, counter, frames, radii};
  });
  Array.from(find('list').children).forEach((button, other) =>
    button.setAttribute('aria-current', String(other === index)));
  drawLegend();
  drawTimeline();
  draw();
}

function setPlaying(value) {
  playing = value;
  find('play').textContent = playing ? 'Pause' : 'Play';
}

function tick(time) {
  if (playing && time - last >= data.time) {
    last = time;
    step = (step + 1) % sequence.steps;
    draw();
  }
  requestAnimationFrame(tick);
}

data.sequences.forEach(({name, class_name}, index) => {
  const button = make('button', find('list'), name);
  make('small', button, class_name);
  button.onclick = () => open(index);
});
find('play').onclick = () => setPlaying(!playing);
find('scrub').oninput = event => {
  setPlaying(false);
  step = Number(event.target.value);
  draw();
};
document.onkeydown = event => {
  if (event.key === ' ' && event.target === document.body) {
    event.preventDefault();
    setPlaying(!playing);
  }
};
window.onresize = draw;
find('help').textContent = 'Space: play or pause.' + (data.turns
  ? ' Drag a skeleton to turn it, double-click to turn it back.' : '');
open(0);
requestAnimationFrame(tick);
</script>
</body>
</html>
'''
