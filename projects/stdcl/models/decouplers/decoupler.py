"""Spatial-temporal decoupling (arXiv 2312.15144, section on decoupling).

Two independent branches turn an encoder's output into a spatial-specific and a
temporal-specific vector. The final version of the paper (CSRE) calls it STFD.
"""
import torch
import torch.nn as nn
from mmengine.model import BaseModule
from torch.nn.parameter import is_lazy

from ...utils.input_error import InputError, require_positive

# as in the authors' release, which initializes only the linear layers; 1x1
# convolutions keep PyTorch's default initialization
LINEAR_INIT = dict(type='Kaiming', layer='Linear', mode='fan_out',
                   distribution='normal', bias=0)

# shape of a clip in MMAction2's NTU RGB+D configs (M, T, V, C)
CLIP_SHAPE = (2, 100, 25, 3)


def reduce_channels(in_channels: int, reduction: int) -> nn.Conv1d:
    """Build a 1x1 convolution to ``in_channels // reduction`` channels.

    An ``InputError`` is raised unless ``reduction`` is an integer from 1 to
    ``in_channels``.
    """
    require_positive('decoupler', reduction=reduction)
    if reduction > in_channels:
        raise InputError(
            f'decoupler: reduction is {reduction}, expected at most '
            f'{in_channels}, the number of channels of the encoder.')
    return nn.Conv1d(in_channels, in_channels // reduction, 1)


class Decoupler(BaseModule):
    """Base class of decouplers.

    The spatial branch receives the mean over frames; the temporal branch
    receives the mean over joints. Subclasses define them as ``spatial`` and
    ``temporal``, modules that map (N, C, L) to (N, D), where L is V or T.

    Args:
        out_channels (int): Size D of the vectors, a positive integer.
        init_cfg (dict): Config of the initialization.
    """

    def __init__(self, out_channels: int, init_cfg: dict) -> None:
        super().__init__(init_cfg=init_cfg)
        require_positive(type(self).__name__, out_channels=out_channels)
        self.out_channels = out_channels

    def require_sizes(self, clip_shape: tuple = CLIP_SHAPE) -> None:
        """Raise an error that suggests ``clip_shape`` if T or V is unknown."""
        if any(is_lazy(parameter) for parameter in self.parameters()):
            raise InputError(
                f'{type(self).__name__}: model.clip_shape is missing, '
                'expected the numbers of persons, frames, joints and channels '
                'of a clip. In a config that inherits from stdcl.py, write '
                'model = dict(_base_.stdcl_model, '
                f'clip_shape={tuple(clip_shape)}) with the numbers of your '
                'clips. The number of frames is clip_len in your pipelines.')

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Decouple a feature map.

        Args:
            x (Tensor): The encoder's output, shape (N, M, C, T, V).

        Returns:
            tuple[Tensor, Tensor]: Spatial-specific and temporal-specific
            features, averaged over the M persons, both of shape (N, D).
        """
        n, m = x.shape[:2]
        x = x.flatten(0, 1)  # (N * M, C, T, V)
        spatial = self.spatial(_mean(x, dim=2))  # (N * M, D)
        temporal = self.temporal(_mean(x, dim=3))  # (N * M, D)
        return (spatial.unflatten(0, (n, m)).mean(dim=1),
                temporal.unflatten(0, (n, m)).mean(dim=1))


def _mean(x: torch.Tensor, dim: int) -> torch.Tensor:
    # the backward pass of mean() would divide the whole map; sums may exceed
    # the range of float16
    dtype = torch.float32 if x.dtype == torch.float16 else x.dtype
    return (x.sum(dim, dtype=dtype) / x.shape[dim]).to(x.dtype)
