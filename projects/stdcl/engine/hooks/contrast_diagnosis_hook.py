"""Watches what the contrast does to the encoder, and how old the banks are."""
from typing import Dict, List

import torch
import torch.nn.functional as F
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from ...models import ClassBalancedMemoryBank, Decoupler, STDCLMixin
from ...models.unit_vectors import unit_vectors

SCALE = 2.**12  # keeps small gradients of a half-precision encoder from 0


@HOOKS.register_module()
class ContrastDiagnosisHook(Hook):
    """Adds scalars to the training log that tell why contrast helps, or not.

    - ``gradient_cls``, ``gradient_spatial``, ``gradient_temporal``: norm of
      each loss's gradient at the encoder's output, as weighted in the
      objective, the mean over the sequences of a batch (times its size, so
      that it does not depend on it).
    - ``gradient_cosine``: cosine between that of ``loss_cls`` and that of the
      other losses together: below 0 they are at odds.
    - ``positive_spatial``, ``negative_spatial``, ``positive_temporal``,
      ``negative_temporal``: mean cosine similarity of a sequence's new vector
      and the slots of its class (its own left out), and of other classes.
    - ``staleness_spatial``, ``staleness_temporal``: 1 - cosine similarity of
      a sequence's new vector and that in its slot, as of its last visit. Not
      with a bank without a slot for each sequence.
    - ``attention_spatial``, ``attention_temporal``: perplexity of the
      attention over joints and over frames, divided by their number: 1 is a
      plain mean, which the classifier has as well. Of a decoupler with
      attention.

    They cost a backward pass of the head for each loss, and a product with
    each bank. A plain head gives ``gradient_cls`` alone.
    """

    def before_train(self, runner) -> None:
        """Wrap the head's loss."""
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        self.head, self.loss = model.cls_head, model.cls_head.loss
        self.head.loss = self._diagnosed_loss

    def after_train(self, runner) -> None:
        """Unwrap it."""
        del self.head.loss  # the class's own is behind it

    def _diagnosed_loss(self, feats: torch.Tensor, data_samples: List,
                        **kwargs) -> Dict[str, torch.Tensor]:
        contrasts = isinstance(self.head, STDCLMixin)
        before = self._slots(data_samples) if contrasts else {}
        losses = self.loss(feats, data_samples, **kwargs)
        scalars = gradient_norms(feats, losses)
        if contrasts:
            scalars.update(self._similarities(feats, data_samples, before))
            scalars.update(attention_spread(self.head.decoupler, feats))
        return {**losses, **scalars}

    def _banks(self) -> dict:
        return dict(spatial=self.head.spatial_bank,
                    temporal=self.head.temporal_bank)

    def _slots(self, data_samples: List) -> dict:
        """What the banks hold of the sequences of a batch, (N, D)."""
        indices = _indices(data_samples)
        return {name: bank.features[indices].float()
                for name, bank in self._banks().items()
                if not isinstance(bank, ClassBalancedMemoryBank)}

    @torch.no_grad()
    def _similarities(self, feats: torch.Tensor, data_samples: List,
                      before: dict) -> dict:
        indices = torch.tensor(_indices(data_samples), device=feats.device)
        labels = torch.cat([sample.gt_label for sample in data_samples]
                           ).to(feats.device)
        scalars = {}
        for (name, bank), vectors in zip(self._banks().items(),
                                         self.head.decoupler(feats)):
            vectors = unit_vectors(vectors).float()
            with torch.autocast(feats.device.type, enabled=False):
                similarity = vectors @ bank.features.float().T  # (N, S)
            same = bank.labels == labels[:, None]
            others = (bank.labels >= 0) & ~same
            # the slots' sequences; a plain bank has them in order
            held = getattr(bank, 'indices', torch.arange(
                len(bank), device=feats.device))
            same &= held != indices[:, None]
            if name in before:
                seen = before[name].any(dim=1)
                stale = 1 - F.cosine_similarity(vectors, before[name])
                scalars[f'staleness_{name}'] = _mean(stale, seen)
            scalars[f'positive_{name}'] = _mean(similarity, same)
            scalars[f'negative_{name}'] = _mean(similarity, others)
        return scalars


@torch.no_grad()
def attention_spread(decoupler: Decoupler,
                     feats: torch.Tensor) -> Dict[str, torch.Tensor]:
    """How much of the joints and frames the attention of a decoupler covers.

    Args:
        decoupler (Decoupler): With attention, or without.
        feats (Tensor): The encoder's output, shape (N, M, C, T, V).

    Returns:
        dict[str, Tensor]: ``attention_spatial``, ``attention_temporal``, from
        1 / L for a single one of L to 1 for all alike; empty without
        attention.
    """
    maps = feats.flatten(0, 1)  # (N M, C, T, V)
    scalars = {}
    for name, pooled in (('spatial', maps.mean(dim=2)),
                         ('temporal', maps.mean(dim=3))):  # (N M, C, L)
        branch = getattr(decoupler, name)
        if hasattr(branch, 'attention'):
            attention = branch.attention(pooled).float()  # (N M, 1, L)
            perplexity = torch.special.entr(attention).sum(dim=-1).exp()
            scalars[f'attention_{name}'] = (
                perplexity / attention.shape[-1]).mean()
    return scalars


def gradient_norms(feats: torch.Tensor,
                   losses: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """Norms of the losses' gradients at the encoder's output.

    Args:
        feats (Tensor): The encoder's output, shape (N, ...), in the graph.
        losses (dict[str, Tensor]): Scalars; those named ``loss_*`` count.

    Returns:
        dict[str, Tensor]: ``gradient_*`` for each, and ``gradient_cosine`` if
        there is more than one; empty in a step without gradients.
    """
    if not feats.requires_grad:
        return {}
    gradients = {
        name[len('loss_'):]: _gradient(loss, feats)
        for name, loss in losses.items() if name.startswith('loss_')}
    scalars = {f'gradient_{name}': len(feats) * gradient.norm(dim=1).mean()
               for name, gradient in gradients.items()}
    rest = [gradient for name, gradient in gradients.items() if name != 'cls']
    if 'cls' in gradients and rest:
        with torch.autocast(feats.device.type, enabled=False):
            scalars['gradient_cosine'] = F.cosine_similarity(
                gradients['cls'], sum(rest)).mean()
    return scalars


def _gradient(loss: torch.Tensor, feats: torch.Tensor) -> torch.Tensor:
    """Gradient of a loss at the encoder's output, float32, (N, ...)."""
    gradient, = torch.autograd.grad(loss, feats, retain_graph=True,
                                    grad_outputs=torch.full_like(loss, SCALE))
    return gradient.flatten(1).float() / SCALE


def _indices(data_samples: List) -> list:
    return [sample.metainfo['sample_idx'] for sample in data_samples]


def _mean(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Mean of the values that count; 0 if none does."""
    return values.where(where, 0).sum() / where.sum().clamp(min=1)
