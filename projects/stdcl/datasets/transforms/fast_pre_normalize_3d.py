"""Faster version of MMAction2's ``PreNormalize3D``."""
import numpy as np
from mmaction.datasets.transforms import PreNormalize3D
from mmaction.registry import TRANSFORMS

from ...utils.input_error import InputError
from .detected_joints import find_detected


# also replaces MMAction2's PreNormalize3D, which ignores keypoint_score
@TRANSFORMS.register_module(['FastPreNormalize3D', 'PreNormalize3D'],
                            force=True)
class FastPreNormalize3D(PreNormalize3D):
    """``PreNormalize3D`` with whole-array operations and the same arguments.

    The output is the same up to rounding errors, except that joints whose
    ``keypoint_score`` is 0 become zero, and that center and rotation come from
    the first frame in which the joints that define them were detected. More
    than two persons, or joints without z, raise an ``InputError``.

    Required key: ``keypoint``, (M, T, V, 3). Optional key:
    ``keypoint_score``, (M, T, V). Modified keys: these and ``total_frames``.
    Added key, if ``align_center`` is True: ``body_center``.
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Normalize ``results['keypoint']``."""
        keypoint, detected = find_detected(results)
        if len(keypoint) > 2 or keypoint.shape[-1] != 3:
            raise InputError(
                f'FastPreNormalize3D: sequence {results.get("frame_dir")} has '
                f'{len(keypoint)} persons and {keypoint.shape[-1]} channels, '
                'expected 1 or 2 persons and 3 channels.')
        # upstream, a person is absent if np.isclose(x, 0) for all coordinates
        seen = (np.abs(keypoint) > 1e-8).any(axis=(2, 3))  # (M, T)
        first = int(len(seen) == 2 and seen[1].sum() > seen[0].sum())
        if not seen[first].any():
            return dict(results, keypoint=keypoint)
        order = slice(None, None, -1 if first else 1)
        keypoint = keypoint[order, seen[first]]  # (M, T', V, 3)
        if 'keypoint_score' in results:
            results['keypoint_score'] = results['keypoint_score'][
                order, seen[first]]
        middle = 1 if keypoint.shape[2] == 25 else -1
        used = [middle] if self.align_center else []
        used += self.zaxis if self.align_spine else []
        used += self.xaxis if self.align_shoulder else []
        frame = detected[first, seen[first]][:, used].all(axis=1).argmax()

        if self.align_center:
            center = keypoint[0, frame, middle]
            # an undetected joint (all coordinates zero) stays zero
            there = (keypoint != 0).any(axis=-1, keepdims=True)
            results['body_center'] = center.copy()
            keypoint = (keypoint - center) * there
        pose = keypoint[0, frame]  # (V, 3)
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
