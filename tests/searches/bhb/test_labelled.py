"""The catalogue of labelled spectra, and which bundles the data set is made of."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from starsift.errors import InputError
from starsift.searches.bhb.labelled import labelled_bundles, read_labelled


def csv(path: Path, **columns: Any) -> Path:
    pyarrow.csv.write_csv(pa.table(columns), path)
    return path


def test_labels_by_plate_or_name(tmp_path: Path) -> None:
    labels = ["BHB", "blue straggler", "not BHB"]
    columns = {"MJD": [51630] * 3, "FIBERID": [1, 2, 3], "label": labels}
    Table({"PLATE": [266, 1123, 266], **columns}).write(tmp_path / "a.fits")
    made = read_labelled(tmp_path / "a.fits")
    assert made.column_names == ["planid", "mjd", "fiberid", "label", "class"]
    assert made["planid"].to_pylist() == ["266", "1123", "266"]
    assert made["class"].to_pylist() == ["BHB", "not BHB", "not BHB"]
    assert read_labelled(csv(tmp_path / "a.csv", plate=["0266", "1123", "0266"], **columns)) == made
    pq.write_table(pa.table({"spectrum_id": ["a", "b"], "label": ["bad", "BHB"]}), tmp_path / "a.parquet")
    named = read_labelled(tmp_path / "a.parquet")
    assert named.to_pylist()[0] == {"spectrum_id": "a", "label": "bad", "class": "not BHB"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"spectrum_id": ["a", "b"], "label": ["BHB", "quasar"]},
            "row 2: label 'quasar' is not one of BHB, ",
        ),
        ({"spectrum_id": ["a", "a"], "label": ["BHB", "bad"]}, "spectrum a is in row 1 and in row 2"),
        ({"spectrum_id": ["a", None], "label": ["BHB", "bad"]}, "row 2: no spectrum_id"),
        ({"spectrum_id": ["a", "b"], "label": ["", "bad"]}, "row 1: no label"),
        ({"spectrum_id": ["a"]}, "no column label"),
        ({"plate": [1], "label": ["BHB"]}, "no column mjd, fiberid"),
        (
            {"plate": [1], "mjd": ["x"], "fiber": [1], "label": ["BHB"]},
            "row 1, column mjd: 'x' is not a whole number",
        ),
        (
            {"plate": ["01", "1"], "mjd": [5, 5], "fiber": [1, 1], "label": ["BHB", "BHB"]},
            "spectrum 1-5-1 is in row 1 and in row 2",
        ),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = csv(tmp_path / "labels.csv", **columns)
    with pytest.raises(ValueError, match=message) as caught:
        read_labelled(path)
    assert str(path) in str(caught.value)


def test_label_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_labelled(tmp_path / "none.csv")
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(InputError, match="not a parquet file"):
        read_labelled(tmp_path / "a.parquet")


def test_labels_as_pandas_and_skyserver_write_them(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("#Table1\nplate,mjd,fiberID,label\n266.0,51602.0,31.0,BHB\n0267,51608,32,bad\n")
    table = read_labelled(path)
    assert table["planid"].to_pylist() == ["266", "267"]
    assert table["fiberid"].to_pylist() == [31, 32]
    path.write_text("plate,mjd,fiber,label\n266,51602,31.5,BHB\n")
    with pytest.raises(InputError, match=r"labels\.csv: row 1, column fiber: 31\.5 is not a whole number"):
        read_labelled(path)
    path.write_text("spectrum_id,label\nspec-0266-51602-0031.fits,BHB\n")
    assert read_labelled(path)["spectrum_id"].to_pylist() == ["spec-0266-51602-0031"]


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    """Two nights of one plate, with the same fibres."""
    paths = [tmp_path / f"{night}.parquet" for night in (53700, 54430)]
    for path in paths:
        table = {
            "spectrum_id": [f"spec-0266-{path.stem}-{fibre:04d}" for fibre in (7, 8)],
            "planid": ["0266", "0266"],
            "lmjd": [int(path.stem)] * 2,
            "fiberid": [7, 8],
            "ra": [1.0, 2.0],
        }
        pq.write_table(pa.table(table), path)
    return paths


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("plate,mjd,fiberid,label\n266,54430,8,BHB\n", ["54430"]),
        ("plate,mjd,fiberid,label\n266,54430,8,BHB\n266,53700,8,BHB\n", ["53700", "54430"]),
        ("spectrum_id,label\nspec-0266-53700-0007,not BHB\n", ["53700"]),
        # Not one of them: what follows says so, of all.
        ("plate,mjd,fiberid,label\n266,54430,9,BHB\n", ["53700", "54430"]),
    ],
    ids=["one", "both", "names", "none"],
)
def test_bundles_with_labels_are_found(
    table: str, names: list[str], manifests: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text(table)
    assert labelled_bundles(tmp_path / "labels.csv", manifests) == names


def test_a_catalogue_that_cannot_be_read_is_named(manifests: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.csv: no such file"):
        labelled_bundles(tmp_path / "nowhere.csv", manifests)


def test_a_plate_is_a_whole_number_or_a_name(tmp_path: Path) -> None:
    table = {"plate": ["266.0", "GAC_061N46.5"], "mjd": [51602] * 2, "fiberid": [1, 2], "label": ["BHB"] * 2}
    assert read_labelled(csv(tmp_path / "a.csv", **table))["planid"].to_pylist() == ["266", "GAC_061N46.5"]
    table["plate"][1] = "266.5"
    message = r"row 2, column plate: '266\.5' is neither a name nor a whole number"
    with pytest.raises(InputError, match=message):
        read_labelled(csv(tmp_path / "a.csv", **table))
