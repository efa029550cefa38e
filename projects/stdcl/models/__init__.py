"""Components of STD-CL, and encoders that MMAction2 does not provide."""
from .backbones import *  # noqa: F401,F403
from .data_preprocessors import *  # noqa: F401,F403
from .decouplers import *  # noqa: F401,F403
from .heads import *  # noqa: F401,F403
from .losses import *  # noqa: F401,F403
from .memory_banks import *  # noqa: F401,F403
from .recognizers import *  # noqa: F401,F403
