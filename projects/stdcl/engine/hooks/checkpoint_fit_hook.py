"""Check whether a checkpoint fits the model."""
import torch
import torch.nn as nn
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from torch.nn.parameter import is_lazy

from ...datasets import data_description
from ...models import MemoryBank, STDCLMixin
from ...models.heads.stdcl_head import TRAINING_ONLY
from ...utils.checkpoint_file import name_loaded
from ...utils.input_error import InputError, printable
from ...utils.model_parts import built_loops, find_prefixes, graphs_of, unwrap

FINE_TUNE = 'set load_from to this file and omit resume'
# texts about tensors that are only in the model or only in the checkpoint
MISSING, EXTRA = 'is missing from the checkpoint', 'is not in the model'


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Hook that compares a checkpoint with the model and the data.

    MMEngine ignores tensors that do not fit, so a test may use random weights.
    With this hook, the result depends on the purpose of loading:

    - Fine-tuning (``load_from``): missing tensors, tensors of a different
      shape, and their biases are initialized from scratch, with a warning.
    - Resuming: any mismatch raises an ``InputError``.
    - Testing, with a Runner or :func:`load_to_test`: a mismatch raises an
      ``InputError``, except in STD-CL and further tensors of a head.

    A different stream, layout, contrast_block, preprocessing or order of
    classes raises an ``InputError``, except in fine-tuning. Files with NaN, or
    without a weight that fits, always raise one. ``MemoryBankHook`` checks the
    banks.
    """

    priority = 'VERY_HIGH'  # before EMAHook, which changes the state dict
    description = None  # description of the training set, once computed
    earlier = ()  # hashes of sequences that the loaded model was trained on
    tests = False

    def before_run(self, runner) -> None:
        """Note whether the run only tests: other hooks may build its loop."""
        self.tests = 'train' not in built_loops(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the description of the training set."""
        if self.description is None:
            self.description = data_description.describe(
                unwrap(runner.model), runner.train_dataloader.dataset,
                self.earlier)
        checkpoint['meta']['trained_on'] = self.description

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Remove tensors that do not fit, or raise an ``InputError``."""
        model, file = unwrap(runner.model), name_loaded(runner)
        # EMAHook expects this key
        checkpoint.setdefault('state_dict', {**checkpoint})
        trained_on = data_description.description_in(checkpoint, model)
        data = {name: loop.dataloader.dataset
                for name, loop in built_loops(runner).items()}
        if self.tests or 'train' not in data:
            data.pop('train', None)
            _fit_to_test(model, checkpoint, file)
            for name, dataset in data.items():
                data_description.check_data(trained_on, dataset,
                                            f'{name}_dataloader')
            return
        self.earlier = trained_on['sequences'].tolist()
        if runner._resume:
            _require_fit_to_resume(model, checkpoint, file)
            data_description.check_traits(trained_on, data['train'],
                                          'train_dataloader')
            return
        _fit_to_fine_tune(model, checkpoint, file, runner.logger)
        own = {**data_description.traits(data['train']),
               **data_description.input_of(model)}
        text = '; '.join(filter(None, (data_description.find_difference(
            trained_on, {field: own[field]}) for field in own)))
        if text:
            runner.logger.warning('The data or the model differ from those '
                                  f'that {file} was trained with: {text}.')


def load_to_test(model: nn.Module, checkpoint: dict, file: str) -> set[str]:
    """Load the weights for testing, without a Runner.

    ``checkpoint`` is a checkpoint or a state dict; ``file`` is its name in
    messages. Return the names of the tensors of the decoupler that keep their
    initial values. For errors, see :class:`CheckpointFitHook`.
    """
    checkpoint.setdefault('state_dict', {**checkpoint})
    mismatch = _fit_to_test(model, checkpoint, file)
    model.load_state_dict(checkpoint['state_dict'], strict=False)
    return {name for name, text in mismatch.items()
            if text != EXTRA and '.decoupler.' in name}


def _fit_to_test(model: nn.Module, checkpoint: dict, file: str) -> dict:
    mismatch = _compare(model, checkpoint, file)
    unused = tuple(f'{prefix}{part}.' for prefix in find_prefixes(
        model, STDCLMixin) for part in TRAINING_ONLY)
    wrong = {name: text for name, text in mismatch.items()
             if not name.startswith(unused)
             and (text != EXTRA or name.startswith('backbone.'))}
    if wrong:
        raise InputError(
            f'{file} does not fit the model to be tested: '
            f'{_explain(wrong, model, checkpoint)}. Use the config that it '
            f'was trained with. To fine-tune from it, {FINE_TUNE}.')
    _require_same_input(model, checkpoint, file)
    _remove_unfit(mismatch, checkpoint)
    return mismatch


def _fit_to_fine_tune(model: nn.Module, checkpoint: dict, file: str,
                      logger) -> None:
    mismatch = _compare(model, checkpoint, file)
    _remove_unfit(mismatch, checkpoint)
    own, state_dict = _own_tensors(model), checkpoint['state_dict']
    state_dict.update((name, graph) for name, graph
                      in graphs_of(model).items() if name in state_dict)
    loaded = sum(name in state_dict for name in own)
    log = logger.info
    texts = [f'{file}: loading {loaded} of {len(own)} tensors']
    if set(mismatch.values()) - {EXTRA}:
        log = logger.warning
        texts.append('the others are initialized from scratch')
    log(printable('; '.join(texts + _texts(mismatch)) + '.'))


def _require_fit_to_resume(model: nn.Module, checkpoint: dict,
                           file: str) -> None:
    absent = [part for part in ('meta', 'message_hub', 'optimizer')
              if not isinstance(checkpoint.get(part), dict)
              or not checkpoint[part]]
    absent = absent or [
        f'integer in meta.{name}' for name in ('epoch', 'iter')
        if not isinstance(checkpoint['meta'].get(name), int)]
    if absent:
        raise InputError(
            f'{file} contains no {" and no ".join(absent)}, so training '
            f'cannot resume from it. To start from its weights, {FINE_TUNE}.')
    if not checkpoint['optimizer'].get('loss_scaler', True):
        del checkpoint['optimizer']['loss_scaler']  # saved with --amp on a CPU
    mismatch = _compare(model, checkpoint, file)
    if mismatch:
        raise InputError(
            f'{file} does not fit the model, so training cannot resume from '
            f'it: {_explain(mismatch, model, checkpoint)}. To start from the '
            f'weights that fit, {FINE_TUNE}.')
    _require_same_input(model, checkpoint, file)


def _texts(mismatch: dict) -> list[str]:
    """Describe wrong shapes by tensor, and other differences by layer."""
    return [*dict.fromkeys(
        f'{name.rpartition(".")[0] or name} {text}'
        if text in (MISSING, EXTRA) else f'{name} {text}'
        for name, text in mismatch.items())]


def _explain(mismatch: dict, model: nn.Module, checkpoint: dict) -> str:
    """Describe wrong numbers of joints or classes, and up to 3 tensors."""
    texts = _texts(mismatch)
    seen = data_description.description_in(checkpoint, model)
    head = getattr(model, 'cls_head', None)
    own = dict(data_description.input_of(model),
               classes=range(getattr(head, 'num_classes', 0)))
    numbers = [
        f'it was trained on {len(seen[field])} {field.replace("_name", "")}, '
        f'expected {len(own[field])}' for field in ('joint_names', 'classes')
        if seen.get(field) and own.get(field)
        and len(seen[field]) != len(own[field])]
    texts[3:] = [f'and {len(texts) - 3} more'] if len(texts) > 3 else []
    return '; '.join(numbers + texts)


def _require_same_input(model: nn.Module, checkpoint: dict, file: str) -> None:
    text = data_description.find_difference(
        data_description.description_in(checkpoint, model),
        data_description.input_of(model))
    if text:
        raise InputError(
            f'{file} does not fit the model: {text}. Use the layout, '
            'data_preprocessor and contrast_block that it was trained with '
            '(for a stream, set model.data_preprocessor.stream; train.py and '
            'test.py: --stream).')


def _own_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors to load: all except the memory banks."""
    banks = find_prefixes(model, MemoryBank)
    return {name: tensor for name, tensor in model.state_dict().items()
            if isinstance(tensor, torch.Tensor)
            and not name.startswith(banks)}


