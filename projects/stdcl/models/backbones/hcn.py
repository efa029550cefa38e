"""HCN, an encoder with a convolution that treats joints as channels."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule

from ...utils.clip_check import check_encoder
from ...utils.input_error import require_multiple, require_positive
from ...utils.skeleton_layout import SkeletonLayout

STRIDE = 16  # each of four max pools halves both axes
CONV_INIT = dict(type='Xavier', layer='Conv2d', distribution='uniform', bias=0)


class HCNStream(nn.Module):
    """The layers conv1 to conv4; the joints are input channels of conv3."""

    def __init__(self, num_joints: int, in_channels: int, base_channels: int,
                 cooccurrence_channels: int, dropout_ratio: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, base_channels, 1)
        self.conv2 = nn.Conv2d(base_channels, cooccurrence_channels, (3, 1),
                               padding=(1, 0))
        self.conv3 = nn.Conv2d(num_joints, base_channels // 2, 3, padding=1)
        self.conv4 = nn.Conv2d(base_channels // 2, base_channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout_ratio)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, T, V) to (N, C, T / 4, W / 4); see HCN."""
        x = self.relu(self.conv1(x))  # (N, C, T, V)
        x = self.conv2(x)  # (N, W, T, V)
        x = x.permute(0, 3, 2, 1)  # (N, V, T, W)
        # otherwise, conv3 would convert x to this format in both passes
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.pool(self.conv3(x))  # (N, C / 2, T / 2, W / 2)
        x = self.pool(self.conv4(x))  # (N, C, T / 4, W / 4)
        # dropout before pooling would be equivalent, but slower
        return self.dropout(x)


@MODELS.register_module()
class HCN(BaseModule):
    """Hierarchical co-occurrence network (HCN, IJCAI 2018).

    C. Li et al., arXiv 1804.06055. The default sizes are those of HCN's public
    reproduction. Two streams process the joints and their motion; both outputs
    are concatenated and pass through conv5 and conv6. The last axis of the
    output corresponds to the channels of conv2, not to joints.

    Args:
        layout (str | dict): The skeleton layout.
        in_channels (int): Channels of the input. Defaults to 3.
        base_channels (int): Channels C of conv1, even. Defaults to 64.
        num_frames (int): Frames T of a clip, and channels W of conv2, a
            multiple of 16. Defaults to 64.
        dropout_ratio (float): Dropout of conv4 to conv6. Defaults to 0.5.
        init_cfg (dict): Defaults to Xavier uniform with zero bias.

    Raises:
        InputError: ``layout`` is unknown, or a number of channels or frames
            is not positive or not a multiple as stated above.
    """

    def __init__(self, layout: str | dict, in_channels: int = 3,
                 base_channels: int = 64, num_frames: int = 64,
                 dropout_ratio: float = 0.5,
                 init_cfg: dict = CONV_INIT) -> None:
        super().__init__(init_cfg=init_cfg)
        self.layout = SkeletonLayout.get(layout)
        require_positive('HCN', in_channels=in_channels)
        self.in_channels = in_channels
        self.out_channels = 4 * base_channels
        self.num_frames = num_frames
        require_multiple('HCN', 'num_frames', num_frames, STRIDE,
                         'because four max pools halve this axis')
        require_multiple('HCN', 'base_channels', base_channels, 2,
                         'because conv3 has half as many channels')

        stream = (self.layout.num_joints, in_channels, base_channels,
                  num_frames, dropout_ratio)
        self.joint_stream = HCNStream(*stream)
        self.motion_stream = HCNStream(*stream)
        self.conv5 = nn.Conv2d(2 * base_channels, 2 * base_channels, 3,
                               padding=1)
        self.conv6 = nn.Conv2d(2 * base_channels, 4 * base_channels, 3,
                               padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout_ratio)

    @property
    def blocks(self) -> tuple[nn.Module, nn.Module]:
        """conv5 and conv6, for ``contrast_block`` of the recognizer."""
        return self.conv5, self.conv6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, M, T, V, in_channels) to (N, M, 4 C, T / 16, W / 16).

        An ``InputError`` is raised unless the sizes match the encoder's.
        """
        n, m = x.shape[:2]
        check_encoder(self, x.shape[1:])
        x = x.flatten(0, 1)  # (N * M, T, V, in_channels)
        # the permuted input is channels-last, so it need not be copied
        x = torch.cat([
            self.joint_stream(x.permute(0, 3, 1, 2)),
            self.motion_stream(_motion(x).permute(0, 3, 1, 2))
        ], dim=1)  # (N * M, 2 C, T / 4, W / 4)
        for conv in self.blocks:
            # pooling after ReLU and dropout would be equivalent, but slower
            x = self.dropout(self.relu(self.pool(conv(x))))
        return x.unflatten(0, (n, m))  # (N, M, 4 C, T / 16, W / 16)


def _motion(x: torch.Tensor) -> torch.Tensor:
    """Map x, (N, T, V, C), to differences of frames, resized to T frames."""
    # joints and coordinates form one axis, which is equivalent to
    # interpolating (C, T - 1, V) images but does not permute axes
    shape, x = x.shape, x.flatten(2)  # (N, T, V * C)
    difference = (x[:, 1:] - x[:, :-1]).unsqueeze(1)  # (N, 1, T - 1, V * C)
    difference = F.interpolate(difference, size=x.shape[1:], mode='bilinear',
                               align_corners=False)
    return difference.view(shape)
