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
from ..annotation_check import check_sequence
from ..plain_annotation import ARRAYS, to_plain

SUFFIXES = ('.npy', '.npz', '.csv')
# headers of a first column that numbers the frames, such as pandas' index
INDEX = ('frame', 'index', 'unnamed: 0', '')
CONFIDENCE = 'confidence|conf|score|likelihood|visibility'


def read_sequence(path: Path, layout: SkeletonLayout) -> dict:
    """Read and check a ``.npy``, ``.npz`` or ``.csv`` file.

    See :func:`to_sequence` for the result. An ``InputError`` is raised if the
    file is damaged or does not fit the layout.
    """
    is_table = path.suffix.lower() == '.csv'
    arrays = _read_csv(path, layout) if is_table else _read_arrays(path)
    return to_sequence(str(path), arrays, layout)


def to_sequence(where: str, arrays: Dict[str, np.ndarray],
                layout: SkeletonLayout) -> dict:
    """Check the arrays of a sequence, and convert them to float32.

    Args:
        where (str): Source of the arrays, for messages.
        arrays (dict): ``keypoint``, (T, V, C) or (M, T, V, C), whose third
            channel may be a confidence in two dimensions, and optionally
            ``keypoint_score``, (T, V) or (M, T, V).
        layout (SkeletonLayout): Expected layout of the joints.

    Returns:
        dict: ``keypoint``, float32, (M, T, V, C), and, if the joints are
        two-dimensional and have confidences, ``keypoint_score``, float32,
        (M, T, V). Persons who are absent from all frames are left out.

    Raises:
        InputError: The arrays do not fit the layout, or there are more persons
            than in any single frame.
    """
    arrays = {name: array[None] if np.ndim(array) == (
        3 if name == 'keypoint' else 2) else array  # no person axis
        for name, array in arrays.items()}
    keypoint = arrays['keypoint']
    check_sequence(where, dict(
        arrays, frame_dir=Path(where).stem, label=0,
        total_frames=keypoint.shape[1] if np.ndim(keypoint) == 4 else 1))
    channels = _channels(layout)[:1 if 'keypoint_score' in arrays else 2]
    if keypoint.shape[2] != layout.num_joints or (
            keypoint.shape[3] not in channels):
        raise InputError(
            f'{where}: keypoint has {keypoint.shape[2]} joints and '
            f'{keypoint.shape[3]} channels (shape {keypoint.shape}), expected '
            f'{layout.num_joints} joints and '
            f'{" or ".join(map(str, channels))} channels for the '
            f'{layout.dims}D layout "{layout.name}".')
    if layout.dims == 3 and 'keypoint_score' in arrays:
        raise InputError(f'{where} contains keypoint_score, expected none for '
                         f'the 3D layout "{layout.name}".')
    arrays = to_plain(arrays, layout)
    there = arrays['keypoint'].any(axis=(2, 3))  # (M, T)
    persons, together = there.any(axis=1), there.sum(axis=0).max()
    if not together:
        raise InputError(f'{where} contains only zeros, expected joints in at '
                         'least one frame.')
    if persons.sum() > together:
        raise InputError(
            f'{where} contains {persons.sum()} persons, but at most '
            f'{together} in any frame, expected one index per person. If a '
            'tracker assigned several IDs to a person, merge them.')
    return {name: array[persons] if name in ARRAYS else array
            for name, array in arrays.items()}


def clean(text: str) -> str:
    """Return a text in one Unicode form (NFC), with single spaces."""
    return ' '.join(unicodedata.normalize('NFC', text).split())


def read_cells(path: Path):
    """Return the cells of a ``.csv`` file, a DataFrame of strings."""
    import pandas as pd
    try:
        return pd.read_csv(path, header=None, dtype=object, na_filter=False,
                           skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise InputError(f'{path} cannot be read as comma-separated values: '
                         f'{error}'.strip()) from None


def _channels(layout: SkeletonLayout) -> tuple:
    """Return valid numbers of channels; in 2D, the third is a confidence."""
    return (3, ) if layout.dims == 3 else (2, 3)


def _read_arrays(path: Path) -> Dict[str, np.ndarray]:
    arrays = load_arrays(path)
    if isinstance(arrays, np.ndarray):
        arrays = dict(keypoint=arrays)
    elif len(arrays) == 1:
        arrays = dict(keypoint=next(iter(arrays.values())))
    if not {'keypoint'} <= set(arrays) <= {'keypoint', 'keypoint_score'}:
        raise InputError(
            f'{path} contains the arrays {sorted(arrays)}, expected one array '
            'or "keypoint" and "keypoint_score".')
    return arrays


def _read_csv(path: Path, layout: SkeletonLayout) -> Dict[str, np.ndarray]:
    """Read a table with one row per frame as (T, V, C)."""
    cells = read_cells(path)
    names = [clean(text).lstrip('# ').lower() for text in cells.iloc[0]]
    index = names.pop(0) if names[0] in INDEX else None
    channels, rest = divmod(len(names), layout.num_joints)
    if rest or channels not in _channels(layout):
        raise InputError(
            f'{path}: a row has {len(names)} coordinates, expected '
            f'{" or ".join(map(str, _channels(layout)))} for each of the '
            f'{layout.num_joints} joints of layout "{layout.name}".')
    if _has_header(path, names, layout, channels, index is not None):
        cells = cells[1:]
    if cells.empty:
        raise InputError(f'{path} contains 0 frames, expected at least 1.')
    try:
        values = cells.to_numpy(np.float64)
    except ValueError as error:
        raise InputError(f'{path} cannot be read, expected numbers below an '
                         f'optional header ({error}).') from None
    if index is not None:
        if (np.diff(values[:, 0]) != 1).any():
            raise InputError(f'{path}: the numbers in the column "{index}" '
                             'are not consecutive, expected one row per '
                             'frame, in order.')
        values = values[:, 1:]
    return dict(keypoint=values.reshape(-1, layout.num_joints, channels))


def _has_header(path: Path, names: List[str], layout: SkeletonLayout,
                channels: int, certain: bool) -> bool:
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
    if numeric and not certain and sorted(found) not in map(sorted, valid):
        return False
    prefix = re.match('[a-z]*', os.path.commonprefix(found))[0]
    if found in valid or [text[len(prefix):] for text in found] in valid:
        return True
    raise InputError(
        f'{path}: the first row is "{shorten(", ".join(names), 60)}", '
        f'expected numbers, or a header with {", ".join(axes[:channels])} of '
        f'each joint in the order of layout "{layout.name}".')
