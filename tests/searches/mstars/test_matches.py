"""The spectra beside a query: the right ranks, distances and pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.survey_files import identity_of

from starsift.searches.mstars.dataset import SAMPLE, Sample
from starsift.searches.mstars.matches import MATCHES, collect_matches
from starsift.searches.mstars.predict import CODES
from starsift.searches.mstars.training import REFERENCE
from starsift.spectra.batches import ROW_SCHEMA, SpectrumBatch, write_bundle
from starsift.spectra.resample import LAMOST_LRS

WAVE = np.linspace(4000.0, 9000.0, 50)
BITS = 128
# role, subclass, S/N: of the latest tenth the fourth has the best S/N, of the earliest the sixth.
KNOWN: list[tuple[str, str | None, float | None]] = [
    ("negative", "K7", 90.0),
    ("dwarf", "dM8", 5.0),
    ("negative", None, 80.0),
    ("dwarf", "M8", 9.0),
    ("giant", "gM0", 4.0),
    ("dwarf", "dM0", 8.0),
    ("dwarf", "dM0", None),
    *[("dwarf", "dM4", 99.0)] * 6,
]
LATE, EARLY = 3, 5


def code(distance: int) -> np.ndarray:
    """A code of so many bits 1: that far from one of zeros."""
    return np.packbits(np.arange(BITS) < distance)


@pytest.fixture
def sample() -> Sample:
    n = len(KNOWN)
    names = [f"known-{i}" for i in range(n)]
    columns = {
        "spectrum_id": names,
        "role": [row[0] for row in KNOWN],
        "subclass": [row[1] for row in KNOWN],
        "class": ["STAR"] * n,
        "snr": [row[2] for row in KNOWN],
        "rv": [None] * n,
        "cluster": [-1] * n,
        "n_bad": [0] * n,
        "defective": [False] * n,
        "zero": [0.0] * n,
    }
    flux = np.random.default_rng(0).random((n, LAMOST_LRS.pixels), np.float32)
    rows = SpectrumBatch.from_arrays(identity_of(names), WAVE, np.ones((n, 50)), np.ones((n, 50))).identity
    return Sample(flux, np.ones_like(flux), rows, pa.table(columns).cast(SAMPLE))


@pytest.fixture
def reference(sample: Sample) -> pa.Table:
    """The late query has the code of zeros, the early one of ones; copies of both come after the sample."""
    codes = [code(40)] * len(KNOWN)
    codes[LATE], codes[EARLY] = code(0), code(BITS)
    ids, roles, subclass = (sample.table[name].to_pylist() for name in ("spectrum_id", "role", "subclass"))
    rows = [*range(len(KNOWN)), LATE, EARLY]
    columns = [[values[i] for i in rows] for values in (ids, roles, subclass)]
    copies = [False] * len(KNOWN) + [True] * 2
    data = [codes[i].tobytes() for i in rows[:-2]] + [code(7).tobytes()] * 2
    return pa.table([*columns, copies, data], schema=REFERENCE)


def write_pool(folder: Path, bundles: dict[str, list[int | None]]) -> tuple[list[str], list[str]]:
    """Codes and spectra of bundles, given the distance of each spectrum from the late query."""
    files: tuple[list[str], list[str]] = [], []
    for number, (name, distances) in enumerate(bundles.items()):
        n = len(distances)
        ids = [f"{name}-{i}" for i in range(n)]
        # The flux tells which spectrum it is.
        flux = 1000.0 * number + np.arange(n)[:, None] + np.linspace(0.1, 0.6, 50)
        ivar = np.ones((n, 50))
        ivar[:, 10:15] = 0.0
        batch = SpectrumBatch.from_arrays(identity_of(ids), WAVE, flux, ivar)
        codes = pa.array([None if d is None else code(d).tobytes() for d in distances], pa.binary())
        rows = [batch.identity[field] for field in ROW_SCHEMA.names]
        no_gap, none_bad = pa.array([False] * n, pa.bool_()), pa.array([0] * n, pa.int32())
        snr = pa.nulls(n, pa.float32())
        files[0].append(str(folder / f"{name}.parquet"))
        files[1].append(str(folder / f"{name}.arrow"))
        pq.write_table(pa.table([*rows, no_gap, none_bad, snr, codes], schema=CODES), files[0][-1])
        write_bundle(files[1][-1], [batch], rows=4)
    return files


POOL = {"a": [50, None, 3, 60, 61, 62, None, 63], "none": [None] * 2, "b": [3, 1, 70, 71, 72, 73, 128, 74]}
Collect = Callable[..., pa.Table]


@pytest.fixture
def collect(tmp_path: Path, sample: Sample, reference: pa.Table) -> Collect:
    return lambda pool, **top: collect_matches(sample, reference, *write_pool(tmp_path, pool), **top)


def test_ranks_and_distances(collect: Collect) -> None:
    matches = collect(POOL, top=4)
    assert matches.schema.equals(MATCHES)
    names = ("panel", "is_query", "rank", "spectrum_id", "hamming_distance")
    found = list(zip(*(matches[name].to_pylist() for name in names), strict=True))
    # Of spectra equally far the first in the order of the bundles; of 14 spectra ranks 1 and 10.
    assert found == [
        ("top", True, 0, f"known-{LATE}", 0),
        ("top", False, 1, "b-1", 1),
        ("top", False, 2, "a-2", 3),
        ("top", False, 3, "b-0", 3),
        ("top", False, 4, "a-0", 50),
        ("ranks", True, 0, f"known-{EARLY}", 0),
        ("ranks", False, 1, "b-6", 0),
        ("ranks", False, 10, "a-3", BITS - 60),
    ]


def test_spectra_are_those_of_the_bundles(collect: Collect, sample: Sample) -> None:
    matches = collect(POOL, top=4).to_pylist()
    good = np.r_[0:10, 15:50]
    for row in matches:
        if row["is_query"]:
            np.testing.assert_array_equal(row["wavelength"], LAMOST_LRS.wavelength)
            at = int(row["spectrum_id"].split("-")[1])
            np.testing.assert_array_equal(np.float32(row["flux"]), sample.flux[at])
        else:
            bundle, at = row["spectrum_id"].split("-")
            level = 1000.0 * list(POOL).index(bundle) + int(at)
            np.testing.assert_allclose(row["wavelength"], WAVE[good])  # bad pixels are left out
            np.testing.assert_allclose(row["flux"], level + np.linspace(0.1, 0.6, 50)[good], rtol=1e-6)


def test_fewer_spectra_than_ranks(collect: Collect) -> None:
    matches = collect({"a": [9, None, 4]})
    assert matches["panel"].to_pylist() == ["top"] * 3 + ["ranks"] * 2
    assert matches["rank"].to_pylist() == [0, 1, 2, 0, 1]
    assert matches["spectrum_id"].to_pylist()[1:3] == ["a-2", "a-0"]


def test_ten_of_the_nearest_by_default(collect: Collect) -> None:
    matches = collect({"a": [*range(120, 10, -1)]})
    top = matches.filter(pa.compute.equal(matches["panel"], "top"))
    assert top["hamming_distance"].to_pylist() == [0, *range(11, 21)]
    ranks = matches.filter(pa.compute.equal(matches["panel"], "ranks"))
    assert ranks["rank"].to_pylist() == [0, 1, 10, 100]
    assert ranks["hamming_distance"].to_pylist() == [0, 8, 17, 107]


def test_spectra_equally_far_come_in_the_order_of_the_pool(collect: Collect) -> None:
    matches = collect({name: [50, 20] * 20 for name in "ab"}, top=30)
    expected = [f"{name}-{i}" for name in "ab" for i in range(1, 40, 2)]
    assert matches["spectrum_id"].to_pylist()[1:31] == expected[:30]


def test_a_pool_of_no_use_leaves_the_queries(collect: Collect) -> None:
    assert collect({"a": [None, None]})["is_query"].to_pylist() == [True, True]


def test_one_m_star_alone(tmp_path: Path, sample: Sample, reference: pa.Table) -> None:
    rows = [0, LATE]
    one = Sample(sample.flux[rows], sample.ivar[rows], sample.identity.take(rows), sample.table.take(rows))
    matches = collect_matches(one, reference.take(rows), *write_pool(tmp_path, POOL), top=1)
    queries = matches.filter(matches["is_query"])["spectrum_id"].to_pylist()
    assert queries == [f"known-{LATE}"] * 2
