"""Random point of view of the NW-UCLA training recipe."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from .random_rotation import rotate


@TRANSFORMS.register_module()
class RandomView(BaseTransform):
    """Rotate a sequence by random whole degrees about the x and y axes.

    The published preprocessing of NW-UCLA also subtracts a joint of the first
    frame and scales by a random factor. This transform omits both steps, which
    the ``MinMaxNormalize`` that follows in the pipelines would cancel.

    Required and modified key: ``keypoint``, (M, T, V, 3).

    Args:
        max_degrees (int): Both angles are drawn uniformly from the integers
            -max_degrees to max_degrees. Defaults to 60.

    Raises:
        InputError: ``keypoint`` does not have three channels.
    """

    def __init__(self, max_degrees: int = 60) -> None:
        self.max_degrees = max_degrees

    def transform(self, results: dict) -> dict:
        """Rotate ``results['keypoint']``."""
        degrees = np.random.randint(-self.max_degrees, self.max_degrees + 1, 2)
        (cos_x, cos_y), (sin_x, sin_y) = (np.cos(np.radians(degrees)),
                                          np.sin(np.radians(degrees)))
        about_x = np.array([[1, 0, 0], [0, cos_x, sin_x], [0, -sin_x, cos_x]])
        about_y = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]])
        rotation = (about_y @ about_x).astype(np.float32)
        return rotate(results, rotation)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(max_degrees={self.max_degrees})'
