"""Read a sequence of your own data; docs/custom_data.md lists the formats."""
import re
import unicodedata
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from ...utils.input_error import InputError
from ...utils.safe_files import load_arrays
from ...utils.skeleton_layout import SkeletonLayout
from ..annotation_check import UNDETECTED, check_sequence
from ..plain_annotation import ARRAYS, complete, to_plain
from ..transforms.detected_joints import check_detected

SUFFIXES = ('.npy', '.npz', '.csv')
# dims of a layout -> channels of a joint
CHANNELS = {2: 'x, y and optionally a confidence', 3: 'x, y, z'}
CONFIDENCE = 'confidence|conf|score|likelihood|visibility|probability|prob'
INVISIBLE = '[\u00ad\u200b\u200e\u200f\u2060\ufeff]'


def read_sequence(path: Path, layout: SkeletonLayout) -> dict:
    """Read a ``.npy``, ``.npz`` or ``.csv`` file; see :func:`to_sequence`."""
    arrays = (_read_csv(path, layout) if path.suffix.lower() == '.csv' else
              _read_arrays(path))
    return to_sequence(str(path), arrays, layout)


def to_sequence(where: str, arrays: dict[str, np.ndarray],
                layout: SkeletonLayout) -> dict:
    """Check the arrays of a sequence, and leave out absent persons.

    ``arrays`` contains ``keypoint``, (T, V, C) or (M, T, V, C), and optionally
    ``keypoint_score``, (T, V) or (M, T, V). ``where`` is their source. Return
    the arrays with all axes, in the form of :func:`.to_plain`, and
    ``total_frames``. An ``InputError`` is raised if the arrays do not fit the
    layout, or if there are more persons than in any single frame.
    """
    arrays = complete(arrays)
    check_sequence(where, arrays, one_label=False)
    plain = to_plain(arrays, layout, where)
    scored = 'keypoint_score' in arrays
    if plain['keypoint'].shape[2:] != (layout.num_joints, layout.dims) or (
            scored and layout.dims == 3):
        shape = arrays['keypoint'].shape
        raise InputError(
            f'{where}: keypoint has {shape[2]} joints and {shape[3]} channels '
            f'(shape {shape}){" beside a keypoint_score" * scored}, expected '
            f'{layout.num_joints} joints with the channels '
            f'{CHANNELS[layout.dims]} of the layout "{layout.name}".')
    there = check_detected(where, plain).any(axis=2)  # (M, T)
    persons, together = there.any(axis=1), there.sum(axis=0).max()
    if persons.sum() > together:
        raise InputError(
            f'{where}: there are {persons.sum()} persons, but at most '
            f'{together} in any frame, expected one index per person. If a '
            'tracker assigned several IDs to a person, merge them.')
    return {name: array[persons] if name in ARRAYS else array
            for name, array in plain.items()}


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    arrays = load_arrays(path)
    if isinstance(arrays, np.ndarray):
        return dict(keypoint=arrays)
    if len(arrays) == 1 and 'keypoint_score' not in arrays:
        return dict(keypoint=next(iter(arrays.values())))
    if set(arrays) != set(ARRAYS):
        raise InputError(
            f'{path}: the arrays are {sorted(arrays)}, expected one array or '
            '"keypoint" and "keypoint_score".')
    return arrays


def clean(text: str) -> str:
    """Return a text in one Unicode form (NFC), with single spaces only."""
    text = re.sub(INVISIBLE, '', unicodedata.normalize('NFC', text))
    return ' '.join(text.split())


def fold(text: str) -> str:
    """Return a text without differences in case, width, spaces and hyphens."""
    wide = {letter for letter in text if unicodedata.decomposition(
        letter).startswith(('<wide>', '<narrow>'))}
    for letter in wide:  # NFKC of the others would change m² to m2
        text = text.replace(letter, unicodedata.normalize('NFKC', letter))
    return re.sub('[-_\u2010-\u2015 ]+', ' ', clean(text).casefold())


def strip_zeros(text: str) -> str:
    """Return a text without leading zeros of its numbers: 01 becomes 1."""
    return re.sub(r'(?<!\d)0+(?=\d)', '', text)


def read_cells(path: Path, separator: str | None = None):
    """Return the cells of a ``.csv`` file, a DataFrame of strings.

    The separator is a semicolon or a tab if the first line with text contains
    one, and a comma otherwise. Blank lines, and empty columns at the end, are
    left out. The index counts the other rows from 1.
    """
    import pandas as pd
    try:
        with open(path, encoding='utf-8') as file:
            first = next(filter(str.strip, file), '')
        separator = separator or next(filter(first.__contains__, ';\t'), ',')
        cells = pd.read_csv(
            path, sep=separator, header=None, dtype=object, na_filter=False,
            skipinitialspace=True)
    except ValueError as error:
        raise InputError(f'{path} cannot be read as a UTF-8 table: '
                         f'{error}'.strip()) from None
    cells.index += 1
    filled = np.flatnonzero((cells.to_numpy() != '').any(axis=0))
    return cells.iloc[:, :filled.max(initial=-1) + 1]


