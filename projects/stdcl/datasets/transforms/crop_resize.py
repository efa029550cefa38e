"""Temporal crop of CTR-GCN's NTU RGB+D preprocessing (arXiv 2107.12213)."""
from numbers import Real

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...utils.input_error import InputError
from .detected_joints import find_detected


@TRANSFORMS.register_module()
class CropResize(BaseTransform):
    """Crop a span of frames and resize it by linear interpolation.

    Empty frames are not skipped; remove them with ``DropEmptyFrames`` first.
    With ``keypoint_score``, a joint that was detected in only one of the two
    interpolated frames keeps its position in that frame.

    Required and modified keys: ``keypoint``, from (M, T, V, C) to
    (M, clip_len, V, C), and ``total_frames``; ``keypoint_score``, if present.

    Args:
        clip_len (int): Number of frames in a clip.
        proportion (float | tuple[float, float]): Share of the frames to keep,
            above 0 and at most 1: a range for a random span (of at least 64
            frames, if the sequence is long enough), or a number for the span
            in the middle. Defaults to (0.5, 1).

    Raises:
        InputError: ``proportion`` is out of range.
    """

    def __init__(self, clip_len: int,
                 proportion: float | tuple[float, float] = (0.5, 1)) -> None:
        self.clip_len = clip_len
        self.proportion = proportion
        if np.shape(proportion) not in ((), (2, )) or not all(
                isinstance(share, Real) and 0 < share <= 1
                for share in np.ravel(proportion)):
            raise InputError(f'CropResize: proportion is {proportion}, '
                             'expected one or two numbers above 0, at most 1.')

    def _choose(self, total: int) -> tuple[int, int]:
        """Return the first frame and the length of the span."""
        if np.ndim(self.proportion) == 0:
            first = int((1 - self.proportion) * total / 2)
            return first, total - 2 * first
        share = np.random.uniform(*self.proportion)
        length = min(max(int(total * share), 64), total)
        return np.random.randint(total - length + 1), length

    def _resize(self, array: np.ndarray, first: int, length: int):
        """Interpolate like PyTorch with align_corners=False."""
        scale = np.float32(length / self.clip_len)
        at = (np.arange(self.clip_len, dtype=np.float32)
              + np.float32(0.5)) * scale - np.float32(0.5)
        at = np.maximum(at, np.float32(0))  # (clip_len,)
        whole = np.floor(at)
        weight = (at - whole).reshape(-1, *[1] * (array.ndim - 2))
        before = whole.astype(np.int64)
        after = np.minimum(before + 1, length - 1)
        return (array[:, first + before] * (1 - weight)
                + array[:, first + after] * weight)

    def transform(self, results: dict) -> dict:
        """Crop and resize ``results['keypoint']``."""
        span = self._choose(results['keypoint'].shape[1])
        if 'keypoint_score' in results:
            keypoint, detected = find_detected(results)
            share = self._resize(detected[..., None].astype(np.float32), *span)
            results['keypoint'] = self._resize(keypoint, *span) / np.where(
                share > 0, share, 1)
            results['keypoint_score'] = self._resize(
                results['keypoint_score'], *span)
        else:
            results['keypoint'] = self._resize(results['keypoint'], *span)
        results['total_frames'] = self.clip_len
        return results
