"""Convert annotations from any source to one form."""
import numpy as np
import torch

from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout

# array -> its axes: persons, frames, joints and channels
ARRAYS = dict(keypoint='MTVC', keypoint_score='MTV')
# Range of a third channel that is a confidence. Peaks of heatmaps, as MMPose
# writes them, can be a little beyond 0 and 1.
LOWEST, PEAK = -0.1, 1.2
VISIBLE = 2  # flag of visible joints in COCO
PIXELS = 10  # coordinates in an image exceed this; others may be in meters


def add_missing_axes(annotation: dict) -> dict:
    """Return an annotation with all axes of the arrays and ``total_frames``.

    The axis of the persons may be missing: (T, V, C) and (T, V) become
    (1, T, V, C) and (1, T, V). Tensors and lists become NumPy arrays.
    """
    result = dict(annotation)
    for name in ARRAYS.keys() & result.keys():
        array = result[name]
        if torch.is_tensor(array):  # NumPy has no bfloat16
            array = array.detach().cpu().to(torch.promote_types(
                array.dtype, torch.float32))
        try:
            array = np.asanyarray(array)  # a later check rejects masks
        except ValueError:  # a ragged list; a later check rejects objects
            array = np.array(None)
        missing = array.ndim == len(ARRAYS[name]) - 1
        result[name] = array[None] if missing else array
    shape = np.shape(result.get('keypoint'))
    result['total_frames'] = shape[1] if len(shape) > 1 else 1
    return result


def to_plain(annotation: dict, layout: SkeletonLayout | None = None,
             where: str = '') -> dict:
    """Return an annotation in the form that the transforms expect.

    ``keypoint`` (M, T, V, C) and ``keypoint_score`` become float32, because
    transforms compute in the dtype of the coordinates, and small integers and
    float16 could overflow. NumPy scalars, such as labels, become plain
    numbers. If ``layout`` is two-dimensional, a third channel of ``keypoint``
    becomes ``keypoint_score``. If it does not fit the layout, an
    ``InputError`` starts with ``where``.
    """
    plain = {name: value.item() if isinstance(value, np.generic) else value
             for name, value in annotation.items()}
    for name in ARRAYS.keys() & plain.keys():
        plain[name] = np.asarray(plain[name], np.float32)
    shape, scored = np.shape(plain.get('keypoint')), 'keypoint_score' in plain
    if layout and scored and shape[3:] not in ((), (layout.dims, )):
        raise InputError(
            f'{where}: keypoint has {shape[3]} channels beside keypoint_score,'
            f' expected {layout.dims}, which is "dims" of the layout '
            f'"{layout.name}".')
    if layout and shape[3:] == (3, ) and not scored:
        position, third = plain['keypoint'][..., :2], plain['keypoint'][..., 2]
        _check_third_channel(where, position, third, layout)
        if layout.dims == 2:
            plain.update(keypoint=position, keypoint_score=third)
    return plain


def _check_third_channel(where: str, position: np.ndarray, third: np.ndarray,
                         layout: SkeletonLayout) -> None:
    most, low, high = np.abs(position).max(), third.min(), third.max()
    has_fractions = (third % 1).any()  # unlike flags such as 0, 1 and 2
    if layout.dims == 3:
        expected = ('z in the unit of x and y (0 if it hardly varies), not a '
                    'confidence')
        # flags of COCO, or z of MediaPipe, beside pixels (not centered)
        other = (-PEAK <= low < high <= PEAK if has_fractions else
                 0 <= low < high <= VISIBLE) and position.min() > -most / 2
        wrong = most > 10 * PIXELS and (LOWEST <= low < high <= PEAK or other)
    else:
        expected = 'a confidence from 0 to 1, not z'
        out_of_range = high > PEAK or (most <= PIXELS and low < LOWEST)
        wrong = ((has_fractions and out_of_range) or high > VISIBLE
                 or high < -5 * low)  # noise of a heatmap is below its peak
    if wrong:
        raise InputError(
            f'{where}: the third channel ranges from {low:g} to {high:g}; x '
            f'and y are up to {most:g}, expected {expected}, because "dims" '
            f'of the layout "{layout.name}" is {layout.dims}.')
