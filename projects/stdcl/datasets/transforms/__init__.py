"""Transforms that MMAction2 does not provide, and faster versions of others.

A transform that declares ``cacheable = True`` gives the same result in every
epoch; see :class:`.SkeletonDataset`. Training and testing must share it. The
normalizations change ``keypoint``, (M, T, V, C), and read ``keypoint_score``,
(M, T, V), if there is one.
"""
from .center_on_joint import CenterOnJoint
from .crop_resize import CropResize
from .drop_empty_frames import DropEmptyFrames
from .fast_pre_normalize_3d import FastPreNormalize3D
from .fast_uniform_sample_frames import FastUniformSampleFrames
from .format_gcn_input import FormatGCNInput
from .min_max_normalize import MinMaxNormalize
from .pre_normalize_2d import PreNormalize2D
from .random_rotation import RandomRotation
from .random_sample_frames import RandomSampleFrames
from .random_scale import RandomScale
from .random_view import RandomView
from .standardize import Standardize

__all__ = [
    'CenterOnJoint', 'CropResize', 'DropEmptyFrames', 'FastPreNormalize3D',
    'FastUniformSampleFrames', 'FormatGCNInput', 'MinMaxNormalize',
    'PreNormalize2D', 'RandomRotation', 'RandomSampleFrames', 'RandomScale',
    'RandomView', 'Standardize']
