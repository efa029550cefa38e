"""Transforms: what MMAction2 lacks, and faster ones of what it has."""
from .center_on_joint import CenterOnJoint
from .crop_resize import CropResize
from .drop_empty_frames import DropEmptyFrames
from .fast_gen_ske_feat import FastGenSkeFeat
from .fast_pre_normalize_3d import FastPreNormalize3D
from .fast_uniform_sample_frames import FastUniformSampleFrames
from .min_max_normalize import MinMaxNormalize
from .random_rotation import RandomRotation
from .random_sample_frames import RandomSampleFrames
from .random_view import RandomView

__all__ = [
    'CenterOnJoint', 'CropResize', 'DropEmptyFrames', 'FastGenSkeFeat',
    'FastPreNormalize3D', 'FastUniformSampleFrames', 'MinMaxNormalize',
    'RandomRotation', 'RandomSampleFrames', 'RandomView'
]
