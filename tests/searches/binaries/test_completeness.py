"""Injection and recovery of pairs, simulated and made of exposures."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.settings import BINARIES

from starsift.catalog.columns import conform
from starsift.searches.binaries.columns import BINARIES_COMPLETENESS
from starsift.searches.binaries.completeness import (
    _counted,
    add_spectra,
    completeness,
    simulated_completeness,
    single_exposures,
    survey_completeness,
)
from starsift.searches.binaries.decision import FEATURES, Decision
from starsift.searches.binaries.model_bank import ModelBank, build_models
from starsift.searches.binaries.model_fit import fit_models
from starsift.searches.binaries.settings import model_settings
from starsift.spectra.batches import SpectrumBatch, write_bundle
from starsift.spectra.templates import load_grid
from starsift.synthesis.exposures import anonymous_batch
from starsift.synthesis.mrs import observe
from starsift.synthesis.stars import Synthesizer

FEW = {"teff": (5250, 6250), "logg": (4.2,), "feh": (0.0,), "vsini": (0, 30)}
AXES = {"delta_rv": [60, 150], "light_ratio": [0.3, 1.0], "snr": [60], "vsini": [5]}
# A second star is one whose gain is more than a hundredth of the first one's.
GAIN = Decision(
    mean=[0.0] * 18,
    scale=[1.0] * 18,
    powers=np.eye(18, dtype=int)[[1]].tolist(),
    coefficients=[[0.0], [20.0], [0.0]],
    intercept=[0.0, 40.0, -99.0],
    thresholds=[0.5, 0.5],
    systematic=[0.0] * 4,
    systematic_light=[0.0] * 4,
)


@pytest.fixture(scope="module")
def bank() -> ModelBank:
    assert len(FEATURES) == 9
    return build_models(load_grid(), **(model_settings(BINARIES) | FEW))


def expose(n: int, snr: float, seed: int) -> tuple[SpectrumBatch, np.ndarray]:
    """Exposures of n single stars, and their velocities."""
    rng = np.random.default_rng(seed)
    stars = Synthesizer(load_grid(), BINARIES["ccf"]["resolution"])
    rv = rng.uniform(-50, 50, n)
    flux = stars.flux(rng.choice([5250.0, 6250.0], n), 4.2, 0.0, 0.0, rv, 1.0)
    ratio = np.full(n, snr)
    return anonymous_batch(*observe(stars.wavelength, flux, snr=ratio, rng=rng), ratio), rv


def test_clear_simulated_pairs_are_found(bank: ModelBank) -> None:
    options = {"resolution": 7500.0, "trials": 6, "seed": 1, "axes": AXES}
    table = simulated_completeness(load_grid(), bank, GAIN, **options)
    assert simulated_completeness(load_grid(), bank, GAIN, **options).equals(table)
    rows = {(row["delta_rv"], round(row["light_ratio"], 1)): row for row in table.to_pylist()}
    assert all(row["trials"] == 6 for row in rows.values())
    assert rows[150, 1.0]["found"] == 6
    assert rows[150, 0.3]["found"] >= 5
    assert conform(table, BINARIES_COMPLETENESS).num_rows == 4


def test_sums_of_exposures_have_both_velocities_and_the_light_asked_for(bank: ModelBank) -> None:
    n = 24
    one, rv = expose(n, 150.0, 1)
    other, rv_2 = expose(n, 150.0, 2)
    rng = np.random.default_rng(3)
    ratio, snr = np.full(n, 0.5), np.full(n, 40.0)
    total = add_spectra(one, other, rv + 120.0 - rv_2, ratio, snr, rng, degree=bank.continuum_degree)
    fits = fit_models(total, bank)
    np.testing.assert_allclose(np.median(fits.rv[:, 1, 0] - rv), 0.0, atol=0.5)
    np.testing.assert_allclose(np.median(fits.rv[:, 1, 1] - rv), 120.0, atol=1.0)
    light = fits.depth[:, 1, 1] / fits.depth[:, 1, :2].sum(axis=1)
    assert np.median(light) == pytest.approx(1 / 3, abs=0.05)
    good = total.ivar > 0
    level = np.nanmedian(np.where(good, total.flux * np.sqrt(total.ivar), np.nan), axis=1)
    assert np.median(level) == pytest.approx(40, rel=0.15)
    # The errors are those of the noise.
    assert np.median(fits.chi2[:, 1] / fits.pixels) == pytest.approx(1.1, abs=0.2)


@pytest.fixture
def survey(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    """A bundle of twelve single stars, and what was made of them: the last four are not sure."""
    batch, rv = expose(12, 100.0, 5)
    write_bundle(tmp_path / "spectra.arrow", [batch])
    sure = np.arange(12) < 8
    lists = pa.list_(pa.float32())
    columns = {
        "spectrum_id": batch.identity["spectrum_id"],
        "p_single": pa.array(np.where(sure, 1.0, 0.9), pa.float32()),
        "rv": pa.array([[v] for v in rv], lists),
        "light_err": pa.array([[0.005]] * 11 + [None], lists),
    }
    pq.write_table(pa.table(columns), tmp_path / "classes.parquet")
    return [tmp_path / "spectra.arrow"], [tmp_path / "classes.parquet"]


def test_sure_single_stars_of_the_survey_are_taken(survey: tuple[list[Path], list[Path]]) -> None:
    batch, rv = single_exposures(*survey, most=100)
    assert batch is not None
    number = [int(name.split("-")[1]) for name in batch.identity["spectrum_id"].to_pylist()]
    assert sorted(number) == list(range(8))
    np.testing.assert_allclose(rv, expose(12, 100.0, 5)[1][number], rtol=1e-6)
    fewer, _ = single_exposures(*survey, most=3)
    assert fewer is not None
    assert fewer.identity["spectrum_id"].to_pylist() == batch.identity["spectrum_id"].to_pylist()[:3]


def test_pairs_of_the_surveys_own_stars_are_found(
    bank: ModelBank, survey: tuple[list[Path], list[Path]]
) -> None:
    table = survey_completeness(*survey, bank, GAIN, pairs=40, seed=1, axes=AXES)
    assert table["vsini"].null_count == table.num_rows
    assert sum(table["trials"].to_pylist()) == 40
    wide = table.filter(pa.compute.equal(table["delta_rv"], 150.0))
    assert sum(wide["found"].to_pylist()) > 0.8 * sum(wide["trials"].to_pylist())
    # No two exposures are as good as this.
    better = survey_completeness(*survey, bank, GAIN, pairs=40, seed=1, axes=AXES | {"snr": [60, 1000]})
    assert set(better["snr"].to_pylist()) == {60.0}
    assert 0 < sum(better["trials"].to_pylist()) < 40
    nothing = survey_completeness([], [], bank, GAIN, pairs=40, seed=1, axes=AXES)
    assert nothing.num_rows == 0
    both = pa.concat_tables([nothing, table])
    assert conform(both, BINARIES_COMPLETENESS).num_rows == table.num_rows


def test_completeness_is_interpolated() -> None:
    """In the difference, and in the logarithms of light ratio and S/N."""
    rows = [
        {"source": "simulated", "delta_rv": dv, "light_ratio": q, "snr": snr, "vsini": 5.0}
        | {"trials": 100, "found": int(dv / 2 + 10 * np.log2(q) + 10 * np.log10(snr))}
        for dv in (60.0, 100.0)
        for q in (0.25, 0.5, 1.0)
        for snr in (10.0, 100.0)
    ]
    survey = rows[0] | {"source": "survey", "vsini": None, "found": 77}
    table = pa.Table.from_pylist([*reversed(rows), survey])
    found = completeness(table, [60, 80, 100, 500], [0.25, 0.5**0.5, 1, 1], [10, 10, 10**1.5, 1000], 5)
    np.testing.assert_allclose(found, [0.20, 0.45, 0.65, 0.70])
    # Pairs that are harder to find than any of the table have no value, its own ends have one.
    unknown = completeness(
        table, [50, 60, 60, 60, 60], [1, 0.2, 1, 1, 1], [10, 10, 9, 10, 10], [5, 5, 5, 6, 0]
    )
    assert np.isnan(unknown).tolist() == [True, True, True, True, False]
    assert np.isnan(completeness(table, [60, np.nan], 1, 10, 5)).tolist() == [False, True]
    assert completeness(table, 60, 1, 10, 5).shape == ()
    with pytest.raises(ValueError, match="light_ratio is above 1"):
        completeness(table, 60, 2, 10, 5)


def test_ends_of_the_table_are_those_of_the_settings() -> None:
    """The table is in single precision: a setting of 0.3 is 0.30000001 in it."""
    axes = {"delta_rv": [60.1], "light_ratio": [0.3, 1.0], "snr": [5.1], "vsini": [80.1]}
    points = np.array(np.meshgrid(*axes.values())).reshape(4, -1).T
    table = _counted("simulated", points, np.ones(len(points), bool))
    assert completeness(table, 60.1, 0.3, 5.1, 80.1) == 1
