"""Removal of empty frames, as in the published NTU RGB+D recipe."""
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from .detected_joints import find_detected
from .format_gcn_input import fit_persons


@TRANSFORMS.register_module()
class DropEmptyFrames(BaseTransform):
    """Drop the frames and the persons in which no joint was detected.

    If no joint was ever detected, all frames and one person remain.

    Required and modified keys: ``keypoint``, (M, T, V, C), and
    ``total_frames``; ``keypoint_score``, (M, T, V), if present.
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Drop them."""
        persons = find_detected(results)[1].any(axis=(1, 2)).sum()
        results = fit_persons('DropEmptyFrames', results, max(1, persons))
        _, detected = find_detected(results)
        seen = detected.any(axis=(0, 2))  # (T,)
        if seen.all() or not seen.any():
            return results
        for name in ('keypoint', 'keypoint_score'):
            if name in results:
                results[name] = results[name][:, seen]
        results['total_frames'] = int(seen.sum())
        return results
