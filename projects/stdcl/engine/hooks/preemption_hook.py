"""A run that is told to leave saves first."""
import functools
import os
import signal
import sys
import threading
from typing import Callable, Optional

import torch
from mmaction.registry import HOOKS
from mmengine.device import get_device
from mmengine.dist import (
    all_reduce,
    all_reduce_params,
    barrier,
    get_world_size,
)
from mmengine.hooks import Hook

from ...utils.input_error import InputError
from ..loops import ReproducibleTrainLoop
from .safe_checkpoint_hook import INTERRUPTED, SafeCheckpointHook

# their names in a checkpoint's meta
BATCH, BATCHES = 'first_batch', 'batches_per_epoch'


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, saves after the step at hand and leaves with status 143.

    Schedulers send SIGTERM to a job that has to make room (Slurm, Kubernetes,
    spot instances). The checkpoint, ``interrupted.pth``, knows the batch:
    ``--resume`` goes on with the next one, and the run equals one that was
    never interrupted. With gradient accumulation the step is the next one that
    updates the weights. During a validation, training resumes with that
    validation.

    With several processes it is enough that one of them gets the signal.

    Needs ``ReproducibleTrainLoop`` and ``SafeCheckpointHook``; with others
    SIGTERM ends a run as it always does.
    """

    # after all that changes the state to be saved
    priority = 'LOWEST'

    def __init__(self) -> None:
        self.signalled = False
        self.checkpoint_hook: Optional[SafeCheckpointHook] = None

    def before_train(self, runner) -> None:
        """Listen for the signal."""
        savers = [hook for hook in runner.hooks
                  if isinstance(hook, SafeCheckpointHook)]
        if savers and isinstance(runner.train_loop, ReproducibleTrainLoop):
            self.checkpoint_hook = savers[0]
            for loop in (runner.train_loop, runner.val_loop):
                if loop is not None:
                    _shield_workers(loop.dataloader)
            self.before = signal.signal(signal.SIGTERM, self._note)

    def _note(self, number, frame) -> None:
        self.signalled = True

    def after_train(self, runner) -> None:
        """Listen no more."""
        if self.checkpoint_hook is not None:
            signal.signal(signal.SIGTERM, self.before)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None,
                         outputs=None) -> None:
        """Save and leave, if told to."""
        # gradients that are not applied yet would be lost
        if runner.optim_wrapper.should_update() and self._is_told():
            self._leave(runner, runner.iter + 1, batch_idx + 1)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None,
                       outputs=None) -> None:
        """Save and leave, if told to."""
        # processes may have different numbers of batches to validate
        if get_world_size() == 1 and self._is_told():
            self._leave(runner, runner.iter, 0)

    def _is_told(self) -> bool:
        """Whether any process got the signal; all agree."""
        if self.checkpoint_hook is None or get_world_size() == 1:
            return self.signalled
        told = torch.tensor(int(self.signalled), device=get_device())
        all_reduce(told, 'max')
        return bool(told)

    def _leave(self, runner, iteration: int, batch: int) -> None:
        """Save, tell how to go on, and end the process."""
        batches = len(runner.train_dataloader)
        # processes have statistics of their own in the midst of an epoch; at
        # its end SyncBuffersHook takes their mean, which is then the same
        all_reduce_params(runner.model.buffers(), op='mean')
        path = self.checkpoint_hook.save_interrupted(runner, {
            'epoch': runner.epoch, 'iter': iteration, BATCH: batch,
            BATCHES: batches})
        barrier()  # the end of one process would end the one that saves
        runner.logger.warning(
            f'SIGTERM: saved {path} after epoch {runner.epoch} and {batch} of '
            f'{batches} batches. Go on from there with --resume.')
        sys.exit(128 + signal.SIGTERM)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Go on with the batch noted.

        Raises:
            InputError: Epochs have another number of batches now.
        """
        meta = checkpoint.get('meta') or {}
        if not runner._resume or not meta.get(BATCH):
            return
        batches = len(runner.train_dataloader)
        if meta[BATCHES] != batches:
            raise InputError(
                f'{runner._load_from or INTERRUPTED}: it stopped at batch '
                f'{meta[BATCH]} of an epoch of {meta[BATCHES]} batches, but '
                f'train_dataloader has {batches}. Resume with the data, batch '
                'size and number of processes of the interrupted run, or from '
                'the checkpoint of a whole epoch.')
        runner.train_loop.first_batch = meta[BATCH]


def _shield_workers(dataloader) -> None:
    """Have workers heed SIGTERM from their parent alone.

    Many schedulers send it to all processes of a job, and a worker that dies
    would stop the step that is to be saved.
    """
    dataloader.worker_init_fn = functools.partial(
        _init_shielded, dataloader.worker_init_fn)


def _init_shielded(init: Optional[Callable], worker_id: int) -> None:
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for, args=(os.getppid(), ),
                         daemon=True).start()
    if init is not None:
        init(worker_id)


def _wait_for(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
