"""Recognizers: encoder, head and data preprocessor together."""
from .stdcl_recognizer import STDCLRecognizer

__all__ = ['STDCLRecognizer']
