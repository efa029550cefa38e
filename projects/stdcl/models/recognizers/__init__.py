"""Recognizers, which combine an encoder, a head and a data preprocessor."""
from .stdcl_recognizer import STDCLRecognizer

__all__ = ['STDCLRecognizer']
