"""Fuse the scores of several trainings by a weighted sum; see --help."""
import argparse
import hashlib
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.stdcl.engine.hooks.run_record_hook import (
    current_commit,
)
from projects.stdcl.evaluation.score_file import (
    KINDS,
    ScoreFileError,
    Scores,
    read,
    read_pickle,
)
from projects.stdcl.utils.atomic_write import atomic_write

# weights of the four streams
STREAMS = {'joint': 2, 'bone': 2, 'joint-motion': 1, 'bone-motion': 1}
FEW = 5  # how many of many names a message gives
EPILOG = '''examples:
  python tools/test.py CONFIG CHECKPOINT --dump joint.npz       and so on
  python tools/ensemble.py joint.npz bone.npz joint-motion.npz bone-motion.npz
  python tools/ensemble.py joint.npz ctrgcn.pkl --weights 1 0.5 \\
      --out result.json --confusion confusion.png

files:
  *.npz of tools/test.py --dump: names, labels, logits and probabilities
  *.pkl of MMEngine's DumpResults (tools/test.py --dump scores.pkl)
  *.pkl, a dict name -> scores, or *.npz, an array for each name, of other
  projects: without labels, which come from another file or from --labels

Sequences are matched by name; files without names by their order, after the
labels were found to be the same.

By default four streams are weighted 2 2 1 1, by the names of their configs,
which *.npz of tools/test.py have; four files that do not say their stream are
taken in the order joint, bone, joint motion, bone motion; all else counts 1.

Weights are given and not searched for: weights that are chosen by the
accuracy on the test set make it an accuracy on data that were fitted.'''


class Target(NamedTuple):
    """What the files must agree on."""
    names: Optional[np.ndarray]  # (N,)
    labels: np.ndarray  # (N,)
    classes: List[str]


def read_labels(path: Path, scores: Scores) -> tuple:
    """Read the labels of the sequences of a score file.

    Args:
        path (Path): A ``PoseDataset`` pickle, or one of a dict name ->
            label.
        scores (Scores): N sequences with names.

    Returns:
        tuple[ndarray, list[str]]: Labels, -1 of sequences that are not in
        it, (N,); and the names of the classes, if it has them.

    Raises:
        ScoreFileError: It cannot be read, or is no annotation file, or the
            sequences have no names.
    """
    if scores.names is None:
        raise ScoreFileError(f'{path}: labels are found by name, and no score '
                             'file has names.')
    content = read_pickle(path)
    try:
        if 'annotations' in content:
            labels = {str(item['frame_dir']): int(item['label'])
                      for item in content['annotations']}
        else:
            labels = {str(name): int(label)
                      for name, label in content.items()}
        classes = list(map(str, content.get('classes', ()))) if (
            'annotations' in content) else []
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ScoreFileError(
            f'{path}: expected an annotation file, a dict with "annotations" '
            'that have "frame_dir" and "label", or a dict name -> label '
            f'({error!r}).') from None
    return np.array([labels.get(name, -1)
                     for name in scores.names.tolist()]), classes


def align(files: List[Scores], labels_file: Optional[Path] = None
          ) -> tuple:
    """Bring all files into the order of the first that has names.

    Args:
        files (list[Scores]): Of the same test set.
        labels_file (Path, optional): An annotation file.

    Returns:
        tuple[list[Scores], Target]: The files in that order, and what they
        agree on.

    Raises:
        ScoreFileError: They disagree, or labels or an order are missing.
    """
    first = next((file for file in files if file.names is not None), files[0])
    for file in files:
        if file.shape[1] != first.shape[1]:
            raise ScoreFileError(
                f'{file.path} has scores of {file.shape[1]} classes, '
                f'{first.path} of {first.shape[1]}.')
    _check_orders(files, first)
    files = [_in_order_of(first, file) for file in files]
    named = [file for file in files if file.names is not None] or files[:1]
    sources = [(file.path, file.labels, file.classes) for file in named]
    if labels_file is not None:
        sources.append((labels_file, *read_labels(labels_file, first)))
    labels, classes = first.labels.copy(), list(first.classes)
    for path, own, names in sources:
        _merge_labels(labels, own, path, first)
        classes = _merge_classes(classes, names, path, first)
    _require_labels(labels, first, labels_file)
    for file in files:  # those without names match if their labels do
        _merge_labels(labels, file.labels, file.path, first)
    return files, Target(first.names, labels, classes)


