"""Report on how STD-CL changes the features of an encoder."""
import os.path as osp
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from sklearn.manifold import TSNE
from sklearn.metrics import confusion_matrix

from ..apis.load_model import build_test_loader, layout_of, load_model
from ..evaluation.features import FEATURES, extract, measure, subset
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout
from .colors import COLORS
from .curves import read_log
from .skeleton_animation import (
    VIEWS,
    Animation,
    Panel,
    Segment,
    fit,
    project,
    to_points,
)
from .skeleton_player import player_page, render_page

LEAST = 8  # fewest sequences for a t-SNE plot
PAIRS = 10  # most pairs of classes in the table
CURVES = ('loss_cls', 'acc/top1')  # scalars to draw


@dataclass
class Outputs:
    """Outputs of a model on the N sequences of its test set."""
    title: str  # name of the model on the page
    config: str
    checkpoint: str
    arrays: Dict[str, np.ndarray]  # from extract()
    classes: List[str]
    dataset: BaseDataset
    layout: SkeletonLayout

    @classmethod
    def compute(cls, title: str, cfg: Config, checkpoint: str,
                device: str) -> 'Outputs':
        """Load a model and run it on its test set."""
        model = load_model(cfg, checkpoint, device)
        loader = build_test_loader(cfg, model)
        arrays = extract(model, loader)
        classes = arrays.get('classes', np.array([], str)).tolist()
        classes += [f'class {label}' for label in range(
            len(classes), model.cls_head.num_classes)]
        return cls(title, cfg.filename, checkpoint, arrays, classes,
                   loader.dataset, layout_of(cfg))

    @property
    def features(self) -> Dict[str, np.ndarray]:
        """Features by name, with one row for each of the N sequences."""
        return {name: self.arrays[key] for key, name in FEATURES.items()
                if key in self.arrays}

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is correct, bool, (N,)."""
        return self.arrays['predictions'] == self.arrays['labels']

    @property
    def top1(self) -> float:
        """Top-1 accuracy in percent."""
        return 100 * float(self.correct.mean())

    @cached_property
    def confusion(self) -> np.ndarray:
        """Numbers of sequences; rows are true classes, (C, C)."""
        return confusion_matrix(self.arrays['labels'],
                                self.arrays['predictions'],
                                labels=range(len(self.classes)))

    @property
    def class_accuracy(self) -> np.ndarray:
        """Accuracy of each class in percent; NaN without sequences, (C,)."""
        with np.errstate(invalid='ignore'):
            return 100 * np.diag(self.confusion) / self.confusion.sum(axis=1)

    @property
    def curves(self) -> Dict[str, list]:
        """Epochs and values of scalars in the log beside the checkpoint."""
        try:
            log = read_log(Path(self.checkpoint).parent)
        except InputError:  # there is no log
            return {}
        curves = {key: log[key].dropna() for key in CURVES if key in log}
        return {key: [curve.index.tolist(), curve.tolist()]
                for key, curve in curves.items()}

    @property
    def frame_attention(self) -> Optional[np.ndarray]:
        """Attention over frames of the first person, (N, T'), or None."""
        found = self.arrays.get('attention_frames')
        return None if found is None else found[:, 0]

    @property
    def joint_attention(self) -> Optional[np.ndarray]:
        """Attention over joints, (N, M, V); None if V' differs from V."""
        found = self.arrays.get('attention_joints')
        return found if found is not None and (
            found.shape[-1] == self.layout.num_joints) else None

    def clip(self, index: int) -> np.ndarray:
        """Return the points of the first clip of a sequence, (M, T, V, 3)."""
        return to_points(self.dataset[int(index)]['inputs'][0].numpy(),
                         self.layout)


def write_report(path: Path, model: Tuple[Config, str],
                 plain: Optional[Tuple[Config, str]] = None,
                 names: Optional[Sequence[str]] = None, num: int = 12,
                 device: str = 'cpu') -> Dict[str, float]:
    """Run models on their test set, and write a report.

    Args:
        path (Path): HTML file to write.
        model (tuple): Config and checkpoint of a model trained with STD-CL.
        plain (tuple, optional): Config and checkpoint of the same encoder
            trained without STD-CL. Defaults to no comparison.
        names (sequence[str], optional): Sequences for the player. Defaults to
            ``num`` sequences; see :func:`choose`.
        num (int): Number of sequences without ``names``. Defaults to 12.
        device (str): Device that runs the models. Defaults to 'cpu'.

    Returns:
        dict[str, float]: Top-1 accuracy of each model in percent.

    Raises:
        InputError: The model has no trained decoupler, the encoders or the
            test sets of the two models differ, the test set is too small, or
            it does not contain one of the ``names``.
    """
    pairs = {'plain': plain, 'STD-CL': model} if plain else {'STD-CL': model}
    encoders = [cfg.model.backbone.type for cfg, _ in pairs.values()]
    if encoders[0] != encoders[-1]:
        raise InputError(f'the encoder is {encoders[-1]}, but that of the '
                         f'plain model is {encoders[0]}, expected the same.')
    models = [Outputs.compute(title, *pair, device)
              for title, pair in pairs.items()]
    check(models)
    seen, chosen = models[-1], choose(models, num, names)
    view = find_upright(seen.clip(0))
    player = player_page('sequences', [animate(models, index)
                                       for index in chosen],
                         seen.layout, view)
    page = render_page('report', Path(model[0].filename).stem, dict(
        models=[dict(title=one.title, confusion=one.confusion.tolist(),
                     curves=one.curves) for one in models],
        classes=seen.classes, colors=COLORS,
        edges=seen.layout.edges, joints=seen.layout.joint_names,
        plots=plot_features(models, chosen),
        tables=dict(summary=tabulate_models(models),
                    measures=tabulate_measures(models),
                    accuracy=tabulate_classes(models),
                    pairs=tabulate_pairs(models)),
        poses=draw_attention(seen, view)), player=player)
    with atomic_write(path) as partial:
        partial.write_text(page, encoding='utf-8')
    return {one.title: one.top1 for one in models}


def check(models: Sequence[Outputs]) -> None:
    """Raise an ``InputError`` if the models cannot be shown or compared."""
    arrays, other = models[-1].arrays, models[0].arrays
    if 'spatial' not in arrays:
        raise InputError(
            'the model has no trained decoupler, expected a config and a '
            'checkpoint with STD-CL. Pass those of the plain model after '
            '--plain.')
    number, classes = len(arrays['labels']), len(np.unique(arrays['labels']))
    if number < LEAST or not 2 <= classes < number:
        raise InputError(
            f'the test set contains {number} sequences of {classes} classes, '
            f'expected at least {LEAST} sequences, at least 2 classes, and '
            'fewer classes than sequences.')
    for what in ('labels', 'names'):
        if not np.array_equal(arrays[what], other[what]):
            raise InputError(
                f'the test sets differ in their {what}: there are {number} '
                f'sequences with STD-CL and {len(other["labels"])} without, '
                'expected the same sequences in the same order.')


def choose(models: Sequence[Outputs], num: int,
           names: Optional[Sequence[str]], seed: int = 0) -> List[int]:
    """Return the indices of sequences for the player, by name or at random.

    A random choice of up to ``num`` sequences prefers those on which only one
    of the models is correct, then those that are misclassified.

    Raises:
        InputError: A name is not in the test set.
    """
    if names:
        known = models[-1].arrays['names'].tolist()
        if not set(names) <= set(known):
            unknown = ', '.join(sorted(set(names) - set(known)))
            raise InputError(f'the test set does not contain {unknown}, '
                             f'expected names such as {known[0]}.')
        return [known.index(name) for name in names]
    correct = np.stack([model.correct for model in models])  # (models, N)
    differ = correct.any(axis=0) & ~correct.all(axis=0)
    chance = np.random.default_rng(seed).random(len(differ))
    order = np.lexsort((chance, correct.all(axis=0), ~differ))
    return order[:num].tolist()


def find_upright(points: np.ndarray) -> Tuple[float, float]:
    """Return the view in which the longer extent, along y or z, is upright."""
    height = [np.nanmax(points[..., axis]) - np.nanmin(points[..., axis])
              for axis in (1, 2)]
    return VIEWS['top' if height[1] > height[0] else 'front']


def embed(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Map (N, D) to (N, 2) in [0, 1] by t-SNE of the unit vectors."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    places = TSNE(perplexity=min(30, len(unit) / 4), init='pca',
                  random_state=seed).fit_transform(unit)
    low, high = places.min(axis=0), places.max(axis=0)
    return (places - low) / np.maximum(high - low, 1e-9)


def animate(models: Sequence[Outputs], index: int) -> Animation:
    """Draw a sequence with its class, predictions and attention."""
    seen = models[-1]
    points, timeline = seen.clip(index), []
    weights = None if seen.joint_attention is None else (
        seen.joint_attention[index] * seen.layout.num_joints)
    if seen.frame_attention is not None:
        frames = seen.frame_attention[index]  # (T',)
        ends = np.linspace(0, points.shape[1], len(frames) + 1).round()
        timeline = [
            Segment(int(start), int(end), f'attention {share:.1%}',
                    height=float(share / frames.max()))
            for start, end, share in zip(ends, ends[1:], frames)]
    return Animation(
        str(seen.arrays['names'][index]) or f'sequence {index}',
        seen.classes[seen.arrays['labels'][index]],
        [Panel(f'{points.shape[1]} frames', points, weights)],
        note='; '.join(
            f'{model.title}: '
            f'{seen.classes[model.arrays["predictions"][index]]}'
            + ('' if model.correct[index] else ' (wrong)')
            for model in models),
        timeline=timeline)


def plot_features(models: Sequence[Outputs],
                  chosen: Sequence[int]) -> List[dict]:
    """Return t-SNE plots of all features, starting with the global ones."""
    kept = subset(len(models[-1].correct))
    opens = {index: place for place, index in enumerate(chosen)}
    plots = []
    for model in models:
        columns = [model.arrays[key][kept].tolist()
                   for key in ('names', 'labels', 'predictions')]
        for title, features in model.features.items():
            plots.append(dict(
                caption=f'{title} features, {model.title}', points=[
                    dict(name=name, label=label, taken=taken, place=place,
                         opens=opens.get(index))
                    for name, label, taken, place, index in zip(
                        *columns, embed(features[kept]).round(3).tolist(),
                        kept.tolist())]))
    return sorted(plots, key=lambda plot: plot['caption'][:6] != 'global')


def tabulate_models(models: Sequence[Outputs]) -> dict:
    """Tabulate the accuracy of the models and their files."""
    return _format(
        ['model', 'sequences', 'top-1, %', 'class mean, %', 'config',
         'checkpoint'],
        [[one.title, len(one.correct), one.top1,
          float(np.nanmean(one.class_accuracy)), osp.basename(one.config),
          osp.basename(one.checkpoint)] for one in models])


def tabulate_measures(models: Sequence[Outputs]) -> dict:
    """Tabulate how well the features of each kind separate classes."""
    rows = {f'{name}, {model.title}': measure(features,
                                              model.arrays['labels'])
            for model in models for name, features in model.features.items()}
    return _format(['features', *next(iter(rows.values()))],
                   [[title, *row.values()] for title, row in rows.items()])


def tabulate_classes(models: Sequence[Outputs]) -> dict:
    """Tabulate the accuracy of each class."""
    counts = models[-1].confusion.sum(axis=1)
    rows = [[models[-1].classes[label], int(counts[label]), *(
        float(model.class_accuracy[label]) for model in models)]
        for label in np.flatnonzero(counts)]
    if len(models) > 1:
        rows.sort(key=lambda row: row[-2] - row[-1])
    return _format(
        ['class', 'sequences', *(f'{model.title}, %' for model in models)],
        rows, better=int(len(models) > 1))


def tabulate_pairs(models: Sequence[Outputs]) -> dict:
    """Tabulate the pairs of classes that are confused most.

    For two models, tabulate the pairs whose confusion changes most, from the
    largest decrease to the largest increase.
    """
    both = np.stack([np.triu(model.confusion + model.confusion.T, 1)
                     for model in models])  # (models, classes, classes)
    change = both[-1] - both[0] if len(models) > 1 else -both[0]
    pairs = sorted(np.argwhere(change).tolist(),
                   key=lambda pair: -abs(change[tuple(pair)]))[:PAIRS]
    pairs.sort(key=lambda pair: change[tuple(pair)])
    classes = models[-1].classes
    return _format(
        ['classes', *(model.title for model in models)],
        [[f'{classes[a]} / {classes[b]}', *both[:, a, b].tolist()]
         for a, b in pairs], better=-int(len(models) > 1))


def _format(head: List[str], rows: List[list], better: int = 0) -> dict:
    """Format a table.

    ``better`` is the sign of an improvement. It adds the difference of the
    last two columns; 0 adds nothing.
    """
    table = dict(head=head, rows=[[
        cell if isinstance(cell, str) else f'{cell:,}'
        if isinstance(cell, int) else f'{cell:.2f}' for cell in row]
        for row in rows])
    if better:
        table['better'] = better
        table['changes'] = [round(row[-1] - row[-2], 1) for row in rows]
    return table


def draw_attention(seen: Outputs, view: Tuple[float, float]) -> List[dict]:
    """Return a pose and the mean attention of the first person by class."""
    labels, poses = seen.arrays['labels'], []
    if seen.frame_attention is None:
        return poses
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        shown = next(iter(own[seen.correct[own]]), own[0])
        clip, frames = seen.clip(shown), seen.frame_attention[own]
        most = seen.frame_attention[shown].argmax()
        pose = clip[0, int((most + 0.5) * clip.shape[1] / frames.shape[1])]
        poses.append(dict(
            caption=seen.classes[label], frames=frames.mean(axis=0).tolist(),
            shares=None if seen.joint_attention is None else
            seen.joint_attention[own, 0].mean(axis=0).tolist(),
            places=[None if np.isnan(place).any() else place.tolist()
                    for place in fit(project(pose, *view)).round(3)]))
    return poses
