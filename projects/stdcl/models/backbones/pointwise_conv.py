"""1x1 convolutions as matrix products."""
import torch
import torch.nn as nn


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution that a CPU computes as a matrix product.

    On a CPU, the product is faster than a convolution of contiguous inputs.
    Channels-last inputs and other devices use the convolution. On a GPU, the
    product would store one gradient of the weight per sequence.

    ``merged`` is the number of convolutions of the same input that are stacked
    along the output channels. Each is initialized separately. Defaults to 1.
    """

    def __init__(self, in_channels: int, out_channels: int, merged: int = 1,
                 stride: tuple = (1, 1)) -> None:
        super().__init__(in_channels, out_channels, 1, stride=stride)
        self.merged = merged

    def init_weights(self) -> None:
        """Initialize each convolution with Kaiming normal and zero bias."""
        for weight in self.weight.chunk(self.merged):
            nn.init.kaiming_normal_(weight, mode='fan_out')
        nn.init.zeros_(self.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, A, B) to (N, C', A', B'); see ``nn.Conv2d``."""
        if x.device.type != 'cpu' or not x.is_contiguous():
            return super().forward(x)
        if self.stride != (1, 1):
            x = x[:, :, ::self.stride[0], ::self.stride[1]]
        weight = self.weight.flatten(1).expand(x.shape[0], -1, -1)
        y = torch.baddbmm(self.bias[:, None], weight, x.flatten(2))
        return y.unflatten(2, x.shape[2:])
