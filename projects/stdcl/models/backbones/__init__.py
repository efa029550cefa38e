"""Skeleton encoders that MMAction2 does not provide."""
from .blockgcn import BlockGCN
from .ctrgcn import CTRGCN
from .hcn import HCN
from .hyperformer import Hyperformer

__all__ = ['BlockGCN', 'CTRGCN', 'HCN', 'Hyperformer']
