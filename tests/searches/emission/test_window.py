"""What the network sees of a spectrum, on made and on real ones."""

import csv
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from fixtures.settings import EMISSION
from fixtures.spectra import make_batch as batch
from fixtures.survey_files import real
from hypothesis import given
from hypothesis import strategies as st

from starsift.errors import SpectrumError
from starsift.searches.emission.classes import PIXELS
from starsift.searches.emission.window import WAVELENGTH, Windows, transfer, window
from starsift.sky.air import vacuum_to_air
from starsift.spectra.batches import MASK_IVAR, SpectrumBatch
from starsift.spectra.resample import LAMOST_LRS
from starsift.survey.readers.registry import read_spectrum

BLUR = EMISSION["labelled"]["blur"]


def cut(spectra: SpectrumBatch) -> Windows:
    return window(spectra, **EMISSION["window"])


def line(centre: float = 6564.6, height: float = 3.0, width: float = 4.0) -> np.ndarray:
    return np.asarray(1 + height * np.exp(-(((LAMOST_LRS.wavelength - centre) / width) ** 2) / 2))


CORE = np.flatnonzero(np.abs(LAMOST_LRS.wavelength - 6564.6) < 6)


def test_a_window_is_numpys_interpolation_scaled() -> None:
    flux = line() + 0.1 * np.sin(LAMOST_LRS.wavelength / 3)
    expected = np.interp(WAVELENGTH, LAMOST_LRS.wavelength, flux.astype(np.float32))
    expected = 2 * (expected - expected.min()) / np.ptp(expected) - 1
    seen = cut(batch(flux))
    assert seen.ok.all()
    np.testing.assert_allclose(seen.flux[0], expected, atol=2e-6)
    assert seen.flux.min() == -1
    assert seen.flux.max() == 1


@given(st.floats(1e-3, 1e6), st.floats(-5, 5))
def test_scale_and_zero_do_not_matter(scale: float, zero: float) -> None:
    once, again = (cut(batch(flux)) for flux in (line(), scale * (line() + zero)))
    np.testing.assert_allclose(again.flux, once.flux, atol=1e-5 * (1 + abs(zero)))


def test_masked_pixels_are_interpolated() -> None:
    ivar = np.ones(LAMOST_LRS.pixels)
    flux = line()
    spoiled = np.flatnonzero(np.abs(LAMOST_LRS.wavelength - 6650) < 4)
    flux[spoiled], ivar[spoiled] = np.nan, 0
    np.testing.assert_allclose(cut(batch(flux, ivar)).flux, cut(batch(line())).flux, atol=1e-5)


def test_a_peak_without_weight_is_seen() -> None:
    """LAMOST gives strong emission lines no weight; interpolation would cut them off."""
    ivar = np.ones(LAMOST_LRS.pixels)
    ivar[CORE] = 0
    unweighted = batch(line(), ivar)
    assert (unweighted.mask[0, CORE] == MASK_IVAR).all()
    np.testing.assert_array_equal(cut(unweighted).flux, cut(batch(line())).flux)
    # But no flux at all, or one that the survey calls bad, is none.
    gone = line()
    gone[CORE] = 0
    lost = cut(batch(gone, ivar)).flux[0]
    assert lost[np.abs(WAVELENGTH - 6564.6) < 2].max() < 1
    bad = np.isin(np.arange(LAMOST_LRS.pixels), CORE)
    whole = batch(line())
    masked = SpectrumBatch.from_arrays(whole.identity, whole.wavelength, whole.flux, whole.ivar, bad)
    np.testing.assert_allclose(cut(masked).flux[0], lost, atol=1e-6)


