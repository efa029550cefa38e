"""Find the joints that a normalization may use."""
from typing import Tuple

import numpy as np


def find_detected(results: dict) -> Tuple[np.ndarray, np.ndarray]:
    """Find the detected joints of a sequence, and set all others to zero.

    A joint is not detected if its person is absent from the frame (all
    coordinates zero) or if its confidence, ``keypoint_score``, is 0. Return
    the coordinates as a float32 array of shape (M, T, V, C), and a boolean
    array of shape (M, T, V) that marks the detected joints.
    """
    keypoint = np.asarray(results['keypoint'], np.float32)
    detected = np.broadcast_to(keypoint.any(axis=(2, 3))[..., None],
                               keypoint.shape[:3])
    if 'keypoint_score' in results:
        detected = detected & (results['keypoint_score'] > 0)
        keypoint = keypoint * detected[..., None]
    return keypoint, detected