def _check_orders(files: List[Scores], first: Scores) -> None:
    """Files without names need labels, and one order of all others."""
    unnamed = [file for file in files if file.names is None]
    for file in unnamed:
        if len(file.labels) != len(first.labels):
            raise ScoreFileError(
                f'{file.path} has {len(file.labels)} sequences, {first.path} '
                f'{len(first.labels)}.')
        if len(files) > 1 and (file.labels < 0).any():
            raise ScoreFileError(
                f'{file.path} has neither names nor labels for all '
                'sequences, so they cannot be matched with those of another '
                'file.')
    for file in files:
        if unnamed and file.names is not None and not np.array_equal(
                file.names, first.names):
            _require_same_names(first, file)
            raise ScoreFileError(
                f'{unnamed[0].path} has no names, and {file.path} is in '
                f'another order than {first.path}, so its order is unknown.')


def _in_order_of(first: Scores, file: Scores) -> Scores:
    """Sort the sequences of a file as those of the first."""
    if file.names is None:
        return file
    _require_same_names(first, file)
    place = {name: i for i, name in enumerate(file.names.tolist())}
    order = [place[name] for name in first.names.tolist()]
    return replace(file, **{field: getattr(file, field)[order]
                            for field in ('names', 'labels', *file.kinds)})


def _require_same_names(first: Scores, file: Scores) -> None:
    own, others = set(file.names.tolist()), set(first.names.tolist())
    if own != others:
        raise ScoreFileError(
            f'{file.path} has {len(own)} sequences, {first.path} '
            f'{len(others)}, and they are not the same.\n'
            f'  only in {file.path}: {_few(own - others)}\n'
            f'  only in {first.path}: {_few(others - own)}')


def _few(names) -> str:
    """The first few of many names."""
    names = sorted(names)
    more = f', ... ({len(names)})' if len(names) > FEW else ''
    return (', '.join(names[:FEW]) or 'none') + more


def _merge_labels(labels: np.ndarray, own: np.ndarray, path: Path,
                  first: Scores) -> None:
    """Fill in labels that were unknown; those that are known must agree."""
    differ = (labels != own) & (labels >= 0) & (own >= 0)
    if differ.any():
        index = differ.argmax()
        raise ScoreFileError(
            f'{path}: {differ.sum()} labels differ from those of '
            f'{first.path}, the first that of {first.name(index)}: '
            f'{own[index]}, not {labels[index]}.')
    np.copyto(labels, own, where=labels < 0)


def _merge_classes(classes: List[str], own: Sequence[str], path: Path,
                   first: Scores) -> List[str]:
    if len(own) not in (0, first.shape[1]):
        raise ScoreFileError(f'{path} names {len(own)} classes, and '
                             f'{first.path} has scores of {first.shape[1]}.')
    for label, (name, other) in enumerate(zip(own, classes)):
        if name != other:
            raise ScoreFileError(
                f'{path}: class {label} is "{name}", but "{other}" elsewhere.')
    return classes or list(own)


def _require_labels(labels: np.ndarray, first: Scores,
                    labels_file: Optional[Path]) -> None:
    unknown = np.flatnonzero(labels < 0)
    if len(unknown):
        names = [first.name(i) for i in unknown]
        way_out = 'Give an annotation file that has them with --labels.' \
            if labels_file is None else f'{labels_file} does not have them.'
        raise ScoreFileError(
            f'{len(unknown)} of {len(labels)} sequences have no label in any '
            f'file: {_few(names)}. {way_out}')
    if labels.max() >= first.shape[1]:
        raise ScoreFileError(
            f'The label of {first.name(labels.argmax())} is {labels.max()}, '
            f'but {first.path} has scores of {first.shape[1]} classes.')


def choose_kind(files: List[Scores], kind: Optional[str] = None) -> str:
    """Logits where all files have them, else probabilities where all do.

    Args:
        files (list[Scores]): The files.
        kind (str, optional): What is asked for.

    Raises:
        ScoreFileError: A file does not have it.
    """
    for choice in [kind] if kind else KINDS:
        without = [file for file in files if choice not in file.kinds]
        if not without:
            return choice
    have = '\n'.join(f'  {file.path}: {", ".join(file.kinds)}'
                     for file in files)
    other, = set(KINDS) - {choice}
    way_out = f'Use --scores {other}.' if all(
        other in file.kinds for file in files) else (
            'tools/test.py --dump SCORES.npz writes both.')
    raise ScoreFileError(f'{without[0].path} has no {choice}. {way_out} '
                         f'There are:\n{have}')


def stream_of(file: Scores) -> Optional[str]:
    """Which stream the config of a score file is for, if it says so."""
    match = re.search(r'_\d+xb\d+-([a-z-]+)-u\d+', file.config)
    return match[1] if match and match[1] in STREAMS else None


def default_weights(files: List[Scores]) -> tuple:
    """2 2 1 1 for the four streams, in whatever order; else all 1.

    Args:
        files (list[Scores]): The files, in the order given.

    Returns:
        tuple[list[float], str]: A weight for each, and a word on why.
    """
    streams = list(map(stream_of, files))
    if len(files) == 4 and set(streams) == set(STREAMS):
        return [STREAMS[stream] for stream in streams], 'weights by stream'
    if len(files) == 4 and not any(streams):
        return list(STREAMS.values()), (
            'weights by position: joint, bone, joint motion, bone motion')
    return [1] * len(files), 'all weights 1'


