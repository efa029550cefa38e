"""A bank without memory: the current batch."""
import torch
from mmaction.registry import MODELS

from .memory_bank import EMPTY, MemoryBank


@MODELS.register_module()
class BatchMemoryBank(MemoryBank):
    """Holds only the sequences of the current step, of all processes.

    The contrast is then within a batch. Use it to measure what the memory
    contributes. Arguments are those of :class:`MemoryBank`.
    """

    @torch.no_grad()
    def update(self, features: torch.Tensor, labels: torch.Tensor,
               indices: torch.Tensor) -> torch.Tensor:
        """Empty all slots, then call :meth:`MemoryBank.update`."""
        self.labels.fill_(EMPTY)
        return super().update(features, labels, indices)
