"""Faster version of MMAction2's ``PreNormalize3D``."""
import numpy as np
from mmaction.datasets.transforms import PreNormalize3D
from mmaction.registry import TRANSFORMS

from ...utils.input_error import InputError


@TRANSFORMS.register_module()
class FastPreNormalize3D(PreNormalize3D):
    """``PreNormalize3D`` with whole-array operations and the same output.

    The arguments are the same. A sequence without any person is left
    unchanged. More than two persons raise an ``InputError``.

    Required key: ``keypoint``, (M, T, V, 3). Modified keys: ``keypoint``,
    ``total_frames``. Added key, if ``align_center`` is True: ``body_center``.
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Normalize ``results['keypoint']``."""
        keypoint = results['keypoint']
        if len(keypoint) > 2:
            raise InputError(
                f'FastPreNormalize3D: {results.get("frame_dir")} has '
                f'{len(keypoint)} persons, expected 1 or 2.')
        # a person is absent if np.isclose(x, 0) for all coordinates
        seen = (np.abs(keypoint) > 1e-8).any(axis=(2, 3))  # (M, T)
        first = int(len(seen) == 2 and seen[1].sum() > seen[0].sum())
        if not seen[first].any():
            return results
        if first == 1:
            keypoint = keypoint[::-1]
        keypoint = keypoint[:, seen[first]]  # (M, T', V, 3)

        if self.align_center:
            center = keypoint[0, 0, 1 if keypoint.shape[2] == 25 else -1]
            # a missing joint (all coordinates zero) stays zero
            there = (keypoint != 0).any(axis=-1, keepdims=True)
            results['body_center'] = center.copy()
            keypoint = (keypoint - center) * there
        pose = keypoint[0, 0]  # (V, 3)
        rotation = np.eye(3)
        if self.align_spine:
            bottom, top = self.zaxis
            rotation = self._align(pose[top] - pose[bottom], [0, 0, 1])
            pose = pose @ rotation.T
        if self.align_shoulder:
            right, left = self.xaxis
            rotation = self._align(pose[right] - pose[left],
                                   [1, 0, 0]) @ rotation
        results['keypoint'] = (keypoint.reshape(
            -1, keypoint.shape[-1]) @ rotation.T).reshape(keypoint.shape)
        results['total_frames'] = keypoint.shape[1]
        return results

    def _align(self, vector: np.ndarray, target: list) -> np.ndarray:
        """Return the rotation matrix that turns ``vector`` to ``target``."""
        return self.rotation_matrix(np.cross(vector, target),
                                    self.angle_between(vector, target))
