"""Features of a trained model, and how well they tell classes apart."""
from typing import Dict, Sequence

import numpy as np
import torch
import torch.nn as nn
from rich.progress import track
from sklearn.linear_model import LinearRegression
from sklearn.metrics import pairwise_distances, r2_score, silhouette_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors

from ..datasets.training_sequences import carry_names

# array that extract() returns -> title
FEATURES = dict(global_='global', spatial='spatial', temporal='temporal')
MOST = 5000  # sequences measured: time and memory grow quadratically


@torch.inference_mode()
def extract(model: nn.Module, loader) -> Dict[str, np.ndarray]:
    """Compute the features of N sequences, averaged over their clips.

    Args:
        model (nn.Module): A recognizer, in eval mode.
        loader (DataLoader): Built from a config's ``test_dataloader``.

    Returns:
        dict[str, ndarray]: ``names``, ``labels``, ``predictions`` (N,);
        ``global_`` (N, C), the mean of the encoder's output; with a decoupler
        ``spatial`` and ``temporal`` (N, D); with an attentive one
        ``attention_joints`` (N, M, V') and ``attention_frames`` (N, M, T'),
        which sum to 1; and ``classes``, if the data set names them.
    """
    carry_names(loader.dataset)
    batches = [_extract_batch(model, batch)
               for batch in track(loader, description='features')]
    arrays = {name: np.concatenate([batch[name] for batch in batches])
              for name in batches[0]}
    if 'classes' in loader.dataset.metainfo:
        arrays['classes'] = np.array(loader.dataset.metainfo['classes'])
    return arrays


def _extract_batch(model: nn.Module, batch: dict) -> Dict[str, np.ndarray]:
    inputs = model.data_preprocessor(batch, training=False)['inputs']
    samples, (n, clips) = batch['data_samples'], inputs.shape[:2]
    feats = model.backbone(inputs.flatten(0, 1))  # (N * clips, M, C, T, V)
    scores = model.cls_head.average_clip(model.cls_head(feats), clips)
    found = dict(global_=feats.mean(dim=(1, 3, 4)),
                 **_decouple(model.cls_head, feats))
    return dict(
        names=np.array([sample.metainfo.get('frame_dir', '')
                        for sample in samples]),
        labels=torch.cat([sample.gt_label for sample in samples]).numpy(),
        predictions=scores.argmax(dim=1).cpu().numpy(),
        **{name: array.unflatten(0, (n, clips)).mean(dim=1).cpu().numpy()
           for name, array in found.items()})


def _decouple(head: nn.Module, feats: torch.Tensor) -> Dict[str, torch.Tensor]:
    """Vectors and attention of the decoupler, for (N, M, C, T, V)."""
    decoupler = getattr(head, 'decoupler', None)
    if decoupler is None:
        return {}
    found = dict(zip(('spatial', 'temporal'), decoupler(feats)))  # (N, D)
    if hasattr(decoupler.spatial, 'attention'):
        persons, maps = feats.shape[:2], feats.flatten(0, 1)  # (N M, C, T, V)
        for name, branch, dim in (
                ('attention_joints', decoupler.spatial, 2),
                ('attention_frames', decoupler.temporal, 3)):
            attention = branch.attention(maps.mean(dim=dim))[:, 0]
            found[name] = attention.unflatten(0, persons)
    return found


def measure(features: np.ndarray, labels: np.ndarray,
            nearest: Sequence[int] = (1, 5)) -> Dict[str, float]:
    """Measure how well features tell classes apart, by cosine distance.

    Args:
        features (ndarray): (N, D), none of them zero. Of more than
            :data:`MOST` sequences a fixed random subset is measured.
        labels (ndarray): (N,), of 2 to N - 1 classes.
        nearest (sequence[int]): Numbers of neighbours for retrieval.

    Returns:
        dict[str, float]: ``intra`` and ``inter``, the mean distance of two
        sequences of one class and of two classes; ``silhouette``, -1 to 1;
        ``precision@k``, the share of the k nearest neighbours of a sequence
        that are of its class.
    """
    kept = subset(len(features))
    features, labels = features[kept], labels[kept]
    distance = pairwise_distances(features, metric='cosine')  # (N, N)
    same = labels[:, None] == labels
    others = ~np.eye(len(labels), dtype=bool)
    order = NearestNeighbors(metric='precomputed').fit(distance).kneighbors(
        n_neighbors=min(max(nearest), len(labels) - 1), return_distance=False)
    hits = labels[order] == labels[:, None]  # nearest first, without itself
    return dict(
        intra=float(distance[same & others].mean()),
        inter=float(distance[~same].mean()),
        silhouette=float(silhouette_score(distance, labels,
                                          metric='precomputed')),
        **{f'precision@{k}': float(hits[:, :k].mean()) for k in nearest})


def linear_share(features: np.ndarray, others: np.ndarray) -> float:
    """Share of the variance of features (N, D) that others (N, C) explain.

    By a linear regression, in five-fold cross-validation, on the same subset.
    1 means that they add nothing to the others.
    """
    kept = subset(len(features))
    guessed = cross_val_predict(
        LinearRegression(), others[kept], features[kept],
        cv=KFold(5, shuffle=True, random_state=0))  # (N, D)
    return float(r2_score(features[kept], guessed,
                          multioutput='variance_weighted'))


def subset(number: int) -> np.ndarray:
    """Choose at most :data:`MOST` of ``number`` indices, in order."""
    return np.sort(np.random.default_rng(0).permutation(number)[:MOST])
