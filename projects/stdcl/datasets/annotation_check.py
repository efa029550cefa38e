"""Check annotation files, which docs/annotation_format.md describes."""
import reprlib
from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Integral

import numpy as np

from ..utils.input_error import InputError

LARGEST = 1e15  # sums of squares of larger coordinates may overflow float32
UNDETECTED = 'Write 0 as coordinates and confidence of undetected joints.'
AXES = dict(M='person', T='frame', V='joint', C='channel')


def name_of(annotation: dict) -> str | None:
    """Return ``filename`` or ``frame_dir``, or None if both are missing."""
    return annotation.get('filename', annotation.get('frame_dir'))


def check_names(path: str, annotations: Sequence[dict]) -> None:
    """Raise an ``InputError`` if the list is empty or a name is missing.

    ``path`` is the path of the annotation file, for the message.
    """
    for index, item in enumerate(annotations):
        if not isinstance(item, dict) or not isinstance(name_of(item), str):
            raise InputError(
                f'{path}: annotations[{index}] is {reprlib.repr(item)}, '
                'expected a dict whose frame_dir is a string.')
    if not annotations:
        raise InputError(f'{path}: annotations is empty, expected sequences.')


def select_split(path: str, annotations: list[dict], splits: dict,
                 split: str) -> list[dict]:
    """Return the annotations of a split.

    ``splits`` maps each split to its names. An ``InputError`` is raised if the
    split is unknown, or if one of its names has no annotation.
    """
    if split not in list(splits):  # a list is not hashable
        raise InputError(f'{path}: there is no split "{split}"; expected one '
                         f'of {", ".join(map(str, splits))}.')
    names, where = splits[split], f'{path}: the split "{split}"'
    names = names.tolist() if isinstance(names, np.ndarray) else names
    if not isinstance(names, (list, tuple, set, frozenset)) or not names or (
            not all(isinstance(name, str) for name in names)):
        raise InputError(f'{where} is {reprlib.repr(names)}, expected a list '
                         'of at least one name (the frame_dir of a sequence).')
    wanted = set(names)
    chosen = [item for item in annotations if name_of(item) in wanted]
    missing = sorted(wanted.difference(map(name_of, chosen)))
    if missing:
        raise InputError(
            f'{where}: names without an annotation: {len(missing)} of '
            f'{len(names)} (such as {", ".join(missing[:3])}), expected none.')
    return chosen


def check_sequences(path: str, annotations: list[dict],
                    one_label: bool = True) -> None:
    """Check annotations that contain ``keypoint``.

    If ``one_label`` is True, each sequence must have exactly one class. An
    ``InputError`` is raised if a name occurs twice, a field is invalid, or
    sequences differ in their fields or their numbers of joints or channels.
    """
    check_distinct(f'{path}: annotations', map(name_of, annotations))
    for item in annotations:
        check_sequence(path, item, one_label)
    forms = list(map(_form, annotations))
    (usual, count), *_ = Counter(forms).most_common(1)
    for item, form in zip(annotations, forms):
        if form != usual:
            raise InputError(
                f'{path}: sequence {name_of(item)} has {form}, expected '
                f'{usual}, as in {count} of {len(annotations)} sequences.')


def _form(item: dict) -> str:
    """Describe what must be the same in all sequences."""
    joints, channels = item['keypoint'].shape[-2:]
    word = 'with' if 'keypoint_score' in item else 'without'
    return f'{joints} joints and {channels} channels {word} keypoint_score'


def check_sequence(path: str, item: dict, one_label: bool = True) -> None:
    """Check one annotation; see :func:`check_sequences`."""
    if one_label:
        _check_count(path, item, 'label', 0)
    _check_count(path, item, 'total_frames', 1)
    total = item['total_frames']
    shape = _check_array(path, item, 'keypoint', 'MTVC').shape
    if total != shape[1]:
        _fail(path, item, 'total_frames', f'is {total}', f'{shape[1]}, as in '
              f'keypoint (persons, frames, joints, channels: {shape})')
    # absent persons and empty frames do not count
    present = np.any(item['keypoint'], axis=(2, 3))  # (M, T)
    persons, frames = (present.any(axis=axis).sum() for axis in (1, 0))
    if persons > max(min(shape[1], 2 * frames), 2):
        _fail(path, item, 'keypoint', f'has {persons} persons in {frames} '
              'frames', 'the axes (persons, frames, joints, channels), with '
              'at least as many frames as persons')
    if 'keypoint_score' in item:
        score = _check_array(path, item, 'keypoint_score', 'MTV')
        if score.shape != shape[:3]:
            _fail(path, item, 'keypoint_score', f'has shape {score.shape}',
                  f'{shape[:3]}, the persons, frames and joints of keypoint')


def _check_count(path: str, item: dict, field: str, least: int) -> None:
    value = item.get(field)
    if not isinstance(value, Integral) or isinstance(value, bool) or (
            value < least):
        _fail(path, item, field, f'is {value!r} ({type(value).__name__})',
              f'an integer of at least {least}')


def _check_array(path: str, item: dict, field: str, axes: str) -> np.ndarray:
    array = item.get(field)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in 'fiu':
        _fail(path, item, field,
              f'has type {getattr(array, "dtype", type(array).__name__)}',
              'a NumPy array of numbers')
    if array.ndim != len(axes) or not array.size:
        _fail(path, item, field, f'has shape {array.shape}',
              f'the axes ({", ".join(f"{AXES[axis]}s" for axis in axes)}), '
              'each of size 1 or more')
    # the comparison is also False for NaN, which min and max propagate
    if not max(-float(array.min()), float(array.max())) < LARGEST or (
            np.ma.is_masked(array)):
        wrong = ~(np.abs(np.ma.filled(array.astype(np.float64), np.nan))
                  < LARGEST)
        first = np.argwhere(wrong)[0]
        place = ', '.join(f'{AXES[axis]} {index}'
                          for axis, index in zip(axes, first))
        _fail(path, item, field,
              f'is {array[tuple(first)]!s} at {place} (counted from 0; '
              f'invalid numbers: {wrong.sum()} of {array.size})',
              f'finite numbers between -{LARGEST:g} and {LARGEST:g}, and 0 '
              'for joints that were not detected')
    return array


def check_distinct(where: str, names: Iterable[str]) -> None:
    """Raise an ``InputError`` if a name occurs twice."""
    for name, count in Counter(names).most_common(1):
        if count > 1:
            raise InputError(f'{where}: the name "{name}" occurs {count} '
                             'times, expected once.')


def _fail(path: str, item: dict, field: str, seen: str, expected: str) -> None:
    name = name_of(item)
    where = path if name is None else f'{path}: sequence {name}'
    seen = seen if field in item else 'is missing'
    raise InputError(f'{where}: {field} {seen}, expected {expected}.')
