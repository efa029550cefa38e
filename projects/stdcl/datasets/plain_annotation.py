"""Bring annotations of any origin into one form."""
from typing import Optional

import numpy as np

from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout
from .annotation_check import name_of

ARRAYS = ('keypoint', 'keypoint_score')


def to_plain(annotation: dict,
             layout: Optional[SkeletonLayout] = None) -> dict:
    """Return an annotation in the form that the transforms expect.

    Transforms compute in the type of the coordinates, and small integers and
    float16 would overflow. ``keypoint`` (M, T, V, C) and ``keypoint_score``
    therefore become float32. NumPy scalars, such as labels, become plain
    numbers. If ``layout`` is two-dimensional, a third channel of ``keypoint``
    becomes ``keypoint_score``.
    """
    plain = {name: value.item() if isinstance(value, np.generic) else value
             for name, value in annotation.items()}
    for name in set(ARRAYS).intersection(plain):
        plain[name] = np.asarray(plain[name], np.float32)
    if layout and layout.dims == 2 and 'keypoint' in plain and (
            plain['keypoint'].shape[-1] == 3 and ARRAYS[1] not in plain):
        plain.update(keypoint=plain['keypoint'][..., :2],
                     keypoint_score=plain['keypoint'][..., 2])
    return plain


def fit_persons(where: str, annotation: dict, most: Optional[int]) -> dict:
    """Leave out absent persons if there are more persons than ``most``.

    ``FormatGCNInput`` would keep the first persons, even if they are absent,
    and drop the others. A person is absent if all coordinates are zero.

    Args:
        where (str): Source of the annotation, for messages.
        annotation (dict): ``keypoint``, (M, T, V, C), and optionally
            ``keypoint_score``, (M, T, V). Packed sequences are not checked.
        most (int, optional): Number of persons that the model takes. None
            accepts any number.

    Raises:
        InputError: More than ``most`` persons are present.
    """
    if most is None or 'frame_inds' in annotation or (
            len(annotation.get('keypoint', ())) <= most):
        return annotation
    there = annotation['keypoint'].any(axis=(1, 2, 3))
    if there.sum() > most:
        raise InputError(
            f'{where}: sequence {name_of(annotation)} has {there.sum()} '
            f'persons, expected at most {most} (num_person of FormatGCNInput '
            'in the pipeline).')
    kept = there if there.any() else slice(most)
    return {**annotation, **{name: annotation[name][kept] for name in ARRAYS
                             if name in annotation}}
