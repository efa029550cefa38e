"""A control that replaces the decoupled features with a global one."""
from typing import Tuple

import torch
import torch.nn as nn
from mmaction.registry import MODELS

from .decoupler import LINEAR_INIT, Decoupler


@MODELS.register_module()
class GlobalDecoupler(Decoupler):
    """Decoupler that returns one global feature twice instead of decoupling.

    The global feature is a linear projection of the mean over persons, joints
    and frames. Use it to measure what decoupling contributes.

    Args:
        in_channels (int): Channels C of the feature map.
        out_channels (int): Size D of the vectors. Defaults to 256.
        init_cfg (dict): Config of the initialization. Defaults to that of
            :class:`ProjectionDecoupler`.

    Raises:
        InputError: ``out_channels`` is not a positive integer.
    """

    def __init__(self, in_channels: int, out_channels: int = 256,
                 init_cfg: dict = LINEAR_INIT) -> None:
        super().__init__(out_channels, init_cfg)
        self.project = nn.Linear(in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Map (N, M, C, T, V) to two equal tensors (N, D)."""
        vector = self.project(x.mean(dim=(1, 3, 4)))
        return vector, vector
