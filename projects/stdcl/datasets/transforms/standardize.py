"""Standardization that preserves the aspect ratio."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from .detected_joints import find_detected


@TRANSFORMS.register_module()
class Standardize(BaseTransform):
    """Center a sequence and divide it by its standard deviation.

    All coordinates are divided by the same number, which preserves the aspect
    ratio of two-dimensional skeletons. Joints that were not detected (those of
    absent persons, and those whose ``keypoint_score`` is 0) become zero.
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Standardize ``results['keypoint']``."""
        keypoint, detected = find_detected(results)
        if detected.any():
            seen = keypoint[detected].astype(np.float64)  # (joints, C)
            mean = seen.mean(axis=0)
            deviation = max((seen - mean).std(), np.finfo(np.float32).tiny)
            keypoint = np.where(detected[..., None], (keypoint - mean)
                                / deviation, 0).astype(np.float32)
        results['keypoint'] = keypoint
        return results
