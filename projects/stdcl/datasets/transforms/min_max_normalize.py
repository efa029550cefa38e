"""Normalization of the NW-UCLA recipe."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class MinMaxNormalize(BaseTransform):
    """Scale each coordinate of a sequence to the range [-1, 1].

    A constant coordinate becomes -1. A person who is absent from a frame (all
    coordinates zero) is ignored and stays zero.

    Required and modified key: ``keypoint``, (M, T, V, C).
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Scale ``results['keypoint']``."""
        keypoint = results['keypoint']
        present = keypoint.any(axis=(2, 3))  # (M, T)
        if not present.any():
            return results
        seen = keypoint[present]  # (persons and frames, V, C)
        low = seen.min(axis=(0, 1))  # (C,)
        extent = seen.max(axis=(0, 1)) - low
        extent = np.maximum(extent, np.finfo(np.float32).tiny)
        scaled = (keypoint - low) / extent * 2 - 1
        results['keypoint'] = scaled * present[..., None, None]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
