"""Skeleton encoders that MMAction2 lacks."""
from .ctrgcn import CTRGCN
from .hcn import HCN
from .hyperformer import Hyperformer

__all__ = ['CTRGCN', 'HCN', 'Hyperformer']
