"""A page that shows how STD-CL changes the features of an encoder."""
import os.path as osp
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from sklearn.manifold import TSNE
from sklearn.metrics import confusion_matrix

from tools.analysis.extract_features import extract
from tools.analysis.feature_measures import FEATURES, measure, subset

from ..apis.load_model import layout_of, load_model
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout
from .page import render_page
from .skeleton_animation import Animation, Panel, Segment, to_points
from .skeleton_player import player_page
from .views import VIEWS, fit, project

LEAST = 8  # sequences that a t-SNE plot needs
PAIRS = 10  # pairs of classes to list


@dataclass
class Model:
    """A trained model and its outputs on the test set.

    Args:
        title (str): Name of the model on the page.
        files (str): Config and checkpoint, for the page.
        arrays (dict): Outputs for N sequences, as ``extract`` returns.
    """
    title: str
    files: str
    arrays: Dict[str, np.ndarray]

    @property
    def correct(self) -> np.ndarray:
        """Which sequences are classified correctly, (N,)."""
        return self.arrays['predictions'] == self.arrays['labels']

    @property
    def top1(self) -> float:
        """Accuracy in per cent."""
        return 100 * float(self.correct.mean())

    def features(self) -> Dict[str, np.ndarray]:
        """Features by name, (N, D) each."""
        return {name: self.arrays[key] for key, name in FEATURES.items()
                if key in self.arrays}

    def confusion(self, classes: Sequence[str]) -> np.ndarray:
        """Number of sequences by class and prediction, (classes, classes)."""
        return confusion_matrix(self.arrays['labels'],
                                self.arrays['predictions'],
                                labels=range(len(classes)))


class TestSet(NamedTuple):
    """What the models were tested on."""
    dataset: BaseDataset
    layout: SkeletonLayout
    classes: List[str]

    def clip(self, index: int) -> np.ndarray:
        """First clip of a sequence after the pipeline, (M, T, V, 3)."""
        return to_points(self.dataset[int(index)]['inputs'][0].numpy(),
                         self.layout)


def write_report(path: Path, model: Tuple[Config, str],
                 plain: Optional[Tuple[Config, str]] = None,
                 names: Optional[Sequence[str]] = None, num: int = 12,
                 view: Optional[Tuple[float, float]] = None,
                 device: str = 'cpu') -> Dict[str, float]:
    """Test models and write the page, complete or not at all.

    Args:
        path (Path): The file, ``*.html``.
        model (tuple): Config and checkpoint trained with STD-CL.
        plain (tuple, optional): The same encoder trained without.
        names (sequence[str], optional): Sequences for the player. Defaults to
            ``num`` on which the models differ or are wrong.
        num (int): Defaults to 12.
        view (tuple, optional): Azimuth and elevation in degrees. Defaults to
            one in which the first person stands upright.
        device (str): Defaults to 'cpu'.

    Returns:
        dict[str, float]: Top-1 accuracy of each model in per cent.

    Raises:
        InputError: The model has no trained decoupler, the models or their
            test sets cannot be compared, the test set is too small, or has no
            sequence of a name.
    """
    pairs = {'plain': plain, 'STD-CL': model} if plain else {'STD-CL': model}
    encoders = [cfg.model.backbone.type for cfg, _ in pairs.values()]
    if encoders[0] != encoders[-1]:
        raise InputError(f'the encoder is {encoders[-1]}, and that of the '
                         f'plain model {encoders[0]}; expected the same.')
    models = []
    for title, (cfg, checkpoint) in pairs.items():
        seen, test_set = _test(title, cfg, checkpoint, device)
        models.append(seen)
    check(models)
    view = view or upright(test_set.clip(0))
    chosen = choose(models, num, names)
    player = player_page(
        'sequences', [animate(models, test_set, index) for index in chosen],
        test_set.layout, view)
    sections = [
        features_section(models, test_set.classes, chosen),
        measures_section(models),
        classes_section(models, test_set.classes),
        pairs_section(models, test_set.classes),
        *attention_section(models[-1], test_set, view),
        player_section(models, bool(names))]
    page = render_page(
        'report', Path(model[0].filename).stem,
        dict(sections=sections, classes=test_set.classes), player=player,
        summary=_summary(models))
    with atomic_write(path) as partial:
        partial.write_text(page, encoding='utf-8')
    return {seen.title: seen.top1 for seen in models}


