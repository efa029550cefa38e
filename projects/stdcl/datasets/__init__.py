"""Data sets, a sampler and transforms."""
from .concat_dataset import ConcatDataset
from .packed_collate import packed_collate
from .seeded_dataset import SeededDataset, SeededSampler
from .skeleton_dataset import SkeletonDataset
from .synthetic_skeleton import SyntheticSkeletonDataset
from .transforms import *  # noqa: F401,F403
from .transforms import __all__ as _transforms

__all__ = ['ConcatDataset', 'SeededDataset', 'SeededSampler',
           'SkeletonDataset', 'SyntheticSkeletonDataset', 'packed_collate',
           *_transforms]
