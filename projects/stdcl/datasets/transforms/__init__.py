"""Transforms that MMAction2 lacks."""
from .min_max_normalize import MinMaxNormalize
from .random_view import RandomView
from .sample_frames import RandomSampleFrames

__all__ = ['MinMaxNormalize', 'RandomSampleFrames', 'RandomView']
