"""Find parts of a model."""
from typing import Dict

import torch
import torch.nn as nn
from mmengine.model import is_model_wrapper


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside a distributed wrapper, or the model itself."""
    return model.module if is_model_wrapper(model) else model


def make_stream(preprocessor: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """Compute the stream of clips (..., M, T, V, C).

    MMAction2's own data preprocessor leaves the clips unchanged.
    """
    compute = getattr(preprocessor, 'make_stream', None)
    return clips if compute is None else compute(clips)


def find_modules(model: nn.Module, kind: type) -> Dict[str, nn.Module]:
    """Return a dict of name -> module for all modules of a class."""
    return {name: module for name, module in unwrap(model).named_modules()
            if isinstance(module, kind)}


def find_prefixes(model: nn.Module, kind: type) -> tuple:
    """Return the prefixes of tensor names in all modules of a class."""
    return tuple(f'{name}.' for name in find_modules(model, kind))
