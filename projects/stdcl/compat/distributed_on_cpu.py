"""Distributed training without a GPU: the launchers insist on CUDA.

MMEngine's launchers call ``torch.cuda.set_device`` always, and its Runner
hands ``device_ids`` to DistributedDataParallel always (since
https://github.com/open-mmlab/mmengine/pull/351), which PyTorch refuses for a
model on the CPU. Without an accelerator, processes are joined by gloo and
``device_ids`` is left out. ``SyncBatchNorm``, which would stop the first step,
is refused with a way out.

A thread of gloo lets go of the tensors of an exchange when it gets to it. If
Python has ended by then, it aborts the process ("terminate called without an
active exception"), and a command that did all its work fails. So the process
waits a moment before it ends.
"""
import atexit
import functools
import time

import torch
from mmengine import device
from mmengine.dist import utils as dist_utils
from mmengine.model import MMDistributedDataParallel

from ..utils.input_error import InputError

SECONDS_TO_END = 0.2


def has_accelerator() -> bool:
    """Whether MMEngine will train on anything but the CPU."""
    return device.get_device() != 'cpu'


def _launch_on_cpu(launch):
    """Wrap a launcher so that without an accelerator it uses gloo."""

    @functools.wraps(launch)
    def wrapper(backend, *args, **kwargs):
        if has_accelerator():
            return launch(backend, *args, **kwargs)
        set_device = torch.cuda.set_device
        torch.cuda.set_device = lambda index: None
        atexit.register(time.sleep, SECONDS_TO_END)
        try:
            return launch('gloo', *args, **kwargs)
        finally:
            torch.cuda.set_device = set_device

    return wrapper


def apply() -> None:
    """Wrap the three launchers and the model wrapper."""
    for launcher in ('pytorch', 'slurm', 'mpi'):
        name = f'_init_dist_{launcher}'
        setattr(dist_utils, name, _launch_on_cpu(getattr(dist_utils, name)))

    upstream_init = MMDistributedDataParallel.__init__

    @functools.wraps(upstream_init)
    def init(self, module, *args, device_ids=None, **kwargs):
        on_cpu = all(p.device.type == 'cpu' for p in module.parameters())
        if on_cpu and any(isinstance(part, torch.nn.SyncBatchNorm)
                          for part in module.modules()):
            raise InputError(
                "sync_bn is 'torch', but PyTorch's SyncBatchNorm needs a GPU. "
                'Leave sync_bn out to train on the CPU.')
        upstream_init(self, module, *args,
                      device_ids=None if on_cpu else device_ids, **kwargs)

    MMDistributedDataParallel.__init__ = init
