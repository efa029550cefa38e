"""Read a sequence of your own data; docs/custom_data.md lists the formats."""
import os
import re
import unicodedata
from pathlib import Path
from textwrap import shorten
from typing import Dict, List

import numpy as np

from ...utils.input_error import InputError
from ...utils.safe_files import load_arrays
from ...utils.skeleton_layout import SkeletonLayout
from ..annotation_check import LARGEST, UNDETECTED, check_sequence
from ..plain_annotation import ARRAYS, complete, to_plain
from ..transforms.detected_joints import check_detected

SUFFIXES = ('.npy', '.npz', '.csv')
# dims of a layout -> channels of a joint
CHANNELS = {2: 'x, y and optionally a confidence', 3: 'x, y, z'}
# headers of a first column that numbers the frames, such as pandas' index
INDEX = ('frame', 'index', 'unnamed: 0', '')
CONFIDENCE = 'confidence|conf|score|likelihood|visibility'


def read_sequence(path: Path, layout: SkeletonLayout) -> dict:
    """Read a ``.npy``, ``.npz`` or ``.csv`` file; see :func:`to_sequence`.

    An ``InputError`` is raised if the file is damaged or does not fit the
    layout.
    """
    is_table = path.suffix.lower() == '.csv'
    arrays = _read_csv(path, layout) if is_table else _read_arrays(path)
    return to_sequence(str(path), arrays, layout)


def to_sequence(where: str, arrays: Dict[str, np.ndarray],
                layout: SkeletonLayout) -> dict:
    """Check the arrays of a sequence, and leave out absent persons.

    ``where`` is the source of the arrays, for messages. In ``arrays``,
    ``keypoint`` has the shape (T, V, C) or (M, T, V, C), and
    ``keypoint_score``, which is optional, (T, V) or (M, T, V).

    Return the arrays with all axes, in the form of :func:`.to_plain`, and
    ``total_frames``. An ``InputError`` is raised if the arrays do not fit the
    layout, or if there are more persons than in any single frame.
    """
    arrays = complete(arrays)
    check_sequence(where, arrays, one_label=False)
    plain = to_plain(arrays, layout)
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


def _read_arrays(path: Path) -> Dict[str, np.ndarray]:
    arrays = load_arrays(path)
    if isinstance(arrays, np.ndarray):
        return dict(keypoint=arrays)
    if len(arrays) == 1:
        return dict(keypoint=next(iter(arrays.values())))
    if set(arrays) != set(ARRAYS):
        raise InputError(
            f'{path} contains the arrays {sorted(arrays)}, expected one array '
            'or "keypoint" and "keypoint_score".')
    return arrays


def clean(text: str) -> str:
    """Return a text in one Unicode form (NFC), with single spaces."""
    return ' '.join(unicodedata.normalize('NFC', text).split())


def read_cells(path: Path, separator: str = ','):
    """Return the cells of a ``.csv`` file, a DataFrame of strings.

    Its index contains the numbers of the lines. Empty rows are left out.
    """
    import pandas as pd
    try:
        cells = pd.read_csv(
            path, sep=separator, header=None, dtype=object, na_filter=False,
            skipinitialspace=True, skip_blank_lines=False)
    except ValueError as error:
        raise InputError(f'{path} cannot be read as a table that starts in '
                         f'line 1: {error}'.strip()) from None
    cells.index += 1
    return cells[(cells != '').any(axis=1)]


def _read_csv(path: Path, layout: SkeletonLayout) -> Dict[str, np.ndarray]:
    """Read a table with one row per frame as (T, V, C)."""
    import pandas as pd
    cells = read_cells(path)
    header = [clean(text).lstrip('# ').lower() for text in cells.iloc[0]]
    # without a header, the first row of pandas' index is 0
    is_index = header[0] in INDEX or (
        header[0] in ('0', '1') and len(header) % layout.num_joints == 1)
    index = header.pop(0) if is_index else None
    channels, rest = divmod(len(header), layout.num_joints)
    if rest or channels not in range(layout.dims, 4):
        raise InputError(
            f'{path}: a row has {len(header)} coordinates, expected '
            f'{CHANNELS[layout.dims]} of each of the {layout.num_joints} '
            f'joints of layout "{layout.name}".')
    if _is_header(path, header, layout, channels):
        cells = cells[1:]
    values = cells.apply(pd.to_numeric, errors='coerce')
    # the comparison is False for NaN
    wrong = np.argwhere(~(values.abs() < LARGEST).to_numpy())
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f'{path}: line {cells.index[row]}, column {column + 1} is '
            f'"{cells.iloc[row, column]}", expected a number between '
            f'-{LARGEST:g} and {LARGEST:g}. {UNDETECTED}')
    if index is not None:
        gap = values.pop(0).diff()[1:] != 1
        if gap.any():
            raise InputError(
                f'{path}: line {gap.idxmax()}: the numbers in the column '
                f'"{index}" are not consecutive, expected one row per frame, '
                'in order.')
    return dict(keypoint=values.to_numpy(np.float64).reshape(
        len(values), layout.num_joints, channels))


def _is_header(path: Path, names: List[str], layout: SkeletonLayout,
               channels: int) -> bool:
    """Return whether the first row is a header; raise if its order is wrong.

    A header names or numbers the columns or the joints, as "wrist_x", "x1" or
    "v12" do. pandas writes the numbers of the columns by default.
    """
    import pandas as pd

    def squash(text: str) -> str:
        return re.sub(r'[\W_]', '', re.sub(CONFIDENCE, 'c', text.lower()))

    count, axes = layout.num_joints, 'xyz' if layout.dims == 3 else 'xyc'
    joints = (layout.joint_names, range(count), range(1, count + 1),
              ['', *range(1, count)], [''] * count)
    valid = [[str(start + column) for column in range(len(names))]
             for start in (0, 1)]
    valid += [[squash(form.format(joint, axis)) for joint in row
               for axis in axes[:channels]]
              for row in joints for form in ('{0}', '{0}{1}', '{1}{0}')]
    found = list(map(squash, names))
    numeric = pd.to_numeric(pd.Series(names), errors='coerce').notna().all()
    if numeric and sorted(found) not in map(sorted, valid):
        return False
    prefix = re.match('[a-z]*', os.path.commonprefix(found))[0]
    if found in valid or [text[len(prefix):] for text in found] in valid:
        return True
    raise InputError(
        f'{path}: the first row is "{shorten(", ".join(names), 60)}", '
        f'expected numbers, or a header with {", ".join(axes[:channels])} of '
        f'each joint in the order of layout "{layout.name}".'
        f'{" " + UNDETECTED if {"", "nan"} & set(names) else ""}')
