"""Find and call parts of a model."""
import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import BaseLoop


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside a distributed wrapper, or the model itself."""
    return model.module if is_model_wrapper(model) else model


def built_loops(runner) -> dict[str, BaseLoop]:
    """Return the loops, 'train', 'val' and 'test', that a Runner will run."""
    # the public properties would build the others
    loops = {name: getattr(runner, f'_{name}_loop')
             for name in ('train', 'val', 'test')}
    return {name: loop for name, loop in loops.items()
            if isinstance(loop, BaseLoop)}


def kind_of(entry: dict) -> str:
    """Return the name of the class in a config, without its module."""
    kind = entry.get('type')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config, as a Runner does.

    A config may set ``data_preprocessor`` inside or beside ``model``.
    """
    init_default_scope(cfg.get('default_scope') or 'mmaction')
    beside = cfg.get('data_preprocessor')
    return MODELS.build({**({'data_preprocessor': beside} if beside else {}),
                         **cfg.model})


def make_stream(preprocessor: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """Compute the stream of clips (..., M, T, V, C).

    A preprocessor without a stream, such as MMAction2's, changes nothing.
    """
    compute = getattr(preprocessor, 'make_stream', None)
    return clips if compute is None else compute(clips)


def graphs_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the graphs that MMAction2's encoders derive from a layout."""
    graph = getattr(getattr(model, 'backbone', None), 'graph', None)
    return {name: buffer for name, buffer in model.named_buffers()
            if name.endswith('.A') and hasattr(graph, 'num_node')}


def find_modules(model: nn.Module, kind: type) -> dict[str, nn.Module]:
    """Return a dict of name -> module for the modules of a class."""
    return {name: module for name, module in unwrap(model).named_modules()
            if isinstance(module, kind)}


def find_prefixes(model: nn.Module, kind: type) -> tuple:
    """Return the prefixes in a state dict of the modules of a class."""
    return tuple(f'{name}.' for name in find_modules(model, kind))