def _compare(model: nn.Module, checkpoint: dict, file: str) -> dict[str, str]:
    """Return the tensors that differ, with a text, or raise an ``InputError``.

    It is raised if no parameter fits, or if a number is not finite.
    """
    own, state_dict = _own_tensors(model), checkpoint['state_dict']
    banks = find_prefixes(model, MemoryBank)
    for name in list(state_dict):  # of DistributedDataParallel, torch.compile
        plain = name.replace('_orig_mod.', '').removeprefix('module.')
        state_dict[plain] = state_dict.pop(name)
    broken = [name for name in own
              if isinstance(state_dict.get(name), torch.Tensor)
              and not state_dict[name].isfinite().all()]
    if broken:
        raise InputError(
            f'{file} contains NaN or infinity in {", ".join(broken[:3])} '
            f'(tensors affected: {len(broken)}), expected finite numbers.')
    mismatch = {
        name: f'has the shape {_shape(state_dict[name])}, expected '
        f'{_shape(tensor)}' for name, tensor in own.items()
        if name in state_dict and not is_lazy(tensor)
        and not name.endswith('num_batches_tracked')  # files may be halved
        and _shape(state_dict[name]) != _shape(tensor)}
    mismatch.update((name, MISSING) for name in own if name not in state_dict
                    and not name.endswith('num_batches_tracked'))
    mismatch.update((name, EXTRA) for name in state_dict
                    if name not in own and not name.startswith(banks))
    if dict(model.named_parameters()).keys() <= mismatch.keys():
        raise InputError(f'{file} contains no parameter that fits the model: '
                         f'{_explain(mismatch, model, checkpoint)}.')
    return mismatch


def _shape(value) -> str:
    """Describe the shape and, unless it is a floating type, the dtype."""
    if not isinstance(value, torch.Tensor):
        return f'of a {type(value).__name__}'
    kind = '' if value.is_floating_point() else f' of {value.dtype}'
    return f'{tuple(value.shape)}{kind}'


def _remove_unfit(mismatch: dict, checkpoint: dict) -> None:
    """Remove tensors of a different shape, and the biases of such weights."""
    state_dict = checkpoint['state_dict']
    for name, text in mismatch.items():
        if text not in (MISSING, EXTRA):
            state_dict.pop(name, None)
            if name.endswith('.weight'):
                state_dict.pop(f'{name.removesuffix("weight")}bias', None)
