"""STD-CL: spatial-temporal decoupling contrastive learning for MMAction2.

Importing this package repairs the stack (:mod:`.compat`) and registers
everything else, so one line in a config is enough:
``custom_imports = dict(imports=['projects.stdcl'])``.
"""
from . import (  # noqa: F401
    compat,  # noqa: F401  first: makes mmaction.models importable
    datasets,
    engine,
    models,
)
