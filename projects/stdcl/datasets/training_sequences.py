"""The sequences behind a training set, whatever it is wrapped in."""
import hashlib
from typing import Iterator, List, Tuple

from mmengine.dataset import BaseDataset, ConcatDataset

from ..utils.input_error import InputError
from .meta_keys import add_meta_key


def iter_leaf_datasets(dataset) -> Iterator:
    """The data sets that wrappers hold, in order."""
    if isinstance(dataset, BaseDataset):
        yield dataset
    elif isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            yield from iter_leaf_datasets(part)
    elif hasattr(dataset, 'dataset'):  # RepeatDataset, ClassBalanced...
        yield from iter_leaf_datasets(dataset.dataset)
    elif hasattr(dataset, '_dataset'):  # Runner's num_batch_per_epoch
        yield from iter_leaf_datasets(dataset._dataset)
    else:
        yield dataset


def carry_names(dataset) -> None:
    """Make every sample carry its ``frame_dir`` in its metainfo.

    Args:
        dataset: A data set built from a config, wrapped or not.

    Raises:
        InputError: A pipeline does not pack its inputs.
    """
    for part in iter_leaf_datasets(dataset):
        if hasattr(part, 'pipeline'):
            add_meta_key(part.pipeline, 'frame_dir')


def names_and_labels(dataset: BaseDataset) -> Iterator[tuple]:
    """Name (without one, the index) and label of each sequence, in order."""
    # that of SkeletonDataset does not copy the coordinates
    look_up = getattr(dataset, 'get_annotation', dataset.get_data_info)
    for index in range(len(dataset)):
        info = look_up(index)
        yield (info.get('frame_dir', info.get('filename', index)),
               info.get('label'))


class _AddToIndex:
    """First step of a pipeline: turns a local index into a global one."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def __call__(self, results: dict) -> dict:
        results['sample_idx'] += self.offset
        return results


class TrainingSequences:
    """Numbers the sequences of a training set and makes batches tell them.

    A memory bank has one slot for each sequence. ``sample_idx``, which
    MMEngine's ``BaseDataset`` gives each sequence, survives ``RepeatDataset``
    and other wrappers that map onto a data set; the parts of a
    ``ConcatDataset`` each count from 0 and are told apart here.

    Args:
        dataset: A data set built from a config.

    Raises:
        ValueError: A wrapper is unknown, so sequences cannot be told apart.
    """

    def __init__(self, dataset) -> None:
        self.parts: List[Tuple[BaseDataset, int]] = []  # with first index
        self.length = 0
        for part in iter_leaf_datasets(dataset):
            if not isinstance(part, BaseDataset):
                raise InputError(
                    f'train_dataloader.dataset: the sequences of a '
                    f'{type(part).__name__} cannot be told apart, and each '
                    'needs a slot of its own in the memory banks. Use a '
                    'subclass of mmengine.dataset.BaseDataset, in '
                    'RepeatDataset, ClassBalancedDataset or ConcatDataset at '
                    'will.')
            self.parts.append((part, self.length))
            self.length += len(part)

    def __len__(self) -> int:
        return self.length

    def deliver_indices(self) -> None:
        """Make every sample carry its global ``sample_idx``.

        Raises:
            ValueError: Two data sets have a sequence in common, or a pipeline
                packs no inputs.
        """
        self._require_distinct()
        for part, first in self.parts:
            add_meta_key(part.pipeline, 'sample_idx')
            transforms = part.pipeline.transforms
            if first and not any(isinstance(step, _AddToIndex)
                                 for step in transforms):
                transforms.insert(0, _AddToIndex(first))

    def _require_distinct(self) -> None:
        """Refuse a sequence that would get a second slot."""
        seen = set()
        for part, _ in self.parts if len(self.parts) > 1 else ():
            file = part.ann_file or id(part)
            own = {(file, name) for name, _ in names_and_labels(part)}
            if seen & own:
                raise InputError(
                    f'train_dataloader.dataset: {len(seen & own)} sequences '
                    f'of {part.ann_file or type(part).__name__} (such as '
                    f'{min(str(name) for _, name in seen & own)}) are in more '
                    'than one of the data sets, and would be positives for '
                    'themselves; expected each in one. To see sequences more '
                    'often, use RepeatDataset.')
            seen |= own

    def fingerprint(self) -> str:
        """A hash of names and labels in order: the identity of the list."""
        digest = hashlib.sha256()
        for part, _ in self.parts:
            for name, label in names_and_labels(part):
                digest.update(f'{name} {label}\n'.encode())
        return digest.hexdigest()
