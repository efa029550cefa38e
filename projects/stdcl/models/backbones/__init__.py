"""Encoders: the networks that STD-CL trains."""
from .ctrgcn import CTRGCN
from .hcn import HCN
from .hyperformer import Hyperformer

__all__ = ['CTRGCN', 'HCN', 'Hyperformer']
