"""The examples in docstrings run as shown."""
import doctest
import importlib

import pytest

from tests.commands import ROOT

MODULES = [str(path.relative_to(ROOT).with_suffix('')).replace('/', '.')
           for path in sorted((ROOT / 'projects/stdcl').rglob('*.py'))
           if '>>>' in path.read_text()]


@pytest.mark.parametrize('name', MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
