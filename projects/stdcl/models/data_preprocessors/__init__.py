"""Data preprocessors: what a model does to a batch before the encoder."""
from .skeleton_data_preprocessor import SkeletonDataPreprocessor

__all__ = ['SkeletonDataPreprocessor']
