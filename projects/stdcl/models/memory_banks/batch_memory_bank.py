"""A bank without memory: the batch at hand."""
import torch
from mmaction.registry import MODELS

from .memory_bank import EMPTY, MemoryBank


@MODELS.register_module()
class BatchMemoryBank(MemoryBank):
    """Holds the sequences of the step at hand, of all processes, alone.

    With it the contrast is what it would be without a memory bank, to see what
    the bank is good for.

    Args:
        feat_dim, dtype: As in :class:`MemoryBank`.
    """

    @torch.no_grad()
    def update(self, features: torch.Tensor, labels: torch.Tensor,
               indices: torch.Tensor) -> torch.Tensor:
        """Empty all slots, then write as :meth:`MemoryBank.update`."""
        self.labels.fill_(EMPTY)
        return super().update(features, labels, indices)
