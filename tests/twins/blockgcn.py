"""Twins of the parts of BlockGCN, slow but easy to verify."""
import numpy as np
import torch
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform


def tree_lengths(points: torch.Tensor) -> np.ndarray:
    """Return the edge lengths of a minimum spanning tree of points (V, D)."""
    return minimum_spanning_tree(squareform(pdist(points.numpy()))).data


def topology_features(joints: torch.Tensor, centers: torch.Tensor,
                      sharpness: torch.Tensor) -> torch.Tensor:
    """Map joints (N, M, T, V, D), with E ``centers``, to features (N, E)."""
    rows = []
    for sequence in joints:
        mean = sequence.mean(dim=0)  # (T, V, D)
        v = mean.shape[1]
        distances = torch.stack([torch.stack([
            (mean[:, i] - mean[:, j]).mean(dim=0).norm() for j in range(v)])
            for i in range(v)])
        lengths = tree_lengths(distances / distances.max())
        rows.append(torch.stack([sum(torch.exp(
            -(s[0] * c[0])**2 - (s[1] * (c[1] - d))**2) for d in lengths)
            for c, s in zip(centers, sharpness)]))
    return torch.stack(rows)


def block_gc(x: torch.Tensor, weight: torch.Tensor, hop_weight: torch.Tensor,
             hops: torch.Tensor, conv: torch.Tensor, bias: torch.Tensor
             ) -> torch.Tensor:
    """Map x, (N, C, T, V), to (N, C', T, V), before batch norm; see BlockGC.

    The shapes are (H, K, C / H, C' / H) for ``conv`` and (K, C') for ``bias``.
    """
    heads, subsets, width, _ = conv.shape
    out = []
    for h in range(heads):
        part = x[:, h * width:(h + 1) * width]
        y = 0
        for k in range(subsets):
            table = hop_weight[k, h][hops]
            matrix = weight[k, h] / (weight[k, h].norm(dim=0) + 1e-4)
            matrix = matrix + table / (table.norm(dim=0) + 1e-4)
            z = torch.einsum('nctv,vw->nctw', part, matrix)
            y = y + torch.einsum('nctw,cd->ndtw', z, conv[h, k])
        out.append(y)
    return torch.cat(out, dim=1) + bias.sum(dim=0)[:, None, None]
