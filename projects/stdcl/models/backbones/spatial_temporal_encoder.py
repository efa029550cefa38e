"""Base class of encoders whose blocks have a spatial and a temporal part."""
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule, Sequential

from ...utils.clip_check import check_encoder
from ...utils.input_error import require_positive
from ...utils.skeleton_layout import SkeletonLayout
from .batch_norm import BatchNorm2d
from .multi_scale_tcn import MultiScaleTCN
from .pointwise_conv import PointwiseConv


def make_residual(in_channels: int, out_channels: int,
                  stride: tuple = (1, 1)) -> nn.Module:
    """Return a 1x1 convolution with batch norm, or the identity if it fits."""
    if in_channels == out_channels and stride == (1, 1):
        return nn.Identity()
    return Sequential(OrderedDict(
        conv=PointwiseConv(in_channels, out_channels, stride=stride),
        bn=BatchNorm2d(out_channels)))


class SpatialTemporalBlock(BaseModule):
    """Block that computes ReLU(MS-TCN(spatial(x)) + residual(x)).

    The spatial part maps (N, C, ...) to (N, C', ...). If ``residual`` is
    False, residual(x) is omitted. ``stride`` and ``time_dim`` are arguments of
    :class:`MultiScaleTCN`.
    """

    def __init__(self, spatial: nn.Module, in_channels: int, out_channels: int,
                 stride: int, residual: bool, time_dim: int) -> None:
        super().__init__()
        self.spatial = spatial
        self.temporal = MultiScaleTCN(out_channels, stride, time_dim=time_dim)
        self.residual = make_residual(
            in_channels, out_channels, (stride, 1) if time_dim == 2 else (
                1, stride)) if residual else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, T, V) to (N, C', T', V).

        If ``time_dim`` is 3, map (N, C, V, T) to (N, C', V, T').
        """
        y = self.temporal(self.spatial(x))
        if self.residual is not None:
            y = y + self.residual(x)
        return F.relu(y, inplace=True)


class SpatialTemporalEncoder(BaseModule):
    """Base class of encoders that stack spatial-temporal blocks.

    Batch norm of the joints precedes the blocks. Subclasses define the spatial
    part. They set :attr:`time_dim` to 2 if feature maps have the shape
    (N, C, T, V), and to 3 if they have the shape (N, C, V, T).

    Args:
        layout (str | dict): The skeleton layout; see :class:`SkeletonLayout`.
        spatial (callable): Function that builds the spatial part of a block
            from its numbers of input and output channels.
        in_channels (int): Channels C of the input. Defaults to 3.
        base_channels (int): Channels of the first block. Defaults to 64.
        embed_channels (int, optional): Channels after :meth:`embed_joints`.
            Defaults to ``in_channels``.
        num_person (int): Number of persons M. Defaults to 2.
        num_stages (int): Number of blocks. Defaults to 10.
        inflate_stages, down_stages (sequence[int]): Blocks, counted from 1,
            that double the channels, and that halve the frames (rounding up).
            Both default to (5, 8). Numbers above ``num_stages`` are ignored.
        init_cfg (dict, optional): Further initialization. Defaults to None.

    Raises:
        InputError: ``layout`` is unknown, or a number of channels, persons or
            blocks is not a positive integer or does not fit MultiScaleTCN.
    """

    time_dim = 2
    channels_last = True  # memory format, used if time_dim is 2
    first_residual = True  # whether the first block has a residual path

    def __init__(self, layout: str | dict,
                 spatial: Callable[[int, int], nn.Module],
                 in_channels: int = 3, base_channels: int = 64,
                 embed_channels: int | None = None, num_person: int = 2,
                 num_stages: int = 10, inflate_stages: Sequence[int] = (5, 8),
                 down_stages: Sequence[int] = (5, 8),
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.layout = SkeletonLayout.get(layout)
        self.in_channels = in_channels
        self.num_person = num_person
        require_positive(
            type(self).__name__, in_channels=in_channels,
            base_channels=base_channels, num_person=num_person,
            num_stages=num_stages, inflate_stages=inflate_stages,
            down_stages=down_stages)
        in_channels = embed_channels or in_channels
        self.data_bn = nn.BatchNorm1d(
            num_person * self.layout.num_joints * in_channels)
        blocks, channels = [], base_channels
        for stage in range(1, num_stages + 1):
            channels *= 2 if stage in inflate_stages else 1
            blocks.append(SpatialTemporalBlock(
                spatial(in_channels, channels), in_channels,
                channels, stride=2 if stage in down_stages else 1,
                residual=stage > 1 or self.first_residual,
                time_dim=self.time_dim))
            in_channels = channels
        self.blocks = Sequential(*blocks)
        self.out_channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, M, T, V, C) to (N, M, C', T', V).

        A different M, V or C than the encoder's raises an ``InputError``.
        """
        n, m = x.shape[:2]
        x = self.blocks(self.embed(x))
        if self.time_dim == 3:
            x = x.transpose(2, 3)
        return x.unflatten(0, (n, m))  # (N, M, C', T', V)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Check a batch (N, M, T, V, C), embed its joints, and normalize them.

        The result, the input of the blocks, has the shape (N * M, C, T, V) or,
        if ``time_dim`` is 3, (N * M, C, V, T).
        """
        check_encoder(self, x.shape[1:])
        x = self.embed_joints(x)
        n, m, t, v, c = x.shape
        # batch norm over all coordinates of all persons in a frame
        x = x.permute(0, 1, 3, 4, 2).reshape(n, m * v * c, t)
        x = self.data_bn(x).view(n * m, v, c, t)
        if self.time_dim == 2 and self.channels_last:
            # always copy: torch.compile assumes wrong strides of x if m is 1
            x = x.permute(0, 3, 1, 2).clone(
                memory_format=torch.contiguous_format)  # (N * M, T, V, C)
            return x.permute(0, 3, 1, 2)
        if self.time_dim == 2:
            return x.permute(0, 2, 3, 1).contiguous()  # (N * M, C, T, V)
        return x.transpose(1, 2).contiguous()  # (N * M, C, V, T)

    def embed_joints(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, M, T, V, C) to (N, M, T, V, embed_channels)."""
        return x
