"""A decoupler with explicit attention over joints and over frames."""
import torch
import torch.nn as nn
from mmaction.registry import MODELS

from ...utils.sizes import require_positive
from .decoupler import LINEAR_INIT, Decoupler, reduced_channels


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
        reduced = reduced_channels(in_channels, reduction)
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
