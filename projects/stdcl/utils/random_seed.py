"""Randomness that is a function of where it is used, and of nothing before.

A generator that is seeded anew for each draw needs no saving, so a training
that is interrupted and resumed draws what the uninterrupted one would have.
"""
import hashlib
import random

import numpy as np
import torch
from mmengine.device import get_device


def derive_seed(*key: int) -> int:
    """Mix whole numbers to a seed of 32 bits.

    Args:
        *key (int): What the randomness depends on, such as the seed of the
            run, the epoch and the index of a sequence.

    Returns:
        int: The same for the same numbers, on every machine.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=4).digest()
    return int.from_bytes(digest, 'little')


def seed_cpu(seed: int) -> None:
    """Seed Python, NumPy and PyTorch's generator of the CPU.

    Args:
        seed (int): From 0 to 2**32 - 1.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def seed_all(seed: int) -> None:
    """As :func:`seed_cpu`, and the generators of the devices in use."""
    seed_cpu(seed)
    device = get_device()
    if device == 'cuda':
        torch.cuda.manual_seed_all(seed)
    elif device != 'cpu':
        torch.manual_seed(seed)  # all devices; takes 30 times as long
