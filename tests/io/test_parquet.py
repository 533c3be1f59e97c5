"""Tables in Parquet and CSV."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from starsift.io.parquet import write_csv


def test_csv_leaves_missing_cells_empty(tmp_path: Path) -> None:
    write_csv(pa.table({"a": [1, None], "b": ["x", "y"]}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,x\n,y\n"


def test_csv_is_read_back_whatever_the_cells_hold(tmp_path: Path) -> None:
    table = pa.table(
        {
            "step": ["one, two", 'a "word"', "two\nlines", "Zoë"],
            "number": [0.1, 1e-30, 2.0**60, -1.0],
            "count": [2**60 + 1, 0, -1, 5],
            "flag": [True, False, True, False],
        }
    )
    write_csv(table, tmp_path / "t.csv")
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    assert pyarrow.csv.read_csv(tmp_path / "t.csv", parse_options=options).equals(table)
    write_csv(table.slice(0, 0), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "step,number,count,flag\n"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
