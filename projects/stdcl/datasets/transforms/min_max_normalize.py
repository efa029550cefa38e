"""The normalisation of the NW-UCLA recipe."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class MinMaxNormalize(BaseTransform):
    """Scale each coordinate over the whole sequence to [-1, 1].

    A coordinate that never changes becomes -1.

    Required and modified key: ``keypoint``, (M, T, V, C).
    """

    def transform(self, results: dict) -> dict:
        """Scale ``results['keypoint']``."""
        keypoint = results['keypoint']
        low = keypoint.min(axis=(0, 1, 2))  # (C,)
        extent = keypoint.max(axis=(0, 1, 2)) - low
        extent = np.maximum(extent, np.finfo(np.float32).tiny)
        results['keypoint'] = (keypoint - low) / extent * 2 - 1
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
