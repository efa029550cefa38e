"""A failure keeps the previous file, and the last of two writers wins."""
import pytest

from projects.stdcl.utils.atomic_write import atomic_write


def test_atomic_write(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with atomic_write(path) as first:
        first.write_text('first')
        with atomic_write(path) as second:
            second.write_text('second')
        assert path.read_text() == 'second'
    with pytest.raises(KeyError), atomic_write(path) as partial:
        partial.write_text('half')
        raise KeyError
    assert path.read_text() == 'first'
    assert [*path.parent.iterdir()] == [path]
