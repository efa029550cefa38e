"""The memory bank: one slot for each training sequence."""
from typing import Optional, Tuple

import torch
import torch.nn as nn
from mmaction.registry import MODELS

from ...utils.input_error import InputError
from ..unit_vectors import unit_vectors

EMPTY = -1  # the label of a slot that holds nothing
DTYPES = dict(float32=torch.float32, float16=torch.float16)


@MODELS.register_module()
class MemoryBank(nn.Module):
    """Keeps the last normalised feature of every training sequence.

    A slot is simply overwritten each time its sequence is seen, without
    momentum (STD-CL, section "cross-sequence contrast").

    The bank starts without slots, because the model is built before the
    training set; :meth:`resize` makes them. Its tensors are saved in
    checkpoints but are no buffers, so that neither DistributedDataParallel nor
    ``SyncBuffersHook`` sends them around: every process makes the same update.

    Args:
        feat_dim (int): Size D of the features. Defaults to 256.
        dtype (str): What features are kept in: 'float32', or 'float16' for
            half the memory. Defaults to 'float32'.

    Attributes:
        features (Tensor): Shape (S, D), rows of norm 1 (0 where empty).
        labels (Tensor): Shape (S,), integer, -1 where empty.

    Raises:
        InputError: ``dtype`` is another.
    """

    STATE = ('features', 'labels')  # tensors that are saved, (S, ...)

    def __init__(self, feat_dim: int = 256, dtype: str = 'float32') -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise InputError(f'{type(self).__name__}: dtype is {dtype!r}, '
                             f'expected one of {list(DTYPES)}.')
        self.features = torch.zeros(0, feat_dim, dtype=DTYPES[dtype])
        self.labels = torch.zeros(0, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory and in a checkpoint."""
        return sum(getattr(self, name).nbytes for name in self.STATE)

    def resize(self, num_sequences: int,
               num_classes: Optional[int] = None) -> None:
        """Make empty slots.

        Args:
            num_sequences (int): Number S of sequences in the training set.
            num_classes (int, optional): Number of classes, for banks whose
                slots belong to classes. Not used here.
        """
        self.features = self.features.new_zeros(num_sequences,
                                                self.features.shape[1])
        self.labels = self.labels.new_full((num_sequences, ), EMPTY)

    @torch.no_grad()
    def update(self, features: torch.Tensor, labels: torch.Tensor,
               indices: torch.Tensor) -> torch.Tensor:
        """Overwrite the slots of the sequences of a step.

        A sequence that occurs more than once (repeats, a sampler's padding)
        gets the normalised mean of its features, whatever their order. One
        without a direction (a step that overflowed, or zero) has its slot
        emptied, or it would spoil the loss of all others until seen again.

        Args:
            features (Tensor): Shape (B, D), of norm 1, from all processes.
                Rows of zeros add nothing to those of the same sequence.
            labels (Tensor): Shape (B,), integer, from 0.
            indices (Tensor): Shape (B,), integer, from 0: the sequences.

        Returns:
            Tensor: Shape (B,), the slots that are no positives for these
            sequences, because they hold them.
        """
        features, first = merge_sequences(features, indices)
        self.features[indices] = features.to(self.features.dtype)
        self.labels[indices] = labels[first].where(features.any(dim=1), EMPTY)
        return indices

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        for name in self.STATE:
            setattr(self, name, fn(getattr(self, name)))
        return self

    def _save_to_state_dict(self, destination, prefix, keep_vars) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self.STATE:
            destination[prefix + name] = getattr(self, name)

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict,
                              missing_keys, unexpected_keys,
                              error_msgs) -> None:
        # Only a bank of the same size has a use for the content; testing and
        # fine-tuning pass over it. MemoryBankHook checks what is resumed.
        pairs = [(getattr(self, name), state_dict.get(prefix + name))
                 for name in self.STATE]
        if all(saved is not None and saved.shape == own.shape
               for own, saved in pairs):
            for own, saved in pairs:
                own.copy_(saved)


def merge_sequences(features: torch.Tensor, indices: torch.Tensor
                    ) -> Tuple[torch.Tensor, torch.Tensor]:
    """The normalised mean of what a step has of each sequence.

    Rows of one sequence get the very same bits, and so do all processes.

    Args:
        features (Tensor): Shape (B, D). Rows that are not finite are left
            out.
        indices (Tensor): Shape (B,), the sequences.

    Returns:
        tuple[Tensor, Tensor]: Each row's mean, shape (B, D), of norm 1 or 0,
        and the first row of its sequence, shape (B,).
    """
    same = indices[:, None] == indices[None, :]  # (B, B)
    first = same.int().argmax(dim=1)  # (B,)
    with torch.autocast(features.device.type, enabled=False):
        finite = features.isfinite().all(dim=1, keepdim=True)
        total = same.to(features.dtype) @ features.where(finite, 0)
        return unit_vectors(total)[first], first
