"""Keep the averaged weights of ``EMAHook`` after training.

Each call of ``runner.train``, ``val`` and ``test`` creates the average anew
from the latest weights (not reported upstream), so a test after training would
use those. With this patch, a model keeps its average.
"""
import functools

from mmengine.hooks import EMAHook

from ..utils.model_parts import unwrap


def apply() -> None:
    """Patch ``EMAHook.before_run``."""
    upstream = EMAHook.before_run

    @functools.wraps(upstream)
    def before_run(self, runner):
        if getattr(self, 'src_model', None) is not unwrap(runner.model):
            upstream(self, runner)

    EMAHook.before_run = before_run
