"""Read a sequence of your own data; docs/custom_data.md lists the formats."""
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import Dict

import numpy as np

from ...utils.input_error import InputError
from ...utils.safe_files import load_arrays
from ...utils.skeleton_layout import SkeletonLayout
from ..annotation_check import check_sequence

SUFFIXES = ('.npy', '.npz', '.csv')


def read_sequence(path: Path, layout: SkeletonLayout) -> dict:
    """Read and check one sequence.

    Args:
        path (Path): ``.npy`` or ``.npz`` file, (T, V, C) or (M, T, V, C), or
            ``.csv`` file with one row per frame, or per person and frame.
        layout (SkeletonLayout): Expected layout of the joints.

    Returns:
        dict: ``keypoint``, float32, (M, T, V, C), and, if a two-dimensional
        file contains confidences, ``keypoint_score``, float32, (M, T, V).

    Raises:
        InputError: The file is damaged or does not fit the layout.
    """
    is_table = path.suffix.lower() == '.csv'
    arrays = _read_csv(path, layout) if is_table else _read_arrays(path)
    for name, array in arrays.items():  # the person axis is optional
        if array.ndim == (3 if name == 'keypoint' else 2):
            arrays[name] = array[None]
    keypoint = arrays['keypoint']
    check_sequence(str(path), dict(
        arrays, frame_dir=path.stem, label=0,
        total_frames=keypoint.shape[1] if keypoint.ndim == 4 else 1))
    channels = _channels(layout)[:1 if 'keypoint_score' in arrays else 2]
    if keypoint.shape[2] != layout.num_joints or (
            keypoint.shape[3] not in channels):
        raise InputError(
            f'{path}: keypoint has {keypoint.shape[2]} joints and '
            f'{keypoint.shape[3]} channels (shape {keypoint.shape}), expected '
            f'{layout.num_joints} joints and '
            f'{" or ".join(map(str, channels))} channels for the '
            f'{layout.dims}D layout "{layout.name}".')
    if layout.dims == 3 and 'keypoint_score' in arrays:
        raise InputError(f'{path} contains keypoint_score, expected none for '
                         f'the 3D layout "{layout.name}".')
    if keypoint.shape[3] > layout.dims:
        arrays = dict(keypoint=keypoint[..., :2],
                      keypoint_score=keypoint[..., 2])
    return {name: array.astype(np.float32) for name, array in arrays.items()}


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
    """Read a table as (T, V, C), or as (M, T, V, C) if it has key columns."""
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    cells = [cell.strip(' "').lower() for cell in ''.join(lines[:1]).split(',')
             ]
    keys = list(takewhile(('frame', 'person').__contains__, cells))
    if all(cell and not _is_number(cell) for cell in cells):
        del lines[0]  # a row with an empty cell is not a header
    if not lines:
        raise InputError(f'{path} contains 0 frames, expected at least 1.')
    try:
        table = np.loadtxt(lines, delimiter=',', comments=None, quotechar='"',
                           ndmin=2)
    except ValueError as error:  # text, or rows of different lengths
        raise InputError(f'{path} cannot be read as comma-separated '
                         f'numbers: {error}') from None
    values = table[:, len(keys):]
    channels, rest = divmod(values.shape[1], layout.num_joints)
    if rest or channels not in _channels(layout):
        raise InputError(
            f'{path}: a row has {values.shape[1]} coordinates, expected '
            f'{" or ".join(map(str, _channels(layout)))} for each of the '
            f'{layout.num_joints} joints of layout "{layout.name}".')
    values = values.reshape(-1, layout.num_joints, channels)
    return dict(keypoint=_place(
        path, dict(zip(keys, table.T)), values) if keys else values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _place(path: Path, keys: Dict[str, np.ndarray],
           values: np.ndarray) -> np.ndarray:
    """Arrange rows (R, V, C) by person and frame, (M, T, V, C).

    The coordinates of a person absent from a frame are 0, as in NTU RGB+D.
    """
    if 'frame' not in keys:
        raise InputError(f'{path}: the header contains "person" but not '
                         '"frame", expected both.')
    frames, t = np.unique(keys['frame'], return_inverse=True)
    persons, m = np.unique(keys.get('person', np.zeros(len(values))),
                           return_inverse=True)
    if not np.array_equal(frames, frames[0] + np.arange(len(frames))):
        raise InputError(f'{path}: "frame" has {len(frames)} values from '
                         f'{frames[0]:g} to {frames[-1]:g}, expected '
                         'consecutive integers.')
    rows = Counter(zip(m.tolist(), t.tolist()))
    (person, frame), count = rows.most_common(1)[0]
    if count > 1:
        raise InputError(f'{path}: person {persons[person]:g} has {count} '
                         f'rows in frame {frames[frame]:g}, expected one.')
    keypoint = np.zeros((len(persons), len(frames), *values.shape[1:]))
    keypoint[m, t] = values
    return keypoint


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte order mark."""
    try:
        return path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path} cannot be read as text: {error}.') from None
