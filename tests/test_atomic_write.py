"""A failure keeps the previous file, and the last of two writers wins."""
import pytest

from projects.stdcl.utils.atomic_write import atomic_write


def test_last_writer_wins(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with atomic_write(path) as first:
        first.write_text('first')
        with atomic_write(path) as second:
            second.write_text('second')
        assert path.read_text() == 'second'
    assert path.read_text() == 'first'
    assert [*path.parent.iterdir()] == [path]


def test_failure_keeps_the_previous_file(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('before')
    with pytest.raises(KeyError), atomic_write(path) as partial:
        partial.write_text('half')
        raise KeyError
    assert path.read_text() == 'before'
    assert [*tmp_path.iterdir()] == [path]
