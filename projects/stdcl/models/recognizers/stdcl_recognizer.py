"""A recognizer that fits the decoupler to the encoder at construction."""
from typing import Optional, Sequence

import torch
from mmaction.models.recognizers import RecognizerGCN
from mmaction.registry import MODELS

from ...utils.input_error import InputError


@MODELS.register_module()
class STDCLRecognizer(RecognizerGCN):
    """``RecognizerGCN`` that finds the sizes of its decoupler by a dry run.

    The projection's sizes follow the encoder's output, and have to be known
    before the optimizer is built. A clip of zeros is run through the encoder
    and the decoupler once, which sizes the latter.

    Args:
        args, kwargs: Arguments of ``RecognizerGCN``.
        clip_shape (sequence[int], optional): Shape (M, T, V, C) of a clip:
            persons, frames, joints, channels. May be left out where the
            decoupler has no open sizes.

    Raises:
        ValueError: The head has no decoupler, ``clip_shape`` is missing
            though the decoupler needs it, or the encoder does not take clips
            of that shape.
    """

    def __init__(self,
                 *args,
                 clip_shape: Optional[Sequence[int]] = None,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if not hasattr(self.cls_head, 'decoupler'):
            raise InputError(
                f'model.cls_head is a {type(self.cls_head).__name__}, which '
                f'has no decoupler; expected a head with STD-CL in a '
                f"{type(self).__name__}. Without, model.type is "
                "'RecognizerGCN'.")
        if clip_shape is not None:
            self._dry_run(clip_shape)
        else:
            self.cls_head.decoupler.require_sizes()

    @torch.no_grad()
    def _dry_run(self, clip_shape: Sequence[int]) -> None:
        training = self.training
        self.eval()  # batch norm must not learn from zeros
        try:
            features = self.backbone(torch.zeros(1, *clip_shape))
        except Exception as error:
            raise InputError(
                f'{type(self.backbone).__name__} fails on a clip of '
                f'model.clip_shape = {tuple(clip_shape)} (persons, frames, '
                f'joints, channels): {error}') from error
        with torch.random.fork_rng(devices=[]):  # as in STDCLMixin
            self.cls_head.decoupler(features)
        self.train(training)
