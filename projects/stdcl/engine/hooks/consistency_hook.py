"""Check that all processes and all parts of a run agree."""
import os
from collections.abc import Iterator

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop

from ...datasets.dataset_access import summarize
from ...utils.checkpoint_file import name_loaded
from ...utils.config_check import entries, parameters_of
from ...utils.input_error import InputError
from ...utils.model_parts import built_loops
from ..loops.reproducible_train_loop import seed_of
from .preemption_hook import BATCH, BATCHES

# keys in a checkpoint's meta
DATA, OPTIMIZER = 'training_data', 'optimizer_type'
VALIDATION = 'validation_data'
# fields of the config that must be equal in all processes
SHARED = 'model', 'optim_wrapper', 'param_scheduler', 'train_cfg'
# attributes of schedulers that change during training
CHANGING = {'last_step', '_global_step', '_last_value', 'verbose', 'best',
            'num_bad_epochs', 'cooldown_counter'}
# entries of Adam's parameter groups that other versions of PyTorch lack
OPTIONAL = {'decoupled_weight_decay'}


@HOOKS.register_module()
class ConsistencyHook(Hook):
    """Hook that checks that all processes and all parts of a run agree.

    - All processes must have the same settings, load the same weights and
      read the same training, validation and test data.
    - A resumed run must have the training data, the seed, the optimizer and
      the schedules of its checkpoint; MMEngine would silently ignore new ones
      in the config. Only the end of a schedule may change. A run with
      ``EMAHook`` must keep it, because its checkpoints hold averages.
      Different validation data only cause a warning.

    Otherwise, the hook raises an ``InputError`` in all processes.
    """

    priority = 'VERY_HIGH'  # before the loops start
    data = {}  # name of a loop -> summary of its data

    def before_run(self, runner) -> None:
        """Compare the settings and the data of all processes."""
        first, *others = all_gather_object(_settings(runner))
        for rank, own in enumerate(others, 1):
            for name in {**first, **own}:
                if own.get(name) != first.get(name):
                    raise InputError(
                        f'{name} is {own.get(name)} in process {rank}, '
                        f'expected {first.get(name)}, as in process 0.')
        self.data = {}
        for name, loop in built_loops(runner).items():
            if name == 'test' and get_world_size() == 1:
                continue
            self.data[name] = summarize(loop.dataloader.dataset)
            _require_same(
                f'{name}_dataloader.dataset: the processes read different '
                'data (names, labels, order or coordinates)', self.data[name],
                'annotation file')

    def before_train(self, runner) -> None:
        """Check the schedules; repeat the last step if a run is extended."""
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            return
        for one in runner.param_schedulers or ():
            _warn_of_length(runner, one)
            passed = one._global_step - one.begin
            # at its former end, the schedule only counted the last step
            if not getattr(one, 'need_val_args', False) and (
                    0 <= one.last_step < passed < one.end - one.begin):
                one._global_step -= 1
                one.optimizer._global_step = one._global_step
                one.step()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Save the values that a resumed run must match."""
        if 'optimizer' in checkpoint and 'train' in self.data:
            checkpoint['meta'].update({
                DATA: self.data['train'],
                VALIDATION: self.data.get('val'),
                OPTIMIZER: _kind(runner.optim_wrapper),
                BATCHES: len(runner.train_dataloader)})

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the weights of all processes, and the run with its file."""
        if not self.data:  # FlexibleRunner loads before it calls before_run
            self.before_run(runner)
        if get_world_size() > 1:
            # DDP made the weights equal before this file was loaded
            tensors = {name: tensor for name, tensor in checkpoint.get(
                'state_dict', checkpoint).items() if torch.is_tensor(tensor)}
            _require_same(
                f'{name_loaded(runner)}: the processes read different weights',
                ([*tensors], [float(one.double().sum())
                              for one in tensors.values()]), 'checkpoint')
        if not runner._resume or 'train' not in self.data:
            return
        saved, own = checkpoint['meta'].get(VALIDATION), self.data.get('val')
        if saved and own and not _agree(saved, own):
            runner.logger.warning(
                f'{name_loaded(runner)} was validated with other data (names, '
                'labels, order or coordinates) than val_dataloader has now, '
                'so the metrics before and after it are not comparable.')
        for name, saved, own in _differences(runner, checkpoint,
                                             self.data['train']):
            raise InputError(
                f'{name_loaded(runner)} was trained with {name} {saved}, but '
                f'this run uses {own}. Resume with the settings of the '
                'interrupted run. To use new settings and start from its '
                'weights, set load_from to this file and omit resume.')


def _warn_of_length(runner, one) -> None:
    """Warn if a cosine schedule does not fit, or no milestone counts."""
    unit, total = ('epochs', runner.max_epochs) if one.by_epoch else (
        'iterations', runner.max_iters)
    if any(other.begin == one.end for other in runner.param_schedulers):
        total = min(total, one.end)  # another schedule follows
    if hasattr(one, 'T_max'):
        seen, expected = f'T_max is {one.T_max}', total - one.begin
        # some schedules count the warm-up twice; MMEngine rounds begin
        fits = one.T_max <= total <= one.begin + one.T_max + 1
    else:
        first = min(getattr(one, 'milestones', None) or [-one.begin])
        seen = f'the first of milestones is {first}'
        expected, fits = f'less than {total}', first + one.begin < total
    if not fits:
        runner.logger.warning(
            f'param_scheduler: {type(one).__name__}: {seen}, expected '
            f'{expected}, because it runs from {one.begin} to {total} {unit}.')


