"""Seeds that depend on where they are used, not on earlier draws.

They have no state to save, so a resumed run draws the same numbers.
"""
import hashlib
import random

import numpy as np
import torch


def derive_seed(*key: int) -> int:
    """Hash integers to a 32-bit seed that is the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=4).digest()
    return int.from_bytes(digest, 'little')


def seed_cpu(seed: int) -> None:
    """Seed Python, NumPy and PyTorch's CPU generator with a 32-bit integer."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
