"""Centering of the published NTU RGB+D recipe."""
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class CenterOnJoint(BaseTransform):
    """Move a joint of the first person's first frame to the origin.

    The first frame is the first one that shows the first person. A sequence
    without that person is left unchanged. A person who is absent from a frame
    (all coordinates zero) stays zero.

    Required and modified key: ``keypoint``, (M, T, V, C).

    Args:
        joint (int): Index of the joint. Defaults to 1, the middle of the
            spine of Kinect skeletons.
    """

    cacheable = True  # same result in every epoch

    def __init__(self, joint: int = 1) -> None:
        self.joint = joint

    def transform(self, results: dict) -> dict:
        """Center ``results['keypoint']``."""
        keypoint = results['keypoint']
        present = keypoint.any(axis=(2, 3))  # (M, T)
        if present[0].any():
            origin = keypoint[0, present[0].argmax(), self.joint]  # (C,)
            results['keypoint'] = (keypoint - origin) * present[
                ..., None, None]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(joint={self.joint})'