def _test(title: str, cfg: Config, checkpoint: str,
          device: str) -> Tuple[Model, TestSet]:
    model = load_model(cfg, checkpoint, device)
    loader = Runner.build_dataloader(cfg.test_dataloader)
    arrays = extract(model, loader)
    classes = arrays.get('classes', np.array([], str)).tolist()
    classes += [f'class {label}' for label in range(
        len(classes), model.cls_head.num_classes)]
    files = f'{osp.basename(cfg.filename)}, {osp.basename(checkpoint)}'
    return Model(title, files, arrays), TestSet(
        loader.dataset, layout_of(cfg), classes)


def check(models: Sequence[Model]) -> None:
    """Raise InputError if there is nothing to show or to compare."""
    arrays, other = models[-1].arrays, models[0].arrays
    if 'spatial' not in arrays:
        raise InputError(
            'the model has no trained decoupler, expected a config and a '
            'checkpoint with STD-CL; those of the plain model go after '
            '--plain.')
    number = len(arrays['labels'])
    if number < LEAST:
        raise InputError(f'the test set has {number} sequences, expected '
                         f'{LEAST} or more.')
    for what in ('labels', 'names'):
        if not np.array_equal(arrays[what], other[what]):
            raise InputError(
                f'the test sets differ in their {what}: {number} sequences, '
                f'and {len(other["labels"])} of the plain model; expected the '
                'same in the same order.')


def choose(models: Sequence[Model], num: int, names: Optional[Sequence[str]],
           seed: int = 0) -> List[int]:
    """Choose sequences for the player.

    By name, or else those on which the models differ, then those that are
    misclassified, then others, in random order.

    Raises:
        InputError: There is no sequence of a name.
    """
    if names:
        known = models[-1].arrays['names'].tolist()
        for name in names:
            if name not in known:
                raise InputError(f'the test set has no sequence {name}, '
                                 f'expected names such as {known[0]}.')
        return [known.index(name) for name in names]
    correct = np.stack([model.correct for model in models])  # (models, N)
    differ = correct.any(axis=0) & ~correct.all(axis=0)
    chance = np.random.default_rng(seed).random(len(differ))
    order = np.lexsort((chance, correct.all(axis=0), ~differ))
    return order[:num].tolist()


def embed(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE by the angles between features, (N, D) to (N, 2)."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return TSNE(perplexity=min(30, len(unit) / 4), init='pca',
                random_state=seed).fit_transform(unit)


def _summary(models: Sequence[Model]) -> str:
    text = f'Test set: {len(models[-1].correct):,} sequences. Top-1: '
    text += ', '.join(f'{model.title} {model.top1:.2f} % ({model.files})'
                      for model in models) + '.'
    if len(models) > 1:
        text += (' Trainings that differ only in the seed also differ: what '
                 'two models show need not hold for two others.')
    return text


def features_section(models: Sequence[Model], classes: Sequence[str],
                     chosen: Sequence[int]) -> dict:
    """t-SNE plots: global features side by side, then the others."""
    kept = subset(len(models[-1].correct))
    opens = {index: place for place, index in enumerate(chosen)}
    rows = {}
    for model in models:
        labels, predictions, names = (model.arrays[key][kept].tolist()
                                      for key in ('labels', 'predictions',
                                                  'names'))
        for name, features in model.features().items():
            points = [
                dict(place=place, label=label, opens=opens.get(index),
                     name=sequence, taken=said)
                for place, label, said, sequence, index in zip(
                    _unit_square(embed(features[kept])), labels, predictions,
                    names, kept.tolist())]
            rows.setdefault(name == 'global', []).append(dict(
                caption=f'{name} features, {model.title}', points=points))
    return dict(
        title='Features', plots=list(rows.values()),
        text='t-SNE by the angles between features. Each point is a '
        'sequence, colored by its class; a dark rim marks a '
        'misclassification. Click a class to highlight it, a large point to '
        'open its sequence in the player.')


