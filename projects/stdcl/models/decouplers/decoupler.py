"""Spatial-temporal decoupling (STD-CL, section "spatial-temporal decoupling").

Two independent branches turn an encoder's feature map into a spatial-specific
and a temporal-specific vector. The subclasses differ in their branches.
"""
from typing import Tuple

import torch
from mmengine.model import BaseModule
from torch.nn.parameter import is_lazy

from ...utils.input_error import InputError
from ...utils.sizes import require_positive

# The authors' initialisation of linear layers; the 1x1 convolutions keep
# PyTorch's default.
LINEAR_INIT = dict(type='Kaiming', layer='Linear', mode='fan_out',
                   distribution='normal', bias=0)


def reduced_channels(in_channels: int, reduction: int) -> int:
    require_positive('decoupler', reduction=reduction)
    if reduction > in_channels:
        raise InputError(
            f'decoupler: reduction is {reduction}, expected at most the '
            f'{in_channels} channels of the encoder.')
    return in_channels // reduction


class Decoupler(BaseModule):
    """Pools a feature map over time and over joints, a branch for each.

    Subclasses set ``spatial`` and ``temporal``, modules that map (N, C, L) to
    (N, D), and ``out_channels``, which is D.
    """

    def require_sizes(self) -> None:
        """Raise a ValueError if sizes are neither given nor found yet."""
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
            tuple[Tensor, Tensor]: The spatial-specific and the
            temporal-specific features, shape (N, D) each: the mean over the M
            persons of what the branch gives for each.
        """
        n, m = x.shape[:2]
        x = x.flatten(0, 1)  # (N * M, C, T, V)
        spatial = self.spatial(x.mean(dim=2))  # (N * M, D)
        temporal = self.temporal(x.mean(dim=3))  # (N * M, D)
        return (spatial.unflatten(0, (n, m)).mean(dim=1),
                temporal.unflatten(0, (n, m)).mean(dim=1))
