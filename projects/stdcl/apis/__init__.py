"""For programs that use a trained model."""
from .load_model import load_model
from .skeleton_inferencer import SkeletonInferencer

__all__ = ['SkeletonInferencer', 'load_model']
