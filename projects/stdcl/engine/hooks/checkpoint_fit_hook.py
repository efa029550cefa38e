"""Says which layers a checkpoint does not fit, or refuses it."""
from typing import Dict, List, NamedTuple, Set

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop
from torch.nn.parameter import is_lazy

from ...models import Decoupler, MemoryBank
from ...utils.checkpoint_file import find_latest
from ...utils.input_error import InputError

MISSING = 'missing in the checkpoint'
OTHER_SHAPE = 'another shape'
EXTRA = 'not in the model'


class Mismatch(NamedTuple):
    """A tensor that the checkpoint or the model has in a form of its own."""
    name: str
    why: str  # one of the three above
    text: str  # the tensor's own name and shapes


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Holds the tensors of a checkpoint against those of the model.

    MMEngine loads what fits and passes over the rest, also where random
    layers would then be tested. Here it depends on what is loaded for:

    - training from ``load_from``: tensors of another shape are taken out of
      the checkpoint, with the bias of a weight that is, and a warning says
      which layers start anew, and why;
    - resuming: every mismatch is an error;
    - testing, validating, and loading outside of a run: a mismatch is an error,
      except that a decoupler may be missing or of another shape, and that the
      checkpoint may have more than the model, though not of the encoder.

    Memory banks are left to ``MemoryBankHook``. A checkpoint of which no
    parameter fits is always an error.
    """

    # before other hooks work with the state dict: default hooks are
    # registered first
    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare, then adapt the checkpoint or refuse it.

        Raises:
            ValueError: The checkpoint does not fit.
        """
        model, file = _unwrapped(runner.model), _file(runner)
        state_dict = checkpoint.get('state_dict', checkpoint)
        own = _own_tensors(model)
        mismatches = _find_mismatches(model, state_dict, file)

        # the training loop is built before this only if there is training
        training = isinstance(runner._train_loop, BaseLoop)
        if runner._resume:
            _refuse(mismatches, f'{file}: training cannot resume from it',
                    'To start from the weights that fit, set load_from to it '
                    'and leave resume out.')
        elif not training:
            _refuse_to_test(mismatches, model, file)
        mismatches += _biases_of(mismatches, own, state_dict)
        for mismatch in mismatches:
            if mismatch.why == OTHER_SHAPE:
                del state_dict[mismatch.name]
        if training and not runner._resume:
            loaded = sum(name in state_dict for name in own)
            _report(mismatches, f'{file}: {loaded} of {len(own)} tensors of the '
                    'model are loaded.', runner.logger)


def load_to_test(model, state_dict: dict, file: str) -> Set[str]:
    """Load weights as testing does, outside of a Runner.

    Args:
        model (nn.Module): The model.
        state_dict (dict): The checkpoint's; its names lose ``module.``.
        file (str): How to call it in messages.

    Returns:
        set[str]: Names of the decoupler's tensors that are not in it, or of
        another shape, which stay as they were.

    Raises:
        InputError: The encoder or the classifier are not the model's.
    """
    mismatches = _find_mismatches(model, state_dict, file)
    _refuse_to_test(mismatches, model, file)
    banks = _prefixes(model, MemoryBank)
    unfit = {mismatch.name for mismatch in mismatches}
    model.load_state_dict(
        {name: tensor for name, tensor in state_dict.items()
         if name not in unfit and not name.startswith(banks)}, strict=False)
    return {name for name in unfit
            if name.startswith(_prefixes(model, Decoupler))}


def _find_mismatches(model, state_dict: dict, file: str) -> List[Mismatch]:
    """Hold a checkpoint against a model; an error if nothing fits."""
    _strip_prefix(state_dict)
    own = _own_tensors(model)
    mismatches = _compare(own, state_dict, _prefixes(model, MemoryBank))
    unfit = {mismatch.name for mismatch in mismatches}
    if unfit.issuperset(name for name, _ in model.named_parameters()):
        raise InputError(
            f'{file}: nothing in it fits the model. It has '
            f'{_some(state_dict)}; expected {_some(own)}.')
    return mismatches


def _refuse_to_test(mismatches: List[Mismatch], model, file: str) -> None:
    decoupler = _prefixes(model, Decoupler)
    _refuse([mismatch for mismatch in mismatches
             if _matters_at_test(mismatch, decoupler)],
            f'{file}: it does not fit the model to be tested',
            'Test with the config of its training. To fine-tune from '
            'it, train with load_from.')


def _unwrapped(model):
    return model.module if is_model_wrapper(model) else model


