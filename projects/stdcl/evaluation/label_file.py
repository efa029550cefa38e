"""Names and labels of test sequences, for score files that lack them."""
import csv
from operator import index
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..utils import safe_files
from ..utils.input_error import InputError, printable


class LabelFile(NamedTuple):
    """The names and, optionally, the labels of N test sequences."""
    path: Path
    names: np.ndarray  # strings, (N,)
    labels: np.ndarray | None  # integers from 0, (N,)
    classes: list[str]  # names of the classes, or none
    ordered: bool  # whether the order is that of a score file


def read(path: Path) -> LabelFile:
    """Read an annotation file, or a list of names and labels.

    A list contains one row per sequence, in the order of a score file. A text
    file (``.csv``, ``.txt``) contains names, labels, or both (name, label); it
    may start with a header. A ``.npy`` file contains labels. In a list of
    labels, the names are 0 to N - 1. Other formats raise an ``InputError``.
    """
    try:
        if Path(path).suffix.lower() in ('.npy', '.csv', '.txt'):
            names, labels = _read_list(Path(path))
            return LabelFile(path, names, labels, [], ordered=True)
        content = safe_files.load(path)
        if isinstance(content, tuple):  # names and labels, as in 2S-AGCN
            content = [dict(frame_dir=name, label=label)
                       for name, label in zip(*content)]
        if isinstance(content, list):
            content = dict(annotations=content)
        items = content['annotations']
        return LabelFile(
            path, np.array([str(item['filename'] if 'filename' in item else
                                item['frame_dir']) for item in items]),
            np.array([index(item['label']) for item in items]),
            [*map(printable, content.get('classes', ()))], ordered=False)
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f'{path} cannot be read ({error!r}), expected "annotations" with '
            '"frame_dir" and "label" in each entry, or a list of names and '
            'labels: *.csv or *.txt with one row per sequence, or *.npy with '
            'one integer per sequence.') from None


def _read_list(path: Path) -> tuple:
    """Return the names, and the labels or None."""
    if path.suffix.lower() == '.npy':
        columns = [safe_files.load_arrays(path)]
        if (columns[0].ndim, columns[0].dtype.kind) not in (
                (1, 'i'), (1, 'u')):
            raise ValueError(f'type {columns[0].dtype}, shape '
                             f'{columns[0].shape}')
    else:
        with open(path, newline='', encoding='utf-8-sig') as file:
            rows = [[cell.strip() for cell in row]
                    for row in csv.reader(file) if any(row)]
        named = len(rows) > 1 and rows[0] == ['name']
        if named or len(rows) > 1 and not rows[0][-1].isdecimal() and (
                rows[1][-1].isdecimal()):
            del rows[0]  # a header
        columns = np.array(rows).T  # (1 or 2, N)
        if len(columns) == 1 and (named or not columns[0, 0].isdecimal()):
            return columns[0], None
    if len(columns) == 1:
        columns = [np.arange(len(columns[0])).astype(str), *columns]
    names, labels = columns  # a ValueError for further columns
    return names, labels.astype(int)
