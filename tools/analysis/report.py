"""Write a page that shows what contrast did to a model's features.

On the test set, of a model trained with STD-CL and, with --plain, of the same
encoder without: t-SNE plots side by side, how well the features tell classes
apart, what changed in each class and between which classes, attention over
joints and frames, and a player for single sequences. The page is one file that
needs no network.
"""
import argparse
import json
import logging
import os.path as osp
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner
from sklearn.manifold import TSNE

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
sys.path[:0] = [ROOT, osp.join(ROOT, 'tools', 'analysis')]

import report_page as markup

from projects.stdcl.apis import layout_of, load_model
from projects.stdcl.engine.hooks.run_record_hook import (
    current_commit,
    machine_kind,
    package_versions,
)
from projects.stdcl.evaluation.features import (
    FEATURES,
    extract,
    measure,
    subset,
)
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.config_check import (
    add_model_arguments,
    load_config,
)
from projects.stdcl.utils.input_error import (
    InputError,
    end_cleanly,
)
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from projects.stdcl.visualization.draw_skeleton import (
    VIEWS,
    Animation,
    Panel,
    Segment,
    make_page,
    to_points,
    view_type,
)

LEAST = 8  # sequences that a t-SNE plot needs
PAIRS = 10  # pairs of classes that are listed
EXAMPLES = '''examples:
  python tools/analysis/report.py CONFIG CHECKPOINT report.html \\
      --plain PLAIN_CONFIG PLAIN_CHECKPOINT
  python tools/analysis/report.py CONFIG CHECKPOINT report.html --num 30

--cfg-options hold for both configs.'''


@dataclass
class Seen:
    """What a model makes of the test set, as ``extract_features`` has it.

    Args:
        title (str): Name of the model on the page.
        arrays (dict): Arrays for N sequences.
    """
    title: str
    arrays: Dict[str, np.ndarray]

    @property
    def right(self) -> np.ndarray:
        """Which sequences are taken for what they are, (N,)."""
        return self.arrays['predictions'] == self.arrays['labels']

    def features(self) -> Dict[str, np.ndarray]:
        """Name -> (N, D)."""
        return {name: self.arrays[key] for key, name in FEATURES.items()
                if key in self.arrays}

    def class_accuracy(self, number: int) -> np.ndarray:
        """Per cent, (classes,); NaN for a class without sequences."""
        labels = self.arrays['labels']
        counts = np.bincount(labels, minlength=number)
        with np.errstate(invalid='ignore'):
            return 100 * np.bincount(labels, self.right, number) / counts

    def mistaken(self) -> Counter:
        """Pair of classes -> sequences of either taken for the other."""
        wrong = ~self.right
        return Counter(tuple(sorted(pair)) for pair in zip(
            self.arrays['labels'][wrong].tolist(),
            self.arrays['predictions'][wrong].tolist()))


def look(cfg: Config, checkpoint: str, device: str, title: str) -> tuple:
    """Load a model and show it the test set.

    Returns:
        tuple[Seen, Dataset, SkeletonLayout, list[str]]: What it makes of it,
        the test set, the layout, and the names of the model's classes.
    """
    model = load_model(cfg, checkpoint, device)
    loader = Runner.build_dataloader(cfg.test_dataloader)
    arrays = extract(model, loader)
    classes = arrays.get('classes', np.array([], str)).tolist()
    classes += [f'class {label}' for label in range(
        len(classes), model.cls_head.num_classes)]
    return Seen(title, arrays), loader.dataset, layout_of(model, cfg), classes


def check(models: List[Seen]) -> None:
    """Raise InputError if there is nothing to show or to compare."""
    arrays = models[-1].arrays
    if 'spatial' not in arrays:
        raise InputError(
            'the model has no trained decoupler, expected a config with '
            'STD-CL and a checkpoint of training with it; those of the plain '
            'model go after --plain.')
    number = len(arrays['labels'])
    if number < LEAST:
        raise InputError(f'the test set has {number} sequences, expected '
                         f'{LEAST} or more.')
    other = models[0].arrays
    for what in ('labels', 'names'):
        if not np.array_equal(arrays[what], other[what]):
            raise InputError(
                f'the test sets differ in their {what}: {number} sequences, '
                f'and {len(other["labels"])} of --plain; expected the same, '
                'in the same order.')


