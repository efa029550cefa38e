"""Late fusion: the weighted sum of the scores of several trainings.

The metrics are MMAction2's, so a single file has the ``acc/top1``,
``acc/top5`` and ``acc/mean1`` that testing its model prints.
"""
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import PowerNorm
from mmaction.evaluation import (
    ConfusionMatrix,
    get_weighted_score,
    mean_class_accuracy,
    top_k_accuracy,
)

from ..catalogue import STREAMS
from ..utils import safe_files
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError
from .score_file import KINDS, Scores, read

FEW = 5  # names that a message lists


def fuse_files(paths: Sequence[Path],
               weights: Optional[Sequence[float]] = None,
               kind: Optional[str] = None,
               labels: Optional[Path] = None) -> Dict[str, Any]:
    """Fuse score files, and evaluate each of them and the weighted sum.

    Args:
        paths (sequence[Path]): Score files of one test set.
        weights (sequence[float], optional): One for each file. Defaults to
            :func:`default_weights`.
        kind (str, optional): What is summed, 'logits' or 'probabilities'.
            Defaults to logits if all files have them.
        labels (Path, optional): See :func:`read_labels`. Defaults to the
            labels in the score files.

    Returns:
        dict: ``scores`` (the kind), ``weights`` (where they come from),
        ``sequences``, ``files``, ``fused``, ``classes`` (see
        :func:`class_table`) and ``confusion``.

    Raises:
        InputError: Files or weights do not match, or labels are missing.
    """
    files = [read(path) for path in paths]
    weights, origin = (weights, 'as given') if weights is not None \
        else default_weights(files)
    if len(weights) != len(files) or not np.isfinite(weights).all() or not any(
            weights):
        raise InputError(f'The weights are {list(weights)}, expected '
                         f'{len(files)} finite numbers, not all of them 0.')
    matched = ['order' if file.names is None else 'name' for file in files]
    files = align(files, labels)
    kind = choose_kind(files, kind)
    scores, target = [getattr(file, kind) for file in files], files[0].labels
    fused = np.stack(get_weighted_score(scores, np.array(weights, float)))
    confusion = confusion_matrix(fused, target)
    classes = files[0].classes or list(map(str, range(len(confusion))))
    return dict(
        scores=kind, weights=origin, sequences=len(target),
        files=[dict(file=file.path.name, weight=weight, matched_by=by,
                    stream=file.stream, config=file.config,
                    checkpoint=file.checkpoint, **evaluate(score, target))
               for file, weight, by, score
               in zip(files, weights, matched, scores)],
        fused=evaluate(fused, target),
        classes=class_table(confusion, classes), confusion=confusion.tolist())


def default_weights(files: Sequence[Scores]) -> Tuple[List[float], str]:
    """Weight the four streams as ``catalogue.STREAMS`` does, 2:2:1:1.

    Four files without a stream are taken in the order of the catalogue. Any
    other files get equal weights.

    Returns the weights, and a text on where they come from.
    """
    streams = [file.stream for file in files]
    if sorted(streams) == sorted(STREAMS):
        return [STREAMS[stream] for stream in streams], 'by stream'
    if len(files) == len(STREAMS) and not any(streams):
        return list(STREAMS.values()), f'by order: {", ".join(STREAMS)}'
    return [1] * len(files), 'equal'


def align(files: Sequence[Scores],
          annotations: Optional[Path] = None) -> List[Scores]:
    """Sort files by the first one with names; complete labels and classes.

    Files without names are taken to be in that order. For ``annotations``
    see :func:`read_labels`.

    Raises:
        InputError: Sequences, labels or classes differ, or a sequence has no
            label in any file.
    """
    first = next((file for file in files if file.names is not None), files[0])
    files = [_sort_like(first, file) for file in files]
    known = [(file.path, file.labels, list(file.classes)) for file in files]
    if annotations is not None:
        known.append((annotations, *read_labels(annotations, first)))
    labels, classes = np.full(len(first.labels), -1), []
    for path, own, names in known:
        differ = (labels >= 0) & (own >= 0) & (labels != own)
        if differ.any():
            index = differ.argmax()
            raise InputError(
                f'{path}: the label of {first.name(index)} is {own[index]}, '
                f'but {labels[index]} in an earlier file ({differ.sum()} '
                'labels differ).')
        labels = np.where(labels < 0, own, labels)
        if classes and names and classes != names:
            raise InputError(
                f'{path}: the class names differ from those of an earlier '
                f'file: {_few(names, classes)}.')
        classes = classes or names
    unknown = [first.name(i) for i in np.flatnonzero(labels < 0)]
    if unknown:
        raise InputError(
            f'No file has the labels of {_few(unknown)}. Give an annotation '
            'file (--labels) that has them.')
    return [replace(file, labels=labels, classes=classes) for file in files]


def _sort_like(first: Scores, file: Scores) -> Scores:
    if file.shape[1] != first.shape[1] or (
            file.names is None and len(file.labels) != len(first.labels)):
        raise InputError(
            f'{file.path} has {file.shape[0]} sequences and {file.shape[1]} '
            f'classes, {first.path} {first.shape[0]} and {first.shape[1]}.')
    if file.names is None:
        return file
    own, expected = file.names.tolist(), first.names.tolist()
    if set(own) != set(expected):
        raise InputError(
            f'{file.path} and {first.path} have different sequences; only in '
            f'the former: {_few(own, expected)}; only in the latter: '
            f'{_few(expected, own)}.')
    place = {name: index for index, name in enumerate(own)}
    order = [place[name] for name in expected]
    return replace(file, **{field: getattr(file, field)[order]
                            for field in ('names', 'labels', *file.kinds)})


