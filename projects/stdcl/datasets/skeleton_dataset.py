"""Skeleton sequences, read safely, prepared once, held in memory once."""
import ctypes
import os
import os.path as osp
import pickle
import sys
from typing import Callable, List, Sequence, Union

import numpy as np
import torch
from mmaction.datasets import PoseDataset
from mmaction.registry import DATASETS
from mmengine.dataset import Compose
from mmengine.fileio import get_local_path
from mmengine.logging import MMLogger

from ..utils import safe_pickle
from ..utils.input_error import InputError
from . import annotation_check
from .annotation_check import name_of

PLACES = 'places'  # where a sequence's arrays are, in its data info
ARRAYS = ('keypoint', 'keypoint_score')
FORM = 'a pickle (*.pkl) of a dict with "annotations" and "split"'


@DATASETS.register_module()
class SkeletonDataset(PoseDataset):
    """``PoseDataset`` for long trainings on large sets.

    - The annotation file is read by a reader that runs no code; see
      :mod:`projects.stdcl.utils.safe_pickle`.
    - Transforms that give the same result in every epoch are named in
      ``prepare`` and run once, when the file is read.
    - The coordinates of all sequences lie in a few large blocks of float32,
      which the loader's workers share, whether forked or spawned: memory for
      one copy of the split, whatever the number of workers.

    Beside ``split`` and ``annotations`` the file may hold ``classes``, a list
    of their names, which becomes ``metainfo['classes']``.

    Args:
        ann_file (str): Path of the annotation file, ``*.pkl``.
        pipeline (list): Transforms to run on a sequence each time it is used.
        prepare (list): Transforms to run on it once. Defaults to none.
        **kwargs: As ``PoseDataset`` takes them.

    Raises:
        FileNotFoundError: There is no such file.
        pickle.UnpicklingError: The file is damaged, or holds more than data.
        ValueError: The file is of another form, has no such split, or holds
            sequences that :mod:`.annotation_check` refuses; or ``prepare`` is
            given where each sequence has a file of its own.
    """

    def __init__(self,
                 ann_file: str,
                 pipeline: List[Union[dict, Callable]],
                 prepare: Sequence[Union[dict, Callable]] = (),
                 **kwargs) -> None:
        prefix = kwargs.get('data_prefix', {})
        if 'video' in prefix:
            raise InputError(f'{ann_file}: data_prefix is {prefix}, expected '
                             'no "video": sequences of joints have none.')
        if prepare and 'skeleton' in prefix:
            raise InputError(
                f'{ann_file}: the coordinates are in files of their own '
                '(data_prefix has "skeleton"), which are read each time; '
                f'prepare is {prepare}, expected none.')
        self.prepare = Compose(list(prepare))
        super().__init__(ann_file, pipeline, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the annotations of the split."""
        content = self._read()
        plain_list = self.split is None and isinstance(content, list)
        # as PoseDataset has it
        annotations = content if plain_list else _entry(
            self.ann_file, content, 'annotations', list)
        annotation_check.check_names(self.ann_file, annotations)
        if not plain_list and 'classes' in content:
            # those of the config come first
            self._metainfo.setdefault('classes', list(_entry(
                self.ann_file, content, 'classes', (list, tuple))))
        if self.split is not None:
            annotations = self._of_split(
                annotations, _entry(self.ann_file, content, 'split', dict))
        if 'skeleton' not in self.data_prefix:
            annotation_check.check_sequences(
                self.ann_file, annotations, one_label=not self.multi_class)
        return annotations

    def _of_split(self, annotations: List[dict], splits: dict) -> List[dict]:
        if self.split not in splits:
            raise InputError(
                f'{self.ann_file}: there is no split "{self.split}"; expected '
                f'one of {", ".join(map(str, splits))}.')
        annotation_check.check_split(self.ann_file, self.split,
                                     splits[self.split])
        names = set(splits[self.split])
        chosen = [item for item in annotations if name_of(item) in names]
        missing = sorted(names.difference(map(name_of, chosen)))
        if missing:
            raise InputError(
                f'{self.ann_file}: the split "{self.split}" has {len(names)} '
                f'names, of which {len(missing)} have no annotation '
                f'({", ".join(missing[:3])}); expected an annotation for '
                'each.')
        return chosen

    def _read(self):
        """The content of the file."""
        with get_local_path(self.ann_file) as path:
            try:
                return safe_pickle.load(path)
            except FileNotFoundError:
                raise FileNotFoundError(
                    f'ann_file is {self.ann_file!r}, which does not exist; '
                    f'expected {FORM}. Paths are relative to the working '
                    f'directory, {os.getcwd()}.') from None
            except IsADirectoryError:
                raise InputError(f'ann_file is {self.ann_file!r}, a folder; '
                                 f'expected {FORM}.') from None
            except pickle.UnpicklingError as error:
                raise pickle.UnpicklingError(
                    f'ann_file: {error} It has {os.path.getsize(path):,} '
                    f'bytes; expected {FORM}.') from error

    def filter_data(self) -> List[dict]:
        """Filter as ``PoseDataset``, then prepare and store."""
        data_list = super().filter_data()
        logger, self.blocks = MMLogger.get_current_instance(), _Blocks()
        if self.prepare.transforms:  # can take a minute
            logger.info(f'{self.ann_file}: preparing {len(data_list)} '
                        f'sequences by {self.prepare}.')
        # each array leaves the list as it enters the blocks
        for index, info in enumerate(data_list):
            data_list[index] = self._store(self.prepare(info))
        _return_freed_memory()
        logger.info(
            f'{self.ann_file}: {len(data_list)} sequences'
            f'{f" of {self.split}" if self.split else ""}, '
            f'{self.blocks.num_bytes / 2**20:.0f} MiB.')
        return data_list

    def _store(self, info: dict) -> dict:
        info[PLACES] = {name: self.blocks.put(info.pop(name))
                        for name in ARRAYS if name in info}
        return info

    def get_data_info(self, idx: int) -> dict:
        """A sequence's annotation, with coordinates that may be changed."""
        info = self.get_annotation(idx)
        for name, place in info.pop(PLACES).items():
            info[name] = self.blocks.get(*place)
        if 'skeleton' in self.data_prefix:  # a file for each sequence
            path = osp.join(self.data_prefix['skeleton'],
                            f'{name_of(info)}.pkl')
            info.update(safe_pickle.load(path))
            annotation_check.check_sequence(path, info, not self.multi_class)
        return info

    def get_annotation(self, idx: int) -> dict:
        """A sequence's annotation less its coordinates, which takes time."""
        # not that of PoseDataset, which reads files that may run code
        return super(PoseDataset, self).get_data_info(idx)

    def get_cat_ids(self, idx: int) -> List[int]:
        """The classes of a sequence, for ``ClassBalancedDataset``."""
        return np.atleast_1d(self.get_annotation(idx)['label']).tolist()


def _entry(path: str, content, name: str, kind):
    seen = content.get(name) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not isinstance(seen, kind):
        what = (f'a {type(content).__name__}'
                if not isinstance(content, dict) else
                f'{name} of type {type(seen).__name__}')
        raise InputError(
            f'{path} holds {what}, expected a dict with "annotations", a '
            'list of dicts, "split", a dict of lists of names, and at will '
            '"classes", a list of names.')
    return seen


def _return_freed_memory() -> None:
    """Give the pages of arrays that are gone back to the system.

    glibc keeps them for later, which would be a second copy of the data.
    """
    if sys.platform == 'linux':
        trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
        if trim:  # not in other C libraries
            trim(0)


class _Blocks:
    """Arrays end to end in large blocks.

    A few tensors rather than an array for each sequence: forked workers do
    not copy what no reference count changes, and spawned ones get tensors
    through shared memory.
    """

    SIZE = 2**24  # numbers in a block: 64 MiB

    def __init__(self) -> None:
        self.blocks: List[torch.Tensor] = []
        self.end = 0  # numbers in use in the last block
        self.num_bytes = 0

    def put(self, array: np.ndarray) -> tuple:
        """Append an array; returns its place."""
        array = np.asarray(array)
        if not self.blocks or self.end + array.size > len(self.blocks[-1]):
            size = max(self.SIZE, array.size)
            _return_freed_memory()
            self.blocks.append(torch.empty(size, dtype=torch.float32))
            self.end = 0
        place = (len(self.blocks) - 1, self.end, array.shape)
        self._view(*place)[...] = array
        self.end += array.size
        self.num_bytes += 4 * array.size
        return place

    def get(self, block: int, start: int, shape: tuple) -> np.ndarray:
        """A copy of the array at a place, float32."""
        return self._view(block, start, shape).copy()

    def _view(self, block: int, start: int, shape: tuple) -> np.ndarray:
        size = int(np.prod(shape))
        return self.blocks[block].numpy()[start:start + size].reshape(shape)
