"""A recognizer that connects the encoder with the decoupler."""
from collections.abc import Sequence

import torch
from mmaction.models.recognizers import RecognizerGCN
from mmaction.registry import MODELS

from ...utils import clip_check
from ...utils.input_error import InputError
from ...utils.model_parts import make_stream
from ..decouplers.decoupler import CLIP_SHAPE


@MODELS.register_module()
class STDCLRecognizer(RecognizerGCN):
    """``RecognizerGCN`` that sets the sizes of its decoupler in a dry run.

    The sizes of :class:`ProjectionDecoupler` depend on the encoder's output.
    To set them, a clip of zeros passes through the encoder and the decoupler.

    Args:
        args, kwargs: Arguments of ``RecognizerGCN``.
        clip_shape (sequence[int], optional): Shape (M, T, V, C) of a clip:
            persons, frames, joints, channels. Defaults to None, which skips
            the dry run; the decoupler must then know its sizes.
        contrast_block (int, optional): Block of the encoder, counted from 1,
            whose output STD-CL decouples; the list ``blocks``, ``gcn`` or
            ``net`` of the encoder contains the blocks. Defaults to None, the
            encoder's output, as in the paper.

    Raises:
        InputError: The head has no decoupler, ``clip_shape`` is missing or
            does not fit, or the encoder has no block ``contrast_block``.
    """

    def __init__(self, *args, clip_shape: Sequence[int] | None = None,
                 contrast_block: int | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.clip_shape, self.contrast_block = clip_shape, contrast_block
        if not hasattr(self.cls_head, 'decoupler'):
            raise InputError(
                f'model.cls_head is of type {type(self.cls_head).__name__}, '
                'which has no decoupler; expected a head with STD-CL. Without '
                "STD-CL, set model.type to 'RecognizerGCN'.")
        if contrast_block is not None:
            self._contrast_at(contrast_block)
        if clip_shape is None:
            self.cls_head.decoupler.require_sizes(
                clip_check.fitting_shape(self, CLIP_SHAPE))
        else:
            clip_check.check_clip_shape(self, clip_shape)
            self._dry_run(clip_shape)

    def _contrast_at(self, number: int) -> None:
        """Give the decoupler the output of a block as its input."""
        blocks = next((getattr(self.backbone, name) for name in (
            'blocks', 'gcn', 'net') if hasattr(self.backbone, name)), ())
        if not isinstance(number, int) or not 1 <= number <= len(blocks):
            raise InputError(
                f'model.contrast_block is {number!r}, but the encoder '
                f'{type(self.backbone).__name__} has {len(blocks)} blocks '
                '(in a list named blocks, gcn or net), counted from 1.')
        # bound methods, because copies of the model need hooks of their own
        blocks[number - 1].register_forward_hook(self._keep)
        self.backbone.register_forward_hook(self._attach)
        self.cls_head.decoupler.register_forward_pre_hook(self._replace)

    def _keep(self, block, inputs, output: torch.Tensor) -> None:
        self.block_output = output  # (N * M, C, T, V) or (N * M, C, V, T)

    def _attach(self, encoder, inputs, output: torch.Tensor) -> None:
        # a recognizer may call the encoder several times
        output.block_output = self.block_output

    def _replace(self, decoupler, inputs: tuple) -> torch.Tensor:
        """Return the block's output in the shape of the encoder's output."""
        x = getattr(inputs[0], 'block_output', self.block_output)
        if inputs[0].requires_grad and not x.requires_grad:
            raise InputError(
                'The output of model.contrast_block has no gradient: layers '
                'are frozen, or checkpointed without use_reentrant=False.')
        x = x.unflatten(0, inputs[0].shape[:2])
        return (x.transpose(3, 4)
                if getattr(self.backbone, 'time_dim', 2) == 3 else x)

    def __getstate__(self) -> dict:
        # tensors with a graph cannot be copied
        return {**self.__dict__, 'block_output': None}

    def forward(self, *args, **kwargs):
        """Return losses or predictions, as ``RecognizerGCN`` does."""
        outputs = super().forward(*args, **kwargs)
        self.block_output = None  # frees the memory of its graph
        return outputs

    @torch.no_grad()
    def _dry_run(self, clip_shape: Sequence[int]) -> None:
        training = self.training
        self.eval()  # batch norm statistics must not include the zeros
        features = clip_check.try_zeros(
            lambda clips: self.backbone(make_stream(self.data_preprocessor,
                                                    clips)), clip_shape,
            f'model.clip_shape: {type(self.backbone).__name__}')
        clip_check.check_features(self, features, clip_shape[0])
        # drawing the decoupler's weights must not affect those drawn later
        with torch.random.fork_rng(devices=[]):
            clip_check.try_decoupler(self.cls_head, features)
        self.train(training)
