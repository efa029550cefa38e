"""Removal of empty frames and absent persons."""
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..plain_annotation import ARRAYS
from .detected_joints import find_detected
from .format_gcn_input import fit_persons


@TRANSFORMS.register_module()
class DropEmptyFrames(BaseTransform):
    """Drop frames and persons without detected joints.

    If no joint was ever detected, all frames and one person remain.

    Required and modified keys: ``keypoint``, (M, T, V, C), and
    ``total_frames``; ``keypoint_score``, (M, T, V), if present.
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Drop these frames and persons."""
        _, detected = find_detected(results)
        persons = max(1, detected.any(axis=(1, 2)).sum())
        results = fit_persons('DropEmptyFrames', results, persons)
        seen = detected.any(axis=(0, 2))  # (T,)
        if seen.all() or not seen.any():
            return results
        for name in ARRAYS.keys() & results.keys():
            results[name] = results[name][:, seen]
        results['total_frames'] = int(seen.sum())
        return results
