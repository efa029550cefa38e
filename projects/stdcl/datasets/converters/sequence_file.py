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
from ..plain_annotation import ARRAYS, add_missing_axes, to_plain
from ..transforms.detected_joints import check_detected, find_detected

SUFFIXES = ('.npy', '.npz', '.csv')
# dims of a layout -> channels of a joint
CHANNELS = {2: 'x, y and optionally a confidence', 3: 'x, y, z'}
CONFIDENCE = ('conf(idence)?([ _]?score)?|score|likelihood|visib(ility|le)|'
              'prob(ability)?|(?<![a-z])v(?![a-z])')
INVISIBLE = '[\u00ad\u200b\u200e\u200f\u2060\ufeff]'


def read_sequence(path: Path, layout: SkeletonLayout) -> dict:
    """Read a ``.npy``, ``.npz`` or ``.csv`` file; see :func:`to_sequence`."""
    if path.suffix.lower() == '.csv':
        return to_sequence(str(path), _read_csv(path, layout), layout)
    arrays = load_arrays(path)
    if isinstance(arrays, np.ndarray):
        arrays = dict(keypoint=arrays)
    if len(arrays) == 1 and 'keypoint_score' not in arrays:
        arrays = dict(keypoint=next(iter(arrays.values())))
    elif set(arrays) != set(ARRAYS):
        raise InputError(
            f'{path}: the arrays are {sorted(arrays)}, expected one array or '
            '"keypoint" and "keypoint_score".')
    return to_sequence(str(path), arrays, layout)


def to_sequence(where: str, arrays: dict[str, np.ndarray],
                layout: SkeletonLayout) -> dict:
    """Check the arrays of a sequence, and leave out absent persons.

    ``arrays`` contains ``keypoint``, (T, V, C) or (M, T, V, C), and optionally
    ``keypoint_score``, (T, V) or (M, T, V). ``where`` is their source. Return
    them as :func:`.to_plain` does, with ``total_frames``. An ``InputError`` is
    raised if they do not fit the layout.
    """
    arrays = add_missing_axes(arrays)
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
    persons = check_detected(where, plain).any(axis=(1, 2))
    return {name: array[persons] if name in ARRAYS else array
            for name, array in plain.items()}


def require_one_index(where: str, sequence: dict) -> None:
    """Raise InputError if a person seems to have several indices."""
    there = find_detected(sequence)[1].any(axis=2)  # (M, T)
    persons, together = len(there), there.sum(axis=0).max()
    if persons > together:
        raise InputError(
            f'{where}: there are {persons} persons, but at most {together} in '
            'any frame, expected one index per person. If a tracker assigned '
            'several IDs to a person, merge them.')


def clean(text: str) -> str:
    """Return a text in one Unicode form (NFC), with single spaces only."""
    text = re.sub(INVISIBLE, '', unicodedata.normalize('NFC', text))
    return ' '.join(text.split())


def fold(text: str) -> str:
    """Return a text without differences in case, width, spaces and hyphens."""
    # NFKC of all letters would change m² to m2
    text = re.sub('[\uff00-\uffef]+', lambda wide: unicodedata.normalize(
        'NFKC', wide[0]), text)
    return re.sub('[-_\u2010-\u2015 ]+', ' ', clean(text).casefold())


def strip_zeros(text: str) -> str:
    """Return a text without leading zeros of its numbers: 01 becomes 1."""
    return re.sub(r'(?<!\d)0+(?=\d)', '', text)