def _unit_square(places: np.ndarray) -> list:
    low, high = places.min(axis=0), places.max(axis=0)
    return ((places - low) / np.maximum(high - low, 1e-9)).round(3).tolist()


def measures_section(models: Sequence[Model]) -> dict:
    """A table of :func:`measure`."""
    rows = {f'{name}, {model.title}': measure(features,
                                              model.arrays['labels'])
            for model in models for name, features in model.features().items()}
    return dict(
        title='Class separation',
        text='Distance is 1 minus the cosine: intra within a class, inter '
        'between classes. precision@k is the share of the k nearest '
        'sequences that belong to the same class.',
        table=_table(['features', *next(iter(rows.values()))],
                     [[title, *row.values()] for title, row in rows.items()]))


def classes_section(models: Sequence[Model], classes: Sequence[str]) -> dict:
    """Accuracy of each class, and its change with two models."""
    matrices = [model.confusion(classes) for model in models]
    counts = matrices[0].sum(axis=1)
    rows = [[classes[label], int(counts[label]), *(
        float(100 * matrix[label, label] / counts[label])
        for matrix in matrices)] for label in np.flatnonzero(counts)]
    if len(models) > 1:
        rows.sort(key=lambda row: row[-2] - row[-1])
    head = ['class', 'sequences', *(f'{model.title}, %' for model in models)]
    return dict(title='Classes', table=_table(head, rows, len(models) > 1))


def pairs_section(models: Sequence[Model], classes: Sequence[str]) -> dict:
    """Pairs of classes that are confused, or whose confusion changed."""
    text = 'Sequences of either class taken for the other'
    text += (': the pairs that change most, those that improve first.'
             if len(models) > 1 else '.')
    rows = [[f'{classes[a]} / {classes[b]}', *counts] for a, b, *counts
            in confused_pairs([model.confusion(classes) for model in models])]
    return dict(
        title='Pairs of classes', text=text, table=_table(
            ['classes', *(model.title for model in models)], rows,
            len(models) > 1))


def confused_pairs(matrices: Sequence[np.ndarray]) -> List[Tuple[int, ...]]:
    """Find the pairs of classes that matter most.

    Args:
        matrices (sequence[ndarray]): One or two confusion matrices.

    Returns:
        list[tuple]: Class, class, and the confused sequences in each matrix;
        at most :data:`PAIRS`. Of two matrices those whose confusion changes
        most, from the largest decrease to the largest increase.
    """
    both = np.stack([np.triu(matrix + matrix.T, 1) for matrix in matrices])
    change = both[-1] - both[0] if len(matrices) > 1 else -both[0]
    pairs = sorted(np.argwhere(change).tolist(),
                   key=lambda pair: -abs(change[tuple(pair)]))[:PAIRS]
    pairs.sort(key=lambda pair: change[tuple(pair)])
    return [(a, b, *both[:, a, b].tolist()) for a, b in pairs]


def _table(head: List[str], rows: List[list], change: bool = False) -> dict:
    """Format a table; its change is last column less the one before."""
    table = dict(head=head, rows=[[
        cell if isinstance(cell, str) else f'{cell:,}'
        if isinstance(cell, int) else f'{cell:.2f}' for cell in row]
        for row in rows])
    if change:
        table['changes'] = [round(row[-1] - row[-2], 1) for row in rows]
    return table


