"""A decoupler with attention over joints and over frames."""
import torch
import torch.nn as nn
from mmaction.registry import MODELS

from .decoupler import LINEAR_INIT, Decoupler, reduce_channels


class AttentiveBranch(nn.Module):
    """Branch that pools joints or frames by learned attention, then projects.

    A network with C // ``reduction`` hidden channels scores each of the L
    joints or frames. The pooling weights are the softmax of the scores.
    """

    def __init__(self, in_channels: int, out_channels: int,
                 reduction: int) -> None:
        super().__init__()
        hidden = reduce_channels(in_channels, reduction)
        self.score = nn.Sequential(
            hidden, nn.Tanh(), nn.Conv1d(hidden.out_channels, 1, 1))
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
    """Decoupler with explicit attention over joints and over frames.

    The paper (arXiv 2312.15144, abstract) contrasts "attentive features",
    whereas the authors' release has no explicit attention; see
    :class:`ProjectionDecoupler`. The form of the attention is ours. The number
    of frames and joints may vary.

    Args:
        in_channels, out_channels, reduction, init_cfg: As in
            :class:`ProjectionDecoupler`, which raises the same errors.
    """

    def __init__(self, in_channels: int, out_channels: int = 256,
                 reduction: int = 8, init_cfg: dict = LINEAR_INIT) -> None:
        super().__init__(out_channels, init_cfg)
        self.spatial = AttentiveBranch(in_channels, out_channels, reduction)
        self.temporal = AttentiveBranch(in_channels, out_channels, reduction)
