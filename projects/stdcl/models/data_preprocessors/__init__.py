"""Data preprocessors, which prepare a batch for the encoder."""
from .skeleton_data_preprocessor import SkeletonDataPreprocessor

__all__ = ['SkeletonDataPreprocessor']
