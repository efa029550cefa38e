"""Compute the training accuracy on the device of the scores.

``BaseHead.loss_by_feat`` of MMAction2 1.2.0 counts top-k hits in NumPy, so
each training step copies the scores to the CPU and stalls the GPU (not
reported upstream). This patch counts them on the device. The result is the
same unless scores are tied.
"""
import torch
import torch.nn.functional as F
from mmaction.models.heads import BaseHead


def top_k_accuracy(scores: torch.Tensor, labels: torch.Tensor,
                   topk: tuple) -> list:
    """Return a scalar accuracy per k, from scores (N, C) and labels (N,)."""
    deepest = min(max(topk, default=0), scores.shape[1])
    ranked = scores.topk(deepest, dim=1).indices  # (N, deepest)
    hits = ranked == labels[:, None]
    return [hits[:, :k].any(dim=1).float().mean() for k in topk]


def loss_by_feat(self, cls_scores: torch.Tensor, data_samples: list) -> dict:
    """Compute losses as ``BaseHead`` does, and accuracies on the device.

    ``cls_scores`` has shape (N, num_classes). Soft labels yield no accuracy.
    """
    labels = torch.stack([sample.gt_label for sample in data_samples])
    labels = labels.to(  # (N, 1) or (N, num_classes)
        cls_scores.device, non_blocking=True)
    losses = dict()
    if labels.shape != cls_scores.shape:
        labels = labels.flatten()  # (N,)
        accuracies = top_k_accuracy(cls_scores.detach(), labels, self.topk)
        losses.update({f'top{k}_acc': accuracy
                       for k, accuracy in zip(self.topk, accuracies)})
    if self.label_smooth_eps != 0:
        if labels.dim() == 1:
            labels = F.one_hot(labels, self.num_classes)
        labels = ((1 - self.label_smooth_eps) * labels
                  + self.label_smooth_eps / self.num_classes)
    loss = self.loss_cls(cls_scores, labels)
    losses.update(loss if isinstance(loss, dict) else dict(loss_cls=loss))
    return losses


def apply() -> None:
    """Patch the method in MMAction2's base class of all heads."""
    BaseHead.loss_by_feat = loss_by_feat
