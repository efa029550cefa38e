"""Read a skeleton file in any supported format."""
from pathlib import Path

import numpy as np

from ..datasets.converters.ntu_skeleton import parse_skeleton, select_persons
from ..datasets.converters.nw_ucla import read_skeletons
from ..datasets.converters.sequence_file import SUFFIXES, read_sequence
from ..utils.input_error import InputError, require_known
from ..utils.skeleton_layout import LAYOUTS, SkeletonLayout

FIXED = {'.json': 'nw-ucla', '.skeleton': 'nturgb+d'}  # suffix -> its layout


def read_skeleton_file(path: Path,
                       layout: SkeletonLayout) -> dict[str, np.ndarray]:
    """Read a skeleton file in the format that its suffix indicates.

    Args:
        path (Path): A ``.json`` file of NW-UCLA, a ``.skeleton`` file of NTU
            RGB+D, or a file of your own data (docs/custom_data.md).
        layout (SkeletonLayout): Expected layout.

    Returns:
        dict: Float32 arrays: ``keypoint`` of shape (M, T, V, C) and, if a 2D
        file contains confidences, ``keypoint_score`` of shape (M, T, V).
        The dict may also contain ``total_frames``.

    Raises:
        FileNotFoundError: ``path`` does not exist.
        InputError: The file is invalid, or its joints do not fit ``layout``.
    """
    suffix = path.suffix.lower()
    require_known(f'{path}: the suffix', suffix, (*FIXED, *SUFFIXES))
    own = LAYOUTS.get(FIXED.get(suffix), layout)
    if own.joint_names != layout.joint_names:
        raise InputError(f'{path}: files with this suffix contain the layout '
                         f'"{own.name}", expected "{layout.name}". Convert '
                         'other files to .npy; see docs/guides/deploy.md.')
    if suffix == '.json':
        return dict(keypoint=read_skeletons(str(path), path.read_bytes())[1])
    if suffix != '.skeleton':
        return read_sequence(path, layout)
    try:
        bodies, _ = parse_skeleton(path.read_bytes())
    except InputError as error:
        raise InputError(f'{path}: {error}.') from None
    return dict(keypoint=select_persons(bodies)[0])
