"""A training step on random clips, to count, compile or time."""
import contextlib
from typing import Union
from unittest import mock

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils._python_dispatch import TorchDispatchMode

from ..apis.clip_shape import find_clip_shape
from ..compat.accuracy_on_device import top_k_accuracy
from ..models import STDCLMixin

# operations that compute nothing, in addition to views
FREE = ('empty', 'empty_like', 'empty_strided', 'new_empty',
        'new_empty_strided', '_unsafe_view', 'is_same_size')


class TrainingStep:
    """Forward and backward pass of a model on one batch of random clips.

    Calling the step returns the loss and leaves the gradients in the
    parameters of ``model``. To compile it, replace ``loss``, a function of the
    batch: ``step.loss = torch.compile(step.loss, fullgraph=True)``.

    Args:
        cfg (Config): The config.
        batch_size (int): Number N of clips. Defaults to 16.
        num_sequences (int): Size of the training set, which determines the
            size of the banks. Defaults to 1,020, as for NW-UCLA.
        device (str | torch.device): Defaults to 'cpu'. On the device 'meta',
            nothing is computed.
    """

    def __init__(self, cfg: Config, batch_size: int = 16,
                 num_sequences: int = 1020,
                 device: Union[str, torch.device] = 'cpu') -> None:
        init_default_scope(cfg.get('default_scope') or 'mmaction')
        self.model = MODELS.build(cfg.model)
        self.head = self.model.cls_head
        if isinstance(self.head, STDCLMixin):
            self.head.resize_banks(num_sequences)
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


class OperationCounter(TorchDispatchMode):
    """Mode that counts operations, except views and allocations."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Count one operation, and run it."""
        name = function.__name__.partition('.')[0]
        self.count += not function.is_view and name not in FREE
        return function(*args, **(kwargs or {}))


def count_operations(cfg: Config) -> int:
    """Count the operations that a training step would start on a GPU.

    An operation is one of PyTorch's library (aten), and starts at least one
    kernel on a GPU. Views, allocations and the optimizer do not count.
    """
    # on the meta device, the code takes the same branches as on a GPU
    step = TrainingStep(cfg, device='meta')
    with meta_autocast(), OperationCounter() as counter:
        step()
    return counter.count


@contextlib.contextmanager
def meta_autocast():
    """Let ``torch.autocast`` accept the meta device, without effect."""
    autocast = torch.autocast

    def accept(device_type: str, **kwargs):
        return contextlib.nullcontext() if device_type == 'meta' else autocast(
            device_type, **kwargs)

    with mock.patch('torch.autocast', accept):
        yield
