"""Two versions of a catalogue: rows, values, errors."""

import numpy as np
import pyarrow as pa
import pytest

from starsift.catalog.compare import compare, describe
from starsift.errors import InputError


def table(**columns: list) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


OLD = table(
    spectrum_id=["a", "b", "c", "d"],
    rv=[10.0, 20.0, 30.0, None],
    rv_err=[1.0, 1.0, 1.0, 1.0],
    kind=["SB2", "SB2", "SB3", "SB2"],
    obsid=[1, 2, 3, 2**53 + 1],
)


def test_a_version_is_itself_in_any_order() -> None:
    found = compare(OLD, OLD.take([3, 1, 0, 2]), ["spectrum_id"], "stars")
    assert found.same
    assert list(describe(found)) == ["stars: 4 rows, the same."]


def test_rows_and_values_that_differ() -> None:
    new = table(
        spectrum_id=["e", "d", "c", "b"],
        rv=[1.0, 5.0, 30.5, 26.0],
        rv_err=[1.0, 1.0, 1.0, 1.0],
        kind=["SB2", "SB2", "SB2", "SB2"],
        obsid=[9, 2**53, 3, 2],
        extra=[1, 2, 3, 4],
    )
    found = compare(OLD, new, ["spectrum_id"])
    assert (found.lost, found.gained, found.rows) == (("a",), ("e",), (4, 4))
    # b by more than three sigma (6 km/s, 4.2), c by its kind, d has a velocity now and another obsid.
    assert found.changed == ("b", "c", "d")
    assert (found.columns_lost, found.columns_gained) == ((), ("extra",))
    changes = {change.column: change for change in found.changes}
    assert set(changes) == {"rv", "kind", "obsid"}
    assert (changes["rv"].changed, changes["rv"].beyond, changes["rv"].key) == (3, 2, "b")
    assert changes["rv"].largest == 6.0
    assert (changes["kind"].key, changes["obsid"].key) == ("c", "d")
    assert np.isnan(changes["kind"].largest)
    text = "\n".join(describe(found))
    assert "4 rows before, 4 now: 1 lost, 1 gained, 3 changed by more than 3 sigma" in text
    assert "columns gained: extra" in text


def test_a_change_within_the_errors_is_none_beyond_them() -> None:
    new = OLD.set_column(1, "rv", pa.array([14.0, 20.0, 30.0, None]))
    found = compare(OLD, new, ["spectrum_id"])
    assert (found.changed, found.changes[0].changed, found.changes[0].beyond) == ((), 1, 0)
    assert not found.same


def test_keys_of_several_columns() -> None:
    old = table(spectrum_id=["a", "a"], band=["B", "R"], rv=[1.0, 2.0])
    new = table(spectrum_id=["a", "a"], band=["R", "B"], rv=[2.0, 1.0])
    assert compare(old, new, ["spectrum_id", "band"]).same
    with pytest.raises(InputError, match="the catalogue, old: 1 rows are there twice, such as a"):
        compare(old, new, ["spectrum_id"])
    with pytest.raises(InputError, match="new: no column band, which names a row; it has spectrum_id, rv"):
        compare(old, new.drop_columns(["band"]), ["spectrum_id", "band"])


def test_empty_versions() -> None:
    empty = OLD.slice(0, 0)
    assert compare(OLD, empty, ["spectrum_id"]).lost == ("a", "b", "c", "d")
    assert compare(empty, OLD, ["spectrum_id"]).gained == ("a", "b", "c", "d")
    assert compare(empty, empty, ["spectrum_id"]).same
