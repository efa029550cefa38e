"""Seeds that depend on where they are used, not on earlier draws.

A generator that is seeded anew for each use has no state to save, so a resumed
training draws the same numbers as an uninterrupted one.
"""
import hashlib
import random

import numpy as np
import torch
from mmengine.device import get_device


def derive_seed(*key: int) -> int:
    """Mix integers into a seed of 32 bits, the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=4).digest()
    return int.from_bytes(digest, 'little')


def seed_cpu(seed: int) -> None:
    """Seed Python, NumPy and PyTorch's CPU generator with 32 bits."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def seed_all(seed: int) -> None:
    """Seed what :func:`seed_cpu` does, and the device in use."""
    seed_cpu(seed)
    device = get_device()
    if device == 'cuda':
        torch.cuda.manual_seed_all(seed)
    elif device != 'cpu':
        torch.manual_seed(seed)  # all devices, 30 times as slow
