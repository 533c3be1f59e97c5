"""CCF files and the tables that pass between stages: what is written is what is read, and stages must fit."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from starsift.errors import ResultsError
from starsift.io.parquet import write_csv
from starsift.searches.binaries.curves import read_curves, write_curves
from starsift.searches.binaries.peaks import Components, find_components
from starsift.searches.binaries.tables import (
    gather_catalog,
    join_stages,
    read_components,
    rectangle,
    take,
    with_components,
    write_classes,
    write_components,
    write_errors,
)
from starsift.spectra.batches import ROW_SCHEMA
from starsift.spectra.ccf import CCFs

VELOCITIES = np.arange(-500.0, 501.0)


def rows(n: int, start: int = 0, status: str = "ok") -> pa.Table:
    number = np.arange(start, start + n)
    return pa.table(
        {
            "spectrum_id": [f"s{i}" for i in number],
            "obsid": number,
            "planid": ["P"] * n,
            "spid": np.ones(n, np.int8),
            "fiberid": number.astype(np.int16),
            "lmjd": np.full(n, 58000, np.int32),
            "lmjm": np.full(n, 84000000),
            "band": ["B"] * n,
            "snr": np.full(n, 20, np.float32),
            "status": [status] * n,
            "ra": np.full(n, 10.0),
            "dec": np.full(n, 20.0),
        },
        schema=ROW_SCHEMA,
    )


def peak(*centres: float) -> np.ndarray:
    return sum(np.exp(-0.5 * ((VELOCITIES - c) / 25) ** 2) for c in centres).astype(np.float32)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Five spectra in two batches: one, two and three components; one not correlated, one not read."""
    curves = [
        (
            rows(4),
            CCFs(
                np.stack([peak(0), peak(-80, 70), peak(-150, 0, 140), np.zeros_like(peak(0))]),
                np.array([0, 1, 2, 0], np.int8),
                np.array([True, True, True, False]),
            ),
        ),
        (rows(1, 4, "truncated"), CCFs(peak(0)[None] * 0, np.zeros(1, np.int8), np.zeros(1, bool))),
    ]
    path = tmp_path / "ccf.arrow"
    write_curves(path, curves, VELOCITIES)
    return path


@pytest.fixture
def components(bundle: Path, tmp_path: Path) -> Path:
    path = tmp_path / "components.parquet"
    write_components(path, ((c, find_components(c.ccf, c.velocities)) for c in read_curves(bundle)))
    return path


def test_curves_come_back_with_their_velocities_and_statuses(bundle: Path) -> None:
    first, second = read_curves(bundle)
    np.testing.assert_array_equal(first.velocities, VELOCITIES)
    np.testing.assert_array_equal(first.ccf[1], peak(-80, 70))
    assert first.rows["status"].to_pylist() == ["ok", "ok", "ok", "few_pixels"]
    assert second.rows["status"].to_pylist() == ["truncated"]
    assert first.template.tolist() == [0, 1, 2, -1]
    assert second.template.tolist() == [-1]


def test_another_arrow_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.arrow"
    table = rows(1)
    with pa.ipc.new_file(str(path), table.schema) as sink:
        sink.write_table(table)
    with pytest.raises(ResultsError, match=r"other\.arrow: an Arrow file, but not one of CCFs"):
        list(read_curves(path))


def test_components_keep_every_spectrum(components: Path) -> None:
    table, found = read_components(components)
    assert table["n_components"].to_pylist() == [1, 2, 3, 0, 0]
    assert table["template"].to_pylist() == [0, 1, 2, None, None]
    assert table["rv"].to_pylist()[3] == []
    np.testing.assert_allclose(found.rv[1, :2], [-80, 70], atol=1)
    assert np.isnan(found.rv[0, 1:]).all()


def test_candidates_are_chosen_by_their_number_of_components(components: Path) -> None:
    _, found = read_components(components)
    chosen = with_components(found, [2, 3])
    assert chosen.tolist() == [1, 2]
    assert take(found, chosen).count.tolist() == [2, 3]


def test_errors_are_null_where_there_is_no_candidate(components: Path, tmp_path: Path) -> None:
    table, found = read_components(components)
    chosen = with_components(found, [2, 3])
    rv_err = np.array([[1.0, 2.0, np.nan], [3.0, np.nan, 5.0]], np.float32)
    write_errors(tmp_path / "errors.parquet", table, chosen, rv_err, np.array([0.5, 0.75]))
    errors = pq.read_table(tmp_path / "errors.parquet")
    assert errors["rv_err"].to_pylist() == [[], [1.0, 2.0], [3.0, None, 5.0], [], []]
    assert errors["reliability"].to_pylist() == [None, 0.5, 0.75, None, None]


def test_rectangles_hold_more_than_three_components_and_none() -> None:
    lists = pa.chunked_array([[[1.0, 2.0, 3.0, 4.0], [], None], [[5.0]]], pa.list_(pa.float32()))
    values = rectangle(lists)
    assert values.shape == (4, 4)
    np.testing.assert_array_equal(values[0], [1, 2, 3, 4])
    assert np.isnan(values[1:3]).all()
    assert values[3, 0] == 5
    assert rectangle(lists.slice(1, 1)).shape == (1, 3)


def stages(components: Path, folder: Path) -> dict[str, list[Path]]:
    table, found = read_components(components)
    chosen = with_components(found, [2, 3])
    write_errors(folder / "errors.parquet", table, chosen, np.ones((2, 3), np.float32), np.ones(2))
    classes = pa.table(
        {
            "p_c1_l0": pa.array([None, 0.1, 0.2, None, None], pa.float32()),
            "multiplicity": pa.array([None, "SB2", None, None, None], pa.string()),
        }
    )
    write_classes(folder / "classes.parquet", table, classes)
    identity = table.select(["spectrum_id", "band"])
    manifest = identity.append_column("gaia_source_id", pa.array([1, 2, 3, 4, None], pa.int64()))
    pq.write_table(manifest, folder / "manifest.parquet")
    return {
        "components": [components],
        **{name: [folder / f"{name}.parquet"] for name in ("errors", "classes", "manifest")},
    }


def test_the_catalogue_has_the_chosen_spectra_and_all_usable_exposures(
    components: Path, tmp_path: Path
) -> None:
    spectra, exposures, candidates = gather_catalog(stages(components, tmp_path))
    assert spectra["spectrum_id"].to_pylist() == ["s1"]
    assert spectra["n_ccf_components"].to_pylist() == [2]
    assert spectra["rv_1"][0].as_py() == pytest.approx(-80, abs=1)
    assert spectra["rv_3"].to_pylist() == [None]
    assert spectra["rv_err_2"].to_pylist() == [1.0]
    assert exposures["spectrum_id"].to_pylist() == ["s0", "s1", "s2"]
    assert candidates["multiplicity"].to_pylist() == ["SB2", None]


def test_stages_of_different_spectra_do_not_join(components: Path, tmp_path: Path) -> None:
    paths = stages(components, tmp_path)
    other = pq.read_table(paths["manifest"][0]).slice(1)
    pq.write_table(other, paths["manifest"][0])
    with pytest.raises(
        ResultsError, match=r"components\.parquet and .*manifest\.parquet hold different spectra"
    ):
        join_stages(paths)


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


def test_empty_components_make_an_empty_table(tmp_path: Path) -> None:
    write_components(tmp_path / "c.parquet", [])
    table, found = read_components(tmp_path / "c.parquet")
    assert table.num_rows == 0
    assert isinstance(found, Components)
    assert found.rv.shape == (0, 3)
