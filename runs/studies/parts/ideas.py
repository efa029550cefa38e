"""Extensions of STD-CL, and controls, that studies try out.

They are not part of the package. Studies import them with ``custom_imports``.
"""
from functools import partial
from typing import Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import HOOKS, MODELS
from mmengine.hooks import Hook
from mmengine.model import ExponentialMovingAverage, is_model_wrapper
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from projects.stdcl.models.decouplers import ProjectionDecoupler
from projects.stdcl.models.decouplers.decoupler import LINEAR_INIT, Decoupler
from projects.stdcl.models.decouplers.projection_decoupler import (
    ProjectionBranch,
)
from projects.stdcl.models.heads import STDCLHead
from projects.stdcl.models.losses import CrossSequenceContrastiveLoss
from projects.stdcl.models.memory_banks.memory_bank import (
    EMPTY,
    MemoryBank,
    merge_sequences,
)
from projects.stdcl.models.unit_vectors import unit_vectors


def _model(runner):
    model = runner.model
    return model.module if is_model_wrapper(model) else model


@HOOKS.register_module()
class RampHook(Hook):
    """Hook that raises both weights linearly from 0 over ``epochs``."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def before_train_epoch(self, runner) -> None:
        """Set the weights, which reach their full values after ``epochs``."""
        head = _model(runner).cls_head
        if not hasattr(self, 'full'):
            self.full = head.spatial_weight, head.temporal_weight
        scale = min(1, (runner.epoch + 1) / self.epochs)
        head.spatial_weight, head.temporal_weight = (
            scale * weight for weight in self.full)


@MODELS.register_module()
class DecorrelatedSTDCLHead(STDCLHead):
    """Head with a loss that makes both vectors of a sequence orthogonal."""

    def __init__(self, *args, orthogonal_weight: float = 1., **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.orthogonal_weight = orthogonal_weight

    def contrast(self, feats, labels, indices):
        """Add the mean squared cosine of the two vectors to the losses."""
        spatial, temporal = unit_vectors(torch.stack(self.decoupler(feats)))
        cosine = (spatial * temporal).sum(dim=1)  # (N,)
        losses = super().contrast(feats, labels, indices)
        losses['loss_orthogonal'] = (
            self.orthogonal_weight * (cosine**2).mean())
        return losses


@HOOKS.register_module()
class MovingAverageHook(Hook):
    """Hook that fills the banks with outputs of a moving-average model."""

    def __init__(self, momentum: float = 0.01) -> None:
        self.momentum = momentum

    def before_train(self, runner) -> None:
        """Copy the encoder and the decoupler; the copies fill the banks."""
        model = _model(runner)
        head, inputs = model.cls_head, {}
        self.averages = [
            ExponentialMovingAverage(part, self.momentum, update_buffers=True)
            for part in (model.backbone, head.decoupler)]
        encoder, decoupler = (average.module for average in self.averages)
        # after copying, because the copy must not have this hook
        model.backbone.register_forward_pre_hook(
            lambda module, args: inputs.update(x=args[0]))

        def contrast(feats, labels, indices):
            vectors = unit_vectors(torch.stack(head.decoupler(feats)))
            with torch.no_grad():
                steady = unit_vectors(torch.stack(decoupler(
                    encoder(inputs['x']))))
            written = merge_sequences(steady, indices)
            banks = head.spatial_bank, head.temporal_bank
            slots = torch.stack([bank.update(rows, labels, indices)
                                 for bank, rows in zip(banks, written)])
            (spatial, temporal), share = head.loss_contrast(
                vectors, labels, slots, [bank.features for bank in banks],
                torch.stack([bank.labels for bank in banks]))
            return dict(loss_spatial=head.spatial_weight * spatial,
                        loss_temporal=head.temporal_weight * temporal,
                        anchor_share=share[1])

        head.contrast = contrast

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        """Update the averages with the weights of the trained parts."""
        model = _model(runner)
        for average, part in zip(self.averages, (
                model.backbone, model.cls_head.decoupler)):
            average.update_parameters(part)


@DATA_SAMPLERS.register_module()
class TwoDrawsSampler(Sampler):
    """Sampler that draws half of the sequences per epoch, each twice."""

    def __init__(self, dataset, shuffle: bool = True, seed: int = 0) -> None:
        self.size, self.seed, self.epoch = len(dataset), seed or 0, 0

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(self.size, generator=generator)
        return iter(order[:len(self)].repeat_interleave(2)[:len(self)
                                                           ].tolist())

    def __len__(self) -> int:
        return self.size

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.epoch = epoch


@MODELS.register_module()
class OwnSlotLoss(CrossSequenceContrastiveLoss):
    """Contrastive loss in which an anchor's own slot is also a positive.

    If a batch contains a sequence twice, its slot holds the mean of both
    vectors, so each vector is pulled toward the other.
    """

    def forward(self, anchors, labels, own_slots, *bank):
        """Compute the loss of anchors that have no own slot."""
        return super().forward(anchors, labels,
                               torch.full_like(own_slots, -1), *bank)


@MODELS.register_module()
class GlobalDecoupler(Decoupler):
    """Decoupler that returns one global feature twice instead of decoupling.

    The global feature is a linear projection of the mean over persons, joints
    and frames. Use it to measure what decoupling contributes.
    """

    def __init__(self, in_channels: int, out_channels: int = 256,
                 init_cfg: dict = LINEAR_INIT) -> None:
        super().__init__(out_channels, init_cfg)
        self.project = nn.Linear(in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Map (N, M, C, T, V) to two equal tensors (N, D)."""
        vector = self.project(x.mean(dim=(1, 3, 4)))
        return vector, vector


