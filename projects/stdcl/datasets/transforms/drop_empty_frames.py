"""Removal of empty frames, as in the published NTU RGB+D recipe."""
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class DropEmptyFrames(BaseTransform):
    """Drop the frames that show no person.

    A sequence without any person is left unchanged.

    Required and modified keys: ``keypoint``, (M, T, V, C), and
    ``total_frames``; ``keypoint_score``, (M, T, V), if present.
    """

    cacheable = True  # same result in every epoch

    def transform(self, results: dict) -> dict:
        """Drop the empty frames."""
        seen = results['keypoint'].any(axis=(0, 2, 3))  # (T,)
        if seen.all() or not seen.any():
            return results
        for name in ('keypoint', 'keypoint_score'):
            if name in results:
                results[name] = results[name][:, seen]
        results['total_frames'] = int(seen.sum())
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