def fuse(scores: Sequence[np.ndarray],
         weights: Sequence[float]) -> np.ndarray:
    """The weighted sum of scores, each (N, num_classes)."""
    return sum(weight * score.astype(np.float64)
               for weight, score in zip(weights, scores))


def rank_of_label(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the labelled one.

    Those with a higher score, and of those with the same score the ones of a
    lower number: as ``argmax`` has it.

    Args:
        scores (ndarray): (N, num_classes).
        labels (ndarray): (N,).

    Returns:
        ndarray: Ranks from 0 on, (N,).
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)  # (N, 1)
    before = np.arange(scores.shape[1]) < labels[:, None]
    return ((scores > own) | (scores == own) & before).sum(axis=1)


def evaluate(scores: np.ndarray, labels: np.ndarray) -> dict:
    """Accuracies between 0 and 1.

    Args:
        scores (ndarray): (N, num_classes).
        labels (ndarray): (N,).

    Returns:
        dict[str, float]: ``top1``, ``top5`` and ``mean_class_accuracy``, the
        mean over the classes that occur.
    """
    rank = rank_of_label(scores, labels)
    sequences = np.bincount(labels)
    correct = np.bincount(labels, weights=rank < 1)
    occurs = sequences > 0
    return dict(top1=float((rank < 1).mean()), top5=float((rank < 5).mean()),
                mean_class_accuracy=float(
                    (correct[occurs] / sequences[occurs]).mean()))


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many sequences of each class (rows) are taken for each (columns).

    Args and shapes as in :func:`evaluate`; returns
    (num_classes, num_classes).
    """
    num_classes = scores.shape[1]
    pairs = labels * num_classes + scores.argmax(axis=1)
    return np.bincount(pairs, minlength=num_classes**2).reshape(
        num_classes, num_classes)


def class_table(confusion: np.ndarray, classes: Sequence[str]) -> List[dict]:
    """A row for each class.

    Args:
        confusion (ndarray): As of :func:`confusion_matrix`.
        classes (sequence[str]): Names of all classes.

    Returns:
        list[dict]: ``name``, ``sequences``, ``correct``, ``accuracy`` (None
        of a class without sequences), ``confused_with`` (the class its
        sequences are most often mistaken for, the first of several; None if
        they never are) and ``confused`` (how many).
    """
    rows = []
    mistakes = confusion - np.diag(np.diag(confusion))
    for label, name in enumerate(classes):
        total, correct = confusion[label].sum(), confusion[label, label]
        other = mistakes[label].argmax()
        confused = int(mistakes[label, other])
        rows.append(dict(
            name=name, sequences=int(total), correct=int(correct),
            accuracy=float(correct / total) if total else None,
            confused_with=classes[other] if confused else None,
            confused=confused))
    return rows


def format_table(rows: List[dict]) -> str:
    """The rows of :func:`class_table` as text."""
    width = max(len(row['name']) for row in rows)
    lines = [f'{"class":{width}}  sequences  correct  accuracy  '
             'most confused with']
    for row in rows:
        accuracy = '-' if row['accuracy'] is None \
            else f'{100 * row["accuracy"]:.2f}'
        other = f'{row["confused_with"]} ({row["confused"]})' \
            if row['confused'] else '-'
        lines.append(f'{row["name"]:{width}}  {row["sequences"]:9}  '
                     f'{row["correct"]:7}  {accuracy:>8}  {other}')
    return '\n'.join(lines)


def draw_confusion(confusion: np.ndarray, classes: Sequence[str],
                   path: Path) -> None:
    """Draw the matrix: for each class the share taken for each class.

    Args:
        confusion (ndarray): As of :func:`confusion_matrix`.
        classes (sequence[str]): Names of all classes.
        path (Path): The picture, ``*.png``; complete, or not there.
    """
    num_classes = len(classes)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    # inches of a class; up to 24 in all, so that a viewer can take it
    cell = min(0.6 if num_classes <= 20 else 0.22, 24 / num_classes)
    side = max(4, cell * num_classes)
    figure = Figure(figsize=(side, side), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))  # names stand outside of it
    # the root, so that rare confusions can be seen
    image = axes.imshow(share, cmap='Blues', norm=PowerNorm(0.5, 0, 1))
    axes.set_xlabel('taken for')
    axes.set_ylabel('class')
    size = min(9, 72 * cell * 0.7)  # points
    if size >= 4:  # smaller names could not be read: numbers, not all of them
        names = [name if len(name) <= 40 else f'{name[:39]}…'
                 for name in classes]
        axes.set_xticks(range(num_classes), names, rotation=90, fontsize=size)
        axes.set_yticks(range(num_classes), names, fontsize=size)
    if num_classes <= 20:  # numbers of sequences fit into the cells
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                axes.text(column, row, count, ha='center', va='center',
                          fontsize=9, color='white'
                          if share[row, column] > 0.25 else 'black')
    figure.colorbar(image, ax=axes, shrink=0.5, pad=0.02,
                    label='share of the sequences of the class')
    with atomic_write(path) as partial:
        figure.savefig(partial, format='png', bbox_inches='tight')


def sha256(path: Path) -> str:
    """The hash of a file."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def describe(metrics: dict) -> str:
    """Accuracies as text, in percent."""
    return (f'top-1 {100 * metrics["top1"]:.2f}, '
            f'top-5 {100 * metrics["top5"]:.2f}, mean class '
            f'{100 * metrics["mean_class_accuracy"]:.2f}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Fuse the scores of several trainings by a weighted sum.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('files', nargs='+', type=Path, metavar='FILE',
                        help='score files of the same test set')
    parser.add_argument(
        '--weights', nargs='+', type=float, metavar='W',
        help='one for each file; default: 2 2 1 1 for joint, bone, joint '
        'motion and bone motion, in whatever order, else all 1')
    parser.add_argument(
        '--scores', choices=KINDS,
        help='what is summed; default: logits where all files have them, as '
        'is common, else probabilities')
    parser.add_argument(
        '--treat-as', choices=KINDS,
        help='what the files hold that do not say it (all but *.npz of '
        'tools/test.py); default: probabilities where the scores of every '
        'sequence are 0 or more and sum to 1, else logits')
    parser.add_argument(
        '--labels', type=Path, metavar='ANNOTATIONS.pkl',
        help='annotation file with the labels, and perhaps the names of the '
        'classes, that the score files do not have; or a pickle of name -> '
        'label')
    parser.add_argument('--out', type=Path, metavar='RESULT.json',
                        help='write everything that is printed, and the '
                        'confusion matrix')
    parser.add_argument('--confusion', type=Path, metavar='PICTURE.png',
                        help='draw the confusion matrix')
    args = parser.parse_args()
    for option, suffix in (('confusion', '.png'), ('out', '.json')):
        path = getattr(args, option)
        if path and path.suffix != suffix:
            parser.error(f'--{option} is {path}, expected *{suffix}.')
    if args.weights is None:
        return args
    if len(args.weights) != len(args.files):
        parser.error(f'--weights has {len(args.weights)} numbers for '
                     f'{len(args.files)} files.')
    if not all(map(math.isfinite, args.weights)) or not any(args.weights):
        parser.error(f'--weights is {args.weights}, expected finite numbers '
                     'that are not all 0.')
    return args


