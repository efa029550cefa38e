"""The memory bank of the paper, with one slot per training sequence."""
import torch
import torch.nn as nn
from mmaction.registry import MODELS

from ...utils.input_error import require_known
from ..unit_vectors import unit_vectors

EMPTY = -1  # label of an empty slot
DTYPES = dict(float32=torch.float32, float16=torch.float16)


@MODELS.register_module()
class MemoryBank(nn.Module):
    """Memory bank that keeps the latest feature of every training sequence.

    A new feature overwrites the previous one, without momentum (arXiv
    2312.15144, section on cross-sequence contrast). The bank starts without
    slots; :meth:`resize` adds them. Checkpoints contain the tensors in
    ``STATE``; loading them does nothing unless the bank has as many slots.
    They are not buffers, because MMEngine would average buffers over the
    processes. Every process makes the same updates.

    >>> bank = MemoryBank(feat_dim=2)
    >>> bank.resize(num_sequences=3)
    >>> slots = bank.update(features=torch.eye(2), labels=torch.tensor([5, 7]),
    ...                     indices=torch.tensor([2, 0]))
    >>> bank.labels  # sequence 1 has not been seen
    tensor([ 7, -1,  5])

    Args:
        feat_dim (int): Size D of the features. Defaults to 256.
        dtype (str): 'float32' (default), or 'float16' to halve the memory.

    Attributes:
        features (Tensor): Shape (S, D). The rows of filled slots have norm 1.
        labels (Tensor): Classes, integers of shape (S,); -1 if empty.
        class_size (int, optional): Largest number of slots that a class can
            fill; None if this is unknown.

    Raises:
        InputError: ``dtype`` is unknown.
    """

    STATE = ('features', 'labels')  # tensors in checkpoints, (S, ...)

    def __init__(self, feat_dim: int = 256, dtype: str = 'float32') -> None:
        super().__init__()
        require_known(f'{type(self).__name__}: dtype', dtype, DTYPES)
        self.features = torch.zeros(0, feat_dim, dtype=DTYPES[dtype])
        self.labels = torch.zeros(0, dtype=torch.long)
        self.class_size = None

    def __len__(self) -> int:
        return len(self.labels)

    def resize(self, num_sequences: int, num_classes: int | None = None,
               class_size: int | None = None) -> None:
        """Replace all slots with S = ``num_sequences`` empty ones.

        ``class_size`` is the number of sequences of the largest class, if
        known. Only banks whose slots belong to classes use ``num_classes``.
        """
        self.class_size = class_size
        self.features = self.features.new_zeros(num_sequences,
                                                self.features.shape[1])
        self.labels = self.labels.new_full((num_sequences, ), EMPTY)

    @torch.no_grad()
    def update(self, features: torch.Tensor, labels: torch.Tensor,
               indices: torch.Tensor) -> torch.Tensor:
        """Overwrite the slots of the sequences in a batch.

        A row of zeros empties its slot, because the previous content would
        distort the loss of other sequences until this one occurs again.

        Args:
            features (Tensor): Features of the batches of all processes,
                (B, D). Rows have norm 1 or 0; rows of a sequence are equal.
            labels (Tensor): Classes, integers from 0, shape (B,).
            indices (Tensor): Indices of the sequences in the training set,
                integers from 0, shape (B,).

        Returns:
            Tensor: Slots of these sequences, shape (B,).
        """
        self.features[indices] = features.to(self.features.dtype)
        self.labels[indices] = labels.long().masked_fill(
            ~features.any(dim=1), EMPTY)
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

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        # A bank without slots, as in testing, ignores the saved tensors.
        # MemoryBankHook checks them if a run resumes, or else removes them.
        pairs = [(getattr(self, name), state_dict.get(prefix + name))
                 for name in self.STATE]
        if all(saved is not None and saved.shape == own.shape
               for own, saved in pairs):
            for own, saved in pairs:
                own.copy_(saved)


@torch.no_grad()
def merge_sequences(features: torch.Tensor,
                    indices: torch.Tensor) -> torch.Tensor:
    """Average the features of each sequence in a batch, and normalize.

    ``features``, (..., B, D), are unit vectors; those of vectors that were not
    finite contain only NaN and 0, and are ignored. ``indices``, (B,), contains
    the sequence of each row. The result, (..., B, D), contains for each row
    the mean over the rows of its sequence, scaled to norm 1 (or 0). It is
    bitwise equal for all rows of a sequence.
    """
    same = (indices[:, None] == indices).to(features.dtype)  # (B, B)
    with torch.autocast(features.device.type, enabled=False):
        total = same @ features.nan_to_num(0)
        return unit_vectors(total)[..., same.argmax(dim=1), :]
