"""Catalogues as HATS: what LSDB reads is what was published, with units and UCDs; equal bytes, no dates."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starsift.catalog.columns import STAR, Column, TableSchema
from starsift.catalog.hats import write_hats, write_large
from starsift.catalog.publish import publish

SCHEMA = TableSchema(
    "stars", "Stars", ("name",), (Column("name", pa.string(), "Name", "meta.id;meta.main"), *STAR)
)
N = 300


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    table = {
        "name": [f"s{i:03d}" for i in range(N)],
        "ra": rng.uniform(0, 360, N),
        "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, N))),
        "gaia_source_id": pa.array([2**60 + i if i % 3 else None for i in range(N)], pa.int64()),
        "phot_g_mean_mag": rng.uniform(10, 18, N).astype(np.float32),
    }
    return publish(pa.table(table), SCHEMA, tmp_path_factory.mktemp("published") / "stars", {})[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_lsdb_reads_all_rows_with_units_and_ucds(catalog: Path, tmp_path: Path) -> None:
    lsdb = pytest.importorskip("lsdb")
    published = pq.read_table(catalog)
    write_hats(published, "stars", tmp_path / "stars", partition_rows=20)
    parts = list((tmp_path / "stars/dataset").rglob("Npix=*.parquet"))
    assert len(parts) > 12
    assert max(pq.ParquetFile(part).metadata.num_rows for part in parts) <= 20
    found = lsdb.open_catalog(tmp_path / "stars")
    rows = found.compute().sort_values("name")
    assert len(found.get_healpix_pixels()) == len(parts)
    for name in SCHEMA.names:
        assert pa.Array.from_pandas(rows[name]).to_pylist() == published[name].to_pylist()
    near = found.cone_search(published["ra"][0].as_py(), published["dec"][0].as_py(), 1.0).compute()
    assert near["name"].tolist() == ["s000"]
    for path in (*parts, tmp_path / "stars/dataset/_common_metadata"):
        schema = pq.read_schema(path)
        for column in SCHEMA.columns:
            assert schema.field(column.name).metadata == column.field.metadata


def test_the_same_catalogue_makes_the_same_bytes_without_a_date(catalog: Path, tmp_path: Path) -> None:
    for name in ("one", "two", "two"):  # a folder that exists is replaced
        write_hats(pq.read_table(catalog), "stars", tmp_path / name, partition_rows=20)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two
    assert not re.search(rb"20\d\d-\d\d", one["hats.properties"])


def test_only_large_catalogues_with_coordinates_are_written(catalog: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"snr": [1.0] * N}), tmp_path / "grid.parquet")
    both = [catalog, tmp_path / "grid.parquet"]
    assert write_large(both, tmp_path / "hats", N + 1) == []
    assert list((tmp_path / "hats").iterdir()) == []
    assert write_large(both, tmp_path / "hats", N) == [tmp_path / "hats/stars"]


def test_rows_without_coordinates_are_left_out(tmp_path: Path) -> None:
    table = pa.table({"ra": [1.0, None, 3.0], "dec": [1.0, 2.0, float("nan")]})
    write_hats(table, "t", tmp_path / "t")
    (part,) = (tmp_path / "t/dataset").rglob("Npix=*.parquet")
    assert pq.read_table(part)["ra"].to_pylist() == [1.0]
