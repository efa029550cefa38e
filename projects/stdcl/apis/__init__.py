"""Python functions to train, test and apply models."""
from .load_model import layout_of, load_model
from .skeleton_inferencer import SkeletonInferencer
from .test import test
from .train import train

__all__ = ['SkeletonInferencer', 'layout_of', 'load_model', 'test', 'train']
