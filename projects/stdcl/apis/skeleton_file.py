"""Reads one skeleton file, whatever its format."""
from pathlib import Path
from typing import Dict

import numpy as np

from ..datasets.converters.ntu_skeleton import load_skeleton
from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout


def read_skeleton_file(path: Path,
                       layout: SkeletonLayout) -> Dict[str, np.ndarray]:
    """Read a skeleton file; its suffix tells the format.

    Args:
        path (Path): ``.json`` of NW-UCLA, ``.skeleton`` of NTU RGB+D, or
            ``.npy``, ``.npz`` or ``.csv`` as docs/custom_data.md describes.
        layout (SkeletonLayout): The layout that the file must have.

    Returns:
        dict: ``keypoint``, float32, (M, T, V, C), and with two-dimensional
        layouts perhaps ``keypoint_score``, (M, T, V).

    Raises:
        FileNotFoundError: The file does not exist.
        InputError: The suffix is unknown, or the file is damaged.
    """
    from ..datasets.converters import custom_data as custom
    from ..datasets.converters import nw_ucla
    suffix = path.suffix.lower()
    if suffix == '.json':
        return dict(keypoint=nw_ucla.read_skeletons(
            str(path), path.read_bytes())[1])
    if suffix == '.skeleton':
        return dict(keypoint=load_skeleton(path))
    if suffix in custom.SUFFIXES:
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist.')
        return custom.read_sequence(path, layout)
    raise InputError(
        f'{path}: the suffix is "{suffix}", expected one of .json, .skeleton, '
        f'{", ".join(custom.SUFFIXES)}.')
