"""Keep all gradients with ``activation_checkpointing``.

MMEngine uses PyTorch's reentrant checkpoints (not reported upstream). They
lose the gradient of ``contrast_block``, which leaves a module other than as
its output, and all gradients of a module whose input requires none.
"""
from functools import partial

from mmengine.runner import activation_checkpointing
from torch.utils.checkpoint import checkpoint


def apply() -> None:
    """Make MMEngine use checkpoints that are not reentrant."""
    activation_checkpointing.checkpoint = partial(checkpoint,
                                                  use_reentrant=False)
