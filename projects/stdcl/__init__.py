"""STD-CL: spatial-temporal decoupling contrastive learning for MMAction2.

Importing this package patches MMAction2 and MMEngine (:mod:`.compat`) and
registers its classes, so a config needs only one line:
``custom_imports = dict(imports=['projects.stdcl'])``.
"""
from . import (  # noqa: F401
    compat,  # noqa: F401  comes first: makes mmaction.models importable
    datasets,
    engine,
    models,
)