def test_what_has_no_window_says_so() -> None:
    short = LAMOST_LRS.wavelength[:2400]
    assert cut(batch(np.ones(2400), wavelength=short)).status.tolist() == ["no_window"]
    ivar = np.ones((3, LAMOST_LRS.pixels))
    ivar[0, np.abs(LAMOST_LRS.wavelength - 6600) < 60] = 0
    ivar[1] = 0
    flux = np.stack([np.where(ivar[0] > 0, LAMOST_LRS.wavelength, 0), line(), np.ones(LAMOST_LRS.pixels)])
    seen = cut(batch(flux, ivar))
    assert seen.status.tolist() == ["too_few_pixels", "all_masked", "constant"]
    assert (seen.flux == -1).all()
    assert window(batch(flux, ivar), min_good=0.3).ok.tolist() == [True, False, False]


def test_each_window_stands_alone() -> None:
    many = np.stack([line(centre) for centre in np.linspace(6530, 6700, 600)])
    some = [3, 300, 599]
    np.testing.assert_allclose(cut(batch(many)).flux[some], cut(batch(many[some])).flux, atol=1e-5)


def test_transfer_blurs_by_seven_pixels() -> None:
    spike = np.zeros(101)
    spike[50] = 1
    blurred = transfer(spike, sigma=BLUR)
    x = np.arange(101) - 50
    assert blurred.sum() == pytest.approx(1, abs=1e-6)
    assert np.sqrt((blurred * x**2).sum()) == pytest.approx(7, abs=0.02)
    np.testing.assert_array_equal(transfer(spike, sigma=0), spike)


def test_ondrejov_files_come_in_vacuum() -> None:
    path = next(iter(sorted(real("ondrejov-lamost/ondrejov").glob("*.fits"))))
    fast, slow = read_spectrum(path, "ondrejov"), read_spectrum(path, "ondrejov", fast=False)
    for name in ("wavelength", "flux", "ivar", "mask"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name))
    with fits.open(path) as hdus:
        table = hdus[1].data
        np.testing.assert_allclose(vacuum_to_air(fast.wavelength), table["spectral"], atol=1e-6)
        np.testing.assert_allclose(fast.flux, table["flux"], rtol=1e-6)


def test_other_files_are_no_ondrejov_spectra(tmp_path: Path) -> None:
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "a.fits")
    with pytest.raises(SpectrumError, match="no table in extension 1"):
        read_spectrum(tmp_path / "a.fits", "ondrejov")
    column = fits.Column("flux", "D", array=np.ones(9))
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column])]).writeto(tmp_path / "b.fits")
    with pytest.raises(SpectrumError, match="no column spectral"):
        read_spectrum(tmp_path / "b.fits", "ondrejov")


def test_after_the_transfer_real_stars_look_alike() -> None:
    """15 stars seen by both telescopes: docs/emission.md has the table."""
    folder = real("ondrejov-lamost")
    pairs = list(csv.DictReader((folder / "pairs.csv").read_text().splitlines()))
    assert len(pairs) == 15
    before, after = [], []
    for pair in pairs:
        theirs = read_spectrum(folder / "ondrejov" / pair["ondrejov"], "ondrejov")
        ours = read_spectrum(folder / "lamost" / pair["lamost"], "lrs")
        seen = cut(batch(ours.flux, np.where(ours.mask, 0, ours.ivar), ours.wavelength)).flux[0]
        air, blurred = vacuum_to_air(theirs.wavelength), transfer(theirs.flux, sigma=BLUR)
        for found, wavelength, flux in ((before, air, theirs.flux), (after, theirs.wavelength, blurred)):
            made = cut(batch(flux, wavelength=wavelength))
            assert made.ok.all()
            assert made.flux.shape == (1, PIXELS)
            found.append(np.corrcoef(made.flux[0], seen)[0, 1])
    better = np.array(after) > np.array(before)
    assert better.sum() >= 14
    assert np.mean(after) > np.mean(before) + 0.07
    assert np.min(np.array(after) - before) > -0.01
    # The two emission-line stars among them, whose peaks LAMOST gives no weight.
    assert sorted(after)[-2:] > [0.99, 0.99]
