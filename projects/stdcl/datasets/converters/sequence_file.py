"""Read a sequence of your own data; docs/custom_data.md lists the formats."""
import os
import re
import unicodedata
from itertools import takewhile
from pathlib import Path
from textwrap import shorten
from typing import Dict, List, Tuple

import numpy as np

from ...utils.input_error import InputError
from ...utils.safe_files import load_arrays
from ...utils.skeleton_layout import SkeletonLayout
from ..annotation_check import check_sequence
from ..plain_annotation import ARRAYS, to_plain

SUFFIXES = ('.npy', '.npz', '.csv')
KEYS = ('frame', 'person')
INDEX = ('', 'index', 'unnamed: 0')  # headers of the index that pandas writes
CONFIDENCE = re.compile('confidence|conf|score|likelihood|visibility')
# valid headers of a column: of joint j, counted from 0 or 1, and so on
HEADERS = ('', '{axis}', '{joint}', '{joint}{axis}', '{axis}{joint}',
           '{joint0}', '{joint1}', '{column0}', '{column1}', '{axis}{joint0}',
           '{axis}{joint1}', '{axis}{repeat}', '{joint0}{axis}',
           '{joint1}{axis}')


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
    if persons.sum() > max(together, 1):
        raise InputError(
            f'{where} contains {persons.sum()} persons, but at most '
            f'{together} in any frame, expected one number per person. If a '
            'tracker gave a person several numbers, merge them.')
    kept = persons if persons.any() else slice(1)
    return {name: array[kept] if name in ARRAYS else array
            for name, array in arrays.items()}


def check_pixels(where: str, sequence: dict, img_shape: Tuple[int, int]
                 ) -> float:
    """Return the share of the joints that are outside the image.

    ``img_shape`` is the height and the width in pixels. Joints without
    confidence are ignored. An ``InputError`` is raised if most joints are
    outside, or if all coordinates are between -1 and 1.
    """
    keypoint = sequence['keypoint']
    there = keypoint.any(axis=-1) & (sequence.get('keypoint_score', 1) > 0)
    points = keypoint[there]  # (joints, x and y)
    outside = ((points < 0) | (points > img_shape[::-1])).any(axis=-1)
    if len(points) and (outside.mean() > 0.5 or np.abs(points).max() <= 1):
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        raise InputError(
            f'{where}: x is between {x0:g} and {x1:g}, and y between {y0:g} '
            f'and {y1:g}, expected pixels of an image of height '
            f'{img_shape[0]} and width {img_shape[1]} (img_shape).')
    return outside.mean() if len(points) else 0.


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


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte order mark."""
    try:
        return path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path} cannot be read as text: {error}.') from None


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
    cells = read_cells(path)
    first = [clean(text).lstrip('# ').lower() for text in cells.iloc[0]]
    keys = list(takewhile((*KEYS, *INDEX).__contains__, first))
    names = first[len(keys):]
    channels, rest = divmod(len(names), layout.num_joints)
    if rest or channels not in _channels(layout):
        raise InputError(
            f'{path}: a row has {len(names)} coordinates, expected '
            f'{" or ".join(map(str, _channels(layout)))} for each of the '
            f'{layout.num_joints} joints of layout "{layout.name}".')
    if _is_header(path, keys, names, layout, channels):
        cells = cells[1:]
    if cells.empty:
        raise InputError(f'{path} contains 0 frames, expected at least 1.')
    try:
        table = cells.astype(np.float64)
    except ValueError as error:
        raise InputError(f'{path} cannot be read as numbers with an optional '
                         f'header: {error}.') from None
    values = table.iloc[:, len(keys):].to_numpy()  # (R, V * C)
    if keys:
        values = _place(path, table.iloc[:, :len(keys)].set_axis(
            keys, axis=1), values)
    return dict(keypoint=values.reshape(
        *values.shape[:-1], layout.num_joints, channels))


def _is_header(path: Path, keys: List[str], names: List[str],
               layout: SkeletonLayout, channels: int) -> bool:
    """Return whether the first row is a header; raise if its order is wrong.

    A header names or numbers the columns or the joints, as "wrist_x", "x1" or
    "v12" do. pandas writes the numbers of the columns by default.
    """
    import pandas as pd

    def squash(text: str) -> str:
        return re.sub(r'[\W_]', '', CONFIDENCE.sub('c', text.lower()))

    axes = ('xyz' if layout.dims == 3 else 'xyc')[:channels]
    columns = [dict(joint=squash(joint), axis=axis, joint0=j, joint1=j + 1,
                    column0=j * channels + c, column1=j * channels + c + 1,
                    repeat=j or '')
               for j, joint in enumerate(layout.joint_names)
               for c, axis in enumerate(axes)]
    valid = [[form.format(**column) for column in columns] for form in HEADERS]
    found = list(map(squash, names))
    numeric = pd.to_numeric(pd.Series(names), errors='coerce').notna().all()
    if numeric and not keys and sorted(found) not in map(sorted, valid):
        return False
    prefix = re.match('[a-z]*', os.path.commonprefix(found))[0]
    if found in valid or [text[len(prefix):] for text in found] in valid:
        return True
    raise InputError(
        f'{path}: the first row is "{shorten(", ".join(names), 60)}", '
        f'expected numbers, or a header with {", ".join(axes)} of each joint '
        f'in the order of layout "{layout.name}".')


def _place(path: Path, keys, values: np.ndarray) -> np.ndarray:
    """Arrange rows (R, V * C) as (M, T, V * C), with 0 for missing rows."""
    import pandas as pd
    if not keys.columns.is_unique or 'person' in keys and 'frame' not in keys:
        raise InputError(
            f'{path}: the header begins with "{",".join(keys)}", expected '
            '"frame", or "frame" and "person", each once.')
    # the index that pandas writes numbers the frames, too
    frame = keys.get('frame', keys.iloc[:, 0])
    person = keys.get('person', 0 * frame)
    table = pd.DataFrame(values, pd.MultiIndex.from_arrays([person, frame]))
    if table.index.has_duplicates:
        person, frame = table.index[table.index.duplicated()][0]
        raise InputError(f'{path}: person {person:g} has more than one row in '
                         f'frame {frame:g}, expected one.')
    persons, frames = np.unique(person), np.unique(frame)
    if (np.diff(frames) != 1).any():
        raise InputError(f'{path}: "frame" has {len(frames)} values from '
                         f'{frames[0]:g} to {frames[-1]:g}, expected '
                         'consecutive integers.')
    full = pd.MultiIndex.from_product([persons, frames])
    return table.reindex(full, fill_value=0).to_numpy().reshape(
        len(persons), len(frames), -1)
