"""Read a sequence of your own data; docs/custom_data.md lists the formats."""
import os
import re
import unicodedata
from functools import lru_cache
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
CONFIDENCE = 'confidence|conf|score|likelihood|visibility'
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
            f'{where} contains {persons.sum()} persons, but at most '
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
            f'{path} contains the arrays {sorted(arrays)}, expected one array '
            'or "keypoint" and "keypoint_score".')
    return arrays


def clean(text: str) -> str:
    """Return a text in one Unicode form (NFC), with single spaces only."""
    text = re.sub(INVISIBLE, '', unicodedata.normalize('NFC', text))
    return ' '.join(text.split())


def read_cells(path: Path, separator: str | None = None):
    """Return the cells of a ``.csv`` file, a DataFrame of strings.

    The separator is a semicolon or a tab if the first line contains one, and a
    comma otherwise. Blank lines, and empty columns at the end, are left out.
    The index counts the other rows from 1.
    """
    import pandas as pd
    try:
        with open(path, encoding='utf-8') as file:
            first = file.readline()
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
    import pandas as pd
    cells = read_cells(path)
    channels, index = divmod(cells.shape[1], layout.num_joints)
    if index > 1 or channels not in range(layout.dims, 4):
        raise InputError(
            f'{path} contains {cells.shape[1]} columns, separated by commas, '
            f'semicolons or tabs, expected {CHANNELS[layout.dims]} of each of '
            f'the {layout.num_joints} joints of layout "{layout.name}".')
    top = cells[:4].replace(',', '.', regex=True).T
    # most cells in the rows of a header are neither numbers nor empty
    is_text = top.apply(pd.to_numeric, errors='coerce').isna() & ~top.isin(
        ['', 'nan', 'NaN'])
    is_header = is_text.sum() > (top != '').sum() / 2
    text = np.flatnonzero(is_header[:3]).max(initial=-1) + 1  # rows with text
    has_header = False
    for count in range(3, max(text, 1) - 1, -1):  # the last may be numbers
        head = top.iloc[index:, :count]
        is_frame = count > text and head.iloc[:, -1].nunique() < 2  # zeros
        has_header = not is_frame and _is_header(
            path, head, layout, channels, has_text=count == text)
        if has_header:
            cells = cells[count:]
            break
    values = _to_numbers(path, cells, index)
    numbers = np.round(values[:1, 0]) + np.arange(len(values))
    wrong = np.flatnonzero(values[:, 0] != numbers)
    if index and len(wrong):
        raise InputError(
            f'{path}: row {cells.index[wrong[0]]}: the first column is '
            f'"{cells.iloc[wrong[0], 0]}", expected consecutive frame '
            'numbers. Remove other columns, such as times or labels.')
    for row, column in np.argwhere(np.isnan(values))[:1]:
        raise InputError(
            f'{path}: row {cells.index[row]}, column '
            f'{cells.columns[column] + 1} is "{cells.iloc[row, column]}", '
            f'expected a number. {UNDETECTED}')
    # coordinates hardly ever count from 0 or 1
    if not (index or has_header or len(wrong)) and len(values) > 5 and (
            values[0, 0] in (0, 1)):
        raise InputError(
            f'{path}: the first column numbers the frames, but only '
            f'{cells.shape[1] - 1} other columns are not empty, expected '
            f'{channels * layout.num_joints}.')
    return dict(keypoint=values[:, index:].reshape(
        len(values), layout.num_joints, channels))


def _to_numbers(path: Path, cells, index: int) -> np.ndarray:
    """Convert a DataFrame of texts to numbers, or NaN.

    ``index`` is the number of columns that do not contain coordinates.
    """
    import pandas as pd
    data = cells.iloc[:, index:].melt(var_name='column', value_name='text')
    column, text = data['column'], data['text']
    grouped = text.str.fullmatch(r'[-+]?[1-9]\d{0,2}([.,]\d{3})+')
    whole = text.str.fullmatch(r'[-+]?[1-9]\d*')
    # in different columns, they could be coordinates and visibilities
    if set(column[grouped]) & set(column[whole]) and (
            grouped == text.str.contains('[.,]')).all():
        raise InputError(
            f'{path}: numbers such as "{text[grouped].iloc[0]}" can be '
            'thousands or decimals, expected no separators of thousands.')
    if not text.str.contains('.', regex=False).any():
        cells = cells.replace(',', '.', regex=True)
    return cells.apply(pd.to_numeric, errors='coerce').to_numpy(float)


def _is_header(path: Path, head, layout: SkeletonLayout, channels: int,
               has_text: bool) -> bool:
    """Return whether the first rows are a header; raise if it is wrong.

    ``head`` is a DataFrame with a row per column of the table. A header names
    or numbers the columns or the joints. Those of pandas can be all numbers.
    """
    axes = ('x', 'y', 'z' if layout.dims == 3 else 'confidence')[:channels]
    parts = head.map(_squash)
    if len(parts.T) > 1:  # DeepLabCut's first row is the same in all columns
        parts = parts.loc[:, parts.nunique() > 1]
    parts = parts.where(parts != '').ffill().fillna('')
    names = parts.agg(''.join, axis=1).tolist()
    prefix = re.match(r'\D*', os.path.commonprefix(names))[0]
    forms = _headers(layout, axes)
    fits = (forms == names) | (np.char.add(prefix, forms) == names)
    if fits.all(axis=1).any():
        return True
    if not has_text and sorted(names) not in np.sort(forms).tolist():
        return False
    column = fits[fits.sum(axis=1).argmax()].argmin()
    joint, axis = divmod(column, channels)
    raise InputError(
        f'{path}: the header of column {head.index[column] + 1} is '
        f'"{" ".join(head.iloc[column])}", expected {axes[axis]} of joint '
        f'"{layout.joint_names[joint]}". The columns must be '
        f'{"frame numbers, then " * bool(head.index[0])}{", ".join(axes)} of '
        f'each joint in the order of layout "{layout.name}".')


@lru_cache
def _headers(layout: SkeletonLayout, axes: tuple[str, ...]) -> np.ndarray:
    """Return the headers that fit a layout, (headers, columns)."""
    count, columns = layout.num_joints, layout.num_joints * len(axes)
    headers = [range(columns), range(1, columns + 1), np.arange(columns * 1.)]
    for joints in (layout.joint_names, range(count), range(1, count + 1),
                   ['', *range(1, count)], [''] * count):
        for names in (axes, range(len(axes)), range(1, len(axes) + 1)):
            headers += [[form.format(joint, axis) for joint in joints
                         for axis in names]
                        for form in ('{0}', '{0}{1}', '{1}{0}')]
    headers = np.array([[_squash(str(name)) for name in header]
                        for header in headers])
    return headers[(headers != '').all(axis=1)]


def _squash(text: str) -> str:
    """Return a text without case, spaces and punctuation."""
    return re.sub(r'[\W_]', '', re.sub(CONFIDENCE, 'c', clean(text).lower()))