def _few(names: Sequence[str], but: Sequence[str] = ()) -> str:
    """List a few of the names that are not among others."""
    names = sorted(set(names) - set(but))
    more = f', ... ({len(names)})' if len(names) > FEW else ''
    return (', '.join(names[:FEW]) or 'none') + more


def read_labels(path: Path, scores: Scores) -> Tuple[np.ndarray, List[str]]:
    """Look up the labels of N sequences by their names.

    Args:
        path (Path): An annotation file, or a pickled dict name -> label.
        scores (Scores): The sequences.

    Returns:
        tuple[ndarray, list[str]]: Labels, -1 if not in the file, (N,); and
        class names, if it has any.

    Raises:
        InputError: It holds something else, or the sequences have no names.
    """
    if scores.names is None:
        raise InputError(f'{path}: labels are looked up by name, but no score '
                         'file has names.')
    content, classes = safe_files.load(str(path)), []
    try:
        if 'annotations' in content:
            classes = list(map(str, content.get('classes', ())))
            content = {item['frame_dir']: item['label']
                       for item in content['annotations']}
        labels = {str(name): int(label) for name, label in content.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f'{path}: expected "annotations" that have "frame_dir" and '
            f'"label", or a dict name -> label ({error!r}).') from None
    return np.array([labels.get(name, -1)
                     for name in scores.names.tolist()]), classes


def choose_kind(files: Sequence[Scores], kind: Optional[str] = None) -> str:
    """Choose a kind of scores that all files have, preferably logits."""
    for choice in (kind, ) if kind else KINDS:
        if all(choice in file.kinds for file in files):
            return choice
    has = '; '.join(f'{file.path} has {" and ".join(file.kinds)}'
                    for file in files)
    raise InputError(f'Expected {kind or "one kind of scores"} in all files '
                     f'(see --scores), but {has}.')


def evaluate(scores: np.ndarray, labels: np.ndarray) -> Dict[str, float]:
    """Top-1, top-5 and mean class accuracy, 0 to 1, of scores (N, C)."""
    top1, top5 = top_k_accuracy(scores, labels, (1, 5))
    return dict(top1=float(top1), top5=float(top5),
                mean_class_accuracy=float(mean_class_accuracy(scores, labels)))


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count sequences by class (rows) and predicted class, (C, C)."""
    return ConfusionMatrix.calculate(scores.argmax(axis=1), labels,
                                     num_classes=scores.shape[1]).numpy()


def class_table(confusion: np.ndarray, classes: Sequence[str]) -> List[dict]:
    """Summarise a confusion matrix (C, C) by class.

    Returns:
        list[dict]: ``name``, ``sequences``, ``correct``, ``accuracy`` (None
        without sequences), ``confused_with`` (the class that they are most
        often mistaken for, or None) and ``confused`` (how often).
    """
    mistakes = confusion - np.diag(np.diag(confusion))
    rows = []
    for label, name in enumerate(classes):
        total, correct = confusion[label].sum(), confusion[label, label]
        other, confused = mistakes[label].argmax(), int(mistakes[label].max())
        rows.append(dict(
            name=name, sequences=int(total), correct=int(correct),
            accuracy=float(correct / total) if total else None,
            confused_with=classes[other] if confused else None,
            confused=confused))
    return rows


def describe(record: Dict[str, Any]) -> str:
    """Format a result of :func:`fuse_files` as text, accuracies in %."""

    def accuracies(item):
        return ', '.join(
            f'{title} {100 * item[key]:.2f}' for title, key in (
                ('top-1', 'top1'), ('top-5', 'top5'),
                ('mean class', 'mean_class_accuracy')))

    rows = record['classes']
    lines = [f'{record["sequences"]} sequences, {len(rows)} classes; sum of '
             f'{record["scores"]}, weights {record["weights"]}']
    for item in record['files']:
        stream = f'{item["stream"]}, ' if item['stream'] else ''
        lines.append(
            f'{item["file"]} ({stream}weight {item["weight"]:g}, matched by '
            f'{item["matched_by"]}): {accuracies(item)}')
    lines += [f'fused: {accuracies(record["fused"])}', '']
    width = max(len(row['name']) for row in rows)
    lines.append(f'{"class":{width}}  sequences  accuracy  confused with')
    for row in rows:
        accuracy = f'{100 * row["accuracy"]:.2f}' if row['sequences'] else '-'
        other = f'{row["confused_with"]} ({row["confused"]})' \
            if row['confused'] else '-'
        lines.append(f'{row["name"]:{width}}  {row["sequences"]:9}  '
                     f'{accuracy:>8}  {other}')
    return '\n'.join(lines)


def draw_confusion(confusion: np.ndarray, classes: Sequence[str],
                   path: Path) -> None:
    """Draw a confusion matrix (C, C) in % of each class, as a ``*.png``."""
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    few = len(classes) <= 20
    figure = ConfusionMatrix.plot(
        torch.from_numpy((100 * confusion / totals).round().astype(int)),
        include_values=few, cmap='Blues', show=False,
        classes=[name[:40] for name in classes])
    axes = figure.axes[0]
    if not few:  # colours alone: the root makes rare confusions visible
        axes.images[0].set_norm(PowerNorm(0.5, 0, 100))
    side = min(max(10, 0.2 * len(classes)), 24)  # inches
    figure.set_size_inches(side, side)
    size = min(10, 45 * side / len(classes))  # points, less than a cell
    axes.tick_params(labelsize=size)
    axes.tick_params(axis='x', labelrotation=90)
    with atomic_write(path) as partial:
        figure.savefig(partial, format='png', bbox_inches='tight')
    plt.close(figure)
