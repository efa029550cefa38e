"""Links have targets, and commands and examples fit the code."""
import doctest
import importlib
import re
import shlex

import pytest

from tests.commands import ROOT

PAGES = sorted(str(path.relative_to(ROOT)) for pattern in
               ('*.md', 'configs/*.md', 'docs/**/*.md')
               for path in ROOT.glob(pattern))
MODULES = [str(path.relative_to(ROOT).with_suffix('')).replace('/', '.')
           for path in sorted((ROOT / 'projects/stdcl').rglob('*.py'))
           if '>>>' in path.read_text()]


def read(page):
    return (ROOT / page).read_text()


@pytest.mark.parametrize('page', PAGES)
def test_links_have_targets(page):
    for link in re.findall(r'\]\(([^)#\s]+)', read(page)):
        if not link.startswith('http'):
            assert ((ROOT / page).parent / link).exists(), link


@pytest.mark.parametrize('page', PAGES)
def test_commands_match_the_options_of_the_tools(page):
    blocks = re.findall(r'```shell\n(.*?)```', read(page), re.DOTALL)
    lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
    for line in map(str.strip, lines):
        for config in re.findall(r'configs/[^\s$]+\.py', line):
            assert (ROOT / config).is_file(), line
        found = re.search(r'(?:python|bash) (tools/\S+) ?(.*)', line)
        if not found:
            continue
        tool, arguments = found.groups()
        assert (ROOT / tool).is_file(), line
        for word in shlex.split(arguments, comments=True):
            if tool.endswith('.py') and word.startswith('--'):
                assert f"'{word}'" in read(tool), line


@pytest.mark.parametrize('name', MODULES)
def test_examples_in_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
