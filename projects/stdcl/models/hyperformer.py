"""Hyperformer (arXiv 2211.09590): attention over joints and body parts."""
from typing import Optional, Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule

from ..utils.skeleton_layout import SkeletonLayout
from .spatial_temporal_encoder import SpatialTemporalEncoder


class HypergraphAttention(BaseModule):
    """Hypergraph self-attention over the joints of each frame.

    With q, k, v of the layer-normed input, of H heads with D channels, r a
    vector for each head and number of hops, P(j) the part of joint j::

        e_j    = W_e * mean of x over the joints of P(j)
        logits = (q_i . (k_j + e_j + r_hops(i,j)) + w . e_j) / sqrt(D)
        out_i  = sum_j (alpha * softmax_j(logits) + outer_ij) v_j

    then a 1x1 convolution in groups, plus the input. Here q, k and v are one
    product; e is computed for the parts, not for the joints, with w . e as
    further channels; and as k and e meet the same q, they are added first.

    Args:
        in_channels (int): Channels C.
        out_channels (int): Channels C' = H * D.
        num_heads (int): H.
        groups (int): Groups of the last convolution.
        parts (Tensor): Part of each joint, shape (V,), from 0.
        hops (Tensor): Hops between each two joints, shape (V, V).
    """

    def __init__(self, in_channels: int, out_channels: int, num_heads: int,
                 groups: int, parts: torch.Tensor, hops: torch.Tensor) -> None:
        super().__init__()
        num_joints = len(parts)
        self.heads = num_heads
        self.scale = (out_channels // num_heads)**-0.5
        self.norm = nn.LayerNorm(in_channels)
        self.qkv = nn.Linear(in_channels, 3 * out_channels, bias=False)
        self.hyperedge = nn.Linear(in_channels, out_channels, bias=False)
        self.hyperedge_bias = nn.Parameter(
            torch.zeros(num_heads, out_channels // num_heads))  # w
        self.hop_embedding = nn.Parameter(torch.zeros(
            int(hops.max()) + 1, num_heads, out_channels // num_heads))  # r
        self.alpha = nn.Parameter(torch.zeros(1))
        self.outer = nn.Parameter(
            torch.eye(num_joints).repeat(num_heads, 1, 1))
        self.proj = nn.Conv1d(out_channels, out_channels, 1, groups=groups)
        self.skip = nn.Identity() if in_channels == out_channels else \
            nn.Linear(in_channels, out_channels, bias=False)
        member = F.one_hot(parts).float()  # (V, P)
        self.register_buffer('member', member, persistent=False)
        self.register_buffer('mean_of_part', member.T / member.sum(
            dim=0)[:, None], persistent=False)  # (P, V)
        self.register_buffer('hops', hops, persistent=False)

    def hyperedges(self, x: torch.Tensor) -> tuple:
        """Features e of the parts, at the joints, and w . e.

        Args:
            x (Tensor): Shape (B, V, C).

        Returns:
            tuple[Tensor, Tensor]: Shapes (B, V, H D) and (B, H, V).
        """
        pooled = self.mean_of_part @ x  # (B, P, C)
        # w . (W_e x) = (w W_e) x: one more channel for each head
        weight = self.hyperedge.weight
        bias = (self.hyperedge_bias[:, None] @ weight.unflatten(
            0, self.hyperedge_bias.shape))[:, 0]  # (H, C)
        e = F.linear(pooled, torch.cat([weight, bias]))  # (B, P, H D + H)
        e = self.member @ e  # (B, V, H D + H)
        e, bias = e.split([len(weight), self.heads], dim=2)
        return e, bias.mT

    def attention(self, q: torch.Tensor, k: torch.Tensor,
                  bias: torch.Tensor) -> torch.Tensor:
        """Weights of the joints for each other.

        Args:
            q (Tensor): Queries, shape (B, V, H, D).
            k (Tensor): Keys with the hyperedges added, the same shape.
            bias (Tensor): w . e, shape (B, H, V).

        Returns:
            Tensor: Shape (B, H, V, V), from joint j in the last axis.
        """
        hop = torch.einsum('bihd,ijhd->bhij', q, self.hop_embedding[self.hops])
        logits = torch.baddbmm(
            (hop + bias[:, :, None]).flatten(0, 1),
            q.transpose(1, 2).flatten(0, 1),
            k.transpose(1, 2).flatten(0, 1).mT,
            beta=self.scale, alpha=self.scale)  # (B H, V, V)
        weights = logits.softmax(dim=-1).view(hop.shape)
        return torch.addcmul(self.outer, weights, self.alpha)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, T, V), channels last in memory, to (N, C', T, V)."""
        n, _, t, v = x.shape
        x = x.permute(0, 2, 3, 1).flatten(0, 1)  # (B, V, C), B = N T
        qkv = self.qkv(self.norm(x)).view(n * t, v, 3, self.heads, -1)
        q, k, value = qkv.unbind(dim=2)  # (B, V, H, D)
        e, bias = self.hyperedges(x)
        attention = self.attention(q, k + e.view(k.shape), bias)
        y = attention @ value.transpose(1, 2)  # (B, H, V, D)
        y = y.transpose(1, 2).flatten(2)  # (B, V, C')
        y = self.grouped_projection(y) + self.skip(x)
        return y.view(n, t, v, -1).permute(0, 3, 1, 2)

    def grouped_projection(self, x: torch.Tensor) -> torch.Tensor:
        """The 1x1 convolution in groups: (B, V, C') to the same shape."""
        groups = self.proj.groups
        weight = self.proj.weight.view(groups, -1, self.proj.weight.shape[1])
        y = x.view(-1, groups, weight.shape[2]).transpose(0, 1)
        y = torch.bmm(y, weight.mT)  # (groups, B V, C' / groups)
        return y.transpose(0, 1).reshape(x.shape) + self.proj.bias


@MODELS.register_module()
class Hyperformer(SpatialTemporalEncoder):
    """Hypergraph transformer for skeleton-based action recognition.

    Y. Zhou et al., arXiv 2211.09590. Channels last in memory.

    Args:
        layout (str | dict): The skeleton layout; hops are counted on its
            edges, and its parts are the hyperedges.
        base_channels (int): Width of all blocks. Defaults to 216.
        num_heads (int): Attention heads. Defaults to 9.
        proj_groups (int): Groups of the convolution after the attention.
            Defaults to 6.
        parts (sequence[int], optional): Body part of each joint, in place of
            the layout's. Defaults to None.
        **kwargs: As in :class:`SpatialTemporalEncoder`, with the paper's
            values as defaults.

    Raises:
        ValueError: The width cannot be divided among heads or groups, or
            ``parts`` does not fit the layout.
    """

    def __init__(self,
                 layout,
                 base_channels: int = 216,
                 num_heads: int = 9,
                 proj_groups: int = 6,
                 parts: Optional[Sequence[int]] = None,
                 inflate_stages: Sequence[int] = (),
                 **kwargs) -> None:
        layout = SkeletonLayout.get(layout)
        for name, number in dict(num_heads=num_heads,
                                 proj_groups=proj_groups).items():
            if base_channels % number:
                raise ValueError(
                    f'Hyperformer: base_channels is {base_channels}, expected '
                    f'a multiple of {name} = {number}.')
        parts = layout.parts if parts is None else parts
        if not all(isinstance(part, int) for part in parts):
            raise ValueError(f'Hyperformer: parts is {tuple(parts)}, expected '
                             'whole numbers.')
        if len(parts) != layout.num_joints:
            raise ValueError(
                f'Hyperformer: parts has {len(parts)} entries, expected one '
                f'for each of the {layout.num_joints} joints of layout '
                f'"{layout.name}".')
        self.attention = dict(
            num_heads=num_heads, groups=proj_groups,
            # numbered from 0 without gaps
            parts=torch.unique(torch.tensor(parts), return_inverse=True)[1],
            hops=torch.tensor(layout.hops))
        super().__init__(layout, base_channels=base_channels,
                         inflate_stages=inflate_stages, **kwargs)

    def build_spatial(self, in_channels: int,
                      out_channels: int) -> HypergraphAttention:
        return HypergraphAttention(in_channels, out_channels,
                                   **self.attention)
