"""Find the joints that a normalization may use."""
import numpy as np

from ...utils.input_error import InputError
from ..annotation_check import UNDETECTED
from ..plain_annotation import LOWEST, PIXELS, VISIBLE


def find_detected(results: dict) -> tuple[np.ndarray, np.ndarray]:
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


def check_values(where: str, annotation: dict) -> np.ndarray:
    """Check the confidences, and that no number marks undetected joints.

    Return the second result of :func:`find_detected`. ``where`` is the name
    of the sequence, for messages. An ``InputError`` is raised as by
    :func:`check_scores`, or if a number such as -1 or 9999 marks missing
    joints in ``keypoint``, (M, T, V, C).
    """
    check_scores(where, annotation)
    keypoint, detected = find_detected(annotation)
    # few joints have equal coordinates, so most sequences contain no marks
    if (detected & (keypoint[..., 0] == keypoint[..., -1])).any():
        _check_marks(where, keypoint[detected])
    return detected


def check_scores(where: str, annotation: dict) -> None:
    """Raise an InputError if a confidence is below -0.1 or above 2."""
    score = annotation.get('keypoint_score', np.zeros(1))
    for value in score.min(), score.max():
        if not LOWEST <= value <= VISIBLE:
            raise InputError(
                f'{where}: a confidence (keypoint_score) is {value:g}, '
                'expected 0 to 1, and 0 for joints that were not detected.')


def check_detected(where: str, annotation: dict) -> np.ndarray:
    """Call :func:`check_values`, and return its result.

    An ``InputError`` is also raised if no joint was detected, or if the axes
    of two-dimensional joints are those of ST-GCN: x, y and confidence, frames,
    joints, persons.
    """
    detected = check_values(where, annotation)
    if not detected.any():
        raise InputError(
            f'{where}: all coordinates or confidences are zero, expected '
            'detected joints in at least one frame.')
    keypoint = annotation['keypoint']
    if keypoint.shape[-1] == 2:
        *xy, last = keypoint
        scores = len(xy) == 2 and last.any() and (
            last.min() >= 0 and last.max() <= 1 and (
                np.abs(xy).max() > PIXELS  # or as ST-GCN scales them
                or np.min(xy) < 0 and np.abs(xy).max() <= 0.5 < last.max()))
        if scores or not keypoint[detected].any(axis=0).all():
            raise InputError(
                f'{where}: '
                + ('the third person has only numbers between 0 and 1, like '
                   'confidences' if scores else 'x or y is 0 for all joints')
                + ', expected the axes (persons, frames, joints, channels).')
    return detected


def _check_marks(where: str, seen: np.ndarray) -> None:
    """Raise an InputError if a number marks undetected joints."""
    equal = seen[(seen == seen[:, :1]).all(axis=1), 0]
    # without confidences, zeros are coordinates
    for mark in {-1, seen.min(), seen.max()}.intersection(equal) - {0}:
        lost = (seen == mark).all(axis=1)
        if mark > 0 and lost.sum() == 1 and len(seen) < 50:  # by chance
            continue
        rest = seen[~lost]
        # can be -1 by chance: integers around the center of the body, and
        # 2D joints or a single 3D joint if coordinates are from -1 to 1
        alone = (rest % 1).any() and not (rest == mark).any() and (
            np.abs(seen).max() > 1 or seen.shape[1] == 3 and lost.sum() > 1)
        if mark < 0 <= rest.min(initial=0) or mark == -1 and alone or (
                rest.size and np.abs(rest - mark).min() > np.ptp(rest) > 0):
            raise InputError(
                f'{where}: the coordinates of {lost.sum()} of {len(seen)} '
                f'joints are all {mark:g}, like a placeholder value. '
                f'{UNDETECTED} If they are correct, add {-mark:g} to all.')