def choose(models: List[Seen], num: int, names: Optional[Sequence[str]],
           seed: int = 0) -> List[int]:
    """Sequences for the player: by name, or those that tell most.

    Those on which the models differ come first, then those that are taken for
    another class; else at random.

    Raises:
        InputError: There is no sequence of a name.
    """
    if names:
        places = {name: index for index, name in
                  enumerate(models[-1].arrays['names'].tolist())}
        unknown = [name for name in names if name not in places]
        if unknown:
            raise InputError(f'the test set has no sequence {unknown[0]}; its '
                             f'first is {next(iter(places))}.')
        return [places[name] for name in names]
    rights = np.stack([model.right for model in models])  # (models, N)
    differ = rights.any(axis=0) & ~rights.all(axis=0)
    chance = np.random.default_rng(seed).random(len(differ))
    order = np.lexsort((chance, rights.all(axis=0), ~differ))
    return order[:num].tolist()


def embed(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE by the angles between features, (N, D) to (N, 2)."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return TSNE(perplexity=min(30, len(unit) / 4), init='pca',
                random_state=seed).fit_transform(unit)


def measures(models: List[Seen]) -> Dict[str, Dict[str, float]]:
    """'feature, model' -> what :func:`features.measure` tells."""
    return {f'{name}, {model.title}': measure(features,
                                              model.arrays['labels'])
            for model in models for name, features in model.features().items()}


def plots_section(models: List[Seen], classes: Sequence[str],
                  opens: Dict[int, int]) -> str:
    """t-SNE of the global features side by side, then of the others."""
    kept = subset(len(models[-1].right))
    clicks = {place: opens[index] for place, index in enumerate(kept.tolist())
              if index in opens}
    rows = {}
    for model in models:
        labels, predictions, names = (model.arrays[key][kept] for key in (
            'labels', 'predictions', 'names'))
        texts = [f'{name}: {classes[label]}' + (
            '' if label == said else f', taken for {classes[said]}')
            for name, label, said in zip(names, labels, predictions)]
        for name, features in model.features().items():
            drawing = markup.scatter(embed(features[kept]), labels,
                                     labels != predictions, texts, clicks)
            rows.setdefault(name == 'global', []).append(
                markup.figure(drawing, f'{name} features, {model.title}'))
    return (
        '<p>t-SNE, by the angles between features. A point is a sequence, its '
        'colour the class; those with a dark rim are taken for another. '
        'Click a class to see it alone, a large point to open it in the '
        'player.</p>' + markup.legend(classes) + ''.join(
            f'<div class="row">{"".join(figures)}</div>'
            for figures in rows.values()))


def measures_section(found: Dict[str, Dict[str, float]]) -> str:
    """A table of :func:`measures`."""
    names = list(next(iter(found.values())))
    return ('<p>Distance is 1 minus the cosine: intra of two sequences of a '
            'class, inter of two classes. precision@k is the share of the k '
            'nearest sequences that are of the same class.</p>'
            + markup.table(['features', *names], [
                [title, *row.values()] for title, row in found.items()]))


def classes_section(models: List[Seen], classes: Sequence[str]) -> str:
    """Accuracy of each class; its change if there are two models."""
    counts = np.bincount(models[-1].arrays['labels'], minlength=len(classes))
    columns = [model.class_accuracy(len(classes)) for model in models]
    head = ['class', 'sequences', *(f'{model.title}, %' for model in models)]
    rows = [[name, int(counts[label]),
             *(float(column[label]) for column in columns)]
            for label, name in enumerate(classes) if counts[label]]
    if len(models) == 1:
        return markup.table(head, rows)
    rows = [(*row, row[-1] - row[-2]) for row in rows]
    return markup.change_table([*head, 'change', ''],
                               sorted(rows, key=lambda row: -row[-1]))


def changed_pairs(plain: Seen, contrasted: Seen) -> List[Tuple[int, ...]]:
    """Pairs of classes whose confusion changed, at most :data:`PAIRS`.

    Returns:
        list[tuple]: Class, class, sequences of either that the plain model
        takes for the other, those of the other model, and the change; from
        the most untangled pair to the most entangled.
    """
    before, after = plain.mistaken(), contrasted.mistaken()
    rows = [(*pair, before[pair], after[pair], after[pair] - before[pair])
            for pair in before.keys() | after.keys()
            if before[pair] != after[pair]]
    rows.sort(key=lambda row: (-abs(row[-1]), row))
    return sorted(rows[:PAIRS], key=lambda row: (row[-1], row))


