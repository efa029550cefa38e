"""Support distributed training without a GPU.

docs/internals/stack_repairs.md gives the reasons. Without an accelerator,
processes use the gloo backend. On Macs, the CPU is the default device.
Machines exchange results through tensors, not files.

A gloo thread that releases its tensors after Python has exited aborts the
process, so the process waits briefly before it exits.
"""
import atexit
import functools
import time

import torch
from mmengine import device
from mmengine.dist import dist
from mmengine.dist import utils as dist_utils
from mmengine.evaluator import metric
from mmengine.model import MMDistributedDataParallel

SECONDS_TO_END = 0.2


def has_accelerator() -> bool:
    """Return whether MMEngine trains on a device other than the CPU."""
    return device.get_device() != 'cpu'


def _launch_on_cpu(launch):
    """Wrap a launcher to use gloo if there is no accelerator."""

    @functools.wraps(launch)
    def wrapper(backend, *args, **kwargs):
        set_device = torch.cuda.set_device
        if not has_accelerator():
            backend = 'gloo'
            torch.cuda.set_device = lambda index: None
            atexit.register(time.sleep, SECONDS_TO_END)
        try:
            return launch(backend, *args, **kwargs)
        finally:
            torch.cuda.set_device = set_device

    return wrapper


def apply() -> None:
    """Patch the launchers, the model wrapper and the default device."""
    if device.get_device() == 'mps':
        device.utils.DEVICE = 'cpu'

    upstream_collect = dist.collect_results_cpu

    @functools.wraps(upstream_collect)
    def collect(part, size, tmpdir=None):
        # despite its name, the other function works on any device
        return (dist.collect_results_gpu(metric._to_cpu(part), size)
                if tmpdir is None else upstream_collect(part, size, tmpdir))

    dist.collect_results_cpu = collect
    for launcher in ('pytorch', 'slurm', 'mpi'):
        name = f'_init_dist_{launcher}'
        setattr(dist_utils, name, _launch_on_cpu(getattr(dist_utils, name)))

    upstream_init = MMDistributedDataParallel.__init__

    @functools.wraps(upstream_init)
    def init(self, module, *args, device_ids=None, **kwargs):
        for part in module.modules():  # DDP's error does not name clip_shape
            if hasattr(part, 'require_sizes'):
                part.require_sizes()
        on_cpu = all(p.device.type == 'cpu' for p in module.parameters())
        upstream_init(self, module, *args,
                      device_ids=None if on_cpu else device_ids, **kwargs)

    MMDistributedDataParallel.__init__ = init
