"""Spatial-temporal decoupling (STD-CL, section "spatial-temporal decoupling").

Two branches that share nothing turn an encoder's feature map into a
spatial-specific and a temporal-specific vector.
"""
from typing import Optional, Tuple

import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch.nn.parameter import is_lazy

from ..utils.input_error import InputError
from ..utils.sizes import require_positive

# The authors' initialisation of linear layers; the 1x1 convolutions keep
# PyTorch's default.
LINEAR_INIT = dict(type='Kaiming', layer='Linear', mode='fan_out',
                   distribution='normal', bias=0)


def _reduced_channels(in_channels: int, reduction: int) -> int:
    require_positive('decoupler', reduction=reduction)
    if reduction > in_channels:
        raise InputError(
            f'decoupler: reduction is {reduction}, expected at most the '
            f'{in_channels} channels of the encoder.')
    return in_channels // reduction


class ProjectionBranch(nn.Module):
    """Reduce the channels, flatten, project (the authors' release).

    Args:
        in_channels (int): Channels C.
        length (int, optional): Length L of the axis that is kept: V for the
            spatial branch, T for the temporal one. None: found in the first
            call.
        out_channels (int): Size D of the vector.
        reduction (int): r; the 1x1 convolution leaves C // r channels.
    """

    def __init__(self, in_channels: int, length: Optional[int],
                 out_channels: int, reduction: int) -> None:
        super().__init__()
        reduced = _reduced_channels(in_channels, reduction)
        self.length = length
        self.reduce = nn.Conv1d(in_channels, reduced, 1)
        self.project = nn.LazyLinear(out_channels) if length is None else \
            nn.Linear(reduced * length, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, L) to (N, D)."""
        if self.length is None:
            self.length = x.shape[-1]
        x = self.reduce(x)  # (N, C/r, L)
        return self.project(x.flatten(1))  # (N, D), from index c * L + l


class AttentiveBranch(nn.Module):
    """Weigh the positions by learned attention, then project.

    A score for each position comes from its features; the softmax over
    positions weighs the features, whose sum is projected. So no size depends
    on the number of positions.

    Args:
        in_channels (int): Channels C.
        out_channels (int): Size D of the vector.
        reduction (int): r; the scores have C // r hidden channels.
    """

    def __init__(self, in_channels: int, out_channels: int,
                 reduction: int) -> None:
        super().__init__()
        reduced = _reduced_channels(in_channels, reduction)
        self.score = nn.Sequential(
            nn.Conv1d(in_channels, reduced, 1), nn.Tanh(),
            nn.Conv1d(reduced, 1, 1))
        self.project = nn.Linear(in_channels, out_channels)

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, L) to weights (N, 1, L) that sum to 1 over L."""
        return self.score(x).softmax(dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, L) to (N, D)."""
        x = (x * self.attention(x)).sum(dim=-1)  # (N, C)
        return self.project(x)  # (N, D)


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


@MODELS.register_module()
class ProjectionDecoupler(Decoupler):
    """The decoupler of the authors' release.

    Per person and branch: pool, 1x1 convolution C -> C / r, flatten, linear to
    D; the linear layer weighs each joint (each frame) on its own, so its size
    follows the encoder's output. Sizes that are not given are found in the
    first call, which :class:`STDCLRecognizer` makes at construction.

    Args:
        in_channels (int): Channels C of the feature map.
        num_joints (int, optional): V of the feature map. Defaults to None.
        num_frames (int, optional): T of the feature map. Defaults to None.
        out_channels (int): Size D of the vectors. Defaults to 256.
        reduction (int): r. Defaults to 8.
        init_cfg (dict): Initialisation. Defaults to Kaiming normal, fan out,
            zero bias for the linear layers.

    Raises:
        ValueError: ``out_channels`` or ``reduction`` is below 1, or the latter
            above ``in_channels``.
    """

    def __init__(self,
                 in_channels: int,
                 num_joints: Optional[int] = None,
                 num_frames: Optional[int] = None,
                 out_channels: int = 256,
                 reduction: int = 8,
                 init_cfg: dict = LINEAR_INIT) -> None:
        super().__init__(init_cfg=init_cfg)
        require_positive(type(self).__name__, out_channels=out_channels)
        self.out_channels = out_channels
        self.spatial = ProjectionBranch(in_channels, num_joints, out_channels,
                                        reduction)
        self.temporal = ProjectionBranch(in_channels, num_frames, out_channels,
                                         reduction)

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`Decoupler.forward`.

        Raises:
            ValueError: The feature map has other sizes than the decoupler.
        """
        built = (self.temporal.length, self.spatial.length)
        if any(size not in (None, seen)
               for size, seen in zip(built, x.shape[3:])):
            raise InputError(
                f'{type(self).__name__} was built for feature maps of T = '
                f'{built[0]} frames and V = {built[1]} joints, but the '
                f'encoder returns T = {x.shape[3]} and V = {x.shape[4]}. Set '
                'model.clip_shape to the shape of your clips, or '
                f'num_frames={x.shape[3]} and num_joints={x.shape[4]} in the '
                "decoupler's config.")
        return super().forward(x)


@MODELS.register_module()
class AttentiveDecoupler(Decoupler):
    """A decoupler with explicit attention over joints and over frames.

    The paper contrasts "attentive features"; its release has no explicit
    attention. No size depends on T or V, so sequences of any length and any
    skeleton do.

    Args:
        in_channels (int): Channels C of the feature map.
        out_channels (int): Size D of the vectors. Defaults to 256.
        reduction (int): The attention has C / r hidden channels. Defaults to
            8.
        init_cfg (dict): Initialisation. Defaults to Kaiming normal, fan out,
            zero bias for the linear layers.

    Raises:
        ValueError: ``out_channels`` or ``reduction`` is below 1, or the latter
            above ``in_channels``.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int = 256,
                 reduction: int = 8,
                 init_cfg: dict = LINEAR_INIT) -> None:
        super().__init__(init_cfg=init_cfg)
        require_positive(type(self).__name__, out_channels=out_channels)
        self.out_channels = out_channels
        self.spatial = AttentiveBranch(in_channels, out_channels, reduction)
        self.temporal = AttentiveBranch(in_channels, out_channels, reduction)
