"""Files that appear complete or not at all, and files that are compressed."""

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from starsift.io.files import atomic_path, open_unpacked, read_json, write_json


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]
    (tmp_path / "other").touch()
    assert target.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")

    def write() -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        write()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_are_known_by_their_content(tmp_path: Path, pack: type[bytes]) -> None:
    (tmp_path / "a").write_bytes(pack(b"content"))
    with open_unpacked(tmp_path / "a") as stream:
        assert stream.read() == b"content"


def test_json_has_one_spelling(tmp_path: Path) -> None:
    write_json({"b": 1, "a": [None, 0.5]}, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes() == b'{"a": [null, 0.5], "b": 1}\n'
    assert read_json(tmp_path / "a.json") == {"b": 1, "a": [None, 0.5]}
