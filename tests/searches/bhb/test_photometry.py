"""Colours without extinction, absolute magnitudes and distances, against numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fixtures.settings import BHB

from starsift.errors import InputError
from starsift.searches.bhb.photometry import (
    absolute_magnitude,
    dereddened,
    distance,
    load_relations,
    magnitudes,
)

NAMES = {name: BHB["catalog"][name] for name in ("magnitude", "extinction")}


def test_absolute_magnitude_by_hand() -> None:
    # 0.434 + 0.0169 + 0.02319 - 0.020449 + 0.0094517 and 0.434 + 0.0338 + 0.09276 - 0.163592 + 0.1512272
    np.testing.assert_allclose(absolute_magnitude([-0.1, -0.2]), [0.4630927, 0.5481952], rtol=1e-12)


def test_nothing_is_extrapolated() -> None:
    found = absolute_magnitude([-0.25, -0.2499, -0.0001, 0.0, 0.1, -0.3, np.nan])
    assert np.isnan(found).tolist() == [True, False, False, True, True, True, True]
    kpc, error = distance([16.0, 16.0], [0.05, -0.1])
    assert np.isnan([kpc[0], error[0]]).all()
    assert np.isfinite([kpc[1], error[1]]).all()


def test_distance_by_hand() -> None:
    """A modulus of 15 mag is 10 kpc, of 20 mag 100 kpc; 0.15 mag are 6.9 %."""
    g = absolute_magnitude([-0.1, -0.2]) + np.array([15.0, 20.0])
    kpc, error = distance(g, [-0.1, -0.2])
    np.testing.assert_allclose(kpc, [10.0, 100.0], rtol=1e-12)
    np.testing.assert_allclose(error / kpc, 0.069078, rtol=1e-5)
    farther = distance(g + 0.15, [-0.1, -0.2])[0]
    np.testing.assert_allclose(farther - kpc, error, rtol=0.05)


def test_relations_are_those_of_the_paper() -> None:
    relations = load_relations()
    assert list(relations) == ["u_g_bhb", "u_g_bs", "m_g_bhb", "m_g_bs"]
    assert [one.scatter for one in relations.values()] == [0.04, 0.045, 0.15, 0.5]
    assert {(one.low, one.high) for one in relations.values()} == {(-0.25, 0.0)}
    # At g-r = -0.1: 1.167 + 0.0775 - 0.01934 - 0.009936; 1.078 + 0.0489 + 0.00556 - 0.013444; 3.108 - 0.5495
    values = [relations[name](-0.1) for name in ("u_g_bhb", "u_g_bs", "m_g_bs")]
    np.testing.assert_allclose(values, [1.215224, 1.119016, 2.5585], rtol=1e-12)


def survey(**more: object) -> pa.Table:
    values = {"psfmag": (17.3, 16.0, 16.2, 16.3, 16.4), "extinction": (0.5, 0.4, 0.3, 0.2, 0.1)}
    columns = {f"{k}_{b}": [v] * 5 for k, five in values.items() for b, v in zip("ugriz", five, strict=True)}
    return pa.table(columns | more)


def test_extinction_is_removed() -> None:
    found = dereddened(survey(), **NAMES)
    assert list(found) == [*"ugriz", "u_g", "g_r"]
    values = [found[name][0] for name in found]
    np.testing.assert_allclose(values, [16.8, 15.6, 15.9, 16.1, 16.3, 1.2, -0.3])


def test_missing_values_of_every_kind() -> None:
    table = survey(
        psfmag_g=pa.array([16.0, None, -9999.0, float("nan"), 99.0]),
        extinction_r=pa.array([None, 0.3, -9999.0, 0.3, 1e6], pa.float32()),
    )
    found = dereddened(table, **NAMES)
    assert np.isnan(found["g"]).tolist() == [False, True, True, True, True]
    assert np.isnan(found["r"]).tolist() == [True, False, True, False, True]
    assert np.isnan(found["g_r"]).all()
    assert np.isnan(found["u_g"]).tolist() == [False, True, True, True, True]
    assert np.isnan(magnitudes(table, template=NAMES["magnitude"])["g"]).tolist() == [
        False,
        True,
        True,
        True,
        True,
    ]
    # Magnitudes without any extinction are no magnitudes without extinction.
    bare = table.select(["psfmag_u", "psfmag_r"])
    for values in dereddened(bare, **NAMES).values():
        np.testing.assert_array_equal(values, [np.nan] * 5)
    np.testing.assert_array_equal(magnitudes(bare, template=NAMES["magnitude"])["r"], 16.2)


def test_columns_of_other_names() -> None:
    table = pa.table({"g_mag": [16], "a_g": [1], "r_mag": [16.5], "a_r": [0.5]})
    found = dereddened(table, "{band}_mag", "a_{band}")
    assert (found["g"][0], found["r"][0], found["g_r"][0]) == (15.0, 16.0, -1.0)
    with pytest.raises(InputError, match=r"'g_mag' should name the column of each band, such as 'psfmag_"):
        dereddened(table, "g_mag", "a_{band}")
    with pytest.raises(InputError, match="column g_mag should hold magnitudes"):
        magnitudes(pa.table({"g_mag": ["bright"]}), "{band}_mag")


def test_bad_tables_of_relations(tmp_path: Path) -> None:
    file = tmp_path / "relations.csv"
    file.write_text("relation,low\nm_g_bhb,0\n")
    with pytest.raises(InputError, match=r"relations.csv: no column high, scatter, c0, c1"):
        load_relations(file)
    file.write_text("relation,low,high,scatter,c0,c1,c2,c3,c4,source\nm_g_bhb,-0.25,0,x,1,0,0,0,0,me\n")
    with pytest.raises(InputError, match=r"relation m_g_bhb: expected numbers in low, high"):
        load_relations(file)
