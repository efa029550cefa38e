"""Compares a checkpoint with the model, and refuses one that does not fit."""
from typing import Dict, List, NamedTuple, Optional, Set

import torch
import torch.nn as nn
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop
from torch.nn.parameter import is_lazy

from ...models import Decoupler, MemoryBank
from ...utils.checkpoint_file import name_loaded
from ...utils.input_error import InputError
from ...utils.model_parts import find_prefixes, unwrap

FINE_TUNE = 'set load_from to it and leave out resume'


class Mismatch(NamedTuple):
    """The tensors of a checkpoint and a model that differ, by name."""
    shapes: Dict[str, str]  # name -> the two shapes, in words
    missing: List[str]  # in the checkpoint
    extra: List[str]  # not in the model

    def __str__(self) -> str:
        texts = [f'{name} is {text}' for name, text in self.shapes.items()]
        for title, names in (('missing in the checkpoint', self.missing),
                             ('not in the model', self.extra)):
            layers = dict.fromkeys(name.rpartition('.')[0] or name
                                   for name in names)
            texts += [f'{title}: {", ".join(layers)}'] if layers else []
        return '; '.join(texts)


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Compares the tensors and the stream of a checkpoint with the model.

    MMEngine loads the tensors that fit and ignores the rest, so a random layer
    may be tested. Here it depends on what the checkpoint is loaded for:

    - fine-tuning (``load_from``): tensors of another shape, and the bias of
      such a weight, start from scratch, with a warning.
    - resuming: every mismatch is an error.
    - testing, with a Runner or by :func:`load_to_test`: a mismatch is an
      error, except in the decoupler, and except for additional tensors
      outside the encoder.

    ``MemoryBankHook`` compares memory banks. A checkpoint that has no
    parameter of the model is always an error.
    """

    # before hooks that work with the state dict
    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Adapt the checkpoint, or raise an ``InputError``."""
        model, file = unwrap(runner.model), name_loaded(runner)
        # the training loop is built before this only if there is training
        if isinstance(runner._train_loop, BaseLoop) and not runner._resume:
            _fit_to_fine_tune(model, checkpoint, file, runner.logger)
        elif runner._resume:
            _require_fit_to_resume(model, checkpoint, file)
        else:
            _fit_to_test(model, checkpoint, file)


def load_to_test(model: nn.Module, checkpoint: dict, file: str) -> Set[str]:
    """Load weights as testing does, without a Runner.

    ``checkpoint`` may be only a state dict; ``file`` is its name in messages.

    Returns:
        set[str]: The decoupler's tensors that keep their initial values.
    """
    mismatch = _fit_to_test(model, checkpoint, file)
    banks = find_prefixes(model, MemoryBank)
    model.load_state_dict(
        {name: tensor for name, tensor in _state_dict(checkpoint).items()
         if not name.startswith(banks)}, strict=False)
    return {*mismatch.shapes, *mismatch.missing}


def _fit_to_test(model: nn.Module, checkpoint: dict, file: str) -> Mismatch:
    mismatch = _compare(model, checkpoint, file)
    decoupler = find_prefixes(model, Decoupler)
    wrong = Mismatch(
        {name: text for name, text in mismatch.shapes.items()
         if not name.startswith(decoupler)},
        [name for name in mismatch.missing if not name.startswith(decoupler)],
        [name for name in mismatch.extra if name.startswith('backbone.')])
    if any(wrong):
        raise InputError(
            f'{file} does not fit the model to be tested: {wrong}. Test with '
            f'the config of its training; to fine-tune from it, {FINE_TUNE}.')
    _require_stream(model, checkpoint, file)
    _remove_unfit(mismatch, checkpoint)
    return mismatch


