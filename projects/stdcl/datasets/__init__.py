"""Data sets and transforms."""
from .transforms import MinMaxNormalize, RandomSampleFrames, RandomView

__all__ = [
    'MinMaxNormalize', 'RandomSampleFrames', 'RandomView'
]
