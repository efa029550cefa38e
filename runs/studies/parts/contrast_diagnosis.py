"""Measure the effect of the contrastive loss on the encoder."""
import torch
import torch.nn.functional as F
from mmaction.registry import HOOKS
from mmengine.hooks import Hook

from projects.stdcl.models import ClassBalancedMemoryBank, STDCLMixin
from projects.stdcl.models.unit_vectors import unit_vectors
from projects.stdcl.utils.model_parts import unwrap

SCALE = 2.**12  # prevents underflow of half-precision gradients


@HOOKS.register_module()
class ContrastDiagnosisHook(Hook):
    """Hook that logs scalars about the effect of the contrastive loss.

    In the names of the scalars, ``*`` is ``spatial`` or ``temporal``:

    - ``gradient_cls``, ``gradient_*``: norm of the gradient of each weighted
      loss at the encoder's output, averaged over the sequences of a batch and
      multiplied by the batch size, because the loss is a mean over the batch.
    - ``gradient_cosine``: mean cosine similarity between the gradient of
      ``loss_cls`` and the sum of the other gradients. If it is negative, the
      losses conflict.
    - ``positive_*``, ``negative_*``: mean cosine similarity between a new
      vector and the other slots of its class, or the slots of other classes.
    - ``staleness_*``: 1 minus the cosine similarity between the new vector of
      a sequence and the vector that its slot held before the step. It is
      logged only for banks with one slot per sequence.

    For a head without STD-CL, the hook logs only ``gradient_cls``. With
    ``contrast_block``, ``gradient_*`` and ``gradient_cosine`` are 0, because
    the contrastive losses do not depend on the encoder's output.
    """

    def before_train(self, runner) -> None:
        """Wrap the head's loss."""
        self.head = unwrap(runner.model).cls_head
        self.loss = self.head.loss
        self.head.loss = self._diagnosed_loss

    def after_train(self, runner) -> None:
        """Restore the head's loss."""
        del self.head.loss  # restores the method of the class

    def _diagnosed_loss(self, feats: torch.Tensor, data_samples: list,
                        **kwargs) -> dict[str, torch.Tensor]:
        contrasts = isinstance(self.head, STDCLMixin)
        indices = [sample.metainfo.get('sample_idx')
                   for sample in data_samples]
        before = {  # stored features (N, D) of the batch
            name: bank.features[indices].float()
            for name, bank in (self._banks() if contrasts else {}).items()
            if not isinstance(bank, ClassBalancedMemoryBank)}
        losses = self.loss(feats, data_samples, **kwargs)
        scalars = gradient_norms(feats, losses)
        if contrasts:
            scalars.update(self._similarities(feats, data_samples, indices,
                                              before))
        return {**losses, **scalars}

    def _banks(self) -> dict:
        return dict(spatial=self.head.spatial_bank,
                    temporal=self.head.temporal_bank)

    @torch.no_grad()
    def _similarities(self, feats: torch.Tensor, data_samples: list,
                      indices: list, before: dict) -> dict:
        indices = torch.tensor(indices, device=feats.device)
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
            # in a plain bank, slot i belongs to sequence i
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


def gradient_norms(feats: torch.Tensor,
                   losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Compute the ``gradient_*`` scalars of the losses named ``loss_*``.

    ``feats`` is the encoder's output, (N, ...), in the autograd graph. If it
    does not require gradients, the result is empty.
    """
    if not feats.requires_grad:
        return {}
    gradients = {}  # name -> gradient (N, D)
    for name, loss in losses.items():
        if name.startswith('loss_'):
            # with contrast_block, contrastive losses do not depend on feats
            gradient, = torch.autograd.grad(
                loss, feats, torch.full_like(loss, SCALE), retain_graph=True,
                allow_unused=True, materialize_grads=True)
            gradients[name.removeprefix('loss_')] = gradient.flatten(
                1).float() / SCALE
    scalars = {f'gradient_{name}': len(feats) * gradient.norm(dim=1).mean()
               for name, gradient in gradients.items()}
    rest = [gradient for name, gradient in gradients.items() if name != 'cls']
    if 'cls' in gradients and rest:
        with torch.autocast(feats.device.type, enabled=False):
            scalars['gradient_cosine'] = F.cosine_similarity(
                gradients['cls'], sum(rest)).mean()
    return scalars


def _mean(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return the mean of the selected values, or 0 if there are none."""
    return values.where(where, 0).sum() / where.sum().clamp(min=1)
