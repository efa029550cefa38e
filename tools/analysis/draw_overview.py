"""Draw the picture at the top of the README.

Example:
    python tools/analysis/draw_overview.py docs/overview.svg
"""
import argparse
import os.path as osp
import sys
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

import projects.stdcl  # noqa: F401
from projects.stdcl.datasets import SyntheticSkeletonDataset
from projects.stdcl.utils.skeleton_layout import LAYOUTS

INK, BLUE, ORANGE, GRAY = '#222222', '#2b6cb0', '#c05621', '#f4f4f2'


def box(ax, x, y, width, height, text, color=INK, fill='white'):
    ax.add_patch(FancyBboxPatch(
        (x, y), width, height, boxstyle='round,pad=0,rounding_size=0.08',
        edgecolor=color, facecolor=fill, linewidth=1.4))
    ax.text(x + width / 2, y + height / 2, text, ha='center', va='center',
            fontsize=9, color=color)


def arrow(ax, start, end, color=INK):
    ax.annotate('', end, start, arrowprops=dict(
        arrowstyle='-|>', color=color, linewidth=1.2, shrinkA=0, shrinkB=0))


def skeletons(ax, left, bottom):
    """Four frames of a synthetic sequence."""
    layout = LAYOUTS['nw-ucla']
    info = SyntheticSkeletonDataset(
        pipeline=[], layout='nw-ucla', num_sequences=8).get_data_info(2)
    keypoint = info['keypoint'][0]  # (T, V, C)
    body = keypoint[0] - keypoint[0].min(axis=0)
    scale = 1.5 / body.max(axis=0)[1]
    for number, t in enumerate(range(0, len(keypoint), len(keypoint) // 4)):
        if number == 4:
            break
        frame = (keypoint[t] - keypoint[0].min(axis=0)) * scale
        for child, parent in layout.bones:
            ax.plot(left + 0.42 * number + frame[[child, parent], 0] * 0.6,
                    bottom + frame[[child, parent], 1], color=INK,
                    linewidth=1.1, alpha=0.35 + 0.2 * number)


def draw(path: Path) -> None:
    plt.rcParams.update({'svg.hashsalt': 'stdcl', 'svg.fonttype': 'path',
                         'font.family': 'DejaVu Sans'})
    fig, ax = plt.subplots(figsize=(9.6, 3.9))
    ax.set_xlim(0, 12)
    ax.set_ylim(0, 4.9)
    ax.axis('off')

    ax.add_patch(FancyBboxPatch(
        (3.95, 0.25), 7.85, 2.55, boxstyle='round,pad=0,rounding_size=0.1',
        edgecolor='#999999', facecolor=GRAY, linestyle='--'))
    ax.text(11.7, 0.35, 'training only: gone at test time', ha='right',
            fontsize=8.5, color='#666666', style='italic')

    skeletons(ax, 0.2, 2.95)
    ax.text(1.05, 2.72, 'sequence\n(M, T, V, C)', ha='center', va='top',
            fontsize=8.5, color=INK)
    box(ax, 2.45, 3.2, 1.3, 1, 'encoder\n(any)')
    box(ax, 4.25, 3.2, 1.9, 1, "feature map\n(M, C', T', V')")
    box(ax, 7.1, 3.2, 1.4, 1, 'classifier')
    box(ax, 9.6, 3.2, 1.9, 1, 'cross entropy')
    for start, end in ((2.05, 2.45), (3.75, 4.25), (6.15, 7.1), (8.5, 9.6)):
        arrow(ax, (start, 3.7), (end, 3.7))

    for y, color, pool, bank in (
            (1.75, BLUE, 'mean over T:\nspatial branch', 'spatial bank'),
            (0.65, ORANGE, 'mean over V:\ntemporal branch', 'temporal bank')):
        box(ax, 4.25, y, 1.9, 0.8, pool, color)
        box(ax, 7.1, y, 1.9, 0.8, f'{bank}\n1 slot a sequence', color)
        box(ax, 9.85, y, 1.75, 0.8, 'contrast with\nhard + random', color)
        arrow(ax, (6.15, y + 0.4), (7.1, y + 0.4), color)
        arrow(ax, (9, y + 0.4), (9.85, y + 0.4), color)
        ax.text(6.62, y + 0.5, 's' if color == BLUE else 't', fontsize=9,
                color=color, ha='center', style='italic')
    arrow(ax, (5.2, 3.2), (5.2, 2.55), BLUE)
    ax.plot([4.1, 4.1, 4.25], [2.95, 1.05, 1.05], color=ORANGE, linewidth=1.2)
    ax.plot([4.1, 5.05, 5.05], [2.95, 2.95, 3.2], color=ORANGE, linewidth=1.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, bbox_inches='tight', pad_inches=0.05,
                metadata={'Date': None} if path.suffix == '.svg' else None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0],
        epilog='example: python tools/analysis/draw_overview.py '
        'docs/overview.svg')
    parser.add_argument('out', type=Path, help='*.svg or *.png')
    draw(parser.parse_args().out)


if __name__ == '__main__':
    main()
