"""How well features tell classes apart, by the angles between them."""
from typing import Dict, Sequence

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.metrics import silhouette_score
from sklearn.model_selection import KFold, cross_val_predict

from projects.stdcl.utils.input_error import InputError

# name in the arrays of extract_features.py -> what to call it
FEATURES = dict(global_='global', spatial='spatial', temporal='temporal')
MOST = 5000  # sequences that are measured; what it takes is quadratic


def measure(features: np.ndarray, labels: np.ndarray,
            nearest: Sequence[int] = (1, 5)) -> Dict[str, float]:
    """Distances within and between classes, silhouette, retrieval.

    A distance is 1 minus the cosine.

    Args:
        features (ndarray): (N, D), not zero. Of more than :data:`MOST`
            sequences a random subset is measured, the same each time.
        labels (ndarray): (N,), of two classes or more, and of fewer than N.
        nearest (sequence[int]): Numbers of neighbours for retrieval.

    Returns:
        dict[str, float]: ``intra``, the mean distance of two sequences of a
        class; ``inter``, of two classes; ``silhouette``, -1 to 1;
        ``precision@k``, the share of a sequence's k nearest that are of its
        class.

    Raises:
        InputError: There are no two classes, as many as sequences, or features
            that are zero or not finite.
    """
    kept = subset(len(features))
    features, labels = features[kept], labels[kept]
    number = len(np.unique(labels))
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not 2 <= number < len(labels):
        raise InputError(f'there are {len(labels)} sequences of {number} '
                         'classes, expected 2 classes or more, and more '
                         'sequences than classes.')
    if not (np.isfinite(lengths).all() and lengths.all()):
        raise InputError('features are zero or not finite, expected those of '
                         'a sound model.')
    unit = features / lengths
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


def linear_share(features: np.ndarray, others: np.ndarray) -> float:
    """How much of features a linear map of others of the sequences gives.

    Args:
        features (ndarray): (N, D).
        others (ndarray): (N, C). Of more than :data:`MOST` sequences a random
            subset is measured, the same each time.

    Returns:
        float: Share of the variance, at sequences that the map was not fitted
        to (five folds). 1: they tell nothing that the others do not.
    """
    kept = subset(len(features))
    features, others = features[kept], others[kept]
    guessed = cross_val_predict(
        LinearRegression(), others, features,
        cv=KFold(5, shuffle=True, random_state=0))  # (N, D)
    return float(1 - ((features - guessed)**2).sum()
                 / ((features - features.mean(axis=0))**2).sum())


def subset(number: int) -> np.ndarray:
    """Indices of at most :data:`MOST` of so many sequences, in order."""
    return np.sort(np.random.default_rng(0).permutation(number)[:MOST])
