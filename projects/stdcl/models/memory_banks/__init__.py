"""Memory banks, which store features of training sequences."""
from .class_balanced_memory_bank import ClassBalancedMemoryBank
from .memory_bank import MemoryBank

__all__ = ['ClassBalancedMemoryBank', 'MemoryBank']
