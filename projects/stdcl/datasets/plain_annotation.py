"""Convert annotations from any source to one form."""
from typing import Optional

import numpy as np

from ..utils.skeleton_layout import SkeletonLayout

ARRAYS = ('keypoint', 'keypoint_score')


def to_plain(annotation: dict,
             layout: Optional[SkeletonLayout] = None) -> dict:
    """Return an annotation in the form that the transforms expect.

    ``keypoint`` (M, T, V, C) and ``keypoint_score`` become float32, because
    transforms compute in the dtype of the coordinates, and small integers and
    float16 could overflow. NumPy scalars, such as labels, become plain
    numbers. If ``layout`` is two-dimensional, a third channel of ``keypoint``
    becomes ``keypoint_score``, except in packed sequences (N, V, C).
    """
    plain = {name: value.item() if isinstance(value, np.generic) else value
             for name, value in annotation.items()}
    for name in set(ARRAYS).intersection(plain):
        plain[name] = np.asarray(plain[name], np.float32)
    if layout and layout.dims == 2 and np.shape(plain.get('keypoint'))[3:] == (
            3, ) and ARRAYS[1] not in plain:
        plain.update(keypoint=plain['keypoint'][..., :2],
                     keypoint_score=plain['keypoint'][..., 2])
    return plain
