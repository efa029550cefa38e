"""Compute accuracies that agree with the confusion matrix.

MMAction2 1.2.0's mean class accuracy counts a predicted class without
sequences as 0. Among tied scores, its top-k accuracy selects the last
class, and its confusion matrix the first (neither is reported upstream).
"""
import numpy as np
from mmaction.evaluation.metrics import acc_metric


def mean_class_accuracy(scores, labels) -> float:
    """Return the mean class accuracy of scores (N, C) for labels (N,)."""
    hits, labels = np.argmax(scores, axis=1) == labels, np.asarray(labels)
    return float(np.mean([hits[labels == label].mean()
                          for label in np.unique(labels)]))


def top_k_accuracy(scores, labels, topk=(1, )) -> list[float]:
    """Return an accuracy per k of scores (N, C) for labels (N,)."""
    ranked = np.argsort(-np.asarray(scores, float), axis=1, kind='stable')
    hits = ranked == np.asarray(labels).reshape(len(ranked), 1)
    return [float(hits[:, :k].any(axis=1).mean()) for k in topk]


def apply() -> None:
    """Replace the functions in ``AccMetric``."""
    acc_metric.top_k_accuracy = top_k_accuracy
    acc_metric.mean_class_accuracy = mean_class_accuracy
