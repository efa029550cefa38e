"""Features of a trained model, and measures of how they separate classes."""
import numpy as np
import torch
import torch.nn as nn
from rich.progress import track
from sklearn.metrics import pairwise_distances, silhouette_score
from sklearn.neighbors import NearestNeighbors

from ..datasets.dataset_access import carry_names
from ..models import HCN
from ..utils import clip_check
from ..utils.input_error import printable

# key of an array from extract() -> name of these features in reports
FEATURES = dict(global_='global', spatial='spatial', temporal='temporal')
NEAREST = 1, 5  # numbers of neighbors for precision@k
MAX_MEASURED = 5000  # N² distances must fit in memory


@torch.inference_mode()
def extract(model: nn.Module, loader) -> dict[str, np.ndarray]:
    """Compute the features of N sequences, averaged over their clips.

    ``model`` is a recognizer in eval mode, and ``loader`` is built from
    ``test_dataloader`` of a config. The arrays are

    - ``names`` ('' if unknown), ``labels`` and ``predictions``, (N,), or
      ``labels``, (N, classes), if sequences have several;
    - ``global_``, the mean of the encoder's output over persons, frames and
      joints, (N, C);
    - if the head has a decoupler, ``spatial`` and ``temporal``, (N, D);
    - if it is an :class:`AttentiveDecoupler`, ``attention_joints``,
      (N, M, V'), except for HCN, and ``attention_frames``, (N, M, T'), which
      sum to 1;
    - if the data set names its classes, ``classes``, their names.

    An ``InputError`` is raised if a score or a feature is not finite.
    """
    carry_names(loader.dataset)
    batches = [_extract_batch(model, batch)
               for batch in track(loader, description='features')]
    arrays = {name: np.concatenate([batch[name] for batch in batches])
              for name in batches[0]}
    meta = getattr(loader.dataset, 'metainfo', {})
    if 'classes' in meta:
        arrays['classes'] = np.array(meta['classes'])
    return arrays


def _extract_batch(model: nn.Module, batch: dict) -> dict[str, np.ndarray]:
    clip_check.require_equal_shapes('test_dataloader', batch['inputs'])
    inputs = model.data_preprocessor(batch, training=False)['inputs']
    samples, (n, clips) = batch['data_samples'], inputs.shape[:2]
    feats, arguments = model.extract_feat(  # (N * clips, M, C, T, V)
        inputs, test_mode=True)
    scores = model.cls_head.average_clip(
        model.cls_head(feats, **arguments), clips)
    found = dict(global_=feats.mean(dim=(1, 3, 4)),
                 **_decouple(model.cls_head, feats))
    if isinstance(model.backbone, HCN):  # its last axis is not the joints
        found.pop('attention_joints', None)
    clip_check.require_finite('test_dataloader', scores, *found.values())
    return dict(
        names=np.array([printable(sample.metainfo.get('frame_dir', ''))
                        for sample in samples]),
        labels=torch.stack([sample.gt_label for sample in samples]).squeeze(
            1).numpy(),
        predictions=scores.argmax(dim=1).cpu().numpy(),
        **{name: array.unflatten(0, (n, clips)).mean(dim=1).cpu().numpy()
           for name, array in found.items()})


def _decouple(head: nn.Module, feats: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the decoupler's outputs for a feature map (N, M, C, T, V)."""
    decoupler = getattr(head, 'decoupler', None)
    if decoupler is None:
        return {}
    seen = []  # with contrast_block, the decoupler's input is not feats
    handle = decoupler.register_forward_hook(
        lambda module, inputs, output: seen.extend(inputs))
    found = dict(zip(('spatial', 'temporal'),  # (N, D)
                     clip_check.try_decoupler(head, feats)))
    handle.remove()
    persons, maps = feats.shape[:2], seen[0].flatten(0, 1)
    for name, kind, dim in (('attention_joints', 'spatial', 2),
                            ('attention_frames', 'temporal', 3)):
        branch = getattr(decoupler, kind, None)
        if hasattr(branch, 'attention'):
            attention = branch.attention(maps.mean(dim=dim))[:, 0]
            found[name] = attention.unflatten(0, persons)
    return found


def measure(features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Measure how well features separate classes, by cosine distance.

    ``features`` are nonzero vectors, (N, D), of which a random subset of up to
    :data:`MAX_MEASURED` is measured. ``labels``, (N,), contains 2 to N - 1
    classes; any other number raises a ``ValueError``. The result contains
    ``intra`` and ``inter``, the mean distance, from 0 to 2, between two
    sequences of the same class and of different classes; ``silhouette``, from
    -1 to 1; and ``precision@1`` and ``precision@5``, the mean share, from 0 to
    1, of a sequence's nearest neighbors that belong to its class.
    """
    kept = subset(len(features))
    features, labels = features[kept], labels[kept]
    distance = pairwise_distances(features, metric='cosine')  # (N, N)
    same = labels[:, None] == labels
    others = ~np.eye(len(labels), dtype=bool)
    order = NearestNeighbors(metric='precomputed').fit(distance).kneighbors(
        n_neighbors=min(NEAREST[-1], len(labels) - 1), return_distance=False)
    hits = labels[order] == labels[:, None]  # nearest first, itself excluded
    return dict(
        intra=float(distance[same & others].mean()),
        inter=float(distance[~same].mean()),
        silhouette=float(silhouette_score(distance, labels,
                                          metric='precomputed')),
        **{f'precision@{k}': float(hits[:, :k].mean()) for k in NEAREST})


def subset(number: int) -> np.ndarray:
    """Return a sample of up to :data:`MAX_MEASURED` of ``number`` indices."""
    return np.sort(np.random.default_rng(0).permutation(number)[:MAX_MEASURED])
