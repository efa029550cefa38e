"""Support mixed precision (``--amp``) on the CPU.

MMEngine's ``autocast`` supports bfloat16 on the CPU, but ``AmpOptimWrapper``
asserts that there is a GPU
(https://github.com/open-mmlab/mmpretrain/issues/1556). With this patch, it
uses bfloat16 without loss scaling if there is no accelerator.
"""
import functools

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from ..utils.input_error import InputError
from .distributed_on_cpu import has_accelerator


def apply() -> None:
    """Patch the constructor of ``AmpOptimWrapper``."""
    upstream_init = AmpOptimWrapper.__init__

    @functools.wraps(upstream_init)
    def init(self, loss_scale='dynamic', dtype=None, use_fsdp=False, **kwargs):
        if has_accelerator():
            return upstream_init(self, loss_scale, dtype, use_fsdp, **kwargs)
        if dtype not in (None, 'bfloat16', torch.bfloat16):
            raise InputError(
                'AmpOptimWrapper: optim_wrapper.dtype is '
                f'{dtype!r}, but the CPU can only autocast to bfloat16. '
                'Remove dtype or set it to "bfloat16".')
        OptimWrapper.__init__(self, **kwargs)
        self._scale_update_param = None
        self.loss_scaler = torch.amp.GradScaler('cpu', enabled=False)
        self.cast_dtype = torch.bfloat16

    AmpOptimWrapper.__init__ = init
