"""Keep all gradients with ``activation_checkpointing``.

MMEngine uses PyTorch's reentrant checkpoints (not reported upstream). They
lose gradients that leave a module through a hook (``contrast_block``), and all
gradients of a module whose input requires no gradient.
"""
from functools import partial

from mmengine.runner import activation_checkpointing
from torch.utils.checkpoint import checkpoint


def apply() -> None:
    """Make MMEngine use checkpoints that are not reentrant."""
    activation_checkpointing.checkpoint = partial(checkpoint,
                                                  use_reentrant=False)
