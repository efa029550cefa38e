"""Report on how STD-CL changes the features of an encoder."""
import os.path as osp
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from sklearn.manifold import TSNE
from sklearn.metrics import confusion_matrix

from ..apis import layout_of, load_model
from ..apis.load_model import build_test_loader, find_vertical
from ..datasets.data_description import feature_transforms
from ..datasets.dataset_access import transforms_of, unwrap_datasets
from ..evaluation.features import FEATURES, extract, measure, subset
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError, require_positive
from ..utils.model_parts import kind_of
from ..utils.skeleton_layout import SkeletonLayout
from . import skeleton_animation as scene
from .colors import assign_colors
from .curves import read_curves
from .skeleton_player import player_page, render_page

MINIMUM = 8  # number of sequences in a t-SNE plot
CURVES = ('loss_cls', 'acc/top1')  # scalars to draw


@dataclass
class Outputs:
    """Outputs of a model on the N sequences of its test set."""
    title: str  # name of the model on the page
    config: str
    checkpoint: str
    arrays: dict[str, np.ndarray]  # from extract()
    classes: list[str]
    dataset: BaseDataset
    layout: SkeletonLayout
    up: str = 'y'  # vertical axis of the model's input

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
                   loader.dataset, layout_of(cfg), find_vertical(cfg)[1])

    @property
    def features(self) -> dict[str, np.ndarray]:
        """Features by name, with one row for each of the N sequences."""
        return {name: self.arrays[key] for key, name in FEATURES.items()
                if key in self.arrays}

    @property
    def correct(self) -> np.ndarray:
        """Boolean array of shape (N,) that marks correct predictions."""
        return self.arrays['predictions'] == self.arrays['labels']

    @property
    def curves(self) -> dict[str, list]:
        """Epochs and values of scalars in run.json beside the checkpoint."""
        # a checkpoint without a record has no curves
        with suppress(InputError, OSError):
            log = read_curves(Path(self.checkpoint).parent)
            return {key: [*zip(*log[key].dropna().items())]
                    for key in CURVES if key in log}
        return {}

    @property
    def frame_attention(self) -> np.ndarray | None:
        """Attention over frames of the first person, (N, T'), or None."""
        found = self.arrays.get('attention_frames')
        return None if found is None else found[:, 0]

    @property
    def joint_attention(self) -> np.ndarray | None:
        """Attention over joints, (N, M, V); None if V' differs from V."""
        found = self.arrays.get('attention_joints')
        return found if found is not None and (
            found.shape[-1] == self.layout.num_joints) else None

    @property
    def undrawn(self) -> list[str]:
        """Transforms that compute bones or motion, which are not drawn."""
        return feature_transforms(
            step for datasets in unwrap_datasets(self.dataset)
            for step in transforms_of(datasets[0], *datasets[1]))

    def clip(self, index: int) -> np.ndarray:
        """Return the points of the first clip of a sequence, (M, T, V, 3)."""
        joints = self.dataset[int(index)]['inputs'][0].numpy()
        return (np.full((*joints.shape[:3], 3), np.nan) if self.undrawn
                else scene.to_points(joints, self.layout, self.up))


def write_report(path: Path, model: tuple[Config, str],
                 plain: tuple[Config, str] | None = None,
                 names: Sequence[str] | None = None, num: int = 12,
                 device: str = 'cpu') -> dict[str, float]:
    """Run models on their test set, and write a report to an HTML file.

    ``model`` is the config and the checkpoint of a model trained with STD-CL,
    and ``plain``, if given, those of the same encoder trained without STD-CL.
    :func:`choose` describes ``names`` and ``num``, the sequences for the
    player. Return the top-1 accuracy of each model in percent.

    An ``InputError`` is raised if ``model`` has no trained decoupler, the
    encoders or the test sets of the two models differ, the test set is too
    small or does not contain one of the ``names``, or ``num`` is below 1.
    """
    require_positive('report', num=num)
    pairs = {'plain': plain, 'STD-CL': model} if plain else {'STD-CL': model}
    kinds = [(kind_of(part.get('backbone', {})), (part.get(
        'data_preprocessor') or {}).get('stream', 'joint')) for part in (
            cfg.get('model') or {} for cfg, _ in pairs.values())]
    if kinds[0] != kinds[-1]:
        raise InputError(f'encoder and stream of the plain model are '
                         f'{kinds[0]}, expected {kinds[-1]}, as with STD-CL.')
    models = [Outputs.compute(title, *pair, device)
              for title, pair in pairs.items()]
    check(models)
    seen, chosen = models[-1], choose(models, num, names)
    kept = subset(len(seen.correct))
    player = player_page('sequences', [animate(models, index)
                                       for index in chosen],
                         seen.layout, scene.VIEWS['front'])
    page = render_page('report', Path(model[0].filename).stem, dict(
        models=[describe(one, kept) for one in models],
        classes=seen.classes, colors=[*assign_colors(range(21)).values()],
        edges=seen.layout.edges, joints=seen.layout.joint_names,
        names=seen.arrays['names'][kept].tolist(),
        labels=seen.arrays['labels'][kept].tolist(),
        opens=[chosen.index(index) if index in chosen else None
               for index in kept.tolist()],
        poses=draw_attention(seen)), player=player)
    with atomic_write(path) as partial:
        partial.write_text(page, encoding='utf-8')
    return {one.title: 100 * float(one.correct.mean()) for one in models}


