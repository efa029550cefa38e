"""A training step on random clips, to compile or time."""
from typing import Union

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from projects.stdcl.apis.clip_shape import find_clip_shape
from projects.stdcl.compat.accuracy_on_device import top_k_accuracy
from projects.stdcl.models import STDCLMixin


def fill_banks(head: STDCLMixin, num_sequences: int) -> None:
    """Fill the banks with random features, as in the first epoch."""
    for indices in torch.arange(num_sequences).split(256):
        for bank in (head.spatial_bank, head.temporal_bank):
            bank.update(
                F.normalize(torch.randn(len(indices), bank.features.shape[1])),
                indices % head.num_classes, indices)


class TrainingStep:
    """Forward and backward pass of a model on one batch of random clips.

    Calling the step returns the loss and leaves the gradients in the
    parameters of ``model``. To compile it, replace ``loss``, a function of the
    batch: ``step.loss = torch.compile(step.loss, fullgraph=True)``.

    Args:
        cfg (Config): Config that contains the model.
        batch_size (int): Number N of clips. Defaults to 16.
        num_sequences (int): Size of the training set, which determines the
            size of the banks. Defaults to 1,020, as for NW-UCLA.
        device (str | torch.device): Device of the model. Defaults to 'cpu'. On
            the device 'meta', nothing is computed.
    """

    def __init__(self, cfg: Config, batch_size: int = 16,
                 num_sequences: int = 1020,
                 device: Union[str, torch.device] = 'cpu') -> None:
        init_default_scope(cfg.get('default_scope') or 'mmaction')
        self.model = MODELS.build(cfg.model)
        self.head = self.model.cls_head
        if isinstance(self.head, STDCLMixin):
            self.head.resize_banks(
                num_sequences, -(-num_sequences // self.head.num_classes))
            fill_banks(self.head, num_sequences)
        self.model.to(device).train()
        clips = torch.rand(batch_size, 1, *find_clip_shape(cfg, self.model))
        indices = torch.arange(batch_size)
        self.batch = [tensor.to(device) for tensor in (
            clips, indices % self.head.num_classes, indices)]

    def __call__(self) -> torch.Tensor:
        """Compute the loss and the gradients."""
        self.model.zero_grad()
        loss = self.loss(*self.batch)
        loss.backward()
        return loss.detach()

    def loss(self, clips: torch.Tensor, labels: torch.Tensor,
             indices: torch.Tensor) -> torch.Tensor:
        """Compute the training accuracy and return the sum of the losses.

        In contrast to MMEngine's ``train_step``, all arguments are tensors:
        clips (N, 1, M, T, V, C), classes (N,) and indices in the training set
        (N,).
        """
        clips = self.model.data_preprocessor.make_stream(clips)
        feats, _ = self.model.extract_feat(clips)
        scores = self.head(feats)
        top_k_accuracy(scores.detach(), labels, self.head.topk)
        loss = self.head.loss_cls(scores, labels)
        if isinstance(self.head, STDCLMixin):
            losses = self.head.contrast(feats, labels, indices)
            loss = loss + losses['loss_spatial'] + losses['loss_temporal']
        return loss
