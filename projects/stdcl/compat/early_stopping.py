"""Keep ``EarlyStoppingHook`` from reading the training set before a test.

It builds the training loop to check it (not reported upstream). With this
patch, it checks the loop before training.
"""
from mmengine.hooks import EarlyStoppingHook, Hook


def apply() -> None:
    """Move the check."""
    EarlyStoppingHook.before_train = EarlyStoppingHook.before_run
    EarlyStoppingHook.before_run = Hook.before_run
