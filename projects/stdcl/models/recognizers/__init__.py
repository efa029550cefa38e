"""Recognizers, which combine encoder, head and data preprocessor."""
from .stdcl_recognizer import STDCLRecognizer

__all__ = ['STDCLRecognizer']
