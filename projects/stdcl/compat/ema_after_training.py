"""Repair ``EMAHook`` after training and in several processes.

Each call of ``runner.train``, ``val`` and ``test`` creates the average anew
from the latest weights (not reported upstream), so a test after training would
use those. With this patch, a model keeps its average once it has been updated.

With ``update_buffers=True``, each process averages its own batch-norm
statistics (not reported upstream). With this patch, validation, tests and
checkpoints at the end of an epoch use their mean, as without ``EMAHook``.
"""
import functools

from mmengine.dist import all_reduce_params
from mmengine.hooks import EMAHook

from ..utils.model_parts import unwrap


def apply() -> None:
    """Patch methods of ``EMAHook``."""
    upstream = EMAHook.before_run

    @functools.wraps(upstream)
    def before_run(self, runner):
        if getattr(self, 'src_model', None) is not unwrap(
                runner.model) or not self.ema_model.steps:
            upstream(self, runner)

    EMAHook.before_run = before_run
    # all processes call these; only the first one saves checkpoints
    for name in 'after_train_epoch', 'before_val_epoch', 'before_test_epoch':
        setattr(EMAHook, name, _after_reduction(getattr(EMAHook, name)))


def _after_reduction(upstream):

    @functools.wraps(upstream)
    def method(self, *args, **kwargs):
        if self.ema_model.update_buffers:
            all_reduce_params(self.ema_model.module.buffers(), op='mean')
        upstream(self, *args, **kwargs)

    return method
