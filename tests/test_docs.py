"""Links have targets, and commands in the docs use existing options."""
import re
import shlex

import pytest

from tests.commands import ROOT

PAGES = sorted(str(path.relative_to(ROOT)) for pattern in
               ('*.md', 'configs/*.md', 'docs/**/*.md')
               for path in ROOT.glob(pattern))


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
