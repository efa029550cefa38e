"""Save a run that receives SIGTERM or SIGINT, so that it can resume."""
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import resource_tracker

import torch
from mmaction.registry import HOOKS
from mmengine import dist
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import BatchSampler

from ...datasets.seeded_dataset import SeededSampler
from ...utils.checkpoint_file import name_loaded
from ...utils.input_error import InputError
from ..loops import ReproducibleTrainLoop
from .safe_checkpoint_hook import SafeCheckpointHook

SIGNALS = {signal.SIGTERM, signal.SIGINT}
# keys in a checkpoint's meta
BATCH, BATCHES, CLIPS = 'first_batch', 'batches_per_epoch', 'clips_per_step'


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Hook that saves the run on SIGTERM or Ctrl-C (SIGINT), and exits.

    Slurm and Kubernetes, for example, send SIGTERM before they stop a job. If
    any process receives it, the hook writes ``interrupted.pth`` after the next
    step that updates the weights. A running validation is completed first,
    except that a single process that has just saved a checkpoint exits at
    once. A resumed run continues with the next batch, and its
    result equals that of an uninterrupted run. The exit status is 128 plus the
    number of the signal. A second Ctrl-C ends the run immediately.

    Saving requires ``ReproducibleTrainLoop``, ``SafeCheckpointHook``, a single
    optimizer, the batches of PyTorch's ``BatchSampler`` and the main thread;
    otherwise, both signals end the run at once.
    """

    priority = 'LOWEST'  # after the hooks that change the state to save
    signaled = 0  # number of the signal
    checkpoint_hook: SafeCheckpointHook | None = None

    def before_train(self, runner) -> None:
        """Install the signal handler."""
        savers = [hook for hook in runner.hooks
                  if isinstance(hook, SafeCheckpointHook)]
        if (savers and isinstance(runner.train_loop, ReproducibleTrainLoop)
                and not isinstance(runner.optim_wrapper, OptimWrapperDict)
                and _can_skip(runner)
                and threading.current_thread() is threading.main_thread()):
            self.checkpoint_hook = savers[0]
            for loop in (runner.train_loop, runner.val_loop):
                if loop is not None and hasattr(signal, 'sigwaitinfo'):
                    _shield_workers(loop.dataloader)
            self.before = {number: signal.signal(number, self._note)
                           for number in SIGNALS}

    def _note(self, number, frame) -> None:
        self.signaled = number
        if number == signal.SIGINT:
            with suppress(OSError):  # with "| tee", the reader may be gone
                os.write(2, b'\nSaving the run after this step or validation. '
                         b'To stop without saving, press Ctrl-C again.\n')
            signal.signal(number, signal.default_int_handler)

    def restore_handlers(self) -> None:
        """Restore the previous signal handlers; the loop calls this."""
        if self.checkpoint_hook is not None:
            for number, handler in self.before.items():
                signal.signal(number, handler or signal.SIG_DFL)

    def after_train_iter(self, runner, **kwargs) -> None:
        """Save and exit after the signal."""
        # gradients that have not been applied would be lost
        if self.checkpoint_hook is None or not (
                runner.optim_wrapper.should_update() and self._tell_all()):
            return
        # each process has its own batch-norm statistics, and SyncBuffersHook
        # averages them at the end of the epoch; averaging them now as well
        # changes them only by rounding errors
        dist.all_reduce_params(runner.model.buffers(), op='mean')
        path = self.checkpoint_hook.save_interrupted(runner)
        dist.barrier()  # do not exit while the first process is saving
        self._exit(runner, path, runner.iter + 1)

    def after_val_iter(self, runner, **kwargs) -> None:
        """Exit after the signal if the state has just been saved."""
        # saving here is unsafe: hooks may have swapped the weights
        if self.signaled and dist.get_world_size() == 1 and (
                self.checkpoint_hook.saved_iter == runner.iter):
            self._exit(runner, self.checkpoint_hook.last_ckpt, runner.iter)

    def _tell_all(self) -> int:
        """Return a signal that any of the processes received, or 0."""
        if dist.get_world_size() == 1:
            return self.signaled
        told = torch.tensor(int(self.signaled), device=get_device())
        dist.all_reduce(told, 'max')
        # a signal that arrived meanwhile counts after the next step
        self.signaled = int(told) or self.signaled
        return int(told)

    def _exit(self, runner, path: str, steps: int) -> None:
        batches = len(runner.train_dataloader)
        runner.logger.warning(
            f'Received {signal.Signals(self.signaled).name} and saved {path} '
            f'(epochs completed: {runner.epoch} of {runner.max_epochs}; '
            f'further batches: {steps - runner.epoch * batches} of {batches})'
            '. To continue, use --resume.')
        sys.exit(128 + self.signaled)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store the index of the next batch, to resume within the epoch."""
        meta = checkpoint['meta']
        if ('optimizer' in checkpoint and meta['epoch'] == runner.epoch
                and isinstance(runner.train_loop, EpochBasedTrainLoop)):
            batches = len(runner.train_dataloader)
            meta.update({BATCH: meta['iter'] - runner.epoch * batches,
                         BATCHES: batches, CLIPS: _clips_in_step(runner)})

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Resume from the stored batch, or raise an ``InputError``."""
        meta = checkpoint.get('meta') or {}
        loop = runner.train_loop if runner._resume else None
        if not isinstance(loop, EpochBasedTrainLoop):
            return
        batches = len(runner.train_dataloader)
        steps = meta['epoch'] * batches
        if not meta.get(BATCH):
            if meta['iter'] != steps:
                runner.logger.warning(
                    f'{name_loaded(runner)} was saved after {meta["iter"]} '
                    f'steps in {meta["epoch"]} epochs. This run has {batches} '
                    f'steps per epoch and continues with step {steps + 1}.')
                meta['iter'] = steps  # gradient accumulation relies on it
                for parameter in runner.model.parameters():
                    parameter.grad = None  # of SafeCheckpointHook
            return
        stopped = (f'{name_loaded(runner)} was saved after {meta[BATCH]} of '
                   f'{meta[BATCHES]} batches of an epoch')
        if not isinstance(loop, ReproducibleTrainLoop):
            raise InputError(
                f'{stopped}, but train_cfg.type is {type(loop).__name__}, '
                'expected ReproducibleTrainLoop.')
        clips = _clips_in_step(runner)
        if meta[BATCHES] != batches or meta.get(CLIPS, clips) != clips:
            raise InputError(
                f'{stopped}, {meta.get(CLIPS, clips)} clips per step, but now '
                f'there are {batches} batches, {clips} clips per step. '
                'Resume with the data, batch size and number of processes of '
                'the interrupted run, or from a file named epoch_*.pth.')
        if not _can_skip(runner):
            raise InputError(
                f'{stopped}, which the batch_sampler of train_dataloader '
                'cannot skip. Resume from a file named epoch_*.pth.')
        loop.first_batch = meta[BATCH]


def _can_skip(runner) -> bool:
    """Return whether the loop can skip batches of the training set."""
    batches = runner.train_dataloader.batch_sampler
    return (getattr(type(batches), '__iter__', None) is BatchSampler.__iter__
            and isinstance(batches.sampler, SeededSampler))


def _clips_in_step(runner) -> int:
    sampler = runner.train_dataloader.batch_sampler
    return dist.get_world_size() * getattr(sampler, 'batch_size', 0)


def _shield_workers(dataloader) -> None:
    """Make workers ignore SIGINT, and any SIGTERM not from their parent."""
    start = dataloader._get_iterator

    def start_shielded():
        context = dataloader.multiprocessing_context or multiprocessing
        if context.get_start_method() != 'fork':
            resource_tracker.ensure_running()  # this resets the mask
        # workers inherit and keep the mask
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            return start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    dataloader._get_iterator = start_shielded
    dataloader.worker_init_fn = functools.partial(
        _init_shielded, dataloader.worker_init_fn)


def _init_shielded(init: Callable | None, worker_id: int) -> None:
    threading.Thread(target=_exit_with, args=(os.getppid(), ),
                     daemon=True).start()
    if init is not None:
        init(worker_id)


def _exit_with(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
