"""Data sets and transforms."""
from .synthetic_skeleton import SyntheticSkeletonDataset
from .transforms import MinMaxNormalize, RandomSampleFrames, RandomView

__all__ = [
    'MinMaxNormalize', 'RandomSampleFrames', 'RandomView',
    'SyntheticSkeletonDataset'
]
