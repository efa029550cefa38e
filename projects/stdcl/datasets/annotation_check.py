"""Checks of annotation files, run once when a file is read.

docs/annotation_format.md describes the format.
"""
import reprlib
from collections import Counter
from numbers import Integral
from typing import Iterable, List, Sequence

import numpy as np

from ..utils.input_error import InputError

# sums and squares of larger coordinates overflow float32 and become NaN
LARGEST = 1e15
AXES = dict(M='person', N='row', T='frame', V='joint', C='channel')


def name_of(annotation: dict) -> str:
    """The name of a sequence in its annotation file."""
    return annotation.get('filename', annotation.get('frame_dir'))


def check_names(path: str, annotations: Sequence[dict]) -> None:
    """Raise unless there are annotations and each is a dict with a name.

    ``path`` is the annotation file, for the message.
    """
    for index, item in enumerate(annotations):
        if not isinstance(item, dict) or not isinstance(name_of(item), str):
            seen = (f'frame_dir {name_of(item)!r}' if isinstance(item, dict)
                    else f'type {type(item).__name__}')
            raise InputError(f'{path}: annotations[{index}] has {seen}, '
                             'expected a dict with a string frame_dir.')
    if not annotations:
        raise InputError(f'{path}: annotations has 0 sequences, expected at '
                         'least one.')


def select_split(path: str, annotations: List[dict], splits: dict,
                 split: str) -> List[dict]:
    """The annotations of a split, a list of distinct names."""
    if split not in splits:
        raise InputError(f'{path}: there is no split "{split}"; expected one '
                         f'of {", ".join(map(str, splits))}.')
    names, where = splits[split], f'{path}: the split "{split}"'
    if not isinstance(names, (list, tuple, set, frozenset)) or not names or (
            not all(isinstance(name, str) for name in names)):
        raise InputError(f'{where} is {reprlib.repr(names)}, expected a list '
                         'of at least one name, the frame_dir of sequences.')
    _check_distinct(where, names)
    wanted = set(names)
    chosen = [item for item in annotations if name_of(item) in wanted]
    missing = sorted(wanted.difference(map(name_of, chosen)))
    if missing:
        raise InputError(
            f'{where} has {len(names)} names, of which {len(missing)} have no '
            f'annotation ({", ".join(missing[:3])}); expected an annotation '
            'for each.')
    return chosen


def check_sequences(path: str, annotations: List[dict],
                    one_label: bool = True) -> None:
    """Check that annotations with ``keypoint`` can be trained on.

    ``one_label`` says whether a sequence has one class or several.

    Raises:
        InputError: A name occurs twice; a field is missing or has the wrong
            type or shape; a number is not finite; or sequences differ in
            their number of joints or channels.
    """
    _check_distinct(f'{path}: annotations', map(name_of, annotations))
    for item in annotations:
        check_sequence(path, item, one_label)
    sizes = Counter(item['keypoint'].shape[-2:] for item in annotations)
    if len(sizes) > 1:
        (usual, count), *_ = sizes.most_common(1)
        odd = next(item for item in annotations
                   if item['keypoint'].shape[-2:] != usual)
        _fail(path, odd, 'keypoint', 'of {} joints and {} channels'.format(
            *odd['keypoint'].shape[-2:]),
            '{} joints and {} channels, as {} of {} sequences have'.format(
                *usual, count, len(annotations)))


def check_sequence(path: str, item: dict, one_label: bool = True) -> None:
    """Check one annotation; see :func:`check_sequences`."""
    if one_label:
        _check_count(path, item, 'label', 0)
    _check_count(path, item, 'total_frames', 1)
    if 'frame_inds' in item:  # packed; MMAction2's DecompressPose unpacks it
        _check_array(path, item, 'keypoint', '(N, V, C)')
        return
    keypoint = _check_array(path, item, 'keypoint', '(M, T, V, C)')
    if item['total_frames'] != keypoint.shape[1]:
        _fail(path, item, 'total_frames', item['total_frames'],
              f'{keypoint.shape[1]}, the frames T of keypoint of shape (M, '
              f'T, V, C) = {keypoint.shape}')
    if 'keypoint_score' in item:
        score = _check_array(path, item, 'keypoint_score', '(M, T, V)')
        if score.shape != keypoint.shape[:3]:
            _fail(path, item, 'keypoint_score', f'of shape {score.shape}',
                  f'{keypoint.shape[:3]}, (M, T, V) of keypoint')


def _check_count(path: str, item: dict, field: str, least: int) -> None:
    value = item.get(field)
    if not isinstance(value, Integral) or isinstance(value, bool) or (
            value < least):
        _fail(path, item, field, f'{value!r} ({type(value).__name__})',
              f'an integer of at least {least}')


def _check_array(path: str, item: dict, field: str, axes: str) -> np.ndarray:
    array = item.get(field)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in 'fiu':
        _fail(path, item, field,
              f'of type {getattr(array, "dtype", type(array).__name__)}',
              'a numpy array of numbers')
    if array.ndim != len(axes.split()) or not array.size:
        _fail(path, item, field, f'of shape {array.shape}',
              f'{axes}, each at least 1')
    # false for NaN as well, which min and max propagate
    if not max(-float(array.min()), float(array.max())) < LARGEST:
        wrong = ~(np.abs(array.astype(np.float64)) < LARGEST)
        first = np.argwhere(wrong)[0]
        place = ', '.join(f'{AXES[axis]} {index}' for axis, index in zip(
            axes.strip('()').split(', '), first))
        _fail(path, item, field,
              f'{array[tuple(first)]!s} at {place} (counted from 0) and '
              f'unusable in {wrong.sum()} of its {array.size} numbers',
              f'finite numbers between -{LARGEST:g} and {LARGEST:g}')
    return array


def _check_distinct(where: str, names: Iterable[str]) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(f'{where}: the name {name} occurs {count} times, '
                         'expected once.')


def _fail(path: str, item: dict, field: str, seen, expected: str) -> None:
    seen = seen if field in item else 'missing'
    raise InputError(f'{path}: sequence {name_of(item)}: {field} is {seen}, '
                     f'expected {expected}.')
