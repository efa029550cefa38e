"""Skeleton encoders that MMAction2 lacks."""
from .blockgcn import BlockGCN
from .ctrgcn import CTRGCN
from .hcn import HCN
from .hyperformer import Hyperformer

__all__ = ['BlockGCN', 'CTRGCN', 'HCN', 'Hyperformer']