def _read_csv(path: Path, layout: SkeletonLayout) -> dict[str, np.ndarray]:
    """Read a table with one row per frame as (T, V, C)."""
    cells = read_cells(path)
    channels, index = divmod(cells.shape[1], layout.num_joints)
    if index > 1 or channels not in range(layout.dims, 4):
        raise InputError(
            f'{path}: the number of columns (separated by commas, semicolons '
            f'or tabs) is {cells.shape[1]}, expected {CHANNELS[layout.dims]} '
            f'of each of the {layout.num_joints} joints of layout '
            f'"{layout.name}".')
    cells = cells[_count_header_rows(path, cells, index, layout):]
    values = _to_numbers(path, cells, index)
    counted = np.round(values[:1, 0]) + np.arange(len(values))
    gaps = np.flatnonzero(values[:, 0] != counted)
    if index and len(gaps):
        raise InputError(
            f'{path}: row {cells.index[gaps[0]]}: the first column is '
            f'"{cells.iloc[gaps[0], 0]}", expected consecutive frame '
            'numbers. Remove other columns, such as times or labels.')
    for row, column in np.argwhere(np.isnan(values))[:1]:
        raise InputError(
            f'{path}: row {cells.index[row]}, column {column + 1} is '
            f'"{cells.iloc[row, column]}", expected a number. {UNDETECTED}')
    return dict(keypoint=values[:, index:].reshape(
        len(values), layout.num_joints, channels))


def _to_numbers(path: Path, cells, index: int) -> np.ndarray:
    """Convert cells to numbers or NaN; the first ``index`` are no joints."""
    import pandas as pd

    def match(pattern: str) -> np.ndarray:
        return cells.iloc[:, index:].apply(
            lambda column: column.str.fullmatch(pattern)).to_numpy(bool)

    grouped = match(r'[-+]?[1-9]\d{0,2}([.,]\d{3})+')
    # in different columns, they could be coordinates and visibilities
    mixed = grouped & match(r'[-+]?[1-9]\d*').any(axis=0)
    if mixed.any() and (grouped == match('.*[.,].*')).all():
        number = cells.iloc[:, index:].to_numpy()[mixed][0]
        raise InputError(
            f'{path}: numbers such as "{number}" can be thousands or '
            'decimals, expected no separators of thousands.')
    if not match(r'.*\..*').any():
        cells = cells.replace(',', '.', regex=True)
    return cells.apply(pd.to_numeric, errors='coerce').to_numpy(float)


def _count_header_rows(path: Path, cells, index: int,
                       layout: SkeletonLayout) -> int:
    """Return the number of rows of a header; raise if it does not fit.

    A header names or numbers the columns or the joints, in one or more rows.
    Those of pandas can be all numbers.
    """
    top = cells[:4]
    numbers = top.apply(lambda column: column.str.fullmatch(
        r'[\W\d_]*(e[-+]?\d+)?|nan', flags=re.IGNORECASE))
    is_text = (~numbers).sum(axis=1) > (top != '').sum(axis=1) / 2
    text = is_text.cumprod().sum()
    channels = cells.shape[1] // layout.num_joints
    axes = ('x', 'y', 'z' if layout.dims == 3 else 'confidence')[:channels]
    forms = _headers(layout, axes)
    top = top.iloc[:, index:].map(_squash).T  # a row per column
    for count in range(len(is_text), max(text, 1) - 1, -1):
        parts = top.iloc[:, :count]
        # the last row may be numbers, but not a frame without a person
        if count > text and parts.iloc[:, -1].nunique() < 2:
            continue
        names = parts.replace('', None).ffill().fillna('').agg(
            ''.join, axis=1).tolist()
        fits = np.array([_fits(names, form, count > 1 or text > 0)
                         for form in forms])
        if fits.all(axis=1).any():
            return count
        if count == text or sorted(names) in map(sorted, forms):
            column = fits[fits.sum(axis=1).argmax()].argmin()
            joint, axis = divmod(column, channels)
            column += index
            raise InputError(
                f'{path}: the header of column {column + 1} is '
                f'"{" ".join(cells.iloc[:count, column])}", expected '
                f'{axes[axis]} of joint "{layout.joint_names[joint]}". The '
                f'columns must be {"frame numbers, then " * index}'
                f'{", ".join(axes)} of each joint in the order of layout '
                f'"{layout.name}".')
    return 0


def _fits(names: list[str], form: list[str], more: bool) -> list[bool]:
    """Compare names with a form; ``more`` text may surround all names."""
    before, _, after = names[0].rpartition(form[0])
    if not more or not all(name.startswith(before) and name.endswith(after)
                           for name in names):
        before = after = ''
    return [before + part + after == name for part, name in zip(form, names)]


@lru_cache
def _headers(layout: SkeletonLayout, axes: tuple[str, ...]) -> list[list]:
    """Return the headers that fit a layout, each a list of all columns."""
    count, columns = layout.num_joints, layout.num_joints * len(axes)
    headers = [range(columns), range(1, columns + 1), np.arange(columns * 1.)]
    for joints, names, form in product(
            (layout.joint_names, range(count), range(1, count + 1),
             ['', *range(1, count)], [''] * count),
            (axes, range(len(axes)), range(1, len(axes) + 1)),
            ('{0}', '{0}.{1}', '{1}.{0}')):
        headers.append([form.format(joint, axis) for joint in joints
                        for axis in names])
    headers = [[_squash(str(name)) for name in header] for header in headers]
    return [header for header in headers if all(header)]


def _squash(text: str) -> str:
    """Return a text without case, spaces, punctuation and leading zeros."""
    text = re.sub(CONFIDENCE, 'c', strip_zeros(clean(text).lower()))
    return re.sub(r'[\W_]', '', text)
