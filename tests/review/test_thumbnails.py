"""Small plots of spectra."""

import base64

import numpy as np
from fixtures.review_files import Truth, rewrite

from starsift.review.results import Results
from starsift.review.thumbnails import COLUMNS, thumbnail


def test_a_line_is_seen_in_the_whole_spectrum() -> None:
    wavelength = np.linspace(4000, 8000, 4000)
    flux = np.full(4000, 10.0)
    flux[2000:2010] = 20.0  # half a column
    envelope, ends = thumbnail(wavelength, flux, np.ones(4000, bool), None)
    assert (envelope.shape, ends) == ((2, COLUMNS), (4000.0, 8000.0))
    assert envelope[1].argmax() == 100
    assert (envelope[1, 100], envelope[0, 100], envelope[:, 0].tolist()) == (255, 1, [1, 1])


def test_the_window_and_its_stand_in() -> None:
    wavelength = np.arange(5000.0, 5101.0)
    flux = np.arange(101.0)
    envelope, ends = thumbnail(wavelength, flux, np.ones(101, bool), (5020.0, 5040.0))
    assert (envelope.shape, ends) == ((2, 20), (5020.0, 5039.0))
    np.testing.assert_array_equal(envelope[0], envelope[1])
    assert (np.diff(envelope[0].astype(int)) > 0).all()
    # A window in another arm: the middle.
    assert thumbnail(wavelength, flux, np.ones(101, bool), (6500.0, 6600.0))[1] == (5040.0, 5059.0)


def test_bad_pixels_leave_gaps() -> None:
    good = np.ones(100, bool)
    good[30:40] = False
    flux = np.where(good, np.sin(np.arange(100)), 1e6)
    flux[50] = np.nan
    envelope, _ = thumbnail(np.arange(100.0), flux, good, None)
    assert np.flatnonzero(envelope[0] == 0).tolist() == [*range(30, 40), 50]
    assert (envelope[0] <= envelope[1]).all()
    assert envelope.max() == 255
    none, _ = thumbnail(np.arange(100.0), flux, np.zeros(100, bool), None)
    assert not none.any()
    flat, _ = thumbnail(np.arange(100.0), np.ones(100), np.ones(100, bool), None)
    assert (flat == 1).all()


def test_thumbnails_of_candidates(results: Results, written: Truth) -> None:
    found = results.thumbnail("emission-round-00", 0, True)
    flux = written.spectra["plan"].flux[5]
    envelope = np.frombuffer(base64.b64decode(found["image"]), np.uint8).reshape(2, -1)
    assert envelope.shape[1] == COLUMNS  # 400 pixels, two in each
    good = np.arange(400) != 30
    assert envelope[1].argmax() == np.where(good, flux, -np.inf).argmax() // 2
    assert envelope[0, 15] > 0  # the other pixel of this column is good
    assert results.thumbnail("emission-round-00", 0, False)["ends"] != found["ends"]


def test_a_spectrum_that_is_nowhere_says_so(truth: Truth) -> None:
    rewrite(truth.folder / "catalogs/mstars_vetting.parquet", spectrum_id=["a", "b", "c", "d"])
    found = Results(truth.folder).thumbnail("mstars-vetting", 0, True)
    assert found["error"].startswith("the spectrum of a is in no bundle")
