"""The decoupler of the authors' release: reduce, flatten, project."""
import torch
import torch.nn as nn
from mmaction.registry import MODELS

from .decoupler import LINEAR_INIT, Decoupler, reduce_channels


class ProjectionBranch(nn.Module):
    """Branch that reduces the channels, flattens, and projects.

    ``length`` is the length L of the input: V in the spatial branch, T in the
    temporal branch. If it is None, the first call sets it.
    """

    def __init__(self, in_channels: int, length: int | None,
                 out_channels: int, reduction: int) -> None:
        super().__init__()
        self.reduce = reduce_channels(in_channels, reduction)
        self.project = nn.LazyLinear(out_channels) if length is None else (
            nn.Linear(self.reduce.out_channels * length, out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, L) to (N, D)."""
        x = self.reduce(x)  # (N, C/r, L)
        return self.project(x.flatten(1))  # (N, D); flat index c * L + l


@MODELS.register_module()
class ProjectionDecoupler(Decoupler):
    """The decoupler of the authors' release.

    See arXiv 2312.15144, section on spatial-temporal decoupling. For each
    person, each branch pools the feature map, reduces C to C // r channels
    with a 1x1 convolution, flattens, and projects linearly to D.

    Args:
        in_channels (int): Channels C of the feature map.
        num_joints, num_frames (int, optional): V and T of the feature map.
            By default, the first call sets them; :class:`STDCLRecognizer`
            makes this call.
        out_channels (int): Size D of the vectors. Defaults to 256.
        reduction (int): Reduction r, at most C. Defaults to 8.
        init_cfg (dict): Config of the initialization. Defaults to Kaiming
            normal (fan out) with zero bias for the linear layers.

    Raises:
        InputError: ``out_channels`` or ``reduction`` is not a positive
            integer, or ``reduction`` exceeds ``in_channels``.
    """

    branch = ProjectionBranch

    def __init__(self, in_channels: int, num_joints: int | None = None,
                 num_frames: int | None = None, out_channels: int = 256,
                 reduction: int = 8, init_cfg: dict = LINEAR_INIT) -> None:
        super().__init__(out_channels, init_cfg)
        self.spatial, self.temporal = (
            self.branch(in_channels, length, out_channels, reduction)
            for length in (num_joints, num_frames))
