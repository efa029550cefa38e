"""Record the results of all operations of PyTorch."""
from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Result(NamedTuple):
    operation: str
    shape: torch.Size
    dtype: torch.dtype
    is_cpu: bool


class Watch(TorchDispatchMode):
    """Mode that lists the result of each operation in ``results``."""

    def __init__(self):
        super().__init__()
        self.results = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **(kwargs or {}))
        self.results += [
            Result(function.__name__, one.shape, one.dtype, one.is_cpu)
            for one in tree_leaves(results) if isinstance(one, torch.Tensor)]
        return results
