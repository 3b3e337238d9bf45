"""What the system refuses is told in one line that names the path."""

import pytest

from pocketgan.errors import StorageError
from pocketgan.files import write_atomic


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(StorageError, match=r"out: a folder is in the place of a file; choose another name$"):
        write_atomic(tmp_path / "out", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("below", ["model", "deep/model"])
def test_a_file_in_the_place_of_a_folder_is_told(below, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StorageError, match=r"out.*: a file is in the place of a folder; choose another name$"):
        write_atomic(tmp_path / "out" / below, "text")
    assert (tmp_path / "out").read_text() == "mine"
