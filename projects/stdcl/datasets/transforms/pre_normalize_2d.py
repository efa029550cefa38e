"""MMAction2's ``PreNormalize2D``, but undetected joints become zero."""
import numpy as np
from mmaction.datasets import transforms
from mmaction.registry import TRANSFORMS

from .detected_joints import find_detected


@TRANSFORMS.register_module(force=True)
class PreNormalize2D(transforms.PreNormalize2D):
    """Map the image to the range [-1, 1] in x and y.

    Unlike in MMAction2's class of the same name, joints that were not detected
    (absent persons, no confidence, or at (0, 0)) become zero.

    Required and modified key: ``keypoint``, (M, T, V, C), in pixels. Optional
    keys: ``keypoint_score``, (M, T, V), and ``img_shape``, (height, width).

    Args:
        img_shape (tuple[int, int]): Height and width of the image, for
            sequences without ``img_shape``. Defaults to (1080, 1920).
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Normalize ``results['keypoint']``."""
        keypoint, detected = find_detected(results)
        xy, others = np.split(keypoint, [2], axis=-1)
        detected = detected & xy.any(axis=-1)
        height, width = results.get('img_shape', self.img_shape)
        half = np.array([width, height], np.float32) / 2
        results['keypoint'] = np.concatenate(
            [(xy - half) / half * detected[..., None], others], axis=-1)
        return results
