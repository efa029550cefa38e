"""Hooks and the training loop."""
import mmaction.engine  # noqa: F401  registers AAGCN's weight initializer

from .hooks import *  # noqa: F401,F403
from .loops import *  # noqa: F401,F403
