"""Spatial-temporal decoupling (STD-CL, section on decoupling).

Two independent branches turn an encoder's feature map into a spatial-specific
and a temporal-specific vector. Subclasses define the branches.
"""
from typing import Tuple

import torch
from mmengine.model import BaseModule
from torch.nn.parameter import is_lazy

from ...utils.input_error import InputError, require_positive

# as in the authors' release, where the 1x1 convolutions keep PyTorch's default
LINEAR_INIT = dict(type='Kaiming', layer='Linear', mode='fan_out',
                   distribution='normal', bias=0)


def reduced_channels(in_channels: int, reduction: int) -> int:
    """Divide the channels by the reduction, rounding down."""
    require_positive('decoupler', reduction=reduction)
    if reduction > in_channels:
        raise InputError(
            f'decoupler: reduction is {reduction}, expected at most the '
            f'{in_channels} channels of the encoder.')
    return in_channels // reduction


class Decoupler(BaseModule):
    """Base class: one branch pools over time, the other over joints.

    Subclasses set ``spatial`` and ``temporal``, modules that map (N, C, L) to
    (N, D), and ``out_channels``, which is D.
    """

    def require_sizes(self) -> None:
        """Raise an InputError while a size of a parameter is unknown."""
        if any(is_lazy(parameter) for parameter in self.parameters()):
            raise InputError(
                f'{type(self).__name__} has no sizes. Set model.type to '
                "'STDCLRecognizer' and model.clip_shape to the (persons, "
                'frames, joints, channels) of a clip, or num_frames and '
                "num_joints in the decoupler's config to the T and V of the "
                "encoder's output.")

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Split a feature map.

        Args:
            x (Tensor): The encoder's output, shape (N, M, C, T, V).

        Returns:
            tuple[Tensor, Tensor]: Spatial-specific and temporal-specific
            features, (N, D) each: the mean over the M persons of the branch's
            output.
        """
        n, m = x.shape[:2]
        x = x.flatten(0, 1)  # (N * M, C, T, V)
        spatial = self.spatial(x.mean(dim=2))  # (N * M, D)
        temporal = self.temporal(x.mean(dim=3))  # (N * M, D)
        return (spatial.unflatten(0, (n, m)).mean(dim=1),
                temporal.unflatten(0, (n, m)).mean(dim=1))
