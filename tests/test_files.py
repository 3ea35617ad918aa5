"""Files are there complete or not at all."""

import os
from pathlib import Path

import pytest

from agg2exp_core.errors import UsageError
from agg2exp_core.files import whole_file


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_appears_whole_and_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink()))
    path = tmp_path / "a.csv"
    for content in ("old", "new"):
        with whole_file(path) as partial:
            partial.write_text(content)
            assert partial.suffix == ".csv"
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == content
        assert synced.pop() == partial
    assert names(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_what_fails_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "a.csv"
    path.write_text("old")
    expected = UsageError if isinstance(error, OSError) else type(error)

    def fail():
        with whole_file(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(expected) as caught:
        fail()
    if expected is UsageError:
        assert "a.csv: a file that cannot be written (No space left on device)" in str(caught.value)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.csv"]


def test_a_folder_is_made_where_it_is_asked_for(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    with pytest.raises(UsageError, match="cannot be written"), whole_file(path) as partial:
        partial.write_text("x")
    assert names(tmp_path) == []
    with whole_file(path, make_folder=True) as partial:
        partial.write_text("x")
    assert path.read_text() == "x"
    with pytest.raises(UsageError, match="cannot be written"), whole_file(path / "d", make_folder=True):
        pass
