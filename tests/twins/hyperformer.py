"""Twin of Hyperformer as published, slow but easy to verify.

Each of the four terms of the attention is a separate tensor. Every block
builds the matrix of parts and the table of positions in each forward pass.
The parameters have the same names as in the encoder's published checkpoints.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from tests.twins.ctrgcn import MultiScaleTCN, TenBlocks, outer_residual


class HypergraphAttention(nn.Module):
    """Attention over the joints of a frame, with H heads of d channels.

    It maps C = ``in_channels`` to H * d = ``channels``. ``hops``, (V, V), are
    the distances between joints.
    """

    def __init__(self, in_channels, channels, num_heads, hops):
        super().__init__()
        num_point = len(hops)
        self.num_heads = num_heads
        self.head_dim = channels // num_heads  # d
        self.scale = self.head_dim**-0.5
        self.register_buffer('hops', hops.detach().clone(), persistent=False)
        self.rpe = nn.Parameter(torch.zeros(int(hops.max()) + 1, channels))
        self.w1 = nn.Parameter(torch.zeros(num_heads, self.head_dim))
        self.outer = nn.Parameter(
            torch.eye(num_point).repeat(num_heads, 1, 1))  # (H, V, V)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.kv = nn.Conv2d(in_channels, channels * 2, 1, bias=False)
        self.q = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.proj = nn.Conv2d(channels, channels, 1, groups=6)

    def split(self, x):
        """Map (N, H * d, T, V) to (N, T, H, V, d)."""
        n, _, t, v = x.shape
        x = x.view(n, self.num_heads, self.head_dim, t, v)
        return x.permute(0, 3, 1, 4, 2)

    def forward(self, x, e):
        """Map x, (N, C, T, V), and part features e to (N, H * d, T, V)."""
        n, _, t, v = x.shape
        q = self.split(self.q(x))  # (N, T, H, V, d) each
        k, values = map(self.split, self.kv(x).chunk(2, dim=1))
        e = self.split(e)
        r = self.rpe[self.hops].view(v, v, self.num_heads, self.head_dim)

        joint_to_joint = q @ k.transpose(-2, -1)  # (N, T, H, V, V)
        joint_to_hop = torch.einsum('nthic,ijhc->nthij', q, r)
        joint_to_part = torch.einsum('nthic,nthjc->nthij', q, e)
        part = torch.einsum('hc,nthjc->nthj', self.w1, e)[..., None, :]
        logits = joint_to_joint + joint_to_hop + joint_to_part + part
        attention = (logits * self.scale).softmax(dim=-1)

        y = (self.alpha * attention + self.outer) @ values  # (N, T, H, V, d)
        y = y.permute(0, 2, 4, 1, 3).reshape(n, -1, t, v)
        return self.proj(y)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (N, C, T, V)."""

    def forward(self, x):
        """Normalize each position, keeping the shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class SpatialAttention(nn.Module):
    """Spatial part: norm, hyperedges, attention and residual path."""

    def __init__(self, in_channels, channels, num_heads, hops, joint_label):
        super().__init__()
        self.register_buffer(
            'joint_label', torch.as_tensor(joint_label), persistent=False)
        self.norm1 = ChannelNorm(in_channels)
        self.attn = HypergraphAttention(in_channels, channels, num_heads, hops)
        self.skip_proj = nn.Identity() if in_channels == channels else (
            nn.Conv2d(in_channels, channels, 1, bias=False))
        self.pe_proj = nn.Conv2d(in_channels, channels, 1, bias=False)

    def forward(self, x):
        """Map (N, C, T, V) to (N, H * d, T, V)."""
        member = F.one_hot(self.joint_label).to(x)  # (V, P)
        mean = x @ (member / member.sum(dim=0))  # (N, C, T, P)
        # each joint receives the features of its part, (N, H * d, T, V)
        e = self.pe_proj(mean)[..., self.joint_label]
        return self.attn(self.norm1(x), e) + self.skip_proj(x)


class Block(nn.Module):
    """Block with a spatial part, a temporal part and a residual path."""

    def __init__(self, in_channels, channels, num_heads, hops, joint_label,
                 stride=1):
        super().__init__()
        self.vit1 = SpatialAttention(
            in_channels, channels, num_heads, hops, joint_label)
        self.tcn1 = MultiScaleTCN(channels, stride)
        self.residual = outer_residual(in_channels, channels, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        """Map (N, C, T, V) to (N, H * d, T / stride, V)."""
        return self.relu(self.tcn1(self.vit1(x)) + self.residual(x))


class HyperformerTwin(TenBlocks):
    """Hyperformer with its classifier.

    ``hops`` are the distances between joints, and ``joint_label`` lists the
    body part of each joint. All blocks have ``base_channels``.
    """

    def __init__(self, *, hops, joint_label, num_classes=60, num_point=25,
                 num_person=2, in_channels=3, base_channels=216,
                 num_heads=9):
        super().__init__()
        width = base_channels
        same = (num_heads, hops, joint_label)
        self.data_bn = nn.BatchNorm1d(num_person * num_point * in_channels)
        for number in range(1, 11):
            self.add_module(f'l{number}', Block(
                in_channels if number == 1 else width, width, *same,
                stride=2 if number in (5, 8) else 1))
        self.fc = nn.Linear(width, num_classes)
        self.num_person = num_person
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / num_classes))
