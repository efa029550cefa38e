"""Random view of CTR-GCN's NW-UCLA preprocessing (arXiv 2107.12213)."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...utils.input_error import require_known
from .random_rotation import rotate, rotation


@TRANSFORMS.register_module()
class RandomView(BaseTransform):
    """Rotate by random whole degrees about the vertical axis and x (or y).

    CTR-GCN also shifts and scales the sequence. This class
    omits both steps: on NW-UCLA, ``MinMaxNormalize`` would cancel them.

    Required and modified key: ``keypoint``, (M, T, V, 3).

    Args:
        max_degrees (int): Largest angle. Both angles are drawn uniformly from
            the integers -max_degrees to max_degrees. Defaults to 60.
        up (str): Vertical axis: 'x', 'y' (NW-UCLA) or 'z'. Defaults to 'y'.

    Raises:
        InputError: ``keypoint`` is not 3D, or ``up`` is not an axis.
    """

    def __init__(self, max_degrees: int = 60, up: str = 'y') -> None:
        self.max_degrees = max_degrees
        require_known('RandomView: up', up, ('x', 'y', 'z'))
        self.up = up

    def transform(self, results: dict) -> dict:
        """Rotate ``results['keypoint']``."""
        degrees = np.random.randint(-self.max_degrees, self.max_degrees + 1, 2)
        matrix = rotation(*np.radians(degrees), 0)
        axes = np.arange(3)  # exchange y and the vertical axis
        axes[[1, 'xyz'.index(self.up)]] = axes[['xyz'.index(self.up), 1]]
        return rotate(results, matrix[axes][:, axes])
