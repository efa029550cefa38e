"""A memory bank that holds only the current batch."""
import torch
from mmaction.registry import MODELS

from .memory_bank import EMPTY, MemoryBank


@MODELS.register_module()
class BatchMemoryBank(MemoryBank):
    """Memory bank that holds only the batch of the current step.

    The batches of all processes together form the bank, so STD-CL contrasts
    sequences within a batch only. Use it to measure what the memory
    contributes. It takes the arguments of :class:`MemoryBank`.
    """

    @torch.no_grad()
    def update(self, features: torch.Tensor, labels: torch.Tensor,
               indices: torch.Tensor) -> torch.Tensor:
        """Empty all slots, then call :meth:`MemoryBank.update`."""
        self.labels.fill_(EMPTY)
        return super().update(features, labels, indices)