def _settings(runner) -> dict:
    """Return the settings that must be equal in all processes, by name."""
    fields = {f'{path}.{name}': value for path, entry in entries(runner.cfg)
              if path.startswith(SHARED) or '.pipeline.' in path
              for name, value in entry.items()}
    # machines may have different paths
    own = {name: str(value) for name, value in fields.items() if isinstance(
        value, (int, float, str, list, tuple)) and os.sep not in str(value)}
    loop = built_loops(runner).get('train')
    return {**own, 'seed': seed_of(runner), 'train_dataloader: the number of '
            'batches': loop is not None and len(loop.dataloader)}


def _require_same(what: str, own: tuple, file: str) -> None:
    """Raise an ``InputError`` unless the summaries of all processes agree."""
    first, *others = all_gather_object(own)
    wrong = [str(rank) for rank, other in enumerate(others, 1)
             if not _agree(other, first)]
    if wrong:
        raise InputError(
            f'{what}. Processes that differ from process 0: '
            f'{", ".join(wrong)}. Use the same {file} on all machines.')


def _differences(runner, checkpoint: dict, data: tuple) -> Iterator[tuple]:
    """Yield (name, value in the checkpoint, value in the run)."""
    # checkpoints of earlier versions contain only some of the values
    meta, wrapper = checkpoint['meta'], runner.optim_wrapper
    if not _agree(meta.get(DATA, data), data):
        yield ('data whose', 'names, labels, order or coordinates differ',
               'the data of train_dataloader')
    seed = runner._randomness_cfg.get('seed')
    if seed is not None and meta.get('seed', seed) != seed:
        yield 'seed', meta['seed'], seed
    if meta.get(OPTIMIZER, _kind(wrapper)) != _kind(wrapper):
        yield 'optimizer', meta[OPTIMIZER], _kind(wrapper)
    started = meta['epoch'] + bool(meta.get(BATCH))
    if not isinstance(runner.train_loop, EpochBasedTrainLoop):
        if meta['iter'] > runner.max_iters:
            yield 'max_iters', f'{meta["iter"]} or more', runner.max_iters
    elif started > runner.max_epochs:
        yield 'max_epochs', f'{started} or more', runner.max_epochs
    if 'ema_state_dict' in checkpoint and not any(
            isinstance(hook, EMAHook) for hook in runner.hooks):
        yield 'EMAHook', 'in custom_hooks', 'none'
    if isinstance(wrapper, OptimWrapperDict):
        return
    known = parameters_of('', dict(type=type(wrapper.optimizer)))
    saved, own = ([_initial(group, known) for group in state['param_groups']]
                  for state in (checkpoint['optimizer'], wrapper.state_dict()))
    yield from _compare('optimizer', saved, own)
    yield from _compare_schedules(runner, checkpoint)


def _initial(group: dict, known: dict) -> dict:
    """Return the settings of a parameter group before any schedule."""
    initial = {}
    for name, value in group.items():
        # some optimizers also keep running values in groups
        if name == 'params' or 'lr' in known and name not in known:
            continue
        if name == 'betas' and 'momentum' in group:
            value = value[1:]  # schedules of momentum change the first one
        initial[name] = group.get(f'initial_{name}', value)
    return initial


def _compare_schedules(runner, checkpoint: dict) -> Iterator[tuple]:
    saved = checkpoint.get('param_schedulers') or []
    own = [one.state_dict() for one in runner.param_schedulers or []]
    steps = len(runner.train_dataloader)
    before = checkpoint['meta'].get(BATCHES, steps)
    for index, (old, new) in enumerate(zip(saved, own)):
        step, end = old.get('_global_step', 0), old.get('end', np.inf)
        if steps != before and step >= end and not old.get('by_epoch'):
            own[index] = old  # its length in steps no longer matters
        elif step <= min(end, new.get('end', np.inf)) and not list(_compare(
                '', [{**old, 'end': 0}], [{**new, 'end': 0}])):
            old['end'] = new.get('end')  # the run is extended
    for difference in _compare('param_scheduler', saved, own):
        if steps != before:
            yield 'steps per epoch', before, steps
        yield difference


def _agree(data: tuple, other: tuple) -> bool:
    """Compare summaries; tolerate rounding errors of the coordinates."""
    return data[0] == other[0] and np.allclose(
        data[1], other[1], rtol=1e-5, equal_nan=True)


def _kind(wrapper) -> str:
    return type(getattr(wrapper, 'optimizer', wrapper)).__name__


def _compare(name: str, saved: list[dict], own: list[dict]) -> Iterator[tuple]:
    if len(saved) != len(own):
        yield f'a list {name} of length', len(saved), f'length {len(own)}'
    for index, (old, new) in enumerate(zip(saved, own)):
        ignored = CHANGING | (OPTIONAL - (old.keys() & new.keys()))
        for key in sorted((old.keys() | new.keys()) - ignored):
            # newer versions of PyTorch add entries that are None or False;
            # checkpoints contain no functions
            if not callable(new.get(key)) and (
                    old.get(key) or None) != (new.get(key) or None):
                yield f'{name}.{index}.{key}', old.get(key), new.get(key)
