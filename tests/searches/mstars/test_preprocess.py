"""What the hash network sees: scaled spectra, statuses instead of exceptions, flux gaps found."""

import numpy as np
import pytest
from fixtures.spectra import make_batch as batch_of
from fixtures.spectra import sdss_templates
from fixtures.survey_files import real

from starsift.searches.mstars.preprocess import MAX_GAP, Prepared, is_defective, prepare
from starsift.sky.constants import C_KMS
from starsift.spectra.resample import LAMOST_LRS
from starsift.survey.readers.registry import read_spectrum

WAVE = LAMOST_LRS.wavelength
JOINT = int(np.searchsorted(WAVE, 5850.0))


def star(wavelength: np.ndarray = WAVE) -> np.ndarray:
    """A red continuum with a wide molecular band and narrow lines."""
    flux = (wavelength / 7000.0) ** 3
    flux = flux * (1.0 - 0.4 * np.exp(-0.5 * ((wavelength - 7100.0) / 80.0) ** 2))
    for line in (5175.3, 5893.6, 8544.4):
        flux = flux * (1.0 - 0.6 * np.exp(-0.5 * ((wavelength - line) / 6.0) ** 2))
    return flux


def noisy(flux: np.ndarray, snr: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`flux` (n, p) with noise, its median in 6000-6900 Angstrom `snr` times as much, and its ivar."""
    sigma = np.median(flux[:, (WAVE > 6000) & (WAVE < 6900)], axis=1, keepdims=True) / snr
    noise = np.random.default_rng(seed).normal(size=flux.shape) * sigma
    return (flux + noise).astype(np.float32), np.broadcast_to(sigma**-2.0, flux.shape)


def test_prepared_spectra_run_from_zero_to_one_and_keep_their_signal_to_noise() -> None:
    flux, ivar = noisy(np.tile(5000.0 * star(), (3, 1)), 20.0)
    ivar = ivar.copy()
    ivar[1, 200:230] = 0.0
    ivar[1, 1000] = 0.0
    ready = prepare(batch_of(flux, ivar))
    assert ready.status.tolist() == ["ok"] * 3
    assert ready.ok.all()
    np.testing.assert_array_equal(ready.flux.min(axis=1), 0.0)
    np.testing.assert_array_equal(ready.flux.max(axis=1), 1.0)
    np.testing.assert_array_equal(ready.n_bad, [0, 31, 0])
    np.testing.assert_array_equal(ready.longest_gap, [0, 30, 0])
    np.testing.assert_array_equal(ready.ivar == 0, ivar == 0)
    span = np.ptp(flux[0])
    np.testing.assert_allclose(ready.ivar[0], ivar[0] * span**2, rtol=1e-4)
    np.testing.assert_allclose(ready.zero[0], -flux[0].min() / span, rtol=1e-5)
    # The gap is a straight line between its neighbours.
    np.testing.assert_allclose(np.diff(ready.flux[1, 199:231], n=2), 0.0, atol=1e-6)
    assert not ready.defective.any()


def test_padding_is_no_observation() -> None:
    """Fluxes of 0 that claim to be good, at the red end of LAMOST spectra."""
    flux, ivar = noisy(np.tile(5000.0 * star(), (2, 1)), 20.0)
    flux[1, -20:] = 0.0
    ready = prepare(batch_of(flux, ivar))
    np.testing.assert_array_equal(ready.n_bad, [0, 20])
    np.testing.assert_array_equal(ready.ivar[1, -20:], 0.0)
    assert ready.flux[1, -20:].min() > 0.5
    assert not ready.defective.any()


def test_stars_come_to_rest_and_unknown_velocities_stay() -> None:
    rv = np.array([-200.0, np.nan, 300.0])
    wide = np.geomspace(3600.0, 9300.0, 4500)
    flux = np.stack([star(wide / (1.0 + np.nan_to_num(v) / C_KMS)) for v in rv])
    ready = prepare(batch_of(flux, np.ones_like(flux), wide), rv)
    np.testing.assert_allclose(ready.flux[[0, 2]], ready.flux[[1, 1]], atol=0.01)
    still = prepare(batch_of(flux, np.ones_like(flux), wide))
    assert np.abs(still.flux[0] - still.flux[1]).max() > 0.1


def test_bad_spectra_get_a_status_and_disturb_no_other() -> None:
    flux, ivar = noisy(np.tile(star(), (6, 1)), 10.0)
    flux[1] = np.nan
    flux[2] = 4.0
    ivar = ivar.copy()
    ivar[3, 1500:] = 0.0
    status = ["ok", "ok", "ok", "ok", "missing_file", "ok"]
    ready = prepare(batch_of(flux, ivar, status=status))
    assert ready.status.tolist() == ["ok", "all_masked", "constant", "too_few_pixels", "missing_file", "ok"]
    assert not np.any([ready.flux[1:5], ready.ivar[1:5]])
    assert not ready.defective.any()
    alone = prepare(batch_of(flux[[0, 5]], ivar[[0, 5]]))
    np.testing.assert_allclose(ready.flux[[0, 5]], alone.flux, atol=1e-6)


def test_wavelengths_outside_the_grid_are_too_few_pixels() -> None:
    flux = np.random.default_rng(0).normal(size=(2, 500))
    ready = prepare(batch_of(flux, np.ones_like(flux), np.linspace(10_000.0, 20_000.0, 500)))
    assert ready.status.tolist() == ["too_few_pixels"] * 2
    np.testing.assert_array_equal(ready.n_bad, 3909)


def test_no_spectra_is_no_error() -> None:
    ready = prepare(batch_of(np.ones((1, 3909)), np.ones((1, 3909))).take([]))
    assert ready.flux.shape == (0, 3909)
    assert ready.status.shape == (0,)


@pytest.mark.parametrize("value", [np.nan, 0.0, 3.0])
def test_a_long_run_without_flux_is_a_defect(value: float) -> None:
    flux, ivar = noisy(np.tile(star(), (3, 1)), 5.0)
    flux[1, 2500 : 2500 + MAX_GAP - 1] = value
    flux[2, 2500 : 2500 + MAX_GAP + 5] = value
    ready = prepare(batch_of(flux, ivar))
    assert ready.defective.tolist() == [False, False, True]
    assert ready.longest_gap[2] == pytest.approx(MAX_GAP + 5, abs=2)


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.5])
@pytest.mark.parametrize("sampling", [1.0, 0.7])
def test_a_step_where_the_arms_join_is_a_defect(factor: float, sampling: float) -> None:
    wave = 10.0 ** np.arange(3.5682, 3.959, sampling * 1e-4)
    truth = np.tile(star(wave), (2, 1))
    sigma = 0.05
    truth[1, wave < 5850.0] *= factor
    flux = truth + np.random.default_rng(4).normal(size=truth.shape) * sigma
    ready = prepare(batch_of(flux, np.full(flux.shape, sigma**-2), wave), [150.0, 150.0])
    assert ready.defective.tolist() == [False, True]


def test_lines_bands_and_slopes_are_no_step() -> None:
    narrow = star() * (1.0 - 0.9 * np.exp(-0.5 * ((WAVE - 5850.0) / 5.0) ** 2))
    # A band that begins sharply and recovers, as those of TiO do.
    head = np.where(WAVE > 5847.0, np.exp(-(WAVE - 5847.0) / 60.0), 0.0)
    steep = (WAVE / 6000.0) ** 12
    flux = np.stack([narrow, star() * (1.0 - 0.4 * head), steep])
    assert not is_defective(flux, np.ones_like(flux)).any()


def test_noise_alone_is_no_defect() -> None:
    flux = np.random.default_rng(5).normal(size=(500, 3909)).astype(np.float32)
    assert is_defective(flux, np.ones_like(flux)).mean() <= 0.002


def templates() -> np.ndarray:
    flux = sdss_templates()[2]
    return flux / np.median(flux, axis=1, keepdims=True)


@pytest.mark.parametrize("snr", [1.0, 3.0, 10.0, 100.0])
def test_real_stars_with_noise_raise_few_alarms(snr: float) -> None:
    flux, ivar = noisy(templates(), snr, seed=int(snr))
    assert prepare(batch_of(flux, ivar)).defective.mean() <= 0.01


def test_steps_in_real_stars_are_found() -> None:
    stars = templates()[[name[0] in "FGKM" for name in sdss_templates()[0]]]
    flux, ivar = noisy(stars, 10.0)
    flux[:, :JOINT] -= 0.6 * stars[:, :JOINT]
    assert prepare(batch_of(flux, ivar)).defective.mean() >= 0.95


def prepare_file(path: object) -> Prepared:
    spectrum = read_spectrum(str(path), "lrs")
    ivar = np.where(spectrum.mask, 0.0, spectrum.ivar)
    return prepare(batch_of(spectrum.flux[None], ivar[None], spectrum.wavelength))


def test_lamost_spectra_are_good_but_the_saturated_one() -> None:
    folders = real("lamost-lrs-dr10"), real("ondrejov-lamost") / "lamost"
    paths = [path for folder in folders for path in sorted(folder.glob("*.fits"))]
    assert len(paths) > 20
    ready = {path.name: prepare_file(path) for path in paths}
    assert all(each.ok.all() for each in ready.values())
    # Its red arm is masked from 6700 Angstrom on.
    defective = [name for name, each in ready.items() if each.defective[0]]
    assert defective == ["spec-55967-GAC_073N44_V4_sp08-055.fits"]
