"""Vectors of length 1."""
import torch
import torch.nn.functional as F

SHORTEST = 1e-6  # below it a direction is but rounding


def unit_vectors(vectors: torch.Tensor) -> torch.Tensor:
    """L2-normalise rows, in float32.

    A row shorter than 1e-6 has no direction: it becomes zero, and so does its
    gradient, which would be a million times that of others and more. A row
    that is not finite becomes NaN, to be seen.

    Args:
        vectors (Tensor): Shape (N, D).

    Returns:
        Tensor: Float32, shape (N, D), rows of norm 1, 0 or NaN.
    """
    vectors = vectors.float()
    short = vectors.detach().norm(dim=1, keepdim=True) < SHORTEST
    return F.normalize(vectors.masked_fill(short, 0), dim=1)
