"""Files that are complete or not there, also if several write them."""
import pickle
import subprocess
import sys

import pytest

from projects.stdcl.utils.atomic_write import atomic_write


def test_the_last_to_finish_leaves_its_file(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with atomic_write(path) as first:
        first.write_text('first')
        with atomic_write(path) as second:
            second.write_text('second')
        assert path.read_text() == 'second'
    assert path.read_text() == 'first'
    assert [*path.parent.iterdir()] == [path]


def test_a_failure_leaves_the_file_before(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('before')
    with pytest.raises(KeyError), atomic_write(path) as partial:
        partial.write_text('half')
        raise KeyError
    assert path.read_text() == 'before'
    assert [*tmp_path.iterdir()] == [path]


CONVERTER = '''
import sys, time
from pathlib import Path
from projects.stdcl.datasets.converters.annotation_file import (
    write_annotations)

own, other = sys.argv[1:]

def annotations():
    for number in range(1000):
        if number == 500:  # until the other is here as well
            Path(own).touch()
            while not Path(other).exists():
                time.sleep(0.01)
        yield dict(frame_dir=f'{own}{number}', label=number)

write_annotations(Path('data/made.pkl'), annotations(), writer=own)
'''


def test_two_converters_of_one_file(root, tmp_path):
    converters = [subprocess.Popen(
        [sys.executable, '-c', CONVERTER, *names], cwd=tmp_path,
        env=dict(PYTHONPATH=str(root)),
        stderr=subprocess.PIPE, text=True) for names in ('ab', 'ba')]
    for converter in converters:
        _, error = converter.communicate(timeout=60)
        assert not converter.returncode, error
    path = tmp_path / 'data/made.pkl'
    made = pickle.loads(path.read_bytes())
    assert [one['frame_dir'] for one in made['annotations']] == [
        f'{made["writer"]}{number}' for number in range(1000)]
    assert [*path.parent.iterdir()] == [path]
