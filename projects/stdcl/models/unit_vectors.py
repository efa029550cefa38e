"""L2 normalization that tolerates zero vectors."""
import torch

SHORTEST = 1e-6  # rounding errors dominate the direction of shorter vectors


def unit_vectors(vectors: torch.Tensor) -> torch.Tensor:
    """Normalize each row of (..., D) to unit length, in float32.

    A row shorter than 1e-6 has no meaningful direction. It becomes zero, and
    so does its gradient, which would be huge. A row that is not finite yields
    at least one NaN.
    """
    vectors = vectors.float()
    norm = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / norm.masked_fill(norm < SHORTEST, float('inf'))
