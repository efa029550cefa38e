"""Comparisons of trainings: study files, their runner, results, tables."""
from ..utils.input_error import InputError

try:
    import pandas  # noqa: F401
except ImportError:
    raise InputError('Studies and tables need pandas: pip install -e '
                     '".[analysis]"') from None
