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
from mmengine.optim import OptimWrapperDict

from ...utils.input_error import InputError
from ..loops import ReproducibleTrainLoop
from .safe_checkpoint_hook import SafeCheckpointHook

# their names in a checkpoint's meta
BATCH, BATCHES = 'first_batch', 'batches_per_epoch'
CAN_WAIT = hasattr(signal, 'sigwaitinfo')  # not on macOS and Windows


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, saves after the step at hand and leaves with status 143.

    Schedulers send SIGTERM to a job that has to make room (Slurm, Kubernetes,
    spot instances). The checkpoint, ``interrupted.pth``, knows the batch:
    ``--resume`` goes on with the next one, and the run equals one that was
    never interrupted. With gradient accumulation the step is the next one that
    updates the weights. In a validation there is nothing to save if the
    epoch's checkpoint was just saved; else the validation ends first. With
    several processes it always does, and it is enough that one of them gets
    the signal.

    Needs ``ReproducibleTrainLoop``, ``SafeCheckpointHook``, one optimizer, and
    the main thread; without them SIGTERM ends a run as it always does.
    """

    # after all that changes the state to be saved
    priority = 'LOWEST'

    def __init__(self) -> None:
        self.signalled = False
        self.checkpoint_hook: Optional[SafeCheckpointHook] = None
        self.batch = 0  # of the epoch at hand, that are done after this step

    def before_train(self, runner) -> None:
        """Listen for the signal."""
        savers = [hook for hook in runner.hooks
                  if isinstance(hook, SafeCheckpointHook)]
        if (savers and isinstance(runner.train_loop, ReproducibleTrainLoop)
                and not isinstance(runner.optim_wrapper, OptimWrapperDict)
                and threading.current_thread() is threading.main_thread()):
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
            signal.signal(signal.SIGTERM, self.before or signal.SIG_DFL)

    def before_train_epoch(self, runner) -> None:
        """Hold the signal back while workers start, who inherit that."""
        self._hold_back(True)

    def before_val_epoch(self, runner) -> None:
        """As before an epoch of training."""
        self._hold_back(True)

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch=None) -> None:
        """Workers are there."""
        self._hold_back(False)
        self.batch = batch_idx + 1

    def before_val_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Workers are there."""
        self._hold_back(False)

    def after_train_epoch(self, runner) -> None:
        """There may have been no batch left."""
        self._hold_back(False)

    def _hold_back(self, hold: bool) -> None:
        if self.checkpoint_hook is not None and CAN_WAIT:
            signal.pthread_sigmask(
                signal.SIG_BLOCK if hold else signal.SIG_UNBLOCK,
                {signal.SIGTERM})

    def after_train_iter(self, runner, batch_idx: int, data_batch=None,
                         outputs=None) -> None:
        """Save and leave, if told to."""
        # gradients that are not applied yet would be lost
        if self.checkpoint_hook is None or not (
                runner.optim_wrapper.should_update() and self._is_told()):
            return
        # processes have statistics of their own in the midst of an epoch; at
        # its end SyncBuffersHook takes their mean, which is then the same
        all_reduce_params(runner.model.buffers(), op='mean')
        path = self.checkpoint_hook.save_interrupted(runner)
        barrier()  # the end of one process would end the one that saves
        self._leave(runner, path, self.batch)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None,
                       outputs=None) -> None:
        """Leave, if told to and all is saved."""
        # not saved here: hooks may have put other weights into the model
        if self.signalled and get_world_size() == 1 and (
                self.checkpoint_hook.saved_iter == runner.iter):
            self._leave(runner, self.checkpoint_hook.last_ckpt, 0)

    def _is_told(self) -> bool:
        """Whether any process got the signal; all agree."""
        if get_world_size() == 1:
            return self.signalled
        told = torch.tensor(int(self.signalled), device=get_device())
        all_reduce(told, 'max')
        return bool(told)

    def _leave(self, runner, path: str, batch: int) -> None:
        """Tell how to go on, and end the process."""
        runner.logger.warning(
            f'SIGTERM: saved {path} after epoch {runner.epoch} and {batch} of '
            f'{len(runner.train_dataloader)} batches. Go on from there with '
            '--resume.')
        sys.exit(128 + signal.SIGTERM)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Note the batch to go on with, in the middle of an epoch."""
        meta = checkpoint['meta']
        if 'optimizer' in checkpoint and meta['epoch'] == runner.epoch:
            meta.update({BATCH: self.batch,
                         BATCHES: len(runner.train_dataloader)})

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Go on with the batch noted.

        Raises:
            InputError: Epochs have another number of batches now, or the loop
                cannot start in the middle of one.
        """
        meta = checkpoint.get('meta') or {}
        if not runner._resume or not meta.get(BATCH):
            return
        loop, batches = runner.train_loop, len(runner.train_dataloader)
        if not isinstance(loop, ReproducibleTrainLoop):
            raise InputError(
                f'it stopped in the middle of an epoch, and train_cfg.type is '
                f'{type(loop).__name__}, expected ReproducibleTrainLoop.')
        if meta[BATCHES] != batches:
            raise InputError(
                f'it stopped at batch {meta[BATCH]} of an epoch of '
                f'{meta[BATCHES]} batches, but train_dataloader has '
                f'{batches}. Resume with the data, batch size and number of '
                'processes of the interrupted run, or from the checkpoint of '
                'a whole epoch.')
        loop.first_batch = meta[BATCH]


def _shield_workers(dataloader) -> None:
    """Have workers heed SIGTERM from their parent alone.

    Many schedulers send it to all processes of a job, and a worker that dies
    would stop the step that is to be saved.
    """
    dataloader.worker_init_fn = functools.partial(
        _init_shielded, dataloader.worker_init_fn)


def _init_shielded(init: Optional[Callable], worker_id: int) -> None:
    if CAN_WAIT:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for, args=(os.getppid(), ),
                         daemon=True).start()
    if init is not None:
        init(worker_id)


def _wait_for(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
