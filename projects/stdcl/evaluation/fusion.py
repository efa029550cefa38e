"""Late fusion: the weighted sum of the scores of several models.

With one clip per sequence, the metrics of a file equal ``tools/test.py``'s.
"""
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from mmaction import evaluation
from scipy.special import softmax

from ..catalogue import STREAMS
from ..compat.mean_class_accuracy import mean_class_accuracy, top_k_accuracy
from ..datasets.annotation_check import check_distinct
from ..utils.input_error import InputError, printable
from . import label_file
from .confusion import class_names, class_table, describe_classes
from .score_file import Scores, read


def fuse_files(paths: Sequence[Path], weights: Sequence[float] | None = None,
               kind: str | None = None,
               labels: Sequence[Path] = ()) -> dict[str, Any]:
    """Fuse score files, and evaluate each file and the weighted sum.

    Args:
        paths (sequence[Path]): Score files of one test set.
        weights (sequence[float], optional): One weight for each file. Defaults
            to those of ``catalogue.STREAMS`` for four files of different
            streams, and to 1 for each file otherwise.
        kind (str, optional): Scores to sum: 'logits', 'probabilities', or
            'softmax', which is the probabilities and, for a file without
            them, the softmax of its logits. Defaults to logits if all files
            contain them, and to probabilities otherwise.
        labels (sequence[Path]): Files with labels or names that the score
            files do not contain; see :mod:`.label_file`. Defaults to none.

    Returns:
        dict: ``scores`` (the kind of scores), ``weights`` (their origin: 'as
        given', 'by stream' or 'equal'), ``sequences`` (their number),
        ``files`` and ``fused`` (metrics from 0 to 1), ``classes`` (from
        ``confusion.class_table``) and ``confusion`` (counts; rows are true
        classes).

    Raises:
        InputError: The files do not match, two contain the same scores, labels
            are missing, or ``weights`` is invalid or contains only 0.
    """
    files = [read(path) for path in paths]
    streams, origin = [file.stream for file in files], 'as given'
    if weights is None and len({*streams} & {*STREAMS}) == len(files) == 4:
        weights, origin = [STREAMS[stream] for stream in streams], 'by stream'
    elif weights is None:
        weights, origin = [1] * len(files), 'equal'
    if len(weights) != len(files) or not np.isfinite(weights).all() or not any(
            weights):
        raise InputError(f'The weights are {list(weights)}, expected a finite '
                         f'number per file ({len(files)} in all), not all 0.')
    matched = ['order' if file.names is None or _places(file.names) is not None
               else 'name' for file in files]
    files = align(files, labels)
    kind = kind or ('logits' if all('logits' in file.kinds for file in files)
                    else 'probabilities')
    scores, target = [_select(file, kind) for file in files], files[0].labels
    # probabilities of good models are similar; their logarithms differ
    compared = scores if kind == 'logits' else [
        np.log(np.maximum(score, 1e-30)) for score in scores]
    for (one, own), (other, same) in combinations(zip(files, compared), 2):
        # the same run tested with a different batch size differs by rounding
        if np.allclose(own, same, rtol=0, atol=1e-5 * np.abs(own).max()):
            raise InputError(f'{other.path} contains the same scores as '
                             f'{one.path}, expected those of another run.')
    fused = np.stack(evaluation.get_weighted_score(
        scores, np.array(weights, float)))
    confusion = evaluation.ConfusionMatrix.calculate(
        fused.argmax(axis=1), target, num_classes=fused.shape[1]).numpy()
    classes = class_names(files[0].classes, len(confusion))
    return dict(
        scores=kind, weights=origin, sequences=len(target),
        files=[dict(file=printable(file.path.name), weight=weight,
                    matched_by=by, stream=file.stream, config=file.config,
                    checkpoint=file.checkpoint, **evaluate(score, target))
               for file, weight, by, score
               in zip(files, weights, matched, scores)],
        fused=evaluate(fused, target),
        classes=class_table(confusion, classes), confusion=confusion.tolist())


def _select(file: Scores, kind: str) -> np.ndarray:
    """Return the scores (N, C) to sum."""
    if kind == 'softmax':
        return (softmax(file.logits, axis=1) if file.probabilities is None
                else file.probabilities)
    if kind not in file.kinds:
        raise InputError(
            f'{file.path} contains only {file.kinds[0]}, expected {kind} in '
            'all files (ensemble.py: --scores selects the kind; --scores '
            'softmax turns logits into probabilities).')
    return getattr(file, kind)


