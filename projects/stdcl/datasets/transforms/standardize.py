"""Standardization that preserves the aspect ratio."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class Standardize(BaseTransform):
    """Center a sequence and divide it by its standard deviation.

    All coordinates are divided by the same number, which preserves the aspect
    ratio of two-dimensional skeletons. Persons who are absent from a frame
    (all coordinates zero) and joints without confidence (``keypoint_score``
    is 0) are ignored and set to zero.

    Required and modified key: ``keypoint``, (M, T, V, C). Optional key:
    ``keypoint_score``, (M, T, V).
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Standardize ``results['keypoint']``."""
        keypoint = results['keypoint']
        present = np.broadcast_to(
            keypoint.any(axis=(2, 3), keepdims=True)[..., 0],
            keypoint.shape[:3])  # (M, T, V)
        if 'keypoint_score' in results:
            present = present & (results['keypoint_score'] > 0)
        if present.any():
            seen = keypoint[present].astype(np.float64)  # (joints, C)
            mean = seen.mean(axis=0)
            deviation = max((seen - mean).std(), np.finfo(np.float32).tiny)
            results['keypoint'] = np.where(
                present[..., None], (keypoint - mean) / deviation,
                0).astype(np.float32)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
