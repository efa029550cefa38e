"""Confusion matrices, and the accuracy of each class."""
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from mmaction.evaluation import ConfusionMatrix
from mmengine.logging import print_log

from ..utils.atomic_write import atomic_write
from ..utils.input_error import printable

MAX_LABELED = 20  # classes; with more, cells do not show their values


class ClassReport(ConfusionMatrix):
    """Metric that logs the accuracy of each class and writes it to files.

    It returns no metrics. Samples with several labels or scores do not count.

    Args:
        stem (str): Start of the names of the files; see :func:`write_files`.
    """

    def __init__(self, stem: str) -> None:
        super().__init__()
        self.stem = stem

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Store the predicted and the true class of each sequence."""
        super().process(data_batch, [
            dict(sample, gt_label=sample['gt_label'].clone())  # keeps no file
            for sample in data_samples
            if len(sample.get('gt_label', ())) == 1
            and not isinstance(sample.get('pred_score'), dict)])

    def compute_metrics(self, results: list[dict]) -> dict:
        """Log the table and write the files, in the main process only."""
        if results:
            confusion = super().compute_metrics(results)['result'].numpy()
            classes = class_names((self.dataset_meta or {}).get('classes'),
                                  len(confusion))
            table = describe_classes(class_table(confusion, classes))
            print_log(f'Accuracy of each class:\n{table}', 'current')
            paths = write_files(confusion, classes, self.stem)
            print_log(f'Wrote {", ".join(map(str, paths))}.', 'current')
        return {}


def class_names(names: Sequence[str], number: int) -> list[str]:
    """Return ``names`` if there are ``number`` of them, else class numbers."""
    known = names is not None and len(names) == number
    return [printable(name) for name in (names if known else range(number))]


def class_table(confusion: np.ndarray, classes: Sequence[str]) -> list[dict]:
    """Summarize a confusion matrix (C, C) by class.

    Each row contains ``name``, ``sequences`` (their number), ``accuracy``
    (from 0 to 1, or None without sequences), ``confused_with`` (the class most
    often predicted by mistake, or None) and ``confused`` (how often).
    """
    rows = []
    for label, name in enumerate(classes):
        total, mistakes = int(confusion[label].sum()), confusion[label].copy()
        mistakes[label] = 0
        other = classes[mistakes.argmax()] if mistakes.any() else None
        rows.append(dict(
            name=name, sequences=total,
            accuracy=confusion[label, label] / total if total else None,
            confused_with=other, confused=int(mistakes.max())))
    return rows


def describe_classes(rows: Sequence[dict]) -> str:
    """Format the rows of :func:`class_table`, with accuracies in percent."""
    lines = ['sequences  accuracy  class, most often confused with']
    for row in rows:
        accuracy = f'{100 * row["accuracy"]:.2f}' if row['sequences'] else '-'
        other = '' if not row['confused'] else (
            f', {row["confused_with"]} ({row["confused"]})')
        lines.append(f'{row["sequences"]:9}  {accuracy:>8}  {row["name"]}'
                     f'{other}')
    return '\n'.join(lines)


def write_files(confusion: np.ndarray, classes: Sequence[str],
                stem: str) -> list[Path]:
    """Write a confusion matrix (C, C) as two tables and a picture.

    Return the files: ``STEM_classes.csv`` with the rows of
    :func:`class_table`, ``STEM_confusion.csv`` with the numbers of sequences
    (one row per true class), and the picture ``STEM_confusion.png``.
    """
    rows = class_table(confusion, classes)
    tables = {'classes': [[*rows[0]], *(row.values() for row in rows)],
              'confusion': [['', *classes], *(
                  [name, *counts] for name, counts
                  in zip(classes, confusion.tolist()))]}
    paths = [Path(f'{stem}_{name}.csv') for name in tables]
    for path, table in zip(paths, tables.values()):
        with atomic_write(path) as partial, open(
                partial, 'w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows(table)
    picture = Path(f'{stem}_confusion.png')
    draw_confusion(confusion, classes, picture)
    return [*paths, picture]


def draw_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str],
                   path: Path) -> None:
    """Plot a confusion matrix (C, C), in percent of the true class, as PNG."""
    confusion = np.asarray(confusion)
    names = [name[:40] for name in classes]
    side = min(max(8, 0.2 * len(names)), 24)  # inches
    size = min(10, 45 * side / len(names))  # font size in points
    figure = Figure(figsize=(side, side), layout='constrained')
    axes = figure.add_subplot()
    shares = 100 * confusion / np.maximum(confusion.sum(axis=1,
                                                        keepdims=True), 1)
    # the exponent 0.5 makes rare confusions visible
    image = axes.imshow(shares, cmap='Blues', norm=PowerNorm(0.5, 0, 100))
    figure.colorbar(image, label='% of the true class', shrink=0.6)
    if len(names) <= MAX_LABELED:
        for row, column in np.argwhere(confusion):
            share = shares[row, column]
            digits = int(0 < share <= 0.5 or 99.5 <= share < 100)
            axes.text(column, row, f'{share:.{digits}f}', size=size,
                      ha='center', va='center',
                      color='white' if share > 30 else 'black')
    style = dict(fontsize=size, parse_math=False)
    axes.set_xticks(range(len(names)), names, rotation=90, **style)
    axes.set_yticks(range(len(names)), names, **style)
    axes.set(xlabel='predicted class', ylabel='true class')
    with atomic_write(path) as partial:
        figure.savefig(partial, format='png', bbox_inches='tight')
