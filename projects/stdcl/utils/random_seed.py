"""Seeds that depend on where they are used, not on earlier draws.

They have no state to save, so a resumed run draws the same numbers.
"""
import hashlib
import random

import numpy as np
import torch
from mmengine.device import get_device


def derive_seed(*key: int) -> int:
    """Hash integers to a 32-bit seed that is the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=4).digest()
    return int.from_bytes(digest, 'little')


def seed_cpu(seed: int) -> None:
    """Seed Python, NumPy and PyTorch's CPU generator with a 32-bit integer."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def seed_all(seed: int) -> None:
    """Seed the generators of the CPU and of the device that MMEngine uses."""
    seed_cpu(seed)
    if get_device() != 'cpu':
        torch.manual_seed(seed)  # seeds every device
