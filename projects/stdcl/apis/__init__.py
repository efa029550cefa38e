"""For programs that use a trained model."""
from .load_model import layout_of, load_model
from .skeleton_inferencer import SkeletonInferencer

__all__ = ['SkeletonInferencer', 'layout_of', 'load_model']
