"""Multi-scale temporal convolution, shared by several encoders."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule

from ...utils.input_error import require_multiple
from .batch_norm import BatchNorm2d
from .pointwise_conv import PointwiseConv

KERNEL_SIZE, DILATIONS = 5, (1, 2)  # of the temporal convolutions


class MultiScaleTCN(BaseModule):
    """Multi-scale temporal convolution (MS-TCN).

    See CTR-GCN (arXiv 2107.12213), section on the model architecture. The
    outputs of B branches with C / B channels each are concatenated. Every
    branch starts with a 1x1 convolution, followed by

    - batch norm, ReLU, temporal convolution, batch norm (one per dilation);
    - the same with max pooling over 3 frames in place of the convolution;
    - batch norm alone.

    ``channels`` is C, and ``stride`` is the temporal stride. ``time_dim`` is
    the axis of time: 2 for (N, C, T, V), 3 for (N, C, V, T). An ``InputError``
    is raised unless ``channels`` is a multiple of the number of branches.
    """

    def __init__(self, channels: int, stride: int = 1,
                 time_dim: int = 2) -> None:
        super().__init__()
        branches = len(DILATIONS) + 2
        require_multiple(
            'MultiScaleTCN', 'channels', channels, branches, 'the number of '
            f'branches (one per dilation in {DILATIONS}, one with pooling and '
            'one without). Change base_channels of the encoder')
        width = channels // branches

        def in_time(size: int, elsewhere: int) -> tuple:
            """Order ``size`` (time) and ``elsewhere`` by axis."""
            return (size, elsewhere) if time_dim == 2 else (elsewhere, size)

        self.width = width
        self.entry = PointwiseConv(
            channels, channels - width, merged=branches - 1)
        self.entry_bn = BatchNorm2d(channels - width)
        self.point = PointwiseConv(channels, width, stride=in_time(stride, 1))
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, in_time(KERNEL_SIZE, 1),
                      stride=in_time(stride, 1),
                      padding=in_time(dilation * (KERNEL_SIZE // 2), 0),
                      dilation=in_time(dilation, 1)) for dilation in DILATIONS)
        self.pool = dict(kernel_size=in_time(3, 1), stride=in_time(stride, 1),
                         padding=in_time(1, 0))
        self.bn = BatchNorm2d(channels)

    def init_weights(self) -> None:
        """Initialize the layers; the weights of batch norm start near 1."""
        super().init_weights()
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, mode='fan_out')
            nn.init.zeros_(conv.bias)
        for bn in (self.entry_bn, self.bn):
            nn.init.normal_(bn.weight, 1, 0.02)
            nn.init.zeros_(bn.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, T, V) to (N, C, T', V); T' is T / stride, rounded up.

        If ``time_dim`` is 3, map (N, C, V, T) to (N, C, V, T').
        """
        h = F.relu(self.entry_bn(self.entry(x)), inplace=True)
        *convolved, pooled = h.split(self.width, dim=1)
        branches = [conv(h) for conv, h in zip(self.convs, convolved)]
        branches += [F.max_pool2d(pooled, **self.pool), self.point(x)]
        return self.bn(torch.cat(branches, dim=1))
