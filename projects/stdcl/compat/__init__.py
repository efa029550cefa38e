"""Repairs for MMAction2 1.2.0 and MMEngine 0.10.7 on current PyTorch.

One module for each fault, each naming the upstream issue. A module changes
nothing where upstream works. Importing this package applies them all.
"""
from . import mmaction_drn

mmaction_drn.apply()  # before the others, which import mmaction.models

from . import (  # noqa: E402
    accuracy_on_device,
    amp_on_cpu,
    checkpoint,
    distributed_on_cpu,
    named_layouts,
)

for repair in (accuracy_on_device, amp_on_cpu, checkpoint, distributed_on_cpu,
               named_layouts):
    repair.apply()
