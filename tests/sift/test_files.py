"""What a user may name: folders, files and lists; and what is said of what cannot be used."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from fixtures.survey_files import mrs_name, mrs_tables, write_mrs

from starsift.errors import InputError
from starsift.sift.files import describe_skipped, find_files, index_places


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A spectrum, an image, and a file that is damaged, in folders."""
    root = tmp_path / "my spectra"
    (root / "night").mkdir(parents=True)
    write_mrs(root / "night" / mrs_name(), mrs_tables())
    fits.PrimaryHDU(np.ones((64, 64), np.float32)).writeto(root / "image.fits")
    (root / "broken.fits").write_bytes(b"SIMPLE  =")
    (root / "notes.md").write_text("seen on a clear night")
    return root


def test_folders_files_and_lists_name_the_same_files(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    inside = find_files([folder])
    assert [file.relative_to(folder).as_posix() for file in inside] == [
        "broken.fits",
        "image.fits",
        f"night/{mrs_name()}",
    ]
    assert find_files([folder, inside[0], folder]) == inside  # each once
    listed = tmp_path / "list.txt"
    listed.write_text(f"# mine\n{inside[2]}\n\nmy spectra/image.fits\n")
    assert find_files([listed]) == [inside[2], inside[1]]


def test_results_of_an_earlier_run_are_left_out(folder: Path) -> None:
    inside = find_files([folder])
    (folder / "sift/results").mkdir(parents=True)
    shutil.copy(folder / "image.fits", folder / "sift/results/catalog.fits")
    assert find_files([folder], without=folder / "sift") == inside
    assert len(find_files([folder])) == len(inside) + 1


def test_a_list_that_names_a_missing_file_is_named_itself(folder: Path) -> None:
    (folder / "list.txt").write_text("image.fits\ngone.fits\n")
    with pytest.raises(InputError, match=r"list\.txt: it lists gone\.fits, and there is no such file"):
        find_files([folder / "list.txt"])


def test_a_list_is_also_read_from_where_it_lies(folder: Path, tmp_path: Path, monkeypatch) -> None:
    (folder / "list.lst").write_text("image.fits\n")
    monkeypatch.chdir(tmp_path.parent)
    assert find_files([folder / "list.lst"]) == [folder / "image.fits"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "no such file or folder"),
        ("notes.md", "neither a folder, nor a FITS file, nor a list of files"),
        ("night/empty", "no file in it ends in .fits"),
    ],
)
def test_a_place_without_spectra_is_named(folder: Path, name: str, sentence: str) -> None:
    (folder / "night/empty").mkdir()
    with pytest.raises(InputError, match=sentence) as raised:
        find_files([folder / name])
    assert str(folder / name) in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_may_not_be_read_is_named(folder: Path) -> None:
    (folder / "night").chmod(0)
    try:
        with pytest.raises(InputError, match="permission denied"):
            find_files([folder / "night"])
    finally:
        (folder / "night").chmod(0o755)


def test_what_is_no_spectrum_is_counted_by_its_reason(folder: Path) -> None:
    shutil.copy(folder / "image.fits", folder / "second.fits")
    found = index_places([folder])
    assert (found.root, found.kinds) == (folder, {"mrs": 1})
    assert {status: len(files) for status, files in found.skipped.items()} == {
        "not_a_spectrum": 2,
        "truncated": 1,
    }
    told = list(describe_skipped(found))
    assert told[0] == (
        "not a spectrum: image.fits: an image of 64 x 64 pixels, without wavelengths, and 1 more"
    )
    assert len(told) == 2


def test_files_without_a_spectrum_say_why(folder: Path) -> None:
    with pytest.raises(InputError, match=r"image.fits.*no spectrum that can be searched. not a spectrum: "):
        index_places([folder / "image.fits"])


def test_lists_of_lists_and_of_windows(folder: Path) -> None:
    (folder / "a.txt").write_text("b.txt\n")
    (folder / "b.txt").write_text("\ufeffimage.fits\n", encoding="utf-8")
    assert find_files([folder / "a.txt"]) == [folder / "image.fits"]
    (folder / "b.txt").write_text("image.fits\na.txt\n")
    with pytest.raises(InputError, match=r"a\.txt: it lists itself"):
        find_files([folder / "a.txt"])
    (folder / "b.txt").write_text("# nothing yet\n")
    with pytest.raises(InputError, match=r"b\.txt: it lists no file"):
        find_files([folder / "b.txt"])
