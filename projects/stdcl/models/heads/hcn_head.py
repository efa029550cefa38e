"""The classifier of HCN, with and without STD-CL."""
from collections.abc import Sequence

import torch
import torch.nn as nn
from mmaction.models.heads import BaseHead
from mmaction.registry import MODELS

from ...utils.input_error import InputError, require_positive
from .stdcl_head import STDCLMixin

LINEAR_INIT = dict(type='Xavier', layer='Linear', distribution='uniform',
                   bias=0)


@MODELS.register_module()
class HCNHead(BaseHead):
    """The classifier of HCN (IJCAI 2018, layers fc7 and fc8).

    The head takes the maximum over persons and flattens it. A hidden layer
    with ReLU and dropout follows. A linear layer then returns the logits.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels C of the feature map, four times the
            encoder's ``base_channels``. Defaults to 256.
        feature_size (sequence[int]): (T', W'), both a 16th of ``num_frames``
            of the encoder. Defaults to (4, 4).
        hidden_channels (int): Size of the hidden layer. Defaults to 512.
        dropout_ratio (float): Dropout after the hidden layer. Defaults to 0.5.
        average_clips (str, optional): See ``BaseHead``. Defaults to 'prob'.
        init_cfg (dict): Defaults to Xavier uniform with zero bias.
        **kwargs: See ``BaseHead``.

    Raises:
        InputError: ``hidden_channels`` or ``feature_size`` is not positive.
        ValueError: ``feature_size`` does not have two entries.
    """

    def __init__(self, num_classes: int, in_channels: int = 256,
                 feature_size: Sequence[int] = (4, 4),
                 hidden_channels: int = 512, dropout_ratio: float = 0.5,
                 average_clips: str = 'prob', init_cfg: dict = LINEAR_INIT,
                 **kwargs) -> None:
        super().__init__(num_classes, in_channels, init_cfg=init_cfg,
                         average_clips=average_clips, **kwargs)
        self.feature_size = tuple(feature_size)
        require_positive(type(self).__name__, hidden_channels=hidden_channels,
                         feature_size=self.feature_size)
        height, width = self.feature_size
        self.fc7 = nn.Linear(in_channels * height * width, hidden_channels)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc8 = nn.Linear(hidden_channels, num_classes)

    def forward(self, x: torch.Tensor, **kwargs) -> torch.Tensor:
        """Map (N, M, C, T', W') to logits (N, classes).

        An ``InputError`` is raised unless C is ``in_channels`` and (T', W')
        is ``feature_size``.
        """
        channels, *size = x.shape[2:]
        if (channels, *size) != (self.in_channels, *self.feature_size):
            raise InputError(
                f'{type(self).__name__}: the encoder returns {channels} '
                f'channels of size {(*size, )}, but in_channels is '
                f'{self.in_channels} and feature_size is {self.feature_size}. '
                f'Set model.cls_head.in_channels={channels} and '
                f'model.cls_head.feature_size={(*size, )}.')
        x = x.amax(dim=1).flatten(1)  # (N, C * T' * W')
        x = self.dropout(self.relu(self.fc7(x)))  # (N, hidden_channels)
        return self.fc8(x)


@MODELS.register_module()
class STDCLHCNHead(STDCLMixin, HCNHead):
    """:class:`HCNHead` with the arguments of :class:`STDCLMixin`."""