def _fit_to_fine_tune(model: nn.Module, checkpoint: dict, file: str,
                      logger) -> None:
    mismatch = _compare(model, checkpoint, file)
    _remove_unfit(mismatch, checkpoint)
    own, state_dict = _own_tensors(model), _state_dict(checkpoint)
    loaded = sum(name in state_dict for name in own)
    anew = mismatch.shapes or mismatch.missing
    (logger.warning if anew else logger.info)(
        f'{file}: {loaded} of {len(own)} tensors are loaded'
        + (', the others start from scratch' if anew else '')
        + (f'; {mismatch}.' if any(mismatch) else '.'))
    try:
        _require_stream(model, checkpoint, file)
    except InputError as error:
        logger.info(f'Fine-tuning on another stream: {error}')


def _require_fit_to_resume(model: nn.Module, checkpoint: dict,
                           file: str) -> None:
    absent = [part for part in ('meta', 'message_hub', 'optimizer')
              if not isinstance(checkpoint.get(part), dict)]
    if absent:
        raise InputError(
            f'{file} has no {", no ".join(absent)}, so training cannot resume '
            f'from it. To start from its weights, {FINE_TUNE}.')
    mismatch = _compare(model, checkpoint, file)
    if any(mismatch):
        raise InputError(f'{file}: training cannot resume from it: {mismatch}.'
                         f' To start from the weights that fit, {FINE_TUNE}.')
    _require_stream(model, checkpoint, file)


def _require_stream(model: nn.Module, checkpoint: dict, file: str) -> None:
    """Raise if a checkpoint names another stream than that of the model."""
    seen = (checkpoint.get('meta') or {}).get('stream')  # older: not there
    expected = find_stream(model)
    if None not in (seen, expected) and seen != expected:
        raise InputError(
            f'{file} was trained on the stream {seen!r}, but the model takes '
            f'{expected!r}; expected --stream {seen} (short for --cfg-options '
            f'model.data_preprocessor.stream={seen}).')


def find_stream(model: nn.Module) -> Optional[str]:
    """The stream that a model takes; None if it does not compute one."""
    return getattr(getattr(model, 'data_preprocessor', None), 'stream', None)


def _state_dict(checkpoint: dict) -> dict:
    return checkpoint.get('state_dict', checkpoint)


def _own_tensors(model: nn.Module) -> Dict[str, torch.Tensor]:
    """Tensors that a checkpoint should have: all but the memory banks."""
    banks = find_prefixes(model, MemoryBank)
    return {name: tensor for name, tensor in model.state_dict().items()
            if isinstance(tensor, torch.Tensor)
            and not name.startswith(banks)}


def _compare(model: nn.Module, checkpoint: dict, file: str) -> Mismatch:
    """Find what differs; raise an ``InputError`` if nothing fits.

    The counters of batch norm may be missing, as in old checkpoints. Names in
    the checkpoint lose the prefix ``module.``.
    """
    own, state_dict = _own_tensors(model), _state_dict(checkpoint)
    banks = find_prefixes(model, MemoryBank)
    for name in list(state_dict):
        if name.startswith('module.'):  # as the Runner does after the hooks
            state_dict[name.removeprefix('module.')] = state_dict.pop(name)
    shapes = {
        name: f'{_shape(state_dict[name])}, expected {_shape(tensor)}'
        for name, tensor in own.items()
        if name in state_dict and not is_lazy(tensor)
        and _shape(state_dict[name]) != _shape(tensor)}
    missing = [name for name in own if name not in state_dict
               and not name.endswith('num_batches_tracked')]
    extra = [name for name in state_dict
             if name not in own and not name.startswith(banks)]
    if {*shapes, *missing}.issuperset(
            name for name, _ in model.named_parameters()):
        raise InputError(
            f'{file} has no parameter of the model; it has '
            f'{", ".join(list(state_dict)[:3])}, ..., expected '
            f'{", ".join(list(own)[:3])}, ...')
    return Mismatch(shapes, missing, extra)


def _shape(value) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) \
        else type(value).__name__


def _remove_unfit(mismatch: Mismatch, checkpoint: dict) -> None:
    """Remove tensors of another shape, and the bias of such a weight."""
    state_dict = _state_dict(checkpoint)
    for name in mismatch.shapes:
        state_dict.pop(name, None)
        if name.endswith('.weight'):
            state_dict.pop(f'{name.removesuffix("weight")}bias', None)
