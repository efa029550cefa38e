"""Keep ``EarlyStoppingHook`` from reading the training set before a test.

It builds the training loop to check it (not reported upstream), in vain.
"""
from mmengine.hooks import EarlyStoppingHook, Hook


def apply() -> None:
    """Remove the check."""
    EarlyStoppingHook.before_run = Hook.before_run
