"""Spatial-temporal decoupling (arXiv 2312.15144, section on decoupling).

Two independent branches turn an encoder's feature map into a spatial-specific
and a temporal-specific vector.
"""
from typing import Tuple

import torch
from mmengine.model import BaseModule
from torch.nn.parameter import is_lazy

from ...utils.input_error import InputError, require_positive

# as in the authors' release, where 1x1 convolutions keep PyTorch's default
LINEAR_INIT = dict(type='Kaiming', layer='Linear', mode='fan_out',
                   distribution='normal', bias=0)


def reduced_channels(in_channels: int, reduction: int) -> int:
    """Divide the channels by the reduction, rounding down.

    Raises:
        InputError: The reduction is not from 1 to ``in_channels``.
    """
    require_positive('decoupler', reduction=reduction)
    if reduction > in_channels:
        raise InputError(
            f'decoupler: reduction is {reduction}, expected at most the '
            f'{in_channels} channels of the encoder.')
    return in_channels // reduction


class Decoupler(BaseModule):
    """Base class of decouplers.

    The spatial branch receives the mean over frames, the temporal branch the
    mean over joints. Subclasses define both branches as ``spatial`` and
    ``temporal``, modules that map (N, C, L) to (N, D).

    Args:
        out_channels (int): Size D of the vectors.
        init_cfg (dict): Initialization.
    """

    def __init__(self, out_channels: int, init_cfg: dict) -> None:
        super().__init__(init_cfg=init_cfg)
        require_positive(type(self).__name__, out_channels=out_channels)
        self.out_channels = out_channels

    def require_sizes(self) -> None:
        """Raise an ``InputError`` if the shape of a parameter is unknown."""
        if any(is_lazy(parameter) for parameter in self.parameters()):
            raise InputError(
                f'{type(self).__name__} has no sizes. Set model.type to '
                "'STDCLRecognizer' and model.clip_shape to the (persons, "
                'frames, joints, channels) of a clip, or num_frames and '
                "num_joints in the decoupler's config to the T and V of the "
                "encoder's output.")

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Decouple a feature map.

        Args:
            x (Tensor): The encoder's output, shape (N, M, C, T, V).

        Returns:
            tuple[Tensor, Tensor]: Spatial-specific and temporal-specific
            features, averaged over the M persons, both of shape (N, D).
        """
        n, m = x.shape[:2]
        x = x.flatten(0, 1)  # (N * M, C, T, V)
        spatial = self.spatial(x.mean(dim=2))  # (N * M, D)
        temporal = self.temporal(x.mean(dim=3))  # (N * M, D)
        return (spatial.unflatten(0, (n, m)).mean(dim=1),
                temporal.unflatten(0, (n, m)).mean(dim=1))
