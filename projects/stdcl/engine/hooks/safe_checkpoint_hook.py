"""Save checkpoints so that a crash cannot destroy the last intact one."""
from pathlib import Path

import torch
from mmaction.registry import HOOKS
from mmengine import dist
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.optim import OptimWrapperDict

from ...models import MemoryBank
from ...utils.atomic_write import PARTIAL
from ...utils.input_error import require_known
from ...utils.model_parts import find_prefixes, unwrap

INTERRUPTED = 'interrupted.pth'
GRADIENTS = 'gradients'  # key in a checkpoint


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """``CheckpointHook`` that saves a checkpoint before it deletes older ones.

    MMEngine deletes first, so a run that crashes in between can lose its only
    or its best checkpoint. With gradient accumulation, the checkpoint contains
    the gradients accumulated so far. The arguments are the same.
    """

    saved_iter = -1  # iteration at which last_ckpt was saved
    gradients = {}  # name -> gradient, while a checkpoint is saved

    def before_train(self, runner) -> None:
        """Find the files of a resumed run, and delete incomplete ones."""
        super().before_train(runner)
        # let MMEngine only note the files that it would delete
        self.remove, self.outdated = self.file_backend.remove, []
        self.file_backend.remove = self.outdated.append
        last = self._in_out_dir(
            runner.message_hub.runtime_info.get('last_ckpt') or '.')
        if self.file_backend.isfile(last):  # the run was resumed
            self.last_ckpt = last
        if self.save_best and len(self.key_indicators) > 1:
            self.best_ckpt_path_dict.update({
                key: self._in_out_dir(path)
                for key, path in self.best_ckpt_path_dict.items() if path})
        elif self.save_best:
            self._find_best(runner)
        if dist.is_main_process() and Path(self.out_dir).is_dir():
            for path in Path(self.out_dir).glob(f'*.pth.*{PARTIAL}'):
                path.unlink()

    def _in_out_dir(self, path: str) -> str:
        """Return the file of this name in ``out_dir``, which may be a copy."""
        return self.file_backend.join_path(self.out_dir, Path(path).name)

    def _find_best(self, runner) -> None:
        """Find the best checkpoint; forget it if ``save_best`` has changed."""
        key, best = self.key_indicators[0], self.best_ckpt_path
        prefix = f'best_{key}_'.replace('/', '_')
        self.best_ckpt_path = best and self._in_out_dir(best)
        if key != 'auto' and not Path(best or '').name.startswith(prefix):
            runner.message_hub.runtime_info.pop('best_score', None)
            self.best_ckpt_path = None

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add gradients, and remove memory banks that are not needed.

        Only a resumed run needs the banks, and training cannot resume from a
        checkpoint without optimizer state, such as the best one.
        """
        if any(isinstance(hook, EMAHook) and not hook.ema_model.update_buffers
               for hook in runner.hooks):
            # validation uses the model's buffers, averaged over processes
            other = checkpoint.get('ema_state_dict', {})
            buffers = dict(unwrap(runner.model).named_buffers())
            checkpoint['state_dict'].update({
                name: other[f'module.{name}'] for name in buffers
                if f'module.{name}' in other})
        if 'optimizer' in checkpoint:
            if self.gradients:
                checkpoint[GRADIENTS] = {
                    name: one.cpu() for name, one in self.gradients.items()}
            return
        banks = find_prefixes(unwrap(runner.model), MemoryBank)
        for part in ('state_dict', 'ema_state_dict'):
            for name in list(checkpoint.get(part, ())):
                if name.removeprefix('module.').startswith(banks):
                    del checkpoint[part][name]

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Restore the accumulated gradients."""
        gradients = checkpoint.get(GRADIENTS, {}) if runner._resume else {}
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        if bool(scaler and scaler.is_enabled()) != bool(
                checkpoint.get('optimizer', {}).get('loss_scaler')):
            gradients = {}  # scaled by a different loss scale
        for name, parameter in unwrap(runner.model).named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter.device)
        if gradients:
            runner.logger.info('Restored the accumulated gradients of the '
                               'checkpoint.')

    def save_interrupted(self, runner) -> str:
        """Save a run that stops within an epoch, and return the path.

        The file is deleted when the next checkpoint is saved.
        """
        path = self.file_backend.join_path(self.out_dir, INTERRUPTED)
        runner.save_checkpoint(self.out_dir, INTERRUPTED, by_epoch=False,
                               backend_args=self.backend_args)
        if dist.is_main_process():
            Path(runner.work_dir, 'last_checkpoint').write_text(path)
        return path

    def _save_checkpoint_with_step(self, runner, step: int,
                                   meta: dict) -> None:
        self.gradients = _mean_gradients(runner)
        if not self.by_epoch:
            # SyncBuffersHook averages buffers only at the end of an epoch
            dist.all_reduce_params(runner.model.buffers(), op='mean')
        super()._save_checkpoint_with_step(runner, step, meta)
        self.gradients = {}
        # without this state, PreemptionHook must save another checkpoint
        self.saved_iter = meta['iter'] if (
            self.save_optimizer and self.save_param_scheduler) else -1
        self.outdated.append(self._in_out_dir(INTERRUPTED))
        self._remove_outdated()

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        if not hasattr(self, 'outdated'):
            return  # val() without train()
        for name in self.key_indicators if self.save_best else ():
            require_known('default_hooks.checkpoint.save_best', name,
                          ('auto', *metrics))
        super()._save_best_checkpoint(runner, metrics)
        self._remove_outdated()

    @dist.master_only
    def _remove_outdated(self) -> None:
        kept = [self.last_ckpt, getattr(self, 'best_ckpt_path', None),
                *getattr(self, 'best_ckpt_path_dict', {}).values()]
        for path in self.outdated:
            if path not in kept and self.file_backend.isfile(path):
                self.remove(path)
        self.outdated.clear()


def _mean_gradients(runner) -> dict:
    """Average accumulated gradients over the processes, if there are any."""
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict) or wrapper.should_update():
        return {}
    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None
        else parameter.grad.clone()
        for name, parameter in unwrap(runner.model).named_parameters()
        if parameter.requires_grad}
    for gradient in gradients.values():
        dist.all_reduce(gradient, 'mean')
    return gradients
