"""What is measured on candidates, on simulated stars of known velocity, subtype and activity."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fixtures.mstars_data import MEASURE, dwarf_bank
from fixtures.spectra import make_batch

from starsift.searches.mstars.dataset import Sample
from starsift.searches.mstars.indices import halpha, measure_indices
from starsift.searches.mstars.measurements import INDICES, measure, measure_rows, velocity_bank
from starsift.searches.mstars.preprocess import prepare
from starsift.searches.mstars.velocity import build_velocity_bank, velocity_templates
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import IDENTITY_NAMES, SpectrumBatch, write_bundle
from starsift.spectra.ccf import TemplateBank
from starsift.spectra.resample import LAMOST_LRS
from starsift.synthesis.bands import dwarfs, giants, lrs_bands
from starsift.synthesis.degrade import add_noise, shift

WAVE = LAMOST_LRS.wavelength
SUBTYPE = np.tile(np.arange(8.0), 2)
EWHA = np.where(np.arange(16) % 3 == 0, 6.0, 0.0)
RV = np.linspace(-230.0, 240.0, 16)
SNR = 30.0


@pytest.fixture(scope="module")
def bank() -> TemplateBank:
    return dwarf_bank(np.arange(0.0, 10.0, 2.0))


@pytest.fixture(scope="module")
def stars() -> SpectrumBatch:
    flux = shift(LAMOST_LRS, dwarfs(lrs_bands(), 40 + SUBTYPE, ewha=EWHA), RV)
    return make_batch(*add_noise(flux, SNR, np.random.default_rng(0), WAVE, sky=False))


@pytest.fixture(scope="module")
def measured(stars: SpectrumBatch, bank: TemplateBank) -> pa.Table:
    return measure(stars, bank, **MEASURE)


@pytest.fixture(scope="module")
def hard(stars: SpectrumBatch, bank: TemplateBank) -> tuple[SpectrumBatch, pa.Table]:
    """No pixel; nothing red of 6000 Angstrom; a constant; noise on one; H alpha masked; and a good one."""
    flux, ivar = stars.flux[:6].copy(), stars.ivar[:6].copy()
    flux[0] = np.nan
    ivar[1, WAVE > 6000] = 0.0
    flux[2] = 1.0
    flux[3] = 5.0 + np.random.default_rng(1).standard_normal(WAVE.size)
    ivar[3] = 1.0
    ivar[4, (WAVE > 6530) & (WAVE < 6600)] = 0.0
    batch = make_batch(flux, ivar)
    return batch, measure(batch, bank, **MEASURE)


def column(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name].cast(pa.float64()).to_numpy())


def test_velocities_are_those_of_the_stars(measured: pa.Table) -> None:
    error = column(measured, "rv_err")
    assert ((error > 3) & (error < 6)).all()
    pull = (column(measured, "rv") - RV) / error
    assert np.abs(pull).max() < 3
    assert (column(measured, "ccf_max") > 0.85).all()
    # The nearest template but for one: every second subtype has none.
    subtype = np.array([int(name[2]) for name in measured["template"].to_pylist()])
    assert np.abs(subtype - SUBTYPE).max() <= 1


def test_subtypes_activity_and_signal(measured: pa.Table) -> None:
    error = column(measured, "subtype_err")
    assert (np.abs(column(measured, "subtype") - SUBTYPE) < 2 * error).all()
    assert error.max() < 0.6
    digit = [f"M{max(0, round(x))}" for x in column(measured, "subtype")]
    assert measured["subclass"].to_pylist() == digit
    assert measured["active"].type == pa.int8()
    assert measured["active"].to_pylist() == (EWHA > 0).astype(int).tolist()
    np.testing.assert_allclose(column(measured, "snr_r"), SNR, rtol=0.05)


def test_indices_are_those_at_rest(stars: SpectrumBatch, measured: pa.Table) -> None:
    rest = stars.wavelength / (1 + column(measured, "rv") / C_KMS)[:, None]
    indices = measure_indices(rest, stars.flux, stars.ivar)
    observed = measure_indices(stars.wavelength, stars.flux, stars.ivar)
    for name in (*INDICES, "zeta"):
        for key, values, moved in zip((name, f"{name}_err"), indices[name], observed[name], strict=True):
            np.testing.assert_allclose(column(measured, key), values, rtol=1e-5)
            assert not np.allclose(values, moved, rtol=1e-3), key
    for key, values in zip(("ewha", "ewha_err", "snr_ha"), halpha(rest, stars.flux, stars.ivar), strict=True):
        np.testing.assert_allclose(column(measured, key), values, rtol=1e-5)


def test_identity_and_order_are_kept(stars: SpectrumBatch, measured: pa.Table, bank: TemplateBank) -> None:
    assert measured.column_names[: len(IDENTITY_NAMES)] == list(IDENTITY_NAMES)
    for name in IDENTITY_NAMES:
        assert measured[name].equals(stars.identity[name]), name
    order = np.random.default_rng(2).permutation(stars.n)
    turned, expected = measure(stars.take(order), bank, **MEASURE), measured.take(order)
    for name in turned.column_names:
        # Sums are rounded by their place in a product.
        if pa.types.is_floating(turned.schema.field(name).type):
            np.testing.assert_allclose(column(turned, name), column(expected, name), rtol=1e-3, atol=1e-3)
        else:
            assert turned[name].equals(expected[name]), name


def test_what_cannot_be_measured_is_null(hard: tuple[SpectrumBatch, pa.Table], measured: pa.Table) -> None:
    _, table = hard
    assert table.schema.equals(measured.schema)
    for name in table.column_names:
        if pa.types.is_floating(table.schema.field(name).type):
            assert pc.all(pc.is_finite(table[name].drop_null())).as_py(), name
    rows = table.to_pylist()
    nothing = {name for name in table.column_names if name not in IDENTITY_NAMES}
    assert {name for name in nothing if rows[0][name] is None} == nothing
    assert [row["rv"] is None for row in rows[:4]] == [True] * 4
    for row in rows:
        assert (row["rv"] is None) == (row["rv_err"] is None) == (row["template"] is None)
        assert (row["subtype"] is None) == (row["subtype_err"] is None) == (row["subclass"] is None)
    # The blue arm alone: no band of an M star, but a signal-to-noise ratio of what is left of r.
    assert [rows[1][name] for name in ("tio5", "cah2", "subclass", "ewha", "active")] == [None] * 5
    assert rows[1]["snr_r"] > 0
    assert [rows[4][name] for name in ("ewha", "ewha_err", "active")] == [None] * 3
    assert rows[4]["tio5"] is not None
    assert rows[5]["active"] == 0


def test_indices_without_a_velocity_are_those_as_observed(hard: tuple[SpectrumBatch, pa.Table]) -> None:
    batch, table = hard
    observed = measure_indices(batch.wavelength, batch.flux, batch.ivar)["tio5"][0]
    assert table["tio5"][3].as_py() == pytest.approx(observed[3], rel=1e-5)
    assert table["tio5"][5].as_py() != pytest.approx(observed[5], rel=1e-3)


def test_settings(stars: SpectrumBatch, measured: pa.Table, bank: TemplateBank) -> None:
    rough = measure(stars, bank, **MEASURE | {"velocity_floor": 20.0, "activity_snr": 1e3})
    expected = np.hypot(np.sqrt(column(measured, "rv_err") ** 2 - 9), 20)
    np.testing.assert_allclose(column(rough, "rv_err"), expected, rtol=1e-4)
    assert rough["active"].null_count == stars.n
    assert measure(stars, bank, **MEASURE | {"activity_width": 10.0})["active"].to_pylist() == [0] * stars.n


def test_rows_of_a_bundle(
    tmp_path: Path,
    stars: SpectrumBatch,
    measured: pa.Table,
    bank: TemplateBank,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("starsift.searches.mstars.measurements.ROWS", 3)
    write_bundle(tmp_path / "b.arrow", [stars])
    rows = np.array([11, 3, 15, 0])
    table = measure_rows(tmp_path / "b.arrow", rows, bank, **MEASURE | {"velocity_floor": 20.0})
    assert table["spectrum_id"].to_pylist() == ["s0", "s3", "s11", "s15"]
    np.testing.assert_allclose(column(table, "rv"), column(measured, "rv")[np.sort(rows)], atol=0.01)
    assert (column(table, "rv_err") > 20).all()


def test_a_bundle_without_candidates(
    tmp_path: Path, stars: SpectrumBatch, measured: pa.Table, bank: TemplateBank
) -> None:
    write_bundle(tmp_path / "b.arrow", [stars])
    empty = measure_rows(tmp_path / "b.arrow", np.array([], np.int64), bank, **MEASURE)
    assert empty.num_rows == 0
    assert empty.schema.equals(measured.schema, check_metadata=True)
    # It joins those of other bundles.
    assert pa.concat_tables([empty, measured]).num_rows == stars.n
    write_bundle(tmp_path / "none.arrow", [])
    assert measure_rows(tmp_path / "none.arrow", np.array([], np.int64), bank, **MEASURE).equals(empty)


def test_templates_are_means_of_the_sample() -> None:
    """Two dM1, three dM4, one gM3; each scaled to [0, 1], as samples are; too far apart to join."""
    model = lrs_bands()
    m_dwarfs = dwarfs(model, [41.0, 41.0, 44.0, 44.0, 44.0])
    # Higher, so that zero flux lies in another place.
    flux = np.concatenate([m_dwarfs, giants(model, [3.0]), dwarfs(model, [30.0])]) + np.float32(0.3)
    ready = prepare(make_batch(flux, np.full(flux.shape, 400.0)))
    kinds = [("dwarf", "dM1"), ("dwarf", "M1"), *[("dwarf", "dM4")] * 3, ("giant", "gM3"), ("negative", "K0")]
    table = pa.table(
        {
            "spectrum_id": [f"s{i}" for i in range(7)],
            "role": [role for role, _ in kinds],
            "subclass": [subclass for _, subclass in kinds],
            "class": ["STAR"] * 7,
            "zero": ready.zero,
        }
    )
    sample = Sample(ready.flux, ready.ivar, table, table)
    assert velocity_templates(sample, 2)["name"].to_pylist() == ["dM1", "dM4"]
    bank = velocity_bank(velocity_templates(sample, 1), velocity_max=500.0)
    assert bank.names == ("dM1", "dM4", "gM3")
    assert bank.velocities[[0, -1]].tolist() == [-500.0, 500.0]
    # The same as of the spectra as they are: the scale goes, the zero stays in its place.
    expected = build_velocity_bank(bank.names, flux[[0, 2, 5]], velocity_max=500.0)
    np.testing.assert_allclose(bank.profiles, expected.profiles, atol=2e-3 * np.ptp(expected.profiles))
