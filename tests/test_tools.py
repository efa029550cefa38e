"""Tools are thin: they parse arguments and call the package."""
import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from projects.stdcl import catalogue

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / 'tools').rglob('*.py'))
TOOLS = [path for path in FILES if '__main__' in path.read_text()]
PACKAGE = sorted((ROOT / 'projects').rglob('*.py'))
# module -> tool (the errors of this module reach only this tool or tools with
# the same options)
CALLERS = dict(custom_data='custom', custom_splits='custom', report='report',
               study='run_study', test='test', train='train')

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


def show_help(path: Path) -> str:
    """Return the help of a tool, without any slow import."""
    done = subprocess.run([sys.executable, '-c', SHOW_HELP, path],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize('path', TOOLS, ids=lambda path: path.stem)
def test_help_is_complete_and_fast(path):
    text = show_help(path)
    assert 'usage: ' in text and 'example' in text.lower()


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_tools_are_thin(path):
    assert path.read_text().count('\n') <= 120


def test_no_path_edits():
    """Tools import the installed package and do not edit sys.path."""
    for path in [*FILES, *PACKAGE]:
        assert not re.search(r'sys\.path|noqa: E402', path.read_text()), path


def test_errors_name_options_that_the_tool_has():
    """The tools that may show an error have the options that it names."""
    texts = {path.stem: path.read_text() for path in TOOLS}
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Raise):
                continue
            error = ast.unparse(node)
            named = re.findall(r'(\w+)\.py', error)
            for option in re.findall(r'(?<![\w-])--[a-z][a-z-]+', error):
                tools = named or [CALLERS.get(path.stem)]
                if option == '--cfg-options':
                    tools = [tool for tool, text in texts.items()
                             if "add_argument('config'" in text]
                for tool in tools:
                    assert option.replace('--no-', '--') in texts.get(
                        tool, ''), error


@pytest.mark.parametrize('tool, table', [
    ('train', 'STREAMS'), ('test', 'STREAMS'), ('data/custom', 'ENCODERS')])
def test_help_refers_to_the_catalogue(tool, table):
    """The help does not list the names: importing the catalogue is slow."""
    text = ' '.join(show_help(ROOT / 'tools' / f'{tool}.py').split())
    assert f'a key of {table} in projects/stdcl/catalogue.py' in text
    assert list(getattr(catalogue, table))[-1] not in text