def pairs_section(models: List[Seen], classes: Sequence[str]) -> str:
    """The pairs that are confused, and with two models how that changed."""
    if len(models) == 1:
        return markup.table(['classes', 'taken for each other'], [
            [f'{classes[a]} / {classes[b]}', count]
            for (a, b), count in models[0].mistaken().most_common(PAIRS)])
    rows = [(f'{classes[a]} / {classes[b]}', *counts)
            for a, b, *counts in changed_pairs(*models)]
    return ('<p>Sequences of either class that are taken for the other; the '
            'pairs of which that changed most, those with fewer mistakes with '
            'STD-CL first.</p>' + markup.change_table(
                ['classes', *(model.title for model in models), 'change', ''],
                rows))


def attention_section(seen: Seen, dataset, layout: SkeletonLayout,
                      classes: Sequence[str], view: tuple) -> str:
    """Mean attention of each class, on a pose of one of its sequences.

    The pose is the first person's at the frame that has most attention.
    """
    labels, drawings = seen.arrays['labels'], []
    of_joints = joint_attention(seen, layout)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        joints = None if of_joints is None else of_joints[own, 0].mean(axis=0)
        frames = seen.arrays['attention_frames'][own, 0]
        shown = next(iter(own[seen.right[own]]), own[0])
        clip = clip_of(dataset, shown, layout)  # (M, T, V, 3)
        most = seen.arrays['attention_frames'][shown, 0].argmax()
        frame = int((most + 0.5) * clip.shape[1] / frames.shape[1])
        drawings.append(markup.attention_figure(
            classes[label], clip[0, frame], joints, frames.mean(axis=0),
            layout, view))
    return ('<p>Mean over the sequences of a class, first person: '
            + ('the encoder mixes the joints, so that there is no attention '
               'to single ones; ' if of_joints is None else
               'the area of a joint is the attention of the spatial branch, ')
            + 'the bars are that of the temporal branch, from the first '
            'frames to the last.</p>'
            f'<div class="row">{"".join(drawings)}</div>')


def joint_attention(seen: Seen,
                    layout: SkeletonLayout) -> Optional[np.ndarray]:
    """Attention to the joints, (N, M, V).

    None where the encoder's output has no joints, as HCN's, or there is no
    attention.
    """
    found = seen.arrays.get('attention_joints')
    return found if found is not None and (
        found.shape[-1] == layout.num_joints) else None


def clip_of(dataset, index: int, layout: SkeletonLayout) -> np.ndarray:
    """The first clip of a sequence as the pipeline gives it, (M, T, V, 3)."""
    return to_points(dataset[int(index)]['inputs'][0].numpy(), layout)


def animate(models: List[Seen], dataset, layout: SkeletonLayout,
            classes: Sequence[str], index: int) -> Animation:
    """A sequence with its class, what it is taken for, and the attention."""
    arrays = models[-1].arrays
    points = clip_of(dataset, index, layout)
    of_joints, timeline = joint_attention(models[-1], layout), []
    weights = None if of_joints is None else (
        of_joints[index] * layout.num_joints)
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
            + ('' if model.right[index] else ' (wrong)') for model in models),
        timeline=timeline)


def upright(points: np.ndarray) -> Tuple[float, float]:
    """The view in which a person stands.

    Some pipelines turn the spine to y, some to z.

    Args:
        points (ndarray): As ``to_points`` returns, (M, T, V, 3).
    """
    height = [np.nanmax(points[..., axis]) - np.nanmin(points[..., axis])
              for axis in (1, 2)]
    return VIEWS['top' if height[1] > height[0] else 'front']


