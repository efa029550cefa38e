"""Keep the averaged weights of ``EMAHook`` after training.

Each call of ``runner.train``, ``val`` and ``test`` creates the average anew
from the latest weights (not reported upstream), so a test after training would
use those. With this patch, a model keeps its average.
"""
import functools

from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper


def apply() -> None:
    """Patch ``EMAHook.before_run``."""
    upstream = EMAHook.before_run

    @functools.wraps(upstream)
    def before_run(self, runner):
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        if getattr(self, 'src_model', None) is not model:
            upstream(self, runner)

    EMAHook.before_run = before_run
