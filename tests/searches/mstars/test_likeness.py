"""Lists of spectra by the distance of their codes from those of examples."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.survey_files import identity_rows

from starsift.errors import ResultsError
from starsift.searches.mstars.hashing import code_column
from starsift.searches.mstars.likeness import LIKE, rank_like
from starsift.searches.mstars.predict import CODES


def write_codes(path: Path, names: list[str], codes: np.ndarray, missing: list[bool]) -> Path:
    rows = identity_rows(names)
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    columns |= {
        name: pa.nulls(len(names), CODES.field(name).type) for name in CODES.names if name not in columns
    }
    columns["code"] = code_column(codes, np.array(missing))
    pq.write_table(pa.table([columns[name] for name in CODES.names], schema=CODES), path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two bundles; codes of 16 bits with so many bits set: a 0, b 3, c 8, d none, e 1, f 12."""

    def code(bits: int) -> np.ndarray:
        return np.packbits(np.arange(16) < bits)

    first = np.stack([code(0), code(3), code(8)])
    second = np.stack([code(5), code(1), code(12)])
    return [
        write_codes(tmp_path / "one.parquet", ["a", "b", "c"], first, [False] * 3),
        write_codes(tmp_path / "two.parquet", ["d", "e", "f"], second, [True, False, False]),
    ]


def test_the_nearest_come_first_and_examples_are_left_out(files: list[Path]) -> None:
    found = rank_like(files, ["a"], np.zeros((1, 2), np.uint8), number=3)
    assert found.schema.equals(LIKE)
    assert found["spectrum_id"].to_pylist() == ["e", "b", "c"]
    assert found["distance"].to_pylist() == [1.0, 3.0, 8.0]
    assert found.select(["bundle", "row"]).to_pylist()[0] == {"bundle": "two", "row": 1}


def test_distances_of_several_examples_are_averaged(files: list[Path]) -> None:
    codes = np.stack([np.packbits(np.arange(16) < 4), np.packbits(np.arange(16) < 10)])
    found = rank_like(files, ["mine-1", "mine-2"], codes, number=10)
    expected = {"a": 7.0, "b": 4.0, "c": 3.0, "e": 6.0, "f": 5.0}
    assert dict(zip(found["spectrum_id"].to_pylist(), found["distance"].to_pylist(), strict=True)) == expected
    nearest = dict(zip(found["spectrum_id"].to_pylist(), found["nearest_example"].to_pylist(), strict=True))
    assert (nearest["a"], nearest["f"]) == ("mine-1", "mine-2")


def test_codes_of_another_length_are_refused(files: list[Path]) -> None:
    with pytest.raises(ResultsError, match="codes of 16 bits, those of the examples have 32"):
        rank_like(files, ["x"], np.zeros((1, 4), np.uint8), number=1)
