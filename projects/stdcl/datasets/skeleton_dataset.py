"""Data set that reads files safely and shares one copy among its workers."""
import os
import os.path as osp
import pickle
from collections.abc import Callable
from contextlib import suppress
from itertools import takewhile

import numpy as np
import torch
from mmaction.datasets import PoseDataset
from mmaction.registry import DATASETS
from mmengine.dataset import Compose
from mmengine.fileio import get_local_path
from mmengine.logging import MMLogger

from ..utils import safe_files
from ..utils.allocator import return_freed_memory
from ..utils.input_error import InputError, printable
from ..utils.skeleton_layout import SkeletonLayout
from . import annotation_check
from .annotation_check import name_of
from .plain_annotation import ARRAYS, to_plain
from .transforms.detected_joints import check_values, find_detected
from .transforms.format_gcn_input import find_num_person, fit_persons

PLACES = '_places'  # key of a data info for the locations of its arrays
FORM = 'a pickle (*.pkl) of a dict with "annotations" and "split"'


@DATASETS.register_module()
class SkeletonDataset(PoseDataset):
    """``PoseDataset`` for long runs on large data sets.

    - Annotation files cannot run code; see :mod:`.utils.safe_files`.
    - The leading transforms with ``cacheable = True``, such as
      ``DropEmptyFrames``, give the same result in every epoch. They run once,
      when the file is read, and are removed from ``pipeline``.
    - The coordinates are stored in a few large float32 blocks, which all
      workers of a dataloader share, whether forked or spawned.

    Args:
        ann_file (str): Annotation file, ``*.pkl``, as described in
            docs/annotation_format.md. Its ``classes``, if any, become
            ``metainfo['classes']`` unless the config sets them. Its
            ``layout``, if known, becomes the attribute ``layout``.
        pipeline (list): All transforms, in order.
        **kwargs: Arguments of ``PoseDataset``, such as ``split``.

    Raises:
        FileNotFoundError: ``ann_file`` does not exist.
        pickle.UnpicklingError: ``ann_file`` is damaged or could run code.
        InputError: ``ann_file`` fails a check of :mod:`.annotation_check`.
    """

    layout: SkeletonLayout | None = None

    def __init__(self, ann_file: str, pipeline: list[dict | Callable],
                 **kwargs) -> None:
        if 'skeleton' in kwargs.get('data_prefix', {}):
            raise InputError(f'{ann_file}: data_prefix.skeleton is set, but '
                             'the annotation file must contain the joints.')
        if kwargs.get('start_index'):
            raise InputError(f'{ann_file}: start_index is '
                             f'{kwargs["start_index"]}, expected 0, because '
                             'the frames of keypoint are counted from 0.')
        steps = Compose(pipeline).transforms
        self.num_person = find_num_person(steps)
        cached = list(takewhile(
            lambda step: getattr(step, 'cacheable', False), steps))
        self.cached_pipeline = Compose(cached)
        super().__init__(ann_file, steps[len(cached):], **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check the annotations of the split."""
        if isinstance(file := self._metainfo.get('classes'), str):
            raise InputError(f'{self.ann_file}: metainfo.classes is {file!r}, '
                             'expected a list, or a file with a name per line.'
                             )
        content = self._read()
        if self.split is None and isinstance(content, list):
            # PoseDataset also accepts a plain list
            content = dict(annotations=content)
        annotations = _entry(self.ann_file, content, 'annotations', list)
        annotation_check.check_names(self.ann_file, annotations)
        if 'classes' in content:
            classes = list(map(printable, _entry(
                self.ann_file, content, 'classes', (list, tuple))))
            own = list(self._metainfo.setdefault('classes', classes))
            annotation_check.check_distinct(f'{self.ann_file}: classes', own)
            if own != classes and sorted(own) == sorted(classes):
                raise InputError(
                    f'{self.ann_file}: the classes are {classes}, but metainfo'
                    ' of the data set in the config lists them in a different '
                    'order. Remove classes from metainfo.')
        if isinstance(content.get('layout'), (str, dict)):
            with suppress(InputError):  # such as a layout of another project
                self.layout = SkeletonLayout.get(content['layout'])
        if self.split is not None:
            annotations = annotation_check.select_split(
                self.ann_file, annotations,
                _entry(self.ann_file, content, 'split', dict), self.split)
        for item in annotations:
            item['frame_dir'] = name_of(item)
        annotation_check.check_sequences(
            self.ann_file, annotations, one_label=not self.multi_class)
        return annotations

    def _read(self):
        with get_local_path(self.ann_file) as path:
            if not osp.isfile(path):
                raise FileNotFoundError(
                    f'ann_file is {self.ann_file!r}, which does not exist or '
                    f'is a folder; expected {FORM}. Paths are relative to the '
                    f'working directory, {os.getcwd()}. docs/data.md shows '
                    'how to write the file.')
            try:
                return safe_files.load(path)
            except pickle.UnpicklingError as error:
                raise pickle.UnpicklingError(
                    f'ann_file: {error} It has {osp.getsize(path):,} bytes; '
                    f'expected {FORM}.') from error

    def filter_data(self) -> list[dict]:
        """Filter as ``PoseDataset`` does, then run the cached transforms."""
        if self.valid_ratio:
            self.valid_ratio = float(self.valid_ratio)  # upstream ignores int
        data_list = super().filter_data()
        if not data_list:
            raise InputError(f'{self.ann_file}: no sequence reaches '
                             f'valid_ratio={self.valid_ratio}.')
        logger, self.blocks = MMLogger.get_current_instance(), _Blocks()
        if self.cached_pipeline.transforms:  # the transforms can take a minute
            names = [type(step).__name__
                     for step in self.cached_pipeline.transforms]
            logger.info(f'{self.ann_file}: running {", ".join(names)} once on '
                        f'{len(data_list)} sequences.')
        given = detected = False
        # one sequence at a time, because a second copy may not fit in memory
        for index, info in enumerate(data_list):
            info = self._prepare(info)
            given = given or np.any(info.get('keypoint', 0))
            data_list[index] = info = self.cached_pipeline(info)
            detected = detected or 'keypoint' not in info or (
                find_detected(info)[1].any())
            info[PLACES] = {name: self.blocks.put(info.pop(name))
                            for name in ARRAYS if name in info}
        if given and not detected:
            raise InputError(
                f'{self.ann_file}: no joint was detected, because all scores '
                '(or third channels) are 0, expected some above 0.')
        return_freed_memory()
        logger.info(
            f'{self.ann_file}: {len(data_list)} sequences'
            f'{f" of {self.split}" if self.split else ""}, '
            f'{self.blocks.num_bytes / 2**20:.0f} MiB.')
        return data_list

    def _prepare(self, info: dict) -> dict:
        where = f'{self.ann_file}: sequence {name_of(info)}'
        info = to_plain(info, self.layout, where)
        if 'keypoint' not in info:  # a subclass reads it in get_data_info
            return info
        check_values(where, info)
        return fit_persons(self.ann_file, info, self.num_person)

    def get_data_info(self, idx: int) -> dict:
        """Return the annotation of a sequence, with a copy of its joints."""
        info = self.get_annotation(idx)
        for name, place in info.pop(PLACES).items():
            info[name] = self.blocks.get(*place)
        return info

    def get_annotation(self, idx: int) -> dict:
        """Return the annotation without joints, which are slow to copy."""
        # PoseDataset's method would unpickle files, which may run code
        return super(PoseDataset, self).get_data_info(idx)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the classes of a sequence, for ``ClassBalancedDataset``."""
        label = self.get_annotation(idx)['label']  # several: one-hot
        return np.flatnonzero(label).tolist() if self.multi_class else [label]


def _entry(path: str, content, name: str, kind):
    """Return ``content[name]``; raise InputError unless it is a ``kind``."""
    is_dict = isinstance(content, dict)
    seen = content.get(name) if is_dict else content
    if not is_dict or not isinstance(seen, kind):
        what = f'{name if is_dict else "data"} of type {type(seen).__name__}'
        raise InputError(
            f'{path} contains {what}, expected a dict with "annotations" (a '
            'list of dicts), "split" (a dict of lists of names) and, '
            'optionally, "classes" (a list of names).')
    return seen


class _Blocks:
    """Storage of arrays in a few large tensors, which all workers share."""

    SIZE = 2**24  # numbers in a block, 64 MiB

    def __init__(self) -> None:
        self.blocks: list[torch.Tensor] = []
        self.end = 0  # numbers in use in the last block
        self.num_bytes = 0

    def put(self, array: np.ndarray) -> tuple:
        """Append an array, and return the arguments for :meth:`get`."""
        size = np.size(array)
        if not self.blocks or self.end + size > len(self.blocks[-1]):
            return_freed_memory()
            self.blocks.append(torch.empty(
                max(self.SIZE, size), dtype=torch.float32))
            self.end = 0
        place = (len(self.blocks) - 1, self.end, np.shape(array))
        self.end += size
        self.num_bytes += 4 * size
        self._view(*place)[...] = array
        return place

    def get(self, block: int, start: int, shape: tuple) -> np.ndarray:
        """Return a float32 copy of an array."""
        return self._view(block, start, shape).copy()

    def _view(self, block: int, start: int, shape: tuple) -> np.ndarray:
        size = int(np.prod(shape))
        return self.blocks[block].numpy()[start:start + size].reshape(shape)
