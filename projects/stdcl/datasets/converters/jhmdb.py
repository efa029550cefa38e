"""Convert JHMDB: 609 short clips of 2D joints, 14 classes and three splits.

The data set is by H. Jhuang et al., "Towards understanding action
recognition", ICCV 2013. The code of DD-Net contains the hand-annotated joints
of 14 of its 21 classes: https://github.com/fandulu/DD-Net, data/JHMDB.
"""
import reprlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from ...utils.input_error import InputError
from ...utils.safe_files import load, load_arrays
from ...utils.skeleton_layout import LAYOUTS
from .annotation_file import write_annotations

SIZES = [609, 176, 176, 175]  # clips, and test clips of each split
MASKS = 'is_test_1', 'is_test_2', 'is_test_3'
# array -> its axes: n clips, f frames in total, v joints, c coordinates
ARRAYS = {'name': 'n', 'label': 'n', 'num_frames': 'n', 'keypoint': 'fvc',
          **dict.fromkeys(MASKS, 'n')}


def convert(source: Path, destination: Path) -> dict:
    """Convert the clips to an annotation file.

    ``source`` is the folder of DD-Net, or an ``.npz`` file with the arrays
    :data:`ARRAYS`, in which ``num_frames`` divides ``keypoint`` into clips.

    The splits are ``split1_train``, ``split1_val`` and so on. For tuning,
    ``split1_tune`` contains the clips of split1_train that are test clips of
    split 2, and ``split1_fit`` the others. Return a dict of split -> number of
    clips. An ``InputError`` is raised if ``source`` lacks an array or a clip.
    """
    arrays = read(source)
    splits = make_splits(arrays)
    sizes = [len(arrays['name'])] + [int(arrays[name].sum()) for name in MASKS]
    if sizes != SIZES:
        raise InputError(f'{source} contains {sizes[0]} clips, and the splits '
                         f'have {sizes[1:]} test clips, expected {SIZES[0]} '
                         f'and {SIZES[1:]}.')
    classes = sorted(set(arrays['label'].tolist()))
    write_annotations(destination, annotations(arrays, classes),
                      split=splits, classes=classes, layout='jhmdb')
    return {name: len(clips) for name, clips in splits.items()}


def read(source: Path) -> dict:
    """Read :data:`ARRAYS`, or raise an ``InputError``; see :func:`convert`."""
    arrays = read_dd_net(source) if source.is_dir() else load_arrays(source)
    if not isinstance(arrays, dict) or not ARRAYS.keys() <= arrays.keys():
        raise InputError(f'{source} contains {reprlib.repr(list(arrays))}, '
                         f'expected the arrays {", ".join(ARRAYS)}.')
    frames = arrays['num_frames']
    if frames.dtype.kind not in 'iuf' or (frames % 1 != 0).any():
        raise InputError(f'{source}: num_frames is {reprlib.repr(frames)} '
                         f'({frames.dtype}), expected integers.')
    sizes = dict(n=len(arrays['name']), f=int(frames.sum()),
                 v=LAYOUTS['jhmdb'].num_joints, c=2)
    for name, axes in ARRAYS.items():
        expected = tuple(sizes[axis] for axis in axes)
        if arrays[name].shape != expected:
            raise InputError(f'{source}: {name} has shape '
                             f'{arrays[name].shape}, expected {expected}.')
    for name in ('name', 'label'):
        if arrays[name].dtype.kind == 'S':  # bytes, as from HDF5
            arrays[name] = np.char.decode(arrays[name])
    arrays['num_frames'] = frames.astype(int)
    for name in MASKS:
        arrays[name] = arrays[name].astype(bool)
    return arrays


def read_dd_net(folder: Path) -> dict:
    """Read the files of DD-Net, ``GT_train_1.pkl`` to ``GT_test_3.pkl``.

    Return :data:`ARRAYS`. Each file contains the ``pose``, shape (T, 15, 2),
    and the ``label`` of its clips, but no names. Ours contain numbers.
    """
    clips, labels, tests = [], [], []
    for split, part in product((1, 2, 3), ('train', 'test')):
        path = folder / f'GT_{part}_{split}.pkl'
        try:
            found = load(path)
            poses = [np.asarray(pose, np.float32) for pose in found['pose']]
            np.concatenate(poses)  # raises unless all have the same joints
            if split == 1:  # the other files contain the same clips
                clips.extend(poses)
                labels.extend(found['label'])
        except (TypeError, ValueError, LookupError) as error:
            raise InputError(f'{path} was not read ({error!r}), expected a '
                             'dict of pose and label.') from error
        if part == 'test':
            tests.append({pose.tobytes() for pose in poses})
    masks = [[pose.tobytes() in test for pose in clips] for test in tests]
    return dict(
        name=np.array([f'{label}_{i:03}' for i, label in enumerate(labels)]),
        label=np.array(labels), num_frames=np.array([*map(len, clips)]),
        keypoint=np.concatenate(clips), **dict(zip(MASKS, np.array(masks))))


def make_splits(arrays: dict) -> dict:
    """Return a dict of split -> names of its clips."""
    names = arrays['name']
    is_test = [arrays[name] for name in MASKS]
    masks = {}
    for index, test in enumerate(is_test, start=1):
        masks[f'split{index}_train'] = ~test
        masks[f'split{index}_val'] = test
    masks['split1_fit'] = ~is_test[0] & ~is_test[1]
    masks['split1_tune'] = ~is_test[0] & is_test[1]
    return {split: names[mask].tolist() for split, mask in masks.items()}


def annotations(arrays: dict, classes: list) -> Iterator[dict]:
    """Yield the annotation of each clip; ``keypoint`` is (1, T, 15, 2)."""
    ends = np.cumsum(arrays['num_frames'])
    clips = np.split(arrays['keypoint'].astype(np.float32), ends[:-1])
    for name, label, keypoint in zip(arrays['name'].tolist(),
                                     arrays['label'].tolist(), clips):
        yield dict(frame_dir=name, label=classes.index(label),
                   total_frames=len(keypoint), keypoint=keypoint[None])
