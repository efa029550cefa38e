"""Tools are short and show their help quickly."""
import runpy
import subprocess
import sys

import pytest

from tests.commands import ROOT

FILES = sorted((ROOT / 'tools').rglob('*.py'))
TOOLS = [path for path in FILES if '__main__' in path.read_text()]

SHOW_HELP = '''
import runpy, sys
sys.argv = [sys.argv[1], '--help']
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
except SystemExit as stop:
    assert stop.code == 0
slow = {'torch', 'mmengine', 'numpy', 'projects.stdcl'} & set(sys.modules)
assert not slow, slow
'''


@pytest.mark.parametrize('path', TOOLS, ids=lambda path: path.stem)
def test_help_is_complete_and_fast(path):
    done = subprocess.run([sys.executable, '-c', SHOW_HELP, path],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 'usage: ' in done.stdout and 'example' in done.stdout.lower()


@pytest.mark.parametrize('words, suffix', [
    ('analysis/extract_features.py CONFIG a.pth', 'npz'),
    ('analysis/report.py CONFIG a.pth', 'html'),
    ('data/jhmdb.py a.npz', 'pkl'),
    ('model_converters/authors_checkpoint.py ctrgcn a.pth', 'pth')])
def test_inputs_are_not_overwritten(words, suffix, monkeypatch, capsys):
    tool, *arguments = words.split()
    monkeypatch.setattr(sys, 'argv', [tool, *arguments, arguments[-1]])
    with pytest.raises(SystemExit):
        runpy.run_path(ROOT / 'tools' / tool, run_name='__main__')
    assert f'is {arguments[-1]}, expected a *.{suffix}' in capsys.readouterr(
        ).err