def sequences_section(models: List[Seen], named: bool) -> str:
    """What is to be said of the player, which comes after it."""
    order = ('As named.' if named else
             'Those on which the models differ come first, then those that '
             'are taken for another class.' if len(models) > 1 else
             'Those that are taken for another class come first.')
    attention = (' The size of a joint is the attention to it, and the bars '
                 'are that to the frames.'
                 if 'attention_frames' in models[-1].arrays else '')
    return f'<p>{order}{attention}</p>'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument('out', type=Path, help='page to write (*.html)')
    parser.add_argument('--plain', nargs=2, metavar=('CONFIG', 'CHECKPOINT'),
                        help='the same encoder trained without STD-CL')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--names', nargs='+', metavar='NAME',
                       help='sequences for the player, by their names in '
                       'the annotation file (frame_dir)')
    which.add_argument('--num', type=int, default=12, help='number of '
                       'sequences for the player; default: 12')
    parser.add_argument('--view', type=view_type, help='front, side, back, '
                        'top, oblique, or AZIMUTH,ELEVATION in degrees '
                        '(--view=-35,15), of 3D data; default: front or top, '
                        'whichever shows the first person upright')
    parser.add_argument('--record', type=Path, metavar='JSON',
                        help='file for the numbers on the page')
    parser.add_argument('--device', default='cpu', help='default: cpu')
    args = parser.parse_args()
    if args.out.suffix != '.html':
        parser.error(f'out is {args.out}, expected *.html.')
    if args.num < 1:
        parser.error(f'--num is {args.num}, expected 1 or more.')
    return args


def run(args: argparse.Namespace) -> dict:
    """The command; returns the numbers on the page."""
    wanted = [('STD-CL', args.config, args.checkpoint)]
    if args.plain:
        wanted.insert(0, ('plain', *args.plain))
    configs = [load_config(config, args.cfg_options)
               for _, config, _ in wanted]
    encoders = [cfg.model.backbone.type for cfg in configs]
    if encoders[0] != encoders[-1]:
        raise InputError(f'the encoder is {encoders[-1]}, and that of --plain '
                         f'{encoders[0]}; expected the same.')
    models = []
    for cfg, (title, _, checkpoint) in zip(configs, wanted):
        seen, dataset, layout, classes = look(cfg, checkpoint, args.device,
                                              title)
        models.append(seen)
    check(models)
    found = measures(models)
    view = args.view or upright(clip_of(dataset, 0, layout))
    chosen = choose(models, args.num, args.names)
    opens = {index: place for place, index in enumerate(chosen)}
    sections = {
        'Features': plots_section(models, classes, opens),
        'How well they tell classes apart': measures_section(found),
        'Classes': classes_section(models, classes),
        'Pairs of classes': pairs_section(models, classes)}
    if 'attention_frames' in models[-1].arrays:
        sections['Attention'] = attention_section(
            models[-1], dataset, layout, classes, view)
    sections['Sequences'] = sequences_section(models, bool(args.names))
    player = make_page('sequences', [
        animate(models, dataset, layout, classes, index) for index in chosen],
        layout, view)
    title = Path(args.config).stem
    summary = f'Test set: {len(models[-1].right):,} sequences. Top-1: ' + (
        ', '.join(f'{model.title} {100 * model.right.mean():.2f} % '
                  f'({osp.basename(config)}, {osp.basename(checkpoint)})'
                  for model, (_, config, checkpoint) in zip(models, wanted))
    ) + '.'
    if len(models) > 1:
        summary += (' Trainings that differ in the seed alone differ as well: '
                    'what is seen of two models need not hold for two others.')
    with atomic_write(args.out) as partial:
        partial.write_text(markup.page(title, summary, sections, classes,
                                       player), encoding='utf-8')
    return dict(
        files={title: list(map(osp.basename, files))
               for title, *files in wanted}, **current_commit(),
        versions=package_versions(), machine=machine_kind(),
        sequences=len(models[-1].right),
        top1={model.title: 100 * float(model.right.mean())
              for model in models}, measures=found)


def main() -> None:
    args = parse_args()
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    with end_cleanly(args.config):
        record = run(args)
    print(f'{args.out}: {args.out.stat().st_size:,} bytes; top-1 '
          + ', '.join(f'{title} {top1:.2f}'
                      for title, top1 in record['top1'].items()))
    if args.record:
        with atomic_write(args.record) as partial:
            partial.write_text(json.dumps(record, indent=1) + '\n')


if __name__ == '__main__':
    main()
