"""A bank without memory: the current batch."""
import torch
from mmaction.registry import MODELS

from .memory_bank import EMPTY, MemoryBank


@MODELS.register_module()
class BatchMemoryBank(MemoryBank):
    """Holds only the sequences of the current step, of all processes.

    With it, the contrast is the one within a batch. Use it to measure what the
    memory contributes.

    >>> import torch
    >>> bank = BatchMemoryBank(feat_dim=2)
    >>> bank.resize(num_sequences=3)
    >>> for index in (0, 2):  # two steps with one sequence each
    ...     _ = bank.update(torch.tensor([[1., 0.]]), torch.tensor([7]),
    ...                     torch.tensor([index]))
    >>> bank.labels
    tensor([-1, -1,  7])

    Args:
        feat_dim, dtype: See :class:`MemoryBank`.
    """

    @torch.no_grad()
    def update(self, features: torch.Tensor, labels: torch.Tensor,
               indices: torch.Tensor) -> torch.Tensor:
        """Empty all slots, then call :meth:`MemoryBank.update`."""
        self.labels.fill_(EMPTY)
        return super().update(features, labels, indices)
