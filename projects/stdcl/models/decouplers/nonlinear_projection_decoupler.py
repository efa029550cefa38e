"""A decoupler with a nonlinear projection head."""
from functools import partial

import torch
import torch.nn as nn
from mmaction.registry import MODELS

from ...utils.input_error import require_positive
from .projection_decoupler import ProjectionBranch, ProjectionDecoupler


class NonlinearProjectionBranch(ProjectionBranch):
    """Nonlinear branch; see :class:`NonlinearProjectionDecoupler`."""

    def __init__(self, in_channels: int, length: int | None, out_channels: int,
                 reduction: int, hidden_channels: int) -> None:
        super().__init__(in_channels, length, hidden_channels, reduction)
        self.reduce = nn.Sequential(self.reduce, nn.ReLU(inplace=True))
        self.head = nn.Sequential(
            nn.BatchNorm1d(hidden_channels), nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, L) to (N, D)."""
        return self.head(super().forward(x))


@MODELS.register_module()
class NonlinearProjectionDecoupler(ProjectionDecoupler):
    """:class:`ProjectionDecoupler` with nonlinear branches.

    The branches of the authors' release are linear. Here, each branch applies
    a 1x1 convolution, ReLU, a linear layer to H hidden channels, batch norm,
    ReLU, and a linear layer to D. Nonlinear projections of this kind are
    common in contrastive learning (SimCLR, arXiv 2002.05709). Because of batch
    norm, training requires N * M > 1.

    Args:
        in_channels (int): Channels C of the feature map.
        num_joints, num_frames (int, optional): As in
            :class:`ProjectionDecoupler`.
        out_channels (int): Size D of the vectors. Defaults to 128.
        hidden_channels (int): Number H of hidden channels. Defaults to 256.
        kwargs: Further arguments of :class:`ProjectionDecoupler`.

    Raises:
        InputError: ``hidden_channels`` is not a positive integer, or
            :class:`ProjectionDecoupler` rejects one of its arguments.
    """

    def __init__(self, *args, out_channels: int = 128,
                 hidden_channels: int = 256, **kwargs) -> None:
        require_positive(type(self).__name__, hidden_channels=hidden_channels)
        self.branch = partial(NonlinearProjectionBranch,
                              hidden_channels=hidden_channels)
        super().__init__(*args, out_channels=out_channels, **kwargs)
