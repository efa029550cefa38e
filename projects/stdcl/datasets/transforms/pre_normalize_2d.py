"""A ``PreNormalize2D`` that sets undetected joints to zero."""
import numpy as np
from mmaction.datasets import transforms
from mmaction.registry import TRANSFORMS

from ...utils.input_error import InputError
from ..annotation_check import name_of
from .detected_joints import check_scores, check_values, find_detected


@TRANSFORMS.register_module(force=True)
class PreNormalize2D(transforms.PreNormalize2D):
    """Map the image to the range [-1, 1] in x and y.

    Unlike MMAction2's class of the same name, this class sets joints to zero
    if their person is absent, their confidence is 0, or they are at (0, 0).

    Required and modified key: ``keypoint``, (M, T, V, C), in pixels; a third
    channel is a confidence, and moves to ``keypoint_score``, (M, T, V).
    Optional keys: ``keypoint_score`` and ``img_shape``, (height, width).

    Args:
        img_shape (tuple[int, int]): Height and width of the image, for
            sequences without ``img_shape``. By default, these raise an error.

    Raises:
        InputError: ``img_shape`` is missing or invalid, the coordinates are
            not pixels of such an image, or a confidence is out of range.
    """

    cacheable = True  # same result in every epoch

    def __init__(self, img_shape: tuple[int, int] | None = None) -> None:
        super().__init__(img_shape)

    def transform(self, results: dict) -> dict:
        """Normalize ``results['keypoint']``."""
        keypoint, detected = find_detected(results)
        xy, others = np.split(keypoint, [2], axis=-1)
        where = f'sequence {name_of(results)}'
        check_scores(where, results)
        # a third channel is the confidence
        for score in np.moveaxis(others, -1, 0):
            check_values(where, dict(keypoint=xy, keypoint_score=score))
        detected = detected & xy.any(axis=-1) & (others > 0).all(axis=-1)
        shape = results.get('img_shape', self.img_shape)
        check_pixels(where, results, shape)
        half = np.array(shape[::-1], np.float32) / 2
        results['keypoint'] = (xy - half) / half * detected[..., None]
        if others.size:  # later transforms must not change it
            results['keypoint_score'] = others[..., 0].clip(0)
        return results


def check_pixels(where: str, sequence: dict, img_shape: tuple[int, int]
                 ) -> float:
    """Return the share of the joints that are outside the image.

    ``img_shape``, (height, width), is in pixels. Joints at (0, 0) or with
    confidence 0 are ignored. An ``InputError`` is raised if ``img_shape`` is
    invalid, or if, except in a window of a sequence (``is_window``), most
    joints are outside, or all coordinates are within 1 % of its size.
    """
    if np.shape(img_shape) != (2, ) or not np.greater(img_shape, 0).all():
        raise InputError(
            f'{where}: img_shape is {img_shape}, expected the height and '
            'width of the images in which the joints were detected '
            '(demo.py and custom.py: --img-shape HEIGHT WIDTH).')
    keypoint = sequence['keypoint'][..., :2]
    there = keypoint.any(axis=-1) & (sequence.get('keypoint_score', 1) > 0)
    points = keypoint[there]  # (joints, x and y)
    outside = ((points < 0) | (points > img_shape[::-1])).any(axis=-1)
    if len(points) and not sequence.get('is_window') and (
            outside.mean() > 0.5 or np.abs(points).max() <= max(
                1, min(img_shape) / 100)):
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        raise InputError(
            f'{where}: x is between {x0:g} and {x1:g}, and y between {y0:g} '
            f'and {y1:g}, expected pixels of an image of height '
            f'{img_shape[0]} and width {img_shape[1]} (img_shape).')
    return outside.mean() if len(points) else 0.