class NonlinearProjectionBranch(ProjectionBranch):
    """Nonlinear branch; see :class:`NonlinearProjectionDecoupler`."""

    def __init__(self, in_channels: int, length: int | None, out_channels: int,
                 reduction: int, hidden_channels: int) -> None:
        super().__init__(in_channels, length, hidden_channels, reduction)
        self.reduce = nn.Sequential(self.reduce, nn.ReLU(inplace=True))
        self.head = nn.Sequential(
            nn.BatchNorm1d(hidden_channels), nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, L) to (N, D)."""
        return self.head(super().forward(x))


@MODELS.register_module()
class NonlinearProjectionDecoupler(ProjectionDecoupler):
    """:class:`ProjectionDecoupler` with nonlinear branches.

    The branches of the authors' release are linear. Here, each branch applies
    a 1x1 convolution, ReLU, a linear layer to H ``hidden_channels``, batch
    norm, ReLU, and a linear layer to D. Nonlinear projections of this kind are
    common in contrastive learning (SimCLR, arXiv 2002.05709).
    """

    def __init__(self, *args, out_channels: int = 128,
                 hidden_channels: int = 256, **kwargs) -> None:
        self.branch = partial(NonlinearProjectionBranch,
                              hidden_channels=hidden_channels)
        super().__init__(*args, out_channels=out_channels, **kwargs)


@MODELS.register_module()
class CosineCrossEntropy(nn.Module):
    """Cross entropy of a cosine classifier, which ignores the memory bank.

    The logits are the cosine similarities of an anchor to one learned vector
    per class, divided by the temperature. Use this loss in place of
    :class:`CrossSequenceContrastiveLoss` to measure what comparing sequences
    contributes beyond supervising the decoupled vectors.
    """

    def __init__(self, num_classes: int, feat_dim: int = 256,
                 temperature: float = 0.1) -> None:
        super().__init__()
        self.classes = nn.Parameter(torch.randn(num_classes, feat_dim))
        self.temperature = temperature

    def forward(self, anchors: torch.Tensor, labels: torch.Tensor,
                *bank: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, and 1 as the share of anchors that contribute.

        ``anchors`` has the shape (N, D), or (B, N, D) for B banks. The results
        are scalars, or have the shape (B,).
        """
        with torch.autocast(anchors.device.type, enabled=False):
            logits = anchors.float() @ F.normalize(self.classes, dim=1).T
        losses = F.cross_entropy(
            logits.flatten(end_dim=-2) / self.temperature,
            labels.expand(anchors.shape[:-1]).flatten(), reduction='none')
        loss = losses.view(anchors.shape[:-1]).mean(dim=-1)
        return loss, torch.ones_like(loss)


@MODELS.register_module()
class BatchMemoryBank(MemoryBank):
    """Memory bank that holds only the batch of the current step.

    The batches of all processes together form the bank, so STD-CL contrasts
    sequences within a batch only. It measures what the memory contributes.
    """

    @torch.no_grad()
    def update(self, features: torch.Tensor, labels: torch.Tensor,
               indices: torch.Tensor) -> torch.Tensor:
        """Empty all slots, then call :meth:`MemoryBank.update`."""
        self.labels.fill_(EMPTY)
        return super().update(features, labels, indices)
