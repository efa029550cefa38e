"""The decoupler of the authors' release: reduce, flatten, project."""
from typing import Optional, Tuple

import torch
import torch.nn as nn
from mmaction.registry import MODELS

from ...utils.input_error import InputError
from ...utils.sizes import require_positive
from .decoupler import LINEAR_INIT, Decoupler, reduced_channels


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
        reduced = reduced_channels(in_channels, reduction)
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
