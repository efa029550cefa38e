"""Hyperformer, an encoder with attention over joints and body parts."""
from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch.autograd.function import once_differentiable

from ...utils.input_error import require_multiple, require_positive
from ...utils.skeleton_layout import SkeletonLayout
from .spatial_temporal_encoder import SpatialTemporalEncoder


class _JointAttention(torch.autograd.Function):
    """Attention over joints that needs few passes over memory.

    For B frames, H heads of D channels and X extra keys (the context)::

        logits = (q_i . k_j + sum_x (q_i . context_x + bias_x) S_ixj) / sqrt(D)
        out_i  = sum_j (alpha * softmax_j(logits) + outer_ij) v_j
    """

    @staticmethod
    def forward(ctx, qkv: torch.Tensor, context: torch.Tensor,
                bias: torch.Tensor, selection: torch.Tensor,
                alpha: torch.Tensor, outer: torch.Tensor) -> torch.Tensor:
        """Apply the attention, and return a tensor (B, V, H * D).

        The shapes are qkv (B, V, 3, H, D), context (B, H, X, D), bias
        (B, H, X), selection S (V, X, V), alpha (1,) and outer (H, V, V).
        """
        b, v, _, h, d = qkv.shape
        scale = d**-0.5
        q, k, value = qkv.permute(2, 0, 3, 1, 4).reshape(3, b * h, v, d)
        context = context.flatten(0, 1)  # (B H, X, D)
        # scale early, because float16 overflows beyond 65504
        of_context = torch.baddbmm(bias.reshape(b * h, 1, -1), q, context.mT,
                                   beta=scale, alpha=scale)
        logits = torch.baddbmm(q.new_zeros(1, 1, 1), q, k.mT, beta=0,
                               alpha=scale)  # (B H, V, V)
        # joint i is the batch axis, because each joint has its own S
        logits.transpose(0, 1).baddbmm_(of_context.transpose(0, 1), selection)
        weights = logits.softmax(dim=-1).view(b, h, v, v)
        y = torch.bmm(_attention(weights, alpha, outer), value)
        ctx.save_for_backward(q, k, value, weights, context, selection, alpha,
                              outer)
        return y.view(b, h, v, d).transpose(1, 2).reshape(b, v, h * d)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: torch.Tensor) -> tuple:
        """Compute the gradients of all inputs except ``selection``."""
        (q, k, value, weights, context, selection, alpha,
         outer) = ctx.saved_tensors
        b, h, v, _ = weights.shape
        d = q.shape[-1]
        grad = grad.reshape(b, v, h, d).transpose(1, 2).reshape(b * h, v, d)
        grad_value = torch.bmm(_attention(weights, alpha, outer).mT, grad)
        grad_attention = torch.bmm(grad, value.mT).view_as(weights)
        # gradient of the softmax; the gradient of alpha reuses ``inner``
        product = grad_attention * weights
        inner = product.sum(dim=-1, keepdim=True)
        grad_logits = product.addcmul_(weights, inner, value=-1)
        grad_logits = grad_logits.mul_(alpha * d**-0.5).flatten(0, 1)
        grad_of_context = torch.bmm(  # (B H, V, X)
            grad_logits.transpose(0, 1), selection.mT).transpose(
                0, 1).contiguous()

        grad_q = torch.bmm(grad_logits, k).baddbmm_(grad_of_context, context)
        grad_k = torch.bmm(grad_logits.mT, q)
        grad_context = torch.bmm(grad_of_context.mT, q)
        return (torch.stack([part.view(b, h, v, d).transpose(1, 2)
                             for part in (grad_q, grad_k, grad_value)], dim=2),
                grad_context.view(b, h, -1, d),
                grad_of_context.sum(dim=1).view(b, h, -1),
                None,
                inner.sum(dtype=alpha.dtype).view(1),
                grad_attention.sum(dim=0, dtype=outer.dtype))


def _attention(weights: torch.Tensor, alpha: torch.Tensor,
               outer: torch.Tensor) -> torch.Tensor:
    """Return alpha * weights + outer, shape (B * H, V, V)."""
    dtype = weights.dtype  # the dtype of autocast
    return torch.addcmul(outer.to(dtype), weights,
                         alpha.to(dtype)).flatten(0, 1)