def _file(runner) -> str:
    file = runner._load_from
    if file is None and runner._resume:
        file = find_latest(runner.work_dir).path
    return 'The checkpoint' if file is None else f'Checkpoint {file}'


def _strip_prefix(state_dict: dict) -> None:
    # Runner does so after the hooks, who would not recognise the names
    for name in list(state_dict):
        if name.startswith('module.'):
            state_dict[name[len('module.'):]] = state_dict.pop(name)


def _prefixes(model, kind: type) -> tuple:
    """What the names of tensors in modules of a class start with."""
    return tuple(f'{name}.' for name, module in model.named_modules()
                 if isinstance(module, kind))


def _own_tensors(model) -> Dict[str, torch.Tensor]:
    """Tensors that the model is to find in a checkpoint, less its banks."""
    banks = _prefixes(model, MemoryBank)
    return {name: tensor for name, tensor in model.state_dict().items()
            if isinstance(tensor, torch.Tensor)
            and not name.startswith(banks)}


def _shape(value) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) \
        else type(value).__name__


def _compare(own: Dict[str, torch.Tensor], state_dict: dict,
             ignored: tuple) -> List[Mismatch]:
    """List the mismatches, in the order of the model.

    Args:
        own (dict[str, Tensor]): Tensors of the model. One without a size yet
            fits anything, and one that counts batches may be missing, as in
            checkpoints of old.
        state_dict (dict): The checkpoint's.
        ignored (tuple[str]): Starts of names in it to pass over.
    """
    mismatches = []
    for name, tensor in own.items():
        tail = name.rpartition('.')[2]
        if name not in state_dict:
            if tail != 'num_batches_tracked':
                shape = 'lazy' if is_lazy(tensor) else _shape(tensor)
                mismatches.append(Mismatch(name, MISSING, f'{tail} {shape}'))
        elif not is_lazy(tensor) and (
                _shape(state_dict[name]) != _shape(tensor)):
            mismatches.append(Mismatch(
                name, OTHER_SHAPE, f'{tail} {_shape(state_dict[name])} in the '
                f'checkpoint, {_shape(tensor)} in the model'))
    for name, value in state_dict.items():
        if name not in own and not name.startswith(ignored):
            mismatches.append(Mismatch(
                name, EXTRA, f'{name.rpartition(".")[2]} {_shape(value)}'))
    return mismatches


def _biases_of(mismatches: List[Mismatch], own: dict,
               state_dict: dict) -> List[Mismatch]:
    """Biases that fit, of weights that do not: of no use without them."""
    unfit = {mismatch.name for mismatch in mismatches}
    names = [f'{mismatch.name.removesuffix("weight")}bias' for mismatch in mismatches
             if mismatch.why == OTHER_SHAPE and mismatch.name.endswith('.weight')]
    return [Mismatch(name, OTHER_SHAPE, 'bias with the weight')
            for name in names if name not in unfit and name in own
            and name in state_dict]


def _matters_at_test(mismatch: Mismatch, decoupler: tuple) -> bool:
    if mismatch.why == EXTRA:
        return mismatch.name.startswith('backbone.')
    return not mismatch.name.startswith(decoupler)


def _refuse(mismatches: List[Mismatch], message: str, way_out: str) -> None:
    if mismatches:
        raise InputError(f'{message}:\n{_by_layer(mismatches)}\n{way_out}')


def _report(mismatches: List[Mismatch], message: str, logger) -> None:
    """Log what is loaded, what starts anew and what is passed over."""
    anew = [mismatch for mismatch in mismatches if mismatch.why != EXTRA]
    extra = [mismatch for mismatch in mismatches if mismatch.why == EXTRA]
    if anew:
        message += f' These layers start anew:\n{_by_layer(anew)}'
    if extra:
        message += f'\nThese are passed over:\n{_by_layer(extra)}'
    (logger.warning if anew else logger.info)(message)


def _by_layer(mismatches: List[Mismatch]) -> str:
    """A line for all layers of which the same is to be said."""
    layers: Dict[tuple, List[str]] = {}
    for mismatch in mismatches:
        layer = mismatch.name.rpartition('.')[0] or mismatch.name
        layers.setdefault((layer, mismatch.why), []).append(mismatch.text)
    lines: Dict[str, List[str]] = {}
    for (layer, why), texts in layers.items():
        lines.setdefault(f'{why}: {"; ".join(texts)}', []).append(layer)
    return '\n'.join(f'  {", ".join(names)}: {text}'
                     for text, names in lines.items())


def _some(names) -> str:
    """The first few of many names."""
    names = list(names)
    return ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')