def align(files: Sequence[Scores],
          label_files: Sequence[Path] = ()) -> list[Scores]:
    """Sort all files like the first one that contains names.

    Files without names are assumed to be in this order already. A list in
    ``label_files`` names the sequences of such files, and of files that only
    number them (CTR-GCN, FR-Head). Files supply labels that others lack.
    Contradicting or missing labels raise an ``InputError``.
    """
    files = [file if file.names is None else replace(file, names=np.char.
             replace(file.names, '.skeleton', '')) for file in files]
    known = [one._replace(names=np.char.replace(one.names, '.skeleton', ''))
             for one in map(label_file.read, label_files)]
    for one in known:
        if one.ordered:
            if len({'' if file.names is None else _places(
                    file.names) is None for file in files}) == 3:
                raise InputError(f'{one.path} cannot name the sequences both '
                                 'of files without names and of files that '
                                 'number them, expected only one kind.')
            files = [_rename(file, one) for file in files]
    first = next((file for file in files if file.names is not None), files[0])
    files = [_sort_like(first, file) for file in files]
    sources = [(file.path, file.labels, list(file.classes)) for file in files]
    sources += [(one.path, _find_labels(first, one), one.classes)
                for one in known if one.labels is not None]
    labels, classes, source = np.full(len(first.labels), -1), [], ''
    for path, own, names in sources:
        differ = ((labels >= 0) & (own >= 0) & (labels != own)).sum()
        if differ:
            raise InputError(f'{path}: {differ} of {len(own)} labels differ '
                             'from those of an earlier file, expected none.')
        if classes and names and classes != names:
            raise InputError(f'{path}: the classes are {names}, expected '
                             f'{classes} in this order, as in {source}.')
        if names and not classes:
            classes, source = names, path
        labels = np.where(labels < 0, own, labels)
    if (labels < 0).any():
        raise InputError(
            f'{first.path}: {(labels < 0).sum()} of {len(labels)} sequences '
            'have no label in any file. Pass a file that contains their '
            'labels (ensemble.py: --labels).')
    return [replace(file, labels=labels, classes=classes) for file in files]


def _places(names: np.ndarray) -> np.ndarray | None:
    """Return the numbers in names such as 0 or test_0; None for others."""
    numbers = [name.removeprefix('test_') for name in names.tolist()]
    numbered = {*numbers} == {*map(str, range(len(numbers)))}
    return np.array(numbers, int) if numbered else None


def _rename(file: Scores, known: label_file.LabelFile) -> Scores:
    """Name the sequences of a file that only orders or numbers them."""
    counted = np.arange(len(file.labels))
    places = counted if file.names is None else _places(file.names)
    if places is None:
        return file
    if len(known.names) != len(places):
        raise InputError(f'{known.path} contains {len(known.names)} '
                         f'sequences, expected {len(places)} as in '
                         f'{file.path}.')
    if file.names is not None and {*file.names} == {*known.names}:
        return file
    names = known.names if _places(known.names) is None else (
        counted.astype(str))  # the list contains numbers, possibly shuffled
    return replace(file, names=names[places])


def _sort_like(first: Scores, file: Scores) -> Scores:
    if file.shape != first.shape:
        raise InputError(
            f'{file.path} contains {file.shape[0]} sequences and '
            f'{file.shape[1]} classes, expected {first.shape[0]} sequences '
            f'and {first.shape[1]} classes as in {first.path}.')
    if file.names is None:
        return file
    place = {name: index for index, name in enumerate(file.names.tolist())}
    missing = [name for name in first.names.tolist() if name not in place]
    if missing:
        raise InputError(
            f'{file.path} does not contain {len(missing)} of the sequences in '
            f'{first.path}, such as "{missing[0]}"; its own first sequence is '
            f'"{file.names[0]}". If a file numbers its sequences, pass a list '
            'of their names (ensemble.py: --labels).')
    order = [place[name] for name in first.names.tolist()]
    return replace(file, **{field: getattr(file, field)[order]
                            for field in ('names', 'labels', *file.kinds)})


def _find_labels(scores: Scores, known: label_file.LabelFile) -> np.ndarray:
    """Look up labels (N,) by name; unknown labels become -1."""
    if scores.names is None:
        raise InputError(
            f'{known.path} contains labels by name, but no score file '
            'contains the names of its sequences. Pass a list of labels in '
            'the order of the scores.')
    check_distinct(known.path, known.names.tolist())
    labels = dict(zip(known.names.tolist(), known.labels.tolist()))
    found = np.array([labels.get(name, -1) for name in scores.names.tolist()])
    if (found < 0).all():
        raise InputError(
            f'{known.path} contains none of the sequences in {scores.path}: '
            f'its first name is {known.names[:1]}, expected names such as '
            f'"{scores.names[0]}". For scores without names, pass a list of '
            'labels in their order.')
    return found


def evaluate(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return three accuracies of scores (N, C), each from 0 to 1."""
    top1, top5 = top_k_accuracy(scores, labels, (1, 5))
    return dict(top1=float(top1), top5=float(top5),
                mean_class_accuracy=mean_class_accuracy(scores, labels))


def describe(record: dict[str, Any]) -> str:
    """Format a result of :func:`fuse_files`, with accuracies in percent."""

    def accuracies(item):
        return (f'top-1 {100 * item["top1"]:.2f}, top-5 '
                f'{100 * item["top5"]:.2f}, mean class '
                f'{100 * item["mean_class_accuracy"]:.2f}')

    rows = record['classes']
    streams = Counter(item['stream'] for item in record['files'])
    lines = [f'{record["sequences"]} sequences, {len(rows)} classes; sum of '
             f'{record["scores"]}, weights {record["weights"]}' + ''.join(
                 f'; {number} files of the stream {stream}' for stream, number
                 in streams.items() if stream and number > 1)]
    lines += [f'{item["file"]} ({item["stream"] or "unknown stream"}, weight '
              f'{item["weight"]:g}, matched by {item["matched_by"]}): '
              f'{accuracies(item)}' for item in record['files']]
    lines += [f'fused: {accuracies(record["fused"])}', '',
              describe_classes(rows)]
    return '\n'.join(lines)
