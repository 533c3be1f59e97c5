"""H-alpha lines of known strength and shape, with noise, gaps, and on continua of any slope and size."""

import numpy as np
import pyarrow as pa
import pytest
from fixtures.spectra import make_batch

from starsift.searches.emission.line import GRID, HALPHA, LINES, measure_lines
from starsift.searches.mstars.indices import halpha
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.resample import LAMOST_LRS

WAVE = LAMOST_LRS.wavelength[(LAMOST_LRS.wavelength > 6400) & (LAMOST_LRS.wavelength < 6750)]
N = 200


def bump(velocity: float, sigma: float) -> np.ndarray:
    """A Gaussian of height 1 at a velocity (km/s), `sigma` in Angstrom."""
    return np.exp(-0.5 * ((WAVE - HALPHA * (1 + velocity / C_KMS)) / sigma) ** 2)


PROFILES = {
    "flat": np.ones(WAVE.size),
    "absorption": 1 - 0.6 * bump(0, 4) - 0.2 * bump(0, 8),
    "single": 1 + 1.5 * bump(100, 2.5),
    "double": 1 - 0.3 * bump(50, 10) + 0.6 * bump(-100, 2) + 0.5 * bump(200, 2),
    "fast": 1 + 2 * bump(-700, 3),
}


def batch(
    name: str, snr: float = 30.0, n: int = N, level: float = 300.0, slope: float = -0.3
) -> SpectrumBatch:
    rng = np.random.default_rng(5)
    flux = level * (1 + slope * (WAVE - HALPHA) / 200) * PROFILES[name]
    sigma = level / snr * np.ones(WAVE.size)
    return make_batch(flux + sigma * rng.normal(size=(n, WAVE.size)), np.tile(sigma**-2, (n, 1)), WAVE)


def numbers(table: pa.Table, name: str) -> np.ndarray:
    return table[name].fill_null(np.nan).to_numpy().astype(float)


@pytest.mark.parametrize("name", PROFILES)
def test_widths_and_their_errors(name: str) -> None:
    """Emission is positive, and errors are as large as the scatter."""
    table = measure_lines(batch(name))
    assert table.schema == LINES
    true = float((PROFILES[name] - 1) @ np.gradient(WAVE))
    width, error = numbers(table, "ewha"), numbers(table, "ewha_err")
    pull = (width - true) / error
    assert abs(pull.mean()) < 0.5
    assert 0.85 < pull.std() < 1.15
    assert numbers(table, "snr_ha").mean() == pytest.approx(30, rel=0.1)


def test_the_sign_is_that_of_the_m_stars() -> None:
    """A narrow line on a flat continuum, of which both definitions see all."""
    spectra = batch("single", slope=0.0)
    theirs = halpha(spectra.wavelength, spectra.flux, spectra.ivar)[0]
    assert np.median(theirs) == pytest.approx(np.median(numbers(measure_lines(spectra), "ewha")), rel=0.06)


def test_velocities_of_peaks() -> None:
    for name, velocity in {"single": 100, "fast": -700}.items():
        table = measure_lines(batch(name))
        found = numbers(table, "peak_velocity")
        assert np.median(found) == pytest.approx(velocity, abs=4)
        assert np.std(found) < 15
        assert np.isnan(numbers(table, "peak_separation")).mean() > 0.97
        np.testing.assert_allclose(numbers(table, "peak_wavelength"), HALPHA * (1 + found / C_KMS), rtol=1e-6)


def test_double_peaks_have_a_separation() -> None:
    table = measure_lines(batch("double"))
    assert np.isfinite(numbers(table, "peak_separation")).mean() > 0.9
    assert np.nanmedian(numbers(table, "peak_separation")) == pytest.approx(300, abs=15)
    assert np.nanmedian(numbers(table, "peak_velocity")) == pytest.approx(-100, abs=15)


@pytest.mark.parametrize(("name", "most"), [("flat", 0.1), ("absorption", 0.03)])
def test_noise_is_rarely_a_peak(name: str, most: float) -> None:
    assert np.isfinite(numbers(measure_lines(batch(name, n=500)), "peak_velocity")).mean() <= most


def test_units_of_flux_do_not_matter() -> None:
    usual = measure_lines(batch("double", n=5))
    for level in (1e-15, 1e6):
        scaled = measure_lines(batch("double", n=5, level=level))
        for name in LINES.names:
            np.testing.assert_allclose(numbers(scaled, name), numbers(usual, name), rtol=1e-3, err_msg=name)


def test_a_spectrum_does_not_depend_on_its_neighbours() -> None:
    spectra = batch("double", n=7)
    alone = pa.concat_tables([measure_lines(spectra.take([i])) for i in range(7)])
    for name in LINES.names:
        np.testing.assert_allclose(numbers(measure_lines(spectra), name), numbers(alone, name), rtol=1e-5)
    assert measure_lines(spectra.take([])).num_rows == 0


def test_gaps_and_continua_that_are_none() -> None:
    """A pixel lost costs little; a line, a side, or the light lost leaves nothing to say."""
    spectra = batch("single", n=5)
    flux, ivar = spectra.flux.copy(), spectra.ivar.copy()
    offset = WAVE - HALPHA
    ivar[1, np.abs(offset + 8) < 1] = 0
    flux[2, np.abs(offset) < 10] = np.nan
    ivar[3, offset > 40] = 0
    flux[4] -= 400
    table = measure_lines(make_batch(flux, ivar, WAVE))
    known = table["ewha"].is_valid().to_pylist()
    assert known == [True, True, False, False, False]
    assert table["peak_velocity"].is_valid().to_pylist() == known
    width, error = numbers(table, "ewha"), numbers(table, "ewha_err")
    assert width[1] == pytest.approx(width[0], abs=2 * error[0])


def test_peaks_that_the_survey_took_for_cosmic_rays() -> None:
    """Fluxes without weight count in the line, and are taken to be as sure as others."""
    spectra = batch("single", n=5)
    ivar = spectra.ivar.copy()
    ivar[:, spectra.flux[0] > 400] = 0
    assert (ivar[0] == 0).sum() >= 4
    table = measure_lines(make_batch(spectra.flux, ivar, WAVE))
    whole = measure_lines(spectra)
    for name in LINES.names:
        np.testing.assert_allclose(numbers(table, name), numbers(whole, name), rtol=1e-3, err_msg=name)
    none = make_batch(spectra.flux, np.zeros_like(ivar), WAVE)
    assert measure_lines(none)["ewha"].null_count == 5


def test_spectra_that_end_before_the_line() -> None:
    short = slice(0, np.searchsorted(WAVE, HALPHA + 10))
    spectra = batch("single", n=2)
    cut = make_batch(spectra.flux[:, short], spectra.ivar[:, short], WAVE[short])
    assert measure_lines(cut)["ewha"].null_count == 2


def test_the_grid_is_that_of_the_survey() -> None:
    assert np.isin(np.round(GRID.wavelength, 6), np.round(LAMOST_LRS.wavelength, 6)).all()
