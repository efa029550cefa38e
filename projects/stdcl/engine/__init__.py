"""Hooks of the training loop."""
from .hooks import *  # noqa: F401,F403
