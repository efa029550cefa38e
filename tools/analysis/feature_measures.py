"""How well features tell classes apart, by the angles between them."""
from typing import Dict, Sequence

import numpy as np
from sklearn.metrics import silhouette_score


def measure(features: np.ndarray, labels: np.ndarray,
            nearest: Sequence[int] = (1, 5)) -> Dict[str, float]:
    """Distances within and between classes, silhouette, retrieval.

    A distance is 1 minus the cosine.

    Args:
        features (ndarray): (N, D), not zero.
        labels (ndarray): (N,), of two classes or more.
        nearest (sequence[int]): Numbers of neighbours for retrieval.

    Returns:
        dict[str, float]: ``intra``, the mean distance of two sequences of a
        class; ``inter``, of two classes; ``silhouette``, -1 to 1;
        ``precision@k``, the share of a sequence's k nearest that are of its
        class.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T  # (N, N)
    same = labels[:, None] == labels
    itself = np.eye(len(labels), dtype=bool)
    order = np.where(itself, np.inf, distance).argsort(axis=1, kind='stable')
    hits = labels[order] == labels[:, None]  # (N, N), nearest first
    return dict(
        intra=float(distance[same & ~itself].mean()),
        inter=float(distance[~same].mean()),
        silhouette=float(silhouette_score(unit, labels, metric='cosine')),
        **{f'precision@{k}': float(hits[:, :k].mean()) for k in nearest})
