"""A recognizer that sets the sizes of its decoupler."""
from typing import Optional, Sequence

import torch
from mmaction.models.recognizers import RecognizerGCN
from mmaction.registry import MODELS

from ...utils.clip_check import (
    check_channels,
    check_clip_shape,
    fitting_shape,
)
from ...utils.input_error import InputError
from ...utils.model_parts import make_stream
from ..decouplers.decoupler import CLIP_SHAPE


@MODELS.register_module()
class STDCLRecognizer(RecognizerGCN):
    """``RecognizerGCN`` that sets the sizes of its decoupler in a dry run.

    The sizes of :class:`ProjectionDecoupler` depend on the encoder's output.
    To set them, a clip of zeros passes through the encoder and the decoupler.

    >>> from mmaction.registry import MODELS
    >>> model = MODELS.build(dict(
    ...     type='STDCLRecognizer', clip_shape=(1, 52, 20, 3),
    ...     backbone=dict(type='CTRGCN', layout='nw-ucla', base_channels=8,
    ...                   num_person=1),
    ...     cls_head=dict(
    ...         type='STDCLHead', num_classes=10, in_channels=32,
    ...         decoupler=dict(type='ProjectionDecoupler'),
    ...         memory_bank=dict(type='MemoryBank'),
    ...         loss_contrast=dict(type='CrossSequenceContrastiveLoss'))))
    >>> model.cls_head.decoupler.temporal.length  # 52 frames, halved twice
    13

    Args:
        args, kwargs: Arguments of ``RecognizerGCN``.
        clip_shape (sequence[int], optional): Shape (M, T, V, C) of a clip:
            persons, frames, joints, channels. Defaults to None, which skips
            the dry run; the decoupler must then know its sizes.

    Raises:
        InputError: The head has no decoupler, ``clip_shape`` is needed but
            missing, or ``clip_shape`` does not fit the model.
    """

    def __init__(self, *args, clip_shape: Optional[Sequence[int]] = None,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.clip_shape = clip_shape
        if not hasattr(self.cls_head, 'decoupler'):
            raise InputError(
                f'model.cls_head is of type {type(self.cls_head).__name__}, '
                f'which has no decoupler, but {type(self).__name__} expects a '
                "head with STD-CL. Without STD-CL, set model.type to "
                "'RecognizerGCN'.")
        if clip_shape is None:
            self.cls_head.decoupler.require_sizes(
                fitting_shape(self, CLIP_SHAPE))
        else:
            check_clip_shape(self, clip_shape)
            self._dry_run(clip_shape)

    @torch.no_grad()
    def _dry_run(self, clip_shape: Sequence[int]) -> None:
        training = self.training
        self.eval()  # batch norm statistics must not include the zeros
        try:
            features = self.backbone(make_stream(
                self.data_preprocessor, torch.zeros(1, *clip_shape)))
        except Exception as error:
            raise InputError(
                f'{type(self.backbone).__name__} fails on a clip of '
                f'model.clip_shape = {tuple(clip_shape)} (persons, frames, '
                f'joints, channels): {" ".join(str(error).split())}'
            ) from error
        check_channels(self, features)
        # drawing the decoupler's weights must not affect those drawn later
        with torch.random.fork_rng(devices=[]):
            self.cls_head.decoupler(features)
        self.train(training)
