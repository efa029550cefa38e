"""MMAction2's ``PreNormalize2D``, but undetected joints become zero."""
from typing import Optional, Tuple

import numpy as np
from mmaction.datasets import transforms
from mmaction.registry import TRANSFORMS

from ...utils.input_error import InputError
from ..annotation_check import name_of
from ..converters.sequence_file import check_pixels
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
            sequences without ``img_shape``. By default, they raise an error.

    Raises:
        InputError: ``img_shape`` is missing or invalid, or the coordinates are
            not pixels of such an image.
    """

    cacheable = True  # same result in every epoch

    def __init__(self, img_shape: Optional[Tuple[int, int]] = None) -> None:
        super().__init__(img_shape)

    def transform(self, results: dict) -> dict:
        """Normalize ``results['keypoint']``."""
        keypoint, detected = find_detected(results)
        xy, others = np.split(keypoint, [2], axis=-1)
        detected = detected & xy.any(axis=-1)
        shape = results.get('img_shape', self.img_shape)
        if np.shape(shape) != (2, ) or not np.greater(shape, 0).all():
            raise InputError(
                f'sequence {name_of(results)}: img_shape is {shape}, expected '
                'the height and width of the images in which the joints were '
                'detected (tools/demo.py: --img-shape HEIGHT WIDTH).')
        check_pixels(f'sequence {name_of(results)}',
                     {**results, 'keypoint': xy}, shape)
        half = np.array(shape[::-1], np.float32) / 2
        results['keypoint'] = np.concatenate(
            [(xy - half) / half * detected[..., None], others], axis=-1)
        return results