def attention_section(model: Model, test_set: TestSet,
                      view: Tuple[float, float]) -> List[dict]:
    """Mean attention of each class, drawn on one of its sequences.

    The pose is that of the first person in the frame with most attention.

    Returns:
        list[dict]: One section; none without attention.
    """
    if 'attention_frames' not in model.arrays:
        return []
    labels, poses = model.arrays['labels'], []
    of_joints = joint_attention(model, test_set.layout)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        frames = model.arrays['attention_frames'][own, 0].mean(axis=0)
        shown = next(iter(own[model.correct[own]]), own[0])
        clip = test_set.clip(shown)  # (M, T, V, 3)
        most = model.arrays['attention_frames'][shown, 0].argmax()
        pose = clip[0, int((most + 0.5) * clip.shape[1] / len(frames))]
        poses.append(dict(
            caption=test_set.classes[label], frames=frames.tolist(),
            places=_numbers_or_none(fit(project(pose, *view))),
            shares=None if of_joints is None else
            of_joints[own, 0].mean(axis=0).tolist()))
    joints = ('The encoder mixes the joints, so they have no attention of '
              'their own.' if of_joints is None else
              'The area of a joint shows the attention of the spatial branch.')
    return [dict(
        title='Attention', poses=poses, edges=test_set.layout.edges,
        names=test_set.layout.joint_names,
        text=f'Mean over the sequences of a class, first person. {joints} '
        'The bars show the attention of the temporal branch, from the first '
        'frames to the last.')]


def _numbers_or_none(places: np.ndarray) -> list:
    return [None if np.isnan(place).any() else place.round(3).tolist()
            for place in places]


def joint_attention(model: Model,
                    layout: SkeletonLayout) -> Optional[np.ndarray]:
    """Attention to the joints, (N, M, V).

    None if there is no attention, or if the encoder's output has no axis of
    joints, as HCN's.
    """
    found = model.arrays.get('attention_joints')
    return found if found is not None and (
        found.shape[-1] == layout.num_joints) else None


def player_section(models: Sequence[Model], named: bool) -> dict:
    """The text above the player."""
    order = ('As named.' if named else
             'Sequences on which the models differ come first, then those '
             'that are misclassified.' if len(models) > 1 else
             'Sequences that are misclassified come first.')
    if 'attention_frames' in models[-1].arrays:
        order += (' The size of a joint shows the attention to it, the bars '
                  'that to the frames.')
    return dict(title='Sequences', text=order)


def animate(models: Sequence[Model], test_set: TestSet,
            index: int) -> Animation:
    """A sequence with its class, the predictions and the attention."""
    arrays, classes = models[-1].arrays, test_set.classes
    points = test_set.clip(index)
    of_joints, timeline = joint_attention(models[-1], test_set.layout), []
    weights = None if of_joints is None else (
        of_joints[index] * test_set.layout.num_joints)
    if 'attention_frames' in arrays:
        frames = arrays['attention_frames'][index, 0]  # (T',)
        ends = np.linspace(0, points.shape[1], len(frames) + 1).round()
        timeline = [
            Segment(int(start), int(end), f'attention {share:.1%}',
                    float(share / frames.max()))
            for start, end, share in zip(ends, ends[1:], frames)]
    return Animation(
        str(arrays['names'][index]) or f'sequence {index}',
        classes[arrays['labels'][index]],
        [Panel(f'{points.shape[1]} frames', points, weights)],
        note='; '.join(
            f'{model.title}: {classes[model.arrays["predictions"][index]]}'
            + ('' if model.correct[index] else ' (wrong)')
            for model in models),
        timeline=timeline)


def upright(points: np.ndarray) -> Tuple[float, float]:
    """The view in which a person stands, for points (M, T, V, 3).

    Some pipelines turn the spine to y, some to z.
    """
    height = [np.nanmax(points[..., axis]) - np.nanmin(points[..., axis])
              for axis in (1, 2)]
    return VIEWS['top' if height[1] > height[0] else 'front']
