"""Recognizers."""
from .stdcl_recognizer import STDCLRecognizer

__all__ = ['STDCLRecognizer']
