"""``--amp`` on the CPU: ``AmpOptimWrapper`` asserts that there is a GPU.

MMEngine's ``autocast`` itself supports bfloat16 on the CPU; only the wrapper
refuses (https://github.com/open-mmlab/mmpretrain/issues/1556). Without an
accelerator it runs bfloat16 autocast, which needs no loss scaling.
"""
import functools

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from ..utils.input_error import InputError
from .distributed_on_cpu import has_accelerator


def apply() -> None:
    """Give ``AmpOptimWrapper`` a constructor that also works on the CPU."""
    upstream_init = AmpOptimWrapper.__init__

    @functools.wraps(upstream_init)
    def init(self, loss_scale='dynamic', dtype=None, use_fsdp=False, **kwargs):
        if has_accelerator():
            return upstream_init(self, loss_scale, dtype, use_fsdp, **kwargs)
        if dtype not in (None, 'bfloat16', torch.bfloat16):
            raise InputError(
                'AmpOptimWrapper: optim_wrapper.dtype is '
                f'{dtype!r}, but the CPU can only autocast to bfloat16. '
                'Leave dtype out or set it to "bfloat16".')
        OptimWrapper.__init__(self, **kwargs)
        self._scale_update_param = None
        self.loss_scaler = torch.amp.GradScaler('cpu', enabled=False)
        self.cast_dtype = torch.bfloat16

    AmpOptimWrapper.__init__ = init
