"""Access to data sets inside their wrappers, and to their sequences."""
import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
from mmengine.dataset import BaseDataset

from ..utils.input_error import InputError
from .plain_annotation import ARRAYS

# packages whose classes do not change labels; MMCV's wrappers may contain
# transforms of users, and its KeyMapper may overwrite the label
KEEP_LABELS = ('mmaction.', 'mmengine.', 'projects.stdcl.')


def unwrap_datasets(dataset, wrappers: tuple = ()) -> Iterator[tuple]:
    """Yield each data set (or config) and its wrappers, innermost first."""
    get = dataset.get if isinstance(dataset, dict) else partial(
        getattr, dataset)
    parts = []
    if not isinstance(dataset, BaseDataset):
        # the wrapper for num_batch_per_epoch forwards all but _dataset
        inner = get('_dataset', get('dataset', None))
        parts = (get('datasets', None) or ()) if inner is None else [inner]
    parts = [part for part in parts if not isinstance(part, (str, type(None)))]
    for part in parts:
        yield from unwrap_datasets(part, (dataset, *wrappers))
    if not parts:
        yield dataset, wrappers


def transforms_of(*datasets) -> list:
    """Return all transforms of a data set and its wrappers, in order.

    ``datasets`` are the data set and its wrappers, innermost first, or their
    configs.
    """
    fields = [one if isinstance(one, dict) else getattr(one, '__dict__', {})
              for one in datasets]
    pipelines = [field.get(name) or () for field in fields
                 for name in ('cached_pipeline', 'pipeline')]
    return [step for one in pipelines for step in getattr(
        one, 'transforms', one if isinstance(one, (list, tuple)) else ())]


def may_change_labels(steps: Iterable) -> bool:
    """Return whether a transform, data set or other step may change labels."""
    return not all(step.__module__.startswith(KEEP_LABELS)
                   and not getattr(step, 'flip_label_map', None)
                   for step in steps)


def data_configs(cfg: dict) -> Iterator[dict]:
    """Yield the configs of the data sets of all loaders of a config."""
    for kind in ('train', 'val', 'test'):
        for part, _ in unwrap_datasets(cfg.get(f'{kind}_dataloader') or {}):
            if isinstance(part, dict):
                yield part


def add_meta_key(steps: list, key: str) -> None:
    """Make transforms keep an entry of the annotations as metainfo.

    ``PackActionInputs`` keeps only the entries that its ``meta_keys`` list. An
    ``InputError`` is raised if they contain no ``PackActionInputs``.
    """
    packers = [step for step in steps if hasattr(step, 'meta_keys')]
    if not packers:
        names = ', '.join(type(step).__name__ for step in steps)
        raise InputError(f'The pipeline [{names}] has no PackActionInputs, '
                         f'expected it as the last step, to keep {key}.')
    for packer in packers:
        if key not in packer.meta_keys:
            packer.meta_keys = (*packer.meta_keys, key)


def carry_names(dataset) -> None:
    """Make every sample carry its ``frame_dir`` in its metainfo."""
    for part, wrappers in unwrap_datasets(dataset):
        if hasattr(part, 'pipeline'):
            add_meta_key(transforms_of(dict(pipeline=part.pipeline),
                                       *wrappers), 'frame_dir')


def names_and_labels(dataset: BaseDataset) -> Iterator[tuple]:
    """Yield the name (or the index) and the label of each sequence."""
    # SkeletonDataset.get_annotation does not copy the coordinates
    look_up = getattr(dataset, 'get_annotation', dataset.get_data_info)
    for index in range(len(dataset)):
        info = look_up(index)
        yield (info.get('filename', info.get('frame_dir', index)),
               info.get('label'))


def summarize(dataset, samples: int = 1000) -> tuple[str, list[float]]:
    """Summarize a data set, to recognize it in another process or run.

    Return a hash of all names and labels, in order, and weighted sums of all
    numbers of up to ``samples`` sequences of each part (default: 1000).
    Only a ``BaseDataset``, optionally in wrappers, is read.
    """
    digest, sums = hashlib.sha256(), []
    for part, _ in unwrap_datasets(dataset):
        if isinstance(part, BaseDataset):
            for name, label in names_and_labels(part):
                # names of files may contain surrogates
                digest.update(f'{name} {label}\n'.encode(
                    errors='backslashreplace'))
            count = len(part)
            for index in np.linspace(0, count - 1, min(count, samples)):
                info = part.get_data_info(int(index))
                numbers = np.concatenate([np.ravel(info.get(name, ()))
                                          for name in ARRAYS])
                # + 1 tells x from -x; terms above 0 do not cancel out
                numbers = np.abs(numbers.astype(float) + 1)
                sums.append(float(numbers @ np.linspace(1, 2, len(numbers))))
    return digest.hexdigest(), sums


class _AddToIndex:
    """First transform of a pipeline, which makes ``sample_idx`` global."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def __call__(self, results: dict) -> dict:
        results['sample_idx'] += self.offset
        return results


def add_indices(dataset) -> int:
    """Number the sequences of a training set in ``sample_idx`` of its samples.

    ``BaseDataset`` numbers its sequences, but each part of a ``ConcatDataset``
    counts from 0. This function assigns consecutive ranges, and returns the
    number of sequences. An ``InputError`` is raised if a part is not a
    ``BaseDataset``, or if a sequence would have two indices.
    """
    parts = list(unwrap_datasets(dataset))
    length, seen = 0, set()
    for part, wrappers in parts:
        if not isinstance(part, BaseDataset):
            raise InputError(
                f'train_dataloader.dataset contains a {type(part).__name__}, '
                'whose sequences have no indices for the memory bank slots; '
                'expected a BaseDataset, optionally in a RepeatDataset, '
                'ClassBalancedDataset or ConcatDataset.')
        transforms = part.pipeline.transforms
        add_meta_key([*transforms, *transforms_of(*wrappers)], 'sample_idx')
        if length and not any(isinstance(step, _AddToIndex)
                              for step in transforms):
            transforms.insert(0, _AddToIndex(length))
        length += len(part)
        file = os.path.realpath(str(part.ann_file or id(part)))
        own = {(file, name) for name, _ in names_and_labels(
            part) if isinstance(name, str)} if len(parts) > 1 else set()
        if seen & own:
            raise InputError(
                f'train_dataloader.dataset: {len(seen & own)} of {len(own)} '
                f'sequences of {part.ann_file or type(part).__name__} (such '
                f'as {min(str(name) for _, name in seen & own)}) are in more '
                'than one data set, so they would be their own positives. To '
                'repeat sequences, use RepeatDataset.')
        seen |= own
    return length
