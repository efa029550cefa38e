"""Centering of CTR-GCN's NTU RGB+D preprocessing (arXiv 2107.12213)."""
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from .detected_joints import find_detected


@TRANSFORMS.register_module()
class CenterOnJoint(BaseTransform):
    """Move a sequence so that a joint starts at the origin.

    The origin is the position of this joint of the first person who is not
    absent, in the first frame in which it was detected. Without such a frame,
    the sequence is not moved. Undetected joints become zero; see
    ``find_detected``.

    Args:
        joint (int): Joint index. Defaults to 1, the mid-spine of Kinect.
    """

    cacheable = True  # same result in every epoch

    def __init__(self, joint: int = 1) -> None:
        self.joint = joint

    def transform(self, results: dict) -> dict:
        """Center ``results['keypoint']``."""
        keypoint, detected = find_detected(results)
        person = detected.any(axis=(1, 2)).argmax()
        shown = detected[person, :, self.joint]  # (T,)
        if shown.any():
            origin = keypoint[person, shown.argmax(), self.joint]  # (C,)
            keypoint = (keypoint - origin) * detected[..., None]
        results['keypoint'] = keypoint
        return results
