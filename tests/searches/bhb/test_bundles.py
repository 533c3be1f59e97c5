"""Which bundles the labelled data set is made of."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starsift.searches.bhb.bundles import labelled_bundles


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
