"""Giants and dwarfs: published colours, indices of real mean spectra, evidence that contradicts itself."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from fixtures.mstars_data import GIANTS, SEPARATORS
from fixtures.spectra import sdss_templates

from starsift.errors import SettingsError
from starsift.searches.mstars import luminosity
from starsift.searches.mstars.indices import load_indices, measure_indices
from starsift.searches.mstars.luminosity import Separator, giant_by_magnitude, separators

# Pecaut & Mamajek 2013, table of 2019: K5V, M0V, M1V, ... M8V. W1-W2 is given for K5V and from M5V on; those
# between are interpolated.
DWARF_JK = np.array([0.700, 0.819, 0.838, 0.834, 0.831, 0.839, 0.891, 0.957, 0.999, 1.120])
DWARF_W12 = np.array([-0.073, -0.03, 0.01, 0.05, 0.09, 0.13, 0.17, 0.21, 0.24, 0.26])
# Groenewegen 2004, Table 5: M0, M3, M5, M7 giants.
GIANT_JK = np.array([1.08, 1.18, 1.27, 1.37])
GIANT_W12 = np.full(4, -0.1)
# Bessell & Brett 1988, Table III, M0 to M7, in the 2MASS system (Carpenter 2001).
BRIGHT_GIANT_JK = 0.983 * np.array([1.01, 1.05, 1.08, 1.13, 1.17, 1.23, 1.26, 1.27]) - 0.018
# M2 I and M7 III of Pickles 1998: TiO5, CaH1, CaOH, CaH2, CaH3.
GIANT_BANDS = np.array([[0.61, 1.03, 0.68, 0.69, 0.89], [0.31, 1.03, 0.46, 0.42, 0.99]])
NAMES = ("tio5", "cah1", "caoh", "cah2", "cah3")
COLOURS = ("j", "h", "k", "w1", "w2")


def separate(
    table: pa.Table,
    separators: Sequence[Separator] = SEPARATORS,
    giant_share: float = GIANTS["giant_share"],
    **settings: float,
) -> pa.Table:
    """With the default settings, if no others are named."""
    return luminosity.separate(table, separators, giant_share=giant_share, **settings)


def _photometry(jk, w12, h=12.0):
    k = h - 0.2
    columns = {"h": np.full(len(jk), h), "k": np.full(len(jk), k), "j": k + jk}
    return columns | {"w1": k - 0.1 + 0 * w12, "w2": k - 0.1 - w12}


def _table(photometry=None, bands=None):
    """Rows with photometry, bands (n, 5) or both; null elsewhere."""
    n = len(bands) if bands is not None else len(photometry["h"])
    columns = {name: pa.nulls(n, pa.float32()) for name in (*NAMES, *COLOURS)}
    columns |= photometry or {}
    columns |= dict(zip(NAMES, np.transpose(bands), strict=True)) if bands is not None else {}
    return pa.table(columns)


def _bands(wavelength, flux, error):
    chosen = {name: definition for name, definition in load_indices().items() if name in NAMES}
    measured = measure_indices(wavelength, flux, np.broadcast_to(1 / error**2, flux.shape), chosen)
    values = {name: measured[name][0] for name in NAMES}
    return pa.table(
        values
        | {f"{name}_err": measured[name][1] for name in NAMES}
        | dict.fromkeys(COLOURS, values["tio5"] * np.nan)
    )


def test_colours_of_dwarfs_and_giants():
    dwarfs = separate(_table(_photometry(DWARF_JK, DWARF_W12)))
    assert dwarfs["giant"].to_pylist() == [0] * 10
    assert set(dwarfs["giant_evidence"].to_pylist()) <= {"photometry", "weak"}
    assert dwarfs["giant_jk_w1w2"].to_pylist() == [0] * 10
    assert dwarfs["giant_h_jk"].to_pylist() == [0] * 7 + [1] * 3  # the late ones are as red as giants
    assert dwarfs["giant_caoh_cah1"].null_count == 10
    for h in (9.0, 13.0):
        giants = separate(_table(_photometry(GIANT_JK, GIANT_W12, h)))
        assert giants["giant"].to_pylist() == [1] * 4
        assert set(giants["giant_evidence"].to_pylist()) == {"photometry"}
    for h in (6.0, 9.0, 11.0):
        giants = separate(_table(_photometry(BRIGHT_GIANT_JK, np.full(8, -0.12), h)))
        assert giants["giant"].to_pylist() == giants["giant_h_jk"].to_pylist() == [1] * 8


def test_faint_red_stars_are_late_dwarfs_by_h():
    # An M0 giant of H = 14 would be 40 kpc away: what is so faint and red is a dwarf.
    for h, types in ((14.0, 9), (15.0, 10), (16.0, 10)):
        dwarfs = separate(_table(_photometry(DWARF_JK[:types], DWARF_W12[:types], h)))
        assert dwarfs["giant_h_jk"].to_pylist() == [0] * types


def test_bands_of_giants():
    result = separate(_table(bands=GIANT_BANDS))
    assert result["giant"].to_pylist() == [1, 1]
    assert result["giant_evidence"].to_pylist() == ["indices"] * 2
    assert result["giant_caoh_cah1"].to_pylist() == result["giant_cah23_tio5"].to_pylist() == [1, 1]
    assert result["giant_h_jk"].null_count == 2


@pytest.mark.parametrize("snr", [1000, 10, 3])
def test_dwarfs_of_real_mean_spectra(snr):
    names, wavelength, flux = sdss_templates()
    flux = flux[[name[0] == "M" and name != "M9" for name in names]].astype(np.float64)
    assert len(flux) >= 15
    flux = np.repeat(flux, 20, axis=0)
    error = np.median(flux[:, (wavelength > 5600) & (wavelength < 6950)], axis=1)[:, None] / snr
    noisy = flux + error * np.random.default_rng(snr).normal(size=flux.shape)
    bands = _bands(wavelength, noisy, error)
    result = separate(bands)
    assert np.mean(result["giant"].to_numpy() == 1) <= 0.01
    if snr == 1000:
        assert result["giant_caoh_cah1"].to_pylist() == [0] * len(flux)
        assert result["giant_cah23_tio5"].to_pylist() == [0] * len(flux)
    if snr == 3:  # counting sides alone would call many of them giants
        sides = result["giant_caoh_cah1"].to_numpy() + result["giant_cah23_tio5"].to_numpy()
        assert np.mean(sides > 0) > 0.1
    # Giants' indices with the same errors: better at higher S/N, where most are found.
    errors = np.stack([bands[f"{name}_err"].to_numpy() for name in NAMES], axis=1)
    late = GIANT_BANDS[1] + errors * np.random.default_rng(1).normal(size=(len(flux), 5))
    table = _table(bands=late)
    for name, values in zip(NAMES, errors.T, strict=True):
        table = table.append_column(f"{name}_err", pa.array(values))
    assert np.mean(separate(table)["giant"].to_numpy() == 1) > (0.7 if snr == 3 else 0.95)


def test_what_the_class_rests_on():
    giant, dwarf = GIANT_BANDS[0], np.array([0.61, 0.83, 0.61, 0.59, 0.80])
    nothing = np.full(5, np.nan)
    jk = np.array([1.1, 1.1, 0.83, 0.83, 1.1, 0.83, np.nan, np.nan, np.nan])
    bands = np.stack([giant, dwarf, giant, dwarf, nothing, nothing, giant, dwarf, nothing])
    w12 = np.full(9, np.nan)
    result = separate(_table(_photometry(jk, w12), bands))
    expected = ["both", *["disagree, indices"] * 2, "both", *["photometry"] * 2, *["indices"] * 2, "none"]
    assert result["giant_evidence"].to_pylist() == expected
    assert result["giant"].to_pylist() == [1, 0, 1, 0, 1, 0, 1, 0, None]
    assert result["giant_log_odds"].null_count == 1
    # Colours that are sure outweigh bands that are not.
    errors = {f"{name}_err": np.full(9, 0.2) for name in NAMES}
    table = pa.table(_photometry(jk, w12) | dict(zip(NAMES, bands.T, strict=True)) | errors)
    result = separate(table)
    assert result["giant_evidence"][1].as_py() == "disagree, photometry"
    assert result["giant"][1].as_py() == 1


def test_giants_are_rare():
    # A little beyond the line: a giant only if giants are as frequent as dwarfs.
    table = _table(_photometry(np.array([0.97]), np.array([np.nan])))
    assert separate(table)["giant"].to_pylist() == [0]
    assert separate(table)["giant_evidence"].to_pylist() == ["weak"]
    equal = separate(table, giant_share=0.5)
    assert equal["giant"].to_pylist() == [1]
    assert equal["giant_evidence"].to_pylist() == ["photometry"]
    for share in (0, 1, 7, np.nan):
        with pytest.raises(SettingsError, match="giant_share is"):
            separate(table, giant_share=share)


def test_errors_make_votes_weaker_and_a_cap_bounds_them():
    one = Separator("x", "indices", "a", "b", ((0, 0, 1), (1, 1, 2)), scatter=0.1)
    assert one.line == ((0.0, 0.5), (1.0, 1.5))
    # 2 * 0.5 * 0.1 / 0.1^2 at the line's 0.5 and 0.1 above it.
    np.testing.assert_allclose(one.log_odds([0.0, 0.5, 1.0], [0.6, 1.1, 1.4]), [10, 10, -10])
    np.testing.assert_allclose(one.log_odds(0.5, 1.1, 0.0, np.sqrt(0.03)), 0.1 / 0.04)
    np.testing.assert_allclose(one.log_odds(0.5, 1.1, np.sqrt(0.03), 0.0), 0.1 / 0.04)  # the slope is 1
    np.testing.assert_allclose(one.log_odds([-5, 5], [0.6, 1.6], 1.0), [10, 10])  # horizontal beyond the ends
    np.testing.assert_array_equal(one.log_odds([np.nan, 0.5], [1.0, np.nan]), [np.nan, np.nan])
    table = pa.table({"a": [0.5], "b": [9.0], "b_err": [None]})
    assert separate(table, [one], cap=3.0)["giant_log_odds"].to_pylist() == [3.0]
    below = Separator("x", "indices", "a", "b", ((0, 1, 0), (1, 1, 0)), scatter=0.1)
    assert separate(table, [below])["giant_x"].to_pylist() == [0]


def test_separators_are_settings():
    settings = {
        "name": "sum",
        "evidence": "photometry",
        "x": "h",
        "y": "j-k+w1",
        "points": [[0, 0, 1], [1, 0, 1]],
        "scatter": 0.1,
    }
    (one,) = separators([settings])
    assert one.columns == ["h", "j", "k", "w1"]
    table = pa.table({"h": [0.5], "j": [1.0], "k": [0.5], "w1": [0.4]})
    result = separate(table, [one], cap=100)
    assert result["giant_sum"].to_pylist() == [1]
    # Three default errors of 0.03 and the scatter.
    assert result["giant_log_odds"][0].as_py() == pytest.approx(0.4 / (3 * 0.03**2 + 0.01), rel=1e-6)
    for change, message in [
        ({"evidence": "guess"}, "evidence is 'guess', expected photometry or indices"),
        ({"points": [[0, 0, 1]]}, "two or more"),
        ({"points": []}, "two or more"),
        ({"points": [3, 4]}, "each point has"),
        ({"points": [[1, 0, 1], [0, 0, 1]]}, "ascending x"),
        ({"points": [[0, 1], [1, 2], [2, 3]]}, "each point has x, y of dwarfs and y of giants"),
        ({"points": [[0, 0, 1], [1, 1, 0]]}, "giants must lie on one side"),
        ({"x": "j*k"}, r"'j\*k' is not a column"),
        ({"scatter": 0}, "must be positive"),
        ({"colour": 1}, "settings of a separator: .*colour"),
    ]:
        with pytest.raises(SettingsError, match=message):
            separators([settings | change])
    with pytest.raises(SettingsError, match="different names, found sum, sum"):
        separators([settings, settings])


def test_missing_columns_are_listed_and_empty_tables_work():
    with pytest.raises(SettingsError, match="missing: cah1, cah2, cah3, caoh, h, j, k, tio5, w1, w2"):
        separate(pa.table({"x": [1]}))
    empty = separate(_table(_photometry(np.empty(0), np.empty(0))))
    assert empty.num_rows == 0
    assert empty.column_names == [
        "giant",
        "giant_evidence",
        "giant_log_odds",
        *(f"giant_{one.name}" for one in SEPARATORS),
    ]
    assert empty.schema.field("giant").type == pa.int8()


def test_giants_by_magnitude():
    assert giant_by_magnitude([-1.0, 4.99, 8.3, np.nan]).to_pylist() == [1, 1, 0, None]
    assert giant_by_magnitude([4.0], limit=3.0).to_pylist() == [0]