def read_cells(path: Path, separator: str | None = None):
    """Return the cells of a ``.csv`` file, a DataFrame of strings.

    The separator is a semicolon or a tab if the first line with text contains
    one, and a comma otherwise. Blank lines, and empty rows and columns at the
    end, are left out; ``attrs['empty']`` is the number of these columns.
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
    filled = np.argwhere(cells.to_numpy() != '')  # (cells, row and column)
    rows, columns = filled.max(axis=0, initial=-1) + 1
    result = cells.iloc[:rows, :columns]
    result.attrs['empty'] = cells.shape[1] - columns
    return result


def _read_csv(path: Path, layout: SkeletonLayout) -> dict[str, np.ndarray]:
    """Read a table with one row per frame as (T, V, C)."""
    import pandas as pd
    cells = read_cells(path)
    channels, index = divmod(cells.shape[1], layout.num_joints)
    if index > 1 or channels not in range(layout.dims, 4):
        raise InputError(
            f'{path}: {cells.shape[1]} columns are separated by commas, '
            f'semicolons or tabs, expected {CHANNELS[layout.dims]} of each of '
            f'the {layout.num_joints} joints of layout "{layout.name}".')
    empty = cells.attrs['empty']
    header = _count_header_rows(path, cells, index, layout)
    again = (cells[header:] == cells.iloc[0]).all(axis=1)
    if header and again.any():
        raise InputError(f'{path}: row {again.idxmax()} repeats the header, '
                         'expected a single header.')
    cells = cells[header:]
    texts = cells.iloc[:, index:].stack().str
    grouped = texts.fullmatch(r'[-+]?[1-9]\d{0,2}([.,]\d{3})+')
    whole = texts.fullmatch(r'[-+]?[1-9]\d*')
    # in different columns of 2D joints, whole numbers could be visibilities
    units = whole.any() if layout.dims == 3 else whole.unstack().any()
    if (grouped.unstack().any() & units).any() and (
            grouped == texts.contains('[.,]')).all():
        raise InputError(
            f'{path}: numbers such as "{cells.loc[grouped.idxmax()]}" are '
            'ambiguous (thousands or decimals), expected no thousands '
            'separators.')
    if not texts.contains('.', regex=False).any():
        cells = cells.replace(',', '.', regex=True)
    values = cells.apply(pd.to_numeric, errors='coerce').to_numpy(float)
    wrong = np.isnan(values)
    numbers = np.arange(len(values)) + (values[:1, 0] == 1)
    if empty and not (index or header) and len(values) > 1 and (
            values[:, 0] == numbers).all():
        raise InputError(
            f'{path}: the first column contains frame numbers, and the number '
            f'of empty columns at the end is {empty}, expected 0.')
    if index:
        wrong[:, 0] = values[:, 0] != (np.round(values[:1, 0])
                                       + np.arange(len(values)))
        # a single number can be a coordinate, followed by a label
        wrong[:, 0] |= len(values) == 1 and not header and values[0, 0] > 1
    for row, column in np.argwhere(wrong)[:1]:
        expected = (f'a number. {UNDETECTED}' if column or not index else
                    'consecutive frame numbers in the first column. Write 0 '
                    'for missing frames, and remove times or labels.')
        raise InputError(
            f'{path}: row {cells.index[row]}, column {column + 1} is '
            f'"{cells.iloc[row, column]}", expected {expected}')
    return dict(keypoint=values[:, index:].reshape(
        len(values), layout.num_joints, channels))


def _count_header_rows(path: Path, cells, index: int,
                       layout: SkeletonLayout) -> int:
    """Return the number of rows of a header; raise if it does not fit.

    A header names or numbers the columns or the joints, even all in numbers.
    """
    top = cells[:4]
    numbers = top.stack().str.fullmatch(
        r'[\W\d_]*(e[-+]?\d+|nan?|n/a|none|null)?\W*',
        flags=re.IGNORECASE).unstack()
    is_text = (~numbers).sum(axis=1) > (top != '').sum(axis=1) / 2
    text = is_text.cumprod().sum()
    # pandas numbers columns, and a selection of columns keeps its numbers
    first, integers = top.iloc[0, index:], top.iloc[:2, index:].apply(
        lambda row: row.str.isdecimal().all(), axis=1).tolist()
    if len(first) > 6 and integers[0] and len(cells) > 1:
        steps = first.astype(float).diff()[1:]
        # steps of 1 or many increasing numbers are not coordinates, even
        # above whole numbers
        few = all(integers) and len(first) < 16
        if (steps == 1 if few else steps > 0).all():
            return 1
    channels = cells.shape[1] // layout.num_joints
    axes = ('x', 'y', 'z' if layout.dims == 3 else 'confidence')[:channels]
    headers = _headers(layout, axes)
    top = top.iloc[:, index:].map(_squash).T  # a row per column
    for count in range(len(is_text), max(text, 1) - 1, -1):
        parts = top.iloc[:, :count]
        # the last row may be numbers, but not a frame without a person
        if count > text and parts.iloc[:, -1].nunique() < 2:
            continue
        names = parts.replace('', None).ffill().fillna('').agg(
            ''.join, axis=1).tolist()
        if any(_fits(names, header, count + text > 1) for header in headers):
            # pandas writes the name of the index below numbers of columns
            return count + (is_text[count:count + 1].any() and (
                top.iloc[:, count:count + 1] == '').all(axis=None))
        if count == text or any(sorted(names) == sorted(map(''.join, header))
                                for header in headers):
            fits = np.array([[
                _fits([name], [words], text and all(words))
                for words, name in zip(header, names)] for header in headers])
            column = fits[fits.sum(axis=1).argmax()].argmin()
            joint, axis = divmod(column, channels)
            seen = ' '.join(cells.iloc[:count, index + column])
            raise InputError(
                f'{path}: the header of column {index + column + 1} is '
                f'"{seen}", expected {axes[axis]} of joint '
                f'"{layout.joint_names[joint]}". The columns must be '
                f'{"frame numbers, then " * index}{", ".join(axes)} of each '
                f'joint in the order of layout "{layout.name}".')
    return 0


def _headers(layout: SkeletonLayout,
             axes: tuple[str, ...]) -> list[list[tuple[str, str]]]:
    """Return the headers that fit a layout, with two words per column."""
    count, channels = layout.num_joints, len(axes)
    headers = [[(str(i + first), end) for i in range(count * channels)]
               for first, end in ((0, ''), (1, ''), (0, '0'))]  # 0.0, 1.0
    all_joints = [layout.joint_names, range(count), range(1, count + 1),
                  ['', *range(1, count)], [''] * count]  # '', 1: from pandas
    names = [*map(_squash, layout.joint_names)]
    ordered = sorted(names, key=lambda name: (len(name), name))
    for one in all_joints[1:3]:
        if names != ordered and _fits(
                ordered, [(str(number), '') for number in one], more=True):
            all_joints.remove(one)  # its numbers are those in the names
    all_axes = (axes, range(channels), range(1, channels + 1),
                ['', *range(1, channels)], [''] * channels)
    for joints, names, order in product(all_joints, all_axes, (1, -1)):
        headers.append([(_squash(str(joint)), _squash(str(axis)))[::order]
                        for joint in joints for axis in names])
    return [header for header in headers if any(header[0])]


def _fits(names: list[str], header: list[tuple[str, str]], more: bool) -> bool:
    """Compare names with a header; ``more`` equal text may surround words."""
    text = '(.*)' if more else '()'
    lines = [text + text.join(header[0]) + text, *(
        r'(?:\1)%s(?:\2)%s(?:\3)' % words for words in header[1:])]
    return bool(re.fullmatch('\n'.join(lines), '\n'.join(names)))


@lru_cache(maxsize=4096)
def _squash(text: str) -> str:
    """Return a text without case, spaces, punctuation and leading zeros."""
    text = re.sub(CONFIDENCE, 'c', strip_zeros(clean(text).lower()))
    return re.sub(r'[\W_]', '', text)
