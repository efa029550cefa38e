"""Removal of empty frames, as in the published NTU RGB+D recipe."""
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from .detected_joints import find_detected
from .format_gcn_input import fit_persons


@TRANSFORMS.register_module()
class DropEmptyFrames(BaseTransform):
    """Drop the frames in which no joint was detected.

    Absent persons move to the end, because later transforms take the first
    person as the main one. Without any detected joint, all frames remain.

    Required and modified keys: ``keypoint``, (M, T, V, C), and
    ``total_frames``; ``keypoint_score``, (M, T, V), if present.
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Drop the empty frames."""
        results = fit_persons('DropEmptyFrames', results,
                              len(results['keypoint']))
        _, detected = find_detected(results)
        seen = detected.any(axis=(0, 2))  # (T,)
        if seen.all() or not seen.any():
            return results
        for name in ('keypoint', 'keypoint_score'):
            if name in results:
                results[name] = results[name][:, seen]
        results['total_frames'] = int(seen.sum())
        return results
