"""A control that classifies the decoupled vectors without contrast."""
from typing import Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS

from ...utils.input_error import require_positive
from .cross_sequence_contrastive_loss import require_temperature


@MODELS.register_module()
class CosineCrossEntropy(nn.Module):
    """Cross entropy of a cosine classifier, which ignores the memory bank.

    The logits are the cosine similarities of an anchor to one learned vector
    per class, divided by the temperature. Use this loss in place of
    :class:`CrossSequenceContrastiveLoss` to measure what comparing sequences
    contributes beyond supervising the decoupled vectors.

    Args:
        num_classes (int): Number of classes.
        feat_dim (int): Size D of the vectors. Defaults to 256.
        temperature (float): Divisor of the similarities. Defaults to 0.1.

    Raises:
        InputError: ``num_classes``, ``feat_dim`` or ``temperature`` is not
            positive.
    """

    def __init__(self, num_classes: int, feat_dim: int = 256,
                 temperature: float = 0.1) -> None:
        super().__init__()
        require_positive(type(self).__name__, num_classes=num_classes,
                         feat_dim=feat_dim)
        require_temperature(self, temperature)
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
