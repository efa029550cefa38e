"""Markup of the report: one page that needs no other file and no network."""
import html
import re
from typing import Dict, List, Optional, Sequence

import numpy as np

from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from projects.stdcl.visualization.draw_skeleton import fit, project

SIZE = 340  # side of a t-SNE plot, pixels
POSE = 150  # side of a drawing with attention, pixels
BARS = 40  # height of attention over frames, pixels
GOLDEN_ANGLE = 137.508  # degrees; hues of neighbours are far apart


def class_colors(number: int) -> List[str]:
    """A colour for each class."""
    if number <= 12:
        return [f'hsl({360 * label / number:.0f} 65% '
                f'{(42, 58)[label % 2]}%)' for label in range(number)]
    return [f'hsl({GOLDEN_ANGLE * label % 360:.0f} '
            f'{(75, 45)[label % 2]}% {(38, 52, 66)[label % 3]}%)'
            for label in range(number)]


def table(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A table; what is a str is escaped, a number has two decimals."""
    def cell(value) -> str:
        if isinstance(value, str):
            return f'<td>{html.escape(value)}'
        return f'<td class="n">{value:,}' if isinstance(value, int) else (
            f'<td class="n">{value:.2f}')

    return ('<table><tr>' + ''.join(f'<th>{html.escape(name)}'
                                    for name in head)
            + ''.join('<tr>' + ''.join(map(cell, row)) for row in rows)
            + '</table>')


def change_table(head: Sequence[str], rows: Sequence[tuple]) -> str:
    """A table whose last column, a change, is drawn as a bar as well.

    Args:
        head (sequence[str]): Names of the columns.
        rows (sequence[tuple]): Cells; the last is a number.
    """
    largest = max((abs(row[-1]) for row in rows), default=0) or 1

    def bar(change: float) -> str:
        width = 60 * abs(change) / largest
        left = 60 if change > 0 else 60 - width
        text = f'{change:+,}' if isinstance(change, int) else f'{change:+.1f}'
        return (f'<td class="n">{text}<td><svg class="bar" width="120" '
                f'height="12"><rect x="{left:.1f}" width="{width:.1f}" '
                f'height="12"/><path d="M60 0v12"/></svg>')

    plain = table(head, [row[:-1] for row in rows]).split('<tr>')
    return '<tr>'.join([*plain[:2], *(
        line.removesuffix('</table>') + bar(row[-1])
        for line, row in zip(plain[2:], rows))]) + '</table>'


def scatter(places: np.ndarray, labels: np.ndarray, wrong: np.ndarray,
            texts: Sequence[str], opens: Dict[int, int]) -> str:
    """A t-SNE plot.

    Args:
        places (ndarray): (N, 2).
        labels (ndarray): Classes, which colour the points, (N,).
        wrong (ndarray): Which are taken for another class, (N,).
        texts (sequence[str]): What is shown over a point.
        opens (dict[int, int]): Point -> sequence of the player that a click
            opens.
    """
    low, high = places.min(axis=0), places.max(axis=0)
    spots = 8 + (SIZE - 16) * (places - low) / np.maximum(high - low, 1e-9)
    dots = []
    for index, (x, y) in enumerate(spots):
        names = f'p c{labels[index]}' + (' wrong' if wrong[index] else '')
        click = ''
        if index in opens:
            names += ' opens'
            click = f' data-opens="{opens[index]}"'
        dots.append(f'<circle class="{names}" cx="{x:.1f}" cy="{y:.1f}" '
                    f'r="3.2"{click}><title>{html.escape(texts[index])}'
                    '</title></circle>')
    return (f'<svg class="tsne" viewBox="0 0 {SIZE} {SIZE}">{"".join(dots)}'
            '</svg>')


def attention_figure(title: str, pose: np.ndarray,
                     joints: Optional[np.ndarray], frames: np.ndarray,
                     layout: SkeletonLayout, view: tuple) -> str:
    """Attention over joints on a skeleton, over frames below it.

    Args:
        title (str): Under it.
        pose (ndarray): Joints, of a person, (V, 3), as ``to_points`` has them.
        joints (ndarray, optional): Attention to them, of sum 1, (V,).
        frames (ndarray): Attention to the frames, of sum 1, (T',).
        layout (SkeletonLayout): Bones and names.
        view (tuple): Azimuth and elevation in degrees.
    """
    middle = POSE / 2
    spots = middle + 0.84 * middle * fit(project(pose, *view)) * (1, -1)
    parts = []
    for i, j in layout.edges:
        if np.isfinite(spots[[i, j]]).all():
            (a, b), (c, d) = spots[[i, j]]
            parts.append(f'<path d="M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}"/>')
    for index, (name, (x, y)) in enumerate(zip(layout.joint_names, spots)):
        if np.isfinite(x + y):
            share = 1 / len(pose) if joints is None else joints[index]
            radius = 4 * np.sqrt(share * len(pose))
            text = name if joints is None else f'{name}: {share:.1%}'
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>'
                f'{html.escape(text)}</title></circle>')
    width = POSE / len(frames)
    for index, share in enumerate(frames):
        height = BARS * share / frames.max()
        parts.append(
            f'<rect x="{index * width:.1f}" y="{POSE + BARS - height:.1f}" '
            f'width="{width - 1:.1f}" height="{height:.1f}"><title>'
            f'{share:.1%}</title></rect>')
    return (f'<figure><svg class="attention" viewBox="0 0 {POSE} '
            f'{POSE + BARS}">{"".join(parts)}</svg><figcaption>'
            f'{html.escape(title)}</figcaption></figure>')


def figure(drawing: str, caption: str) -> str:
    """A drawing with a caption."""
    return (f'<figure>{drawing}<figcaption>{html.escape(caption)}'
            '</figcaption></figure>')


def legend(classes: Sequence[str]) -> str:
    """Names of the classes; a click shows one alone."""
    return '<p id="classes">' + ''.join(
        f'<button data-label="{label}" aria-pressed="false"><i class="b'
        f'{label}"></i>{html.escape(name)}</button>'
        for label, name in enumerate(classes)) + '</p>'


def page(title: str, summary: str, sections: Dict[str, str],
         classes: Sequence[str], player: str) -> str:
    """The whole page.

    Args:
        title (str): Its title.
        summary (str): The first paragraph.
        sections (dict[str, str]): Heading -> HTML. The player comes after
            the last.
        classes (sequence[str]): Names of the classes.
        player (str): The page of ``draw_skeleton.make_page``.
    """
    colors = ''.join(
        f'.c{label} {{ fill: {color} }} .b{label} {{ background: {color} }}\n'
        for label, color in enumerate(class_colors(len(classes))))
    parts = {
        '@TITLE': html.escape(title), '@SUMMARY': html.escape(summary),
        '@COLORS': colors, '@PLAYER': html.escape(player),
        '@SECTIONS': '\n'.join(
            f'<section><h2>{html.escape(name)}</h2>\n{content}\n</section>'
            for name, content in sections.items())}
    return re.sub('|'.join(parts), lambda match: parts[match[0]], HTML)


HTML = '''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@TITLE</title>
<style>
@COLORS
body { margin: 0 auto; padding: 24px; max-width: 1180px; color: #1a202c;
  font: 15px/1.45 system-ui, sans-serif; background: #fff; }
h1 { font-size: 24px; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 30px 0 8px; }
p { max-width: 75ch; margin: 6px 0; }
table { border-collapse: collapse; font-size: 14px; }
th { text-align: left; font-weight: 600; color: #718096;
  border-bottom: 1px solid #cbd5e0; }
th, td { padding: 3px 18px 3px 0; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.bar rect { fill: #2b6cb0; }
.bar path { stroke: #a0aec0; }
.row { display: flex; flex-wrap: wrap; gap: 16px; }
figure { margin: 0; }
figcaption { font-size: 13px; color: #4a5568; text-align: center; }
svg.tsne { width: 340px; background: #f5f5f2; border-radius: 10px; }
.p { fill-opacity: .75; }
.wrong { stroke: #1a202c; stroke-width: 1.2; }
.opens { cursor: pointer; r: 5px; }
.p.dim { fill-opacity: .06; stroke-opacity: .1; }
#classes { max-width: none; }
#classes button { border: 1px solid #e2e8f0; border-radius: 8px; margin: 2px;
  background: #fff; font: 13px system-ui, sans-serif; cursor: pointer;
  padding: 3px 8px; }
#classes button[aria-pressed="true"] { background: #e2e8f0; }
#classes i { display: inline-block; width: 9px; height: 9px;
  border-radius: 50%; margin-right: 5px; }
svg.attention { width: 150px; }
.attention path { stroke: #a0aec0; stroke-width: 2; }
.attention circle { fill: #c05621; fill-opacity: .8; }
.attention rect { fill: #9fb8d9; }
.attention ~ figcaption { max-width: 150px; }
iframe { width: 100%; height: 830px; border: 1px solid #e2e8f0;
  border-radius: 10px; }
</style>
</head>
<body>
<h1>@TITLE</h1>
<p>@SUMMARY</p>
@SECTIONS
<iframe id="player" title="player" srcdoc="@PLAYER"></iframe>
<script>
'use strict';
const points = Array.from(document.querySelectorAll('.p'));
const buttons = Array.from(document.querySelectorAll('#classes button'));
buttons.forEach(button => {
  button.onclick = () => {
    const only = button.getAttribute('aria-pressed') !== 'true';
    buttons.forEach(other => other.setAttribute(
      'aria-pressed', String(only && other === button)));
    points.forEach(point => point.classList.toggle('dim',
      only && !point.classList.contains(`c${button.dataset.label}`)));
  };
});
const player = document.getElementById('player');
points.filter(point => point.dataset.opens).forEach(point => {
  point.onclick = () => {
    player.contentWindow.open(Number(point.dataset.opens));
    player.scrollIntoView();
  };
});
</script>
</body>
</html>
'''
