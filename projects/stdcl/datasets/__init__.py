"""Data sets and transforms."""
from .skeleton_dataset import SkeletonDataset
from .synthetic_skeleton import SyntheticSkeletonDataset
from .transforms import *  # noqa: F401,F403
from .transforms import __all__ as _transforms

__all__ = ['SkeletonDataset', 'SyntheticSkeletonDataset', *_transforms]
