"""The memory bank: one slot for each training sequence."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS

EMPTY = -1  # the label of a slot that was never written


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

    Attributes:
        features (Tensor): Shape (S, D), rows of norm 1 (0 where empty).
        labels (Tensor): Shape (S,), integer, -1 where empty.
    """

    def __init__(self, feat_dim: int = 256) -> None:
        super().__init__()
        self.features = torch.zeros(0, feat_dim)
        self.labels = torch.zeros(0, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.labels)

    def resize(self, num_sequences: int) -> None:
        """Make empty slots.

        Args:
            num_sequences (int): Number S of sequences in the training set.
        """
        self.features = self.features.new_zeros(num_sequences,
                                                self.features.shape[1])
        self.labels = self.labels.new_full((num_sequences, ), EMPTY)

    @torch.no_grad()
    def update(self, features: torch.Tensor, labels: torch.Tensor,
               indices: torch.Tensor) -> None:
        """Overwrite the slots of the sequences of a step.

        A sequence that occurs more than once (repeats, a sampler's padding)
        gets the normalised mean of its features, whatever their order. One
        without a direction (a step that overflowed, or zero) has its slot
        emptied, or it would spoil the loss of all others until seen again.

        Args:
            features (Tensor): Shape (B, D), of norm 1, from all processes.
            labels (Tensor): Shape (B,), integer, from 0.
            indices (Tensor): Shape (B,), integer, the slots.
        """
        same = indices[:, None] == indices[None, :]  # (B, B)
        with torch.autocast(features.device.type, enabled=False):
            finite = features.isfinite().all(dim=1, keepdim=True)
            features = features.where(finite, 0)
            features = F.normalize(same.to(features.dtype) @ features, dim=1)
        # all rows of a slot write the very same bits: those of the first
        first = same.int().argmax(dim=1)  # (B,)
        self.features[indices] = features[first].to(self.features.dtype)
        self.labels[indices] = labels.where(
            features[first].any(dim=1), EMPTY)

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        self.features, self.labels = fn(self.features), fn(self.labels)
        return self

    def _save_to_state_dict(self, destination, prefix, keep_vars) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f'{prefix}features'] = self.features
        destination[f'{prefix}labels'] = self.labels

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict,
                              missing_keys, unexpected_keys,
                              error_msgs) -> None:
        # Only a bank of the same size has a use for the content; testing and
        # fine-tuning pass over it. MemoryBankHook checks what is resumed.
        saved = [state_dict.get(prefix + name)
                 for name in ('features', 'labels')]
        if all(tensor is not None and tensor.shape == own.shape
               for tensor, own in zip(saved, (self.features, self.labels))):
            self.features.copy_(saved[0])
            self.labels.copy_(saved[1])