def run(args: argparse.Namespace) -> None:
    """Read, fuse, report.

    Raises:
        ScoreFileError: The files are not what they should be.
        OSError: A result cannot be written.
    """
    files = [read(path, args.treat_as) for path in track(
        args.files, description='Reading', console=Console(stderr=True),
        transient=True, disable=not sys.stderr.isatty())]
    weights, why = default_weights(files) if (
        args.weights is None) else (args.weights, 'weights as given')
    files, target = align(files, args.labels)
    kind = choose_kind(files, args.scores)
    scores = [getattr(file, kind) for file in files]
    classes = target.classes or list(map(str, range(files[0].shape[1])))

    record = dict(scores=kind, sequences=len(target.labels), files=[
        dict(file=file.path.name, sha256=sha256(file.path), weight=weight,
             config=file.config, checkpoint=file.checkpoint,
             **evaluate(score, target.labels))
        for file, weight, score in zip(files, weights, scores)])
    if args.labels:
        record['labels'] = dict(file=args.labels.name,
                                sha256=sha256(args.labels))
    fused = fuse(scores, weights)
    confusion = confusion_matrix(fused, target.labels)
    rows = class_table(confusion, classes)
    record.update(fused=evaluate(fused, target.labels), classes=rows,
                  confusion=confusion.tolist(), **current_commit())

    print(f'{len(target.labels)} sequences, {len(classes)} classes, '
          f'summed: {kind}, {why}')
    for file in files:
        if file.names is None and target.names is not None:
            print(f'{file.path} has no names: matched by order, the labels '
                  'are the same')
    for file, item in zip(files, record['files']):
        print(f'{file.path} (weight {item["weight"]:g}): {describe(item)}')
    print(f'fused: {describe(record["fused"])}\n\n{format_table(rows)}')
    if args.out:
        with atomic_write(args.out) as partial:
            partial.write_text(json.dumps(record, indent=1))
    if args.confusion:
        draw_confusion(confusion, classes, args.confusion)


def main() -> None:
    try:
        run(parse_args())
    except (OSError, ScoreFileError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
