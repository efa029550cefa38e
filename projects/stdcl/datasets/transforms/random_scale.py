"""Random scaling that preserves the aspect ratio."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...utils.input_error import InputError


@TRANSFORMS.register_module()
class RandomScale(BaseTransform):
    """Multiply all coordinates of a sequence by one random factor.

    Required and modified key: ``keypoint``, (M, T, V, C).

    Args:
        low (float): Smallest factor. Defaults to 0.85.
        high (float): Largest factor. Defaults to 1.15.

    Raises:
        InputError: ``low`` is not positive, or ``low`` exceeds ``high``.
    """

    def __init__(self, low: float = 0.85, high: float = 1.15) -> None:
        if not 0 < low <= high:
            raise InputError(f'RandomScale: low is {low} and high is {high}, '
                             'expected 0 < low <= high.')
        self.low = low
        self.high = high

    def transform(self, results: dict) -> dict:
        """Scale ``results['keypoint']``."""
        factor = np.float32(np.random.uniform(self.low, self.high))
        results['keypoint'] = results['keypoint'] * factor
        return results
