"""Orthographic views of points in space."""
from typing import Tuple

import numpy as np

from ..utils.input_error import InputError

# Azimuth and elevation of the viewer in degrees. (0, 0) is the position of a
# Kinect sensor: x points to its left, y up, z away from it.
VIEWS = dict(front=(0, 0), side=(90, 0), back=(180, 0), top=(0, 90),
             oblique=(35, 15))


def parse_view(text: str) -> Tuple[float, float]:
    """Parse a name in :data:`VIEWS`, or "AZIMUTH,ELEVATION" in degrees.

    Raises:
        InputError: It is neither.

    Example:
        >>> parse_view('side')
        (90, 0)
        >>> parse_view('-35,15')
        (-35.0, 15.0)
    """
    if text in VIEWS:
        return VIEWS[text]
    try:
        azimuth, elevation = map(float, text.split(','))
    except ValueError:
        raise InputError(
            f'the view is "{text}", expected one of {", ".join(VIEWS)} or '
            'AZIMUTH,ELEVATION in degrees, such as 35,15.') from None
    return azimuth, elevation


def project(points: np.ndarray, azimuth: float,
            elevation: float) -> np.ndarray:
    """Project points orthographically.

    Args:
        points (ndarray): x to the left, y up, z away, (..., 3).
        azimuth (float): Direction to the viewer in degrees, counted from the
            sensor towards the left side of a person who faces the sensor.
        elevation (float): Height of the viewer in degrees.

    Returns:
        ndarray: Coordinates to the right and up in the picture, (..., 2).
    """
    a, e = np.radians([azimuth, elevation])
    axes = np.array([[-np.cos(a), 0, np.sin(a)],
                     [np.sin(a) * np.sin(e), np.cos(e),
                      np.cos(a) * np.sin(e)]])
    return points @ axes.T


def fit(points: np.ndarray) -> np.ndarray:
    """Shift and scale all points together into the unit ball.

    Args:
        points (ndarray): (..., D); points with NaN keep it.

    Returns:
        ndarray: Same shape; the middle of the points' extent is at 0.
    """
    finite = points[np.isfinite(points).all(axis=-1)]  # (P, D)
    if not len(finite):
        return points
    middle = (finite.min(axis=0) + finite.max(axis=0)) / 2
    radius = np.linalg.norm(finite - middle, axis=-1).max()
    return (points - middle) / (radius or 1)
