"""Parts of a queue: conditions on columns, labels, names and coordinates; sorting."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fixtures.review_files import LRS, MRS

from starsift.errors import InputError
from starsift.io.parquet import write_parquet
from starsift.review.columns import GROUPS, group_of
from starsift.review.labels import LabelStore
from starsift.review.queues import Queue, QueueFile
from starsift.review.results import Results
from starsift.review.selection import Query, parse_cone, select


def chosen(results: Results, queue: str, store: LabelStore | None = None, **query: object) -> list[int]:
    found = results.queue(queue)
    votes = (lambda: store.votes(found.search, found.ids)) if store else dict
    return results.select(queue, Query(**query), votes).tolist()  # type: ignore[arg-type]


# p_m is 0.99, 0.9, 0.5, 0.2; rv 12.5, null, NaN, -3; distance 150, null, null, 90.
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("p_m:0.5..0.9", [1, 2]),
        ("p_m:0.9..", [0, 1]),
        ("p_m:..0.2", [3]),
        ("p_m: .5 .. ", [0, 1, 2]),
        ("p_m:0.9", [1]),
        ("rv:-10..20", [0, 3]),
        ("distance:1e2..", [0]),
        ("obsid:7006..7007", [0, 2]),
        ("obsid:7006.5..", [2]),
        ("obsid:-99999999999999999999..99999999999999999999", [0, 1, 2, 3]),
        ("designation:j00406", [0]),
        ("designation:", [0, 1, 2, 3]),
        ("designation:+0000", [0, 1, 2, 3]),  # as it is, no pattern
        ("designation:.*", []),
    ],
)
def test_conditions_on_columns(results: Results, where: str, expected: list[int]) -> None:
    assert chosen(results, "mstars-vetting", where=(where,)) == expected


def test_flags_and_several_conditions(results: Results) -> None:
    assert chosen(results, "binaries-spectra", where=("suspect_moonlight:no",)) == [0, 1, 2, 3]
    assert chosen(results, "binaries-spectra", where=("suspect_moonlight:yes",)) == []
    both = ("suspect_moonlight:No", "obsid:7001..7003")
    assert chosen(results, "binaries-spectra", where=both) == [1, 2]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"where": ("rv:fast",)}, "rv is a number: expected such as 10..50"),
        ({"where": ("rv:..",)}, "rv is a number"),
        ({"where": ("rv",)}, "rv is a number"),
        ({"where": ("speed:1..2",)}, "mstars-vetting has no column 'speed'; columns: p_m, rv, rv_err"),
        ({"sort": "-speed"}, "no column 'speed'"),
        ({"label": "others"}, "label: expected none, mine"),
        ({"differ": ("ann",)}, "two people"),
        ({"find": "400 10"}, "expected ra 0 to 360"),
        ({"find": "10 10 5 parsec"}, "not 'parsec'"),
    ],
)
def test_queries_that_cannot_be_understood(results: Results, query: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen(results, "mstars-vetting", **query)


def test_sorting_puts_missing_values_last(results: Results) -> None:
    assert chosen(results, "mstars-vetting", sort="p_m") == [3, 2, 1, 0]
    assert chosen(results, "mstars-vetting", sort="-p_m") == [0, 1, 2, 3]
    assert chosen(results, "mstars-vetting", sort="rv")[:2] == [3, 0]
    assert chosen(results, "mstars-vetting", sort="-rv")[:2] == [0, 3]
    assert chosen(results, "mstars-vetting", sort="designation", where=("p_m:0.5..",)) == [1, 0, 2]


def test_labels(results: Results, store: LabelStore) -> None:
    queue = "mstars-vetting"
    ids = results.queue(queue).ids
    for who, at, label in [("ann", 0, "M dwarf"), ("bob", 0, "M giant"), ("bob", 2, "M dwarf")]:
        store.add("mstars", ids[at], who, queue=queue, label=label)
    store.add("mstars", ids[3], "bob", queue=queue, flag=True)
    expected = {
        "none": [1, 3],
        "any": [0, 2],
        "mine": [0],
        "not-mine": [1, 2, 3],
        "disputed": [0],
        "flagged": [3],
        "is:M dwarf": [0, 2],
        "is:other": [],
    }
    assert {label: chosen(results, queue, store, label=label, user="ann") for label in expected} == expected
    assert chosen(results, queue, store, label="any", where=("p_m:..0.5",)) == [2]
    assert chosen(results, queue, store, differ=("bob", "ann")) == [0]
    assert chosen(results, queue, store, differ=("bob", "eve")) == []
    store.undo(queue, "bob")  # of the flag
    assert chosen(results, queue, store, label="flagged") == []


def test_names(results: Results) -> None:
    assert chosen(results, "mstars-vetting", find=LRS[7][-7:].upper()) == [2]
    assert chosen(results, "binaries-spectra", find="/84420194") == [
        at for at, name in enumerate([MRS[i] for i in (0, 1, 3, 5)]) if name.endswith("/84420194")
    ]


def test_cones(results: Results) -> None:
    # The vetted stars are at ra 16, 12, 17 and 10 degrees on the equator.
    assert chosen(results, "mstars-vetting", find="12 0") == [1]
    assert chosen(results, "mstars-vetting", find="12.002, 0") == []
    assert chosen(results, "mstars-vetting", find="12.001 0 4 arcsec") == [1]
    assert chosen(results, "mstars-vetting", find="12.001 0 3.5") == []
    assert chosen(results, "mstars-vetting", find="00:48:00 +00:00:00 1.1deg") == [1]
    assert chosen(results, "mstars-vetting", find="16 0 1.001 deg") == [0, 2]
    # A table of queries has no coordinates: those of the manifest.
    assert chosen(results, "emission-round-00", find="11 0 1.5 deg") == [1, 2]


def test_cones_are_parsed() -> None:
    assert parse_cone("10.5 -3") == (10.5, -3.0, pytest.approx(5 / 3600))
    assert parse_cone("10:00:00, -3:30:00, 2'") == (pytest.approx(150), pytest.approx(-3.5), 2 / 60)
    assert parse_cone("spec-56300-P_sp01-001") is None
    assert parse_cone("10") is None


def test_a_hundred_thousand_candidates(tmp_path: Path) -> None:
    n = 100_000
    rng = np.random.default_rng(1)
    snr = rng.uniform(0, 100, n)
    columns = {"spectrum_id": [f"s{i:06d}" for i in range(n)], "snr": snr}
    columns |= {"ra": rng.uniform(0, 360, n), "dec": rng.uniform(-90, 90, n)}
    write_parquet(pa.table(columns), tmp_path / "queue.parquet")
    queue = Queue.open(QueueFile("big", "mstars", "Big", "candidates", tmp_path / "queue.parquet"))
    votes = {name: [("ann", "M dwarf", 0)] for name in queue.ids[::2]}
    query = Query(("snr:50..",), "none", find="100 10 60 deg", sort="-snr")
    places = columns["ra"], columns["dec"]
    first = select(queue, query, lambda: votes, lambda: places)
    start = time.perf_counter()
    found = select(queue, query, lambda: votes, lambda: places)
    assert time.perf_counter() - start < 2  # 0.1 s on one idle core
    np.testing.assert_array_equal(found, first)
    assert (np.diff(snr[found]) <= 0).all()
    assert (found % 2 == 1).all()
    assert 0 < len(found) < n / 4


def test_groups_of_columns(results: Results) -> None:
    columns = results.queue("binaries-spectra").columns
    assert columns["rv_1"].unit == "km/s"
    assert columns["rv_1"].description == "Lowest heliocentric radial velocity"
    groups = [column.group for column in columns.values()]
    assert groups == sorted(groups, key=list(GROUPS).index)
    expected = {
        "stat.probability": "Classification",
        "stat.error;spect.dopplerVeloc.opt": "Velocities",
        "spect.line.eqWidth;em.opt.R": "Spectrum",
        "meta.code.qual": "Quality",
        "meta.number;obs": "Identity and observation",
        "phys.magAbs;em.opt": "Photometry",
        "pos.pm;pos.eq.ra": "Position and motion",
        "": "Other",
    }
    assert {ucd: group_of(ucd) for ucd in expected} == expected
