"""Batch norm that is accurate for channels-last maps on a CPU."""
from math import gcd

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

CHANNELS_LAST = torch.channels_last


class _Normalize(torch.autograd.Function):
    """Batch norm in training mode, with sums of few terms.

    PyTorch adds all values of a channel to one float32 number. This function
    divides the maps into parts, gives each part channels of its own, and
    combines their sums.
    """

    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor,
                bias: torch.Tensor, eps: float) -> tuple:
        """Return the result, (N, C, T, V), and the mean and variance, (C,)."""
        means, variances = (
            one.view(-1, len(weight)) for one in
            torch.batch_norm_update_stats(_parts(x), None, None, 0.))
        mean = means.mean(dim=0)
        variance = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias,
                            eps=eps), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: torch.Tensor, *_) -> tuple:
        """Compute the gradients of the maps, the weight and the bias."""
        x, weight, mean, scale = ctx.saved_tensors
        grad = grad.contiguous(memory_format=CHANNELS_LAST)
        parts, count = _parts(x), x.numel() // len(mean)
        _, products, sums = torch.ops.aten.native_batch_norm_backward(
            _parts(grad), parts, None, None, None,
            mean.repeat(parts.shape[1] // len(mean)),
            torch.ones_like(parts[0]), True, 0., [False, True, True])
        # sums of grad * (x - mean) and of grad
        product, total = (one.view(-1, len(mean)).sum(dim=0)
                          for one in (products, sums))
        gain, product = weight * scale, product * scale
        # slope * (x - mean) + shift + gain * grad
        slope, shift = -gain * scale * product / count, -gain * total / count
        grad_x = F.batch_norm(x, mean, torch.ones_like(mean), slope, shift,
                              eps=0.).addcmul_(grad, gain[:, None, None])
        return grad_x, product, total, None


def _parts(x: torch.Tensor) -> torch.Tensor:
    """View channels-last maps (N, C, T, V) as (A, B * C).

    A is at most 1,024 or 8 N, because rounding errors grow with A.
    """
    n, _, t, _ = x.shape
    return x.permute(0, 2, 3, 1).reshape(
        n * (t if n * t <= 1024 else gcd(t, 8)), -1)


class BatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` that treats all memory formats equally well.

    On a CPU, PyTorch's rounding errors are larger for channels-last maps.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize maps (N, C, T, V)."""
        if not (self.training and x.is_cpu and x.dtype == torch.float32
                and not x.is_contiguous() and self.momentum is not None
                and x.is_contiguous(memory_format=CHANNELS_LAST)):
            return super().forward(x)
        y, mean, variance = _Normalize.apply(x, self.weight, self.bias,
                                             self.eps)
        count = x.numel() // len(mean)
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return y
