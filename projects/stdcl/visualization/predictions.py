"""Animations of sequences with the classes that a model predicts."""
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..utils.skeleton_layout import SkeletonLayout
from . import skeleton_animation as scene
from .animation_files import write_animations
from .colors import assign_colors


def draw_predictions(sequences: Sequence[dict], predictions: Sequence[dict],
                     layout: SkeletonLayout, folder: Path,
                     style: str, up: str = 'y') -> list[str]:
    """Draw annotations with the predictions of a ``SkeletonInferencer``.

    ``up`` is the vertical axis of three-dimensional joints. Return the written
    files: a GIF per sequence, or one page if ``style`` is 'html'.
    """
    colors = assign_colors(part['class_name'] for predicted in predictions
                           for part in predicted['segments'])
    animations = []
    for sequence, predicted in zip(sequences, predictions):
        points = scene.to_points(scene.joints_of(sequence), layout, up)
        headline, note = summarize(predicted)
        animations.append(scene.Animation(
            sequence['frame_dir'], headline,
            [scene.Panel(f'{points.shape[1]} frames', points)], note,
            [scene.Segment(part['start'], part['end'], part['class_name'],
                     colors[part['class_name']])
             for part in predicted['segments']]))
    title = animations[0].name if len(animations) == 1 else 'predictions'
    return list(map(str, write_animations(
        animations, layout, scene.VIEWS['front'], folder, style, title)))


def summarize(predicted: dict) -> list[str]:
    """Return a headline and a note for the prediction of one sequence.

    They contain the class and the best probabilities or, if there are several
    segments, the number of segments and the share of frames of each class.
    """
    segments = predicted['segments']
    if len(segments) == 1:
        return [predicted['class_name'], ', '.join(
            f'{one["class_name"]} {one["score"]:.1%}'
            for one in predicted['top'][:3])]
    frames = Counter()
    for part in segments:
        frames[part['class_name']] += part['end'] - part['start']
    return [f'{len(segments)} segments', 'share of the frames: ' + ', '.join(
        f'{name} {number / frames.total():.0%}'
        for name, number in frames.most_common(3))]
