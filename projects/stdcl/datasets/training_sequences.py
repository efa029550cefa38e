"""The sequences behind a training set, whatever it is wrapped in."""
import hashlib
from typing import Iterator, List, Tuple

from mmengine.dataset import BaseDataset, ConcatDataset

from ..utils.input_error import InputError
from .meta_keys import deliver


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
        self._collect(dataset)

    def __len__(self) -> int:
        return self.length

    def _collect(self, dataset) -> None:
        if isinstance(dataset, BaseDataset):
            self.parts.append((dataset, self.length))
            self.length += len(dataset)
        elif isinstance(dataset, ConcatDataset):
            for part in dataset.datasets:
                self._collect(part)
        elif hasattr(dataset, 'dataset'):  # RepeatDataset, ClassBalanced...
            self._collect(dataset.dataset)
        elif hasattr(dataset, '_dataset'):  # Runner's num_batch_per_epoch
            self._collect(dataset._dataset)
        else:
            raise InputError(
                f'train_dataloader.dataset: the sequences of a '
                f'{type(dataset).__name__} cannot be told apart, and each '
                'needs a slot of its own in the memory banks. Use a subclass '
                'of mmengine.dataset.BaseDataset, in RepeatDataset, '
                'ClassBalancedDataset or ConcatDataset at will.')

    def deliver_indices(self) -> None:
        """Make every sample carry its global ``sample_idx``.

        Raises:
            ValueError: A data set occurs twice, or a pipeline packs no inputs.
        """
        if len({id(part) for part, _ in self.parts}) != len(self.parts):
            raise InputError(
                'train_dataloader.dataset: the same data set object is in a '
                'ConcatDataset twice. Use RepeatDataset instead.')
        for part, first in self.parts:
            deliver(part.pipeline, 'sample_idx')
            transforms = part.pipeline.transforms
            if first and not any(isinstance(step, _AddToIndex)
                                 for step in transforms):
                transforms.insert(0, _AddToIndex(first))

    def _names(self) -> Iterator[str]:
        for part, _ in self.parts:
            for index in range(len(part)):
                info = part.get_data_info(index)
                name = info.get('frame_dir', info.get('filename', index))
                yield f'{name} {info["label"]}\n'

    def fingerprint(self) -> str:
        """A hash of names and labels in order: the identity of the list."""
        digest = hashlib.sha256()
        for name in self._names():
            digest.update(name.encode())
        return digest.hexdigest()
