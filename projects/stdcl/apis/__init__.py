"""For programs that use a trained model."""
from .load_model import load_model

__all__ = ['load_model']
