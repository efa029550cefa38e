"""Random rotation of CTR-GCN's NTU RGB+D preprocessing (arXiv 2107.12213)."""
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...utils.input_error import InputError


@TRANSFORMS.register_module()
class RandomRotation(BaseTransform):
    """Rotate a sequence by random angles about x, then y, then z.

    All frames and persons share one rotation, R = Rz Ry Rx. Two-dimensional
    sequences are rotated about z only.

    Required and modified key: ``keypoint``, (M, T, V, 3) or (M, T, V, 2).

    Args:
        max_radians (float): Largest angle. The angles are drawn uniformly
            between -max_radians and max_radians. Defaults to 0.3.

    Raises:
        InputError: ``keypoint`` has neither two nor three channels.
    """

    def __init__(self, max_radians: float = 0.3) -> None:
        self.max_radians = max_radians

    def transform(self, results: dict) -> dict:
        """Rotate ``results['keypoint']``."""
        if results['keypoint'].shape[-1] == 2:
            angle = np.random.uniform(-self.max_radians, self.max_radians)
            return rotate(results, rotation(0, 0, angle)[:2, :2].T)
        angles = np.random.uniform(-self.max_radians, self.max_radians, 3)
        return rotate(results, rotation(*angles).T)


def rotate(results: dict, matrix: np.ndarray) -> dict:
    """Multiply coordinates (M, T, V, C) by a matrix (C, C) from the right."""
    keypoint, dims = results['keypoint'], len(matrix)
    if keypoint.shape[-1] != dims:
        raise InputError(
            f'sequence {results.get("frame_dir")}: keypoint has '
            f'{keypoint.shape[-1]} channels, expected {dims} for a rotation.')
    results['keypoint'] = (keypoint.reshape(-1, dims) @ matrix.astype(
        np.float32)).reshape(keypoint.shape)
    return results


def rotation(x: float, y: float, z: float) -> np.ndarray:
    """Return the (3, 3) matrix Rz Ry Rx for angles in radians.

    As in CTR-GCN, a positive angle about z turns y toward x.
    """
    cos_x, cos_y, cos_z = np.cos((x, y, z))
    sin_x, sin_y, sin_z = np.sin((x, y, z))
    about_x = np.array([[1, 0, 0], [0, cos_x, sin_x], [0, -sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]])
    about_z = np.array([[cos_z, sin_z, 0], [-sin_z, cos_z, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x