def check(models: Sequence[Outputs]) -> None:
    """Raise an ``InputError`` if the models cannot be shown or compared."""
    arrays, other = models[-1].arrays, models[0].arrays
    if 'spatial' not in arrays:
        raise InputError(
            'the model has no trained decoupler, expected a config and a '
            'checkpoint with STD-CL. Pass those of the plain model after '
            '--plain.')
    number, classes = len(arrays['labels']), len(np.unique(arrays['labels']))
    if number < MINIMUM or not 2 <= classes < number:
        raise InputError(
            'the test set cannot be used for a report (number of sequences: '
            f'{number}, of classes: {classes}), expected at least {MINIMUM} '
            'sequences, at least 2 classes, and more sequences than classes.')
    for what in ('labels', 'names'):
        if not np.array_equal(arrays[what], other[what]):
            raise InputError(
                f'the test sets differ in their {what} (sequences: {number} '
                f'with STD-CL, {len(other["labels"])} without), expected the '
                'same sequences in the same order.')


def choose(models: Sequence[Outputs], num: int,
           names: Sequence[str] | None) -> list[int]:
    """Return the indices of sequences for the player, by name or at random.

    A random choice of up to ``num`` sequences prefers those on which only one
    of the models is correct, then those that are misclassified. An
    ``InputError`` is raised if one of ``names`` is not in the test set.
    """
    if names:
        known = models[-1].arrays['names'].tolist()
        if not set(names) <= set(known):
            unknown = ', '.join(sorted(set(names) - set(known)))
            raise InputError('the test set does not contain the sequences '
                             f'{unknown}, expected names like {known[0]}.')
        return [known.index(name) for name in names]
    correct = np.stack([model.correct for model in models])  # (models, N)
    differ = correct.any(axis=0) & ~correct.all(axis=0)
    chance = np.random.default_rng(0).random(len(differ))
    order = np.lexsort((chance, correct.all(axis=0), ~differ))
    return order[:num].tolist()


def embed(features: np.ndarray) -> np.ndarray:
    """Normalize features (N, D), and map them to (N, 2) in [0, 1] by t-SNE."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    places = TSNE(perplexity=min(30, len(unit) / 4), init='pca',
                  random_state=0).fit_transform(unit)
    low, high = places.min(axis=0), places.max(axis=0)
    # one scale for both axes
    return (places - (low + high) / 2) / max((high - low).max(), 1e-9) + 0.5


def animate(models: Sequence[Outputs], index: int) -> scene.Animation:
    """Draw a sequence with its class, predictions and attention."""
    seen = models[-1]
    points, timeline = seen.clip(index), []
    weights = None if seen.joint_attention is None else (
        seen.joint_attention[index] * seen.layout.num_joints)
    if seen.frame_attention is not None:
        frames = seen.frame_attention[index]  # (T',)
        ends = np.linspace(0, points.shape[1], len(frames) + 1).round()
        timeline = [
            scene.Segment(int(start), int(end), f'attention {share:.1%}',
                    height=float(share / frames.max()))
            for start, end, share in zip(ends, ends[1:], frames)]
    return scene.Animation(
        str(seen.arrays['names'][index]) or f'sequence {index}',
        seen.classes[seen.arrays['labels'][index]],
        [scene.Panel(f'{points.shape[1]} frames', points, weights)],
        note='; '.join([
            f'{model.title}: '
            f'{seen.classes[model.arrays["predictions"][index]]}'
            + ('' if model.correct[index] else ' (wrong)')
            for model in models] + [
                f'{name}: not drawn' for name in seen.undrawn]),
        timeline=timeline)


def describe(model: Outputs, kept: np.ndarray) -> dict:
    """Return a model's data for the page, which plots the ``kept`` indices."""
    return dict(
        title=model.title, config=osp.basename(model.config),
        checkpoint=osp.basename(model.checkpoint), curves=model.curves,
        top1=f'{100 * float(model.correct.mean()):.2f}',
        confusion=confusion_matrix(
            model.arrays['labels'], model.arrays['predictions'],
            labels=range(len(model.classes))).tolist(),
        predictions=model.arrays['predictions'][kept].tolist(),
        features={name: dict(
            measures=measure(features, model.arrays['labels']),
            places=embed(features[kept]).round(3).tolist())
            for name, features in model.features.items()})


def draw_attention(seen: Outputs) -> list[dict]:
    """Return a pose and the first person's mean attention for each class."""
    labels, poses = seen.arrays['labels'], []
    if seen.frame_attention is None:
        return poses
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        shown = next(iter(own[seen.correct[own]]), own[0])
        clip, frames = seen.clip(shown), seen.frame_attention[own]
        most = seen.frame_attention[shown].argmax()
        pose = clip[0, int((most + 0.5) * clip.shape[1] / frames.shape[1])]
        places = scene.fit(scene.project(pose, *scene.VIEWS['front'])).round(3)
        poses.append(dict(
            caption=seen.classes[label], frames=frames.mean(axis=0).tolist(),
            shares=None if seen.joint_attention is None else
            seen.joint_attention[own, 0].mean(axis=0).tolist(),
            places=[None if np.isnan(place).any() else place.tolist()
                    for place in places]))
    return poses
