"""Windows of spectra and scaled images, as the networks see them."""

import numpy as np
import pytest
from fixtures.bhb_data import SDSS, absorption_line, batch
from fixtures.settings import BHB
from fixtures.survey_files import identity_of, real
from hypothesis import given
from hypothesis import strategies as st

from starsift.searches.bhb.inputs import BANDS, GRID, PIXELS, scale_images, windows
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.resample import LAMOST_LRS
from starsift.survey import cutouts
from starsift.survey.readers.registry import read_spectrum

START = round((GRID.log10_lambda0 - SDSS.log10_lambda0) * 1e4)
CUT = slice(START, START + PIXELS)


def test_pixels_of_sdss_stay_as_they_are() -> None:
    flux = np.stack([absorption_line(seed) for seed in range(3)])
    made = windows(batch(flux), **BHB["spectrum"])
    assert made.ok.all()
    cut = flux[:, CUT]
    expected = (cut - cut.min(axis=1, keepdims=True)) / np.ptp(cut, axis=1)[:, None]
    np.testing.assert_allclose(made.flux, expected, atol=1e-6)
    assert made.flux.dtype == np.float32
    assert (made.flux.min(axis=1) == 0).all()
    assert (made.flux.max(axis=1) == 1).all()


@given(st.floats(1e-3, 1e4), st.floats(-3, 3))
def test_scale_and_zero_of_the_flux_do_not_matter(scale: float, zero: float) -> None:
    np.testing.assert_allclose(
        windows(batch(scale * (absorption_line() + zero)), **BHB["spectrum"]).flux,
        windows(batch(absorption_line()), **BHB["spectrum"]).flux,
        atol=2e-6 * (1 + abs(zero)),
    )


def test_gaps_are_interpolated() -> None:
    flux, ivar = absorption_line(), np.ones(SDSS.pixels)
    ivar[START + 100 : START + 103] = 0
    flux[START + 100 : START + 103] = 1e9
    made = windows(batch(flux, ivar), **BHB["spectrum"])
    cut = absorption_line()[CUT]
    cut[99:104] = np.linspace(cut[99], cut[103], 5)
    np.testing.assert_allclose(made.flux[0], (cut - cut.min()) / np.ptp(cut), atol=1e-6)


def test_spectra_without_a_window() -> None:
    ivar = np.ones((5, SDSS.pixels))
    ivar[0] = 0
    ivar[1, START : START + 400] = 0
    ivar[2, START : START + 300] = 0
    flux = np.tile(absorption_line(), (5, 1))
    flux[3] = 2.0
    made = windows(batch(flux, ivar), **BHB["spectrum"])
    assert made.status.tolist() == ["all_masked", "too_few_pixels", "ok", "constant", "ok"]
    assert not made.flux[[0, 1, 3]].any()
    assert windows(batch(flux, ivar), min_good=0.8).status[1] == "ok"


def test_the_window_must_be_covered() -> None:
    """To the last pixel, that is; float32 wavelengths may be off by a trifle."""
    for first, last, covered in ((0, 0, 1), (1, 0, 0), (0, 1, 0), (-40, -40, 1), (400, -40, 0)):
        cut = slice(START + first, START + PIXELS - last)
        made = windows(batch(absorption_line()[cut], wavelength=SDSS.wavelength[cut]), **BHB["spectrum"])
        assert made.status.tolist() == ["ok" if covered else "not_covered"]
    single = np.float32(SDSS.wavelength[CUT]).astype(np.float64)
    assert windows(batch(absorption_line()[CUT], wavelength=single), **BHB["spectrum"]).ok.all()
    # Rows padded to the length of a longer one are not longer for it.
    short = slice(0, START + PIXELS - 30)
    arrays = (SDSS.wavelength, absorption_line(), np.ones(SDSS.pixels), np.zeros(SDSS.pixels, bool))
    spectra = [tuple(values[cut] for values in arrays) for cut in (slice(None), short)]
    identity = identity_of(["a", "b", "c"], status=["ok", "ok", "missing_file"])
    ragged = SpectrumBatch.from_ragged(identity, [*spectra, None])
    assert windows(ragged, **BHB["spectrum"]).status.tolist() == ["ok", "not_covered", "missing_file"]


def test_lamost_covers_it_too() -> None:
    lamost = batch(absorption_line(grid=LAMOST_LRS), wavelength=LAMOST_LRS.wavelength)
    assert windows(lamost, **BHB["spectrum"]).ok.all()


def test_real_spectra_of_sdss() -> None:
    for path in sorted(real("sdss-spec").glob("*.fits")):
        read = read_spectrum(path, "sdss")
        ivar = np.where(read.mask, 0, read.ivar)
        made = windows(batch(read.flux, ivar, read.wavelength), **BHB["spectrum"])
        assert made.status.tolist() == ["ok"]
        first = int(np.argmin(np.abs(read.wavelength - GRID.wavelength[0])))
        np.testing.assert_allclose(read.wavelength[first : first + PIXELS], GRID.wavelength, rtol=1e-9)
        good = (ivar > 0)[first : first + PIXELS]
        assert good.mean() > 0.9
        scale = np.polyfit(read.flux[first : first + PIXELS][good], made.flux[0][good], 1)
        expected = np.polyval(scale, read.flux[first : first + PIXELS][good])
        np.testing.assert_allclose(made.flux[0][good], expected, atol=1e-5)
        # An SDSS spectrum that starts in the window has none.
        late = batch(read.flux[900:], ivar[900:], read.wavelength[900:])
        assert windows(late, **BHB["spectrum"]).status.tolist() == ["not_covered"]


def test_images_are_scaled_together() -> None:
    images = np.random.default_rng(1).normal(3, 2, (300, 5, 6, 7)).astype(np.float32)
    made = scale_images(images)
    assert made.shape == (300, 6, 7, 5)
    assert made.dtype == np.float32
    least = images.min(axis=(1, 2, 3), keepdims=True)
    expected = ((images - least) / np.ptp(images, axis=(1, 2, 3), keepdims=True) - 0.449) / 0.226
    np.testing.assert_allclose(made, np.moveaxis(expected, 1, -1), atol=1e-5)
    # Bands keep their ratios: the brightest pixel of all is the only one at the top.
    assert (made >= made.max(axis=(1, 2, 3), keepdims=True)).sum() == 300
    assert scale_images(images[:0]).shape == (0, 6, 7, 5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 4, 8, 8)), r"shape \(2, 4, 8, 8\), expected \(n, 5, h, w\)"),
        (np.zeros((5, 8, 8)), r"shape \(5, 8, 8\)"),
        (np.where(np.arange(10).reshape(2, 5, 1, 1) == 7, np.nan, 1.0), "image 1 of 2 is not finite"),
        (np.where(np.arange(10).reshape(2, 5, 1, 1) == 2, np.inf, 1.0), "image 0 of 2 is not finite"),
        (np.ones((2, 5, 3, 3)), "image 0 of 2 is constant"),
    ],
)
def test_images_that_cannot_be_scaled(images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scale_images(images)


def test_bands_are_those_of_the_cutouts() -> None:
    assert BANDS == cutouts.BANDS
