"""1x1 convolutions as matrix products."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution as one matrix product, for either memory format.

    On a CPU that is up to twice as fast as the general convolution, which
    other devices are left to (their memory would have to hold a gradient of
    the weight for each sequence). Several
    convolutions of the same input are merged into one by stacking their output
    channels; ``merged`` says how many there are, so that each starts as it
    would alone.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output, of all merged ones
            together.
        merged (int): Number of convolutions of equal size. Defaults to 1.
        stride (tuple[int]): Step on the two axes of positions. Defaults to
            (1, 1).
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 merged: int = 1,
                 stride: tuple = (1, 1)) -> None:
        super().__init__(in_channels, out_channels, 1, stride=stride)
        self.merged = merged

    def init_weights(self) -> None:
        """Kaiming normal, fan out, of each merged convolution; zero bias."""
        for weight in self.weight.chunk(self.merged):
            nn.init.kaiming_normal_(weight, mode='fan_out')
        nn.init.zeros_(self.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, A, B) to (N, C', A / stride, B / stride)."""
        if x.device.type != 'cpu':
            return super().forward(x)
        if self.stride != (1, 1):
            x = x[:, :, ::self.stride[0], ::self.stride[1]]
        # one channel is contiguous either way
        if not x.is_contiguous() and x.is_contiguous(
                memory_format=torch.channels_last):
            y = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1),
                         self.bias)  # (N, A, B, C')
            return y.permute(0, 3, 1, 2)
        weight = self.weight.flatten(1).expand(x.shape[0], -1, -1)
        y = torch.baddbmm(self.bias[:, None], weight, x.flatten(2))
        return y.unflatten(2, x.shape[2:])