class HypergraphAttention(BaseModule):
    """Hypergraph self-attention over the joints of each frame.

    See Hyperformer, section on hypergraph self-attention. The queries q, keys
    k and values v are projections of the layer-normalized input x, with H
    heads of D channels; e is computed from x before normalization. r contains
    one vector for each head and number of hops, and P(j) is the body part of
    joint j::

        e_j    = W_e * mean of x over the joints of P(j)
        logits = (q_i . (k_j + e_j + r_hops(i,j)) + w . e_j) / sqrt(D)
        out_i  = sum_j (alpha * softmax_j(logits) + outer_ij) v_j

    followed by a grouped 1x1 convolution and a residual connection. All
    vectors r and e act as extra keys (the context), and a constant matrix
    selects the products to add to each logit.

    ``in_channels`` is C, and ``out_channels`` is H * D. ``groups`` are those
    of the convolution. ``parts``, (V,), is the body part of each joint,
    numbered from 0, and ``hops``, (V, V), the hops between each pair.
    """

    def __init__(self, in_channels: int, out_channels: int, num_heads: int,
                 groups: int, parts: torch.Tensor, hops: torch.Tensor) -> None:
        super().__init__()
        num_joints = len(parts)
        self.num_heads = num_heads
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
        self.skip = nn.Identity() if in_channels == out_channels else (
            nn.Linear(in_channels, out_channels, bias=False))
        member = F.one_hot(parts).float().T  # (P, V)
        self.register_buffer('mean_of_part', member / member.sum(
            dim=1, keepdim=True), persistent=False)
        # one-hot codes of the hops from i to j, and of the part of j
        self.register_buffer('selection', torch.cat([
            F.one_hot(hops).float().mT, member.expand(num_joints, -1, -1)],
            dim=1), persistent=False)

    def context(self, x: torch.Tensor) -> tuple:
        """Compute the extra keys of the attention and their biases.

        Maps x, (B, V, C), to r and e, (B, H, X, D), and to their biases, 0
        and w . e, (B, H, X). X is the number of vectors r and e.
        """
        pooled = self.mean_of_part @ x  # (B, P, C)
        # w . (W_e x) = (w W_e) x, so one extra channel for each head suffices
        weight, w = self.hyperedge.weight, self.hyperedge_bias
        of_bias = (w[:, None] @ weight.unflatten(0, w.shape))[:, 0]  # (H, C)
        e, bias = F.linear(pooled, torch.cat([weight, of_bias])).split(
            [len(weight), len(w)], dim=2)
        e = e.unflatten(2, w.shape).transpose(1, 2)  # (B, H, P, D)
        hops = self.hop_embedding.transpose(0, 1)  # (H, hops, D)
        return (torch.cat([hops.to(e.dtype).expand(x.shape[0], -1, -1, -1), e],
                          dim=2), F.pad(bias.mT, (hops.shape[1], 0)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, T, V) to (N, C', T, V), both channels-last in memory."""
        n, _, t, v = x.shape
        x = x.permute(0, 2, 3, 1).flatten(0, 1)  # (B, V, C), B = N T
        qkv = self.qkv(self.norm(x)).view(n * t, v, 3, self.num_heads, -1)
        context, bias = self.context(x)
        with torch.autocast(x.device.type, enabled=False):
            y = _JointAttention.apply(
                qkv, context, bias, self.selection.to(qkv.dtype), self.alpha,
                self.outer)
        y = self.project(y, self.skip(x))
        return y.view(n, t, v, -1).permute(0, 3, 1, 2)

    def project(self, x: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        """Apply ``proj`` as a product, and add the shortcut, (B, V, C')."""
        groups = self.proj.groups
        weight = self.proj.weight.view(groups, -1, x.shape[-1] // groups)
        y = torch.baddbmm(self.proj.bias.view(groups, 1, -1),
                          x.view(-1, groups, weight.shape[2]).transpose(0, 1),
                          weight.mT)  # (groups, B V, C' / groups)
        return (shortcut.reshape(y.shape[1], groups, -1)
                + y.transpose(0, 1)).reshape(x.shape)


@MODELS.register_module()
class Hyperformer(SpatialTemporalEncoder):
    """Hypergraph transformer for skeleton-based action recognition.

    Y. Zhou et al., arXiv 2211.09590. Feature maps are channels-last in memory.

    Args:
        layout (str | dict): The skeleton layout, whose edges define the hops.
            Its parts are the hyperedges.
        base_channels (int): Channels of the first block. Defaults to 216.
        num_heads (int): Number of attention heads. Defaults to 9.
        proj_groups (int): Groups of the output projection. Defaults to 6.
        inflate_stages (sequence[int]): Blocks, counted from 1, that double the
            channels. Defaults to none.
        **kwargs: See :class:`SpatialTemporalEncoder`, whose defaults are the
            paper's values.

    Raises:
        InputError: ``layout`` is unknown, ``base_channels`` is not a multiple
            of ``num_heads`` and ``proj_groups``, or a number is not positive.
    """

    def __init__(self, layout: str | dict, base_channels: int = 216,
                 num_heads: int = 9, proj_groups: int = 6,
                 inflate_stages: Sequence[int] = (), **kwargs) -> None:
        layout = SkeletonLayout.get(layout)
        require_positive('Hyperformer', num_heads=num_heads,
                         proj_groups=proj_groups)
        for name, number in dict(num_heads=num_heads,
                                 proj_groups=proj_groups).items():
            require_multiple('Hyperformer', 'base_channels', base_channels,
                             number, f'which is {name}')
        # renumber the parts from 0, without gaps
        parts = torch.unique(torch.tensor(layout.parts),
                             return_inverse=True)[1]
        hops = torch.tensor(layout.hops)

        def spatial(in_channels: int, out_channels: int
                    ) -> HypergraphAttention:
            return HypergraphAttention(in_channels, out_channels, num_heads,
                                       proj_groups, parts, hops)

        super().__init__(layout, spatial, base_channels=base_channels,
                         inflate_stages=inflate_stages, **kwargs)
