"""Writing at once or not at all."""

import os

import numpy as np
import pytest

from deepmot_lib.data.files import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_appears_when_the_block_ends(tmp_path):
    file = tmp_path / "made" / "on the way" / "a.txt"
    with atomic(file) as temporary:
        temporary.write_text("new")
        assert not file.exists() and temporary.parent == file.parent and temporary.suffix == ".txt"
    assert file.read_text() == "new" and names(file.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, error):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(error), atomic(file) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert file.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_an_error_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text(str(1 / 0))
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "b.txt"):
        pass  # the block wrote nothing
    assert names(tmp_path) == []


def test_a_reader_keeps_the_old_file(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with open(file) as reader:
        with atomic(file) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert file.read_text() == "new"


def test_writers_that_go_by_the_suffix(tmp_path):
    with atomic(tmp_path / "a.npz") as temporary:
        np.savez(temporary, x=np.arange(3))
    assert np.load(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]
    assert names(tmp_path) == ["a.npz"]


def test_two_files_of_one_stem_at_once(tmp_path):
    with atomic(tmp_path / "a.csv") as one, atomic(str(tmp_path / "a.json")) as other:
        one.write_text("1")
        other.write_text("2")
    assert (tmp_path / "a.csv").read_text() == "1" and (tmp_path / "a.json").read_text() == "2"


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError), atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["a.txt"] and os.path.isdir(tmp_path / "a.txt")
