"""Normalization of CTR-GCN's NW-UCLA preprocessing (arXiv 2107.12213)."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from .detected_joints import find_detected


@TRANSFORMS.register_module()
class MinMaxNormalize(BaseTransform):
    """Scale each coordinate of a sequence to the range [-1, 1].

    A constant coordinate becomes -1. Joints that were not detected (those of
    absent persons, and those whose ``keypoint_score`` is 0) become zero.
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Scale ``results['keypoint']``."""
        keypoint, detected = find_detected(results)
        if detected.any():
            seen = keypoint[detected]  # (joints, C)
            low = seen.min(axis=0)
            extent = np.maximum(seen.max(axis=0) - low,
                                np.finfo(np.float32).tiny)
            there = detected[..., None]  # all others could overflow
            keypoint = ((keypoint - low) * there / extent * 2 - 1) * there
        results['keypoint'] = keypoint
        return results
