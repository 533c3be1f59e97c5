"""The reader of SDSS spectra on real files."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from survey_files import mrs_tables, real, write_mrs

from starsift.survey.fitsfile import SpectrumError
from starsift.survey.sdss import obsid, read_sdss


def test_real_files() -> None:
    paths = sorted(real("sdss-spec").glob("*.fits"))
    assert len(paths) == 5
    for path in paths:
        fast, slow = read_sdss(path), read_sdss(path, fast=False)
        for name in ("wavelength", "flux", "ivar", "mask"):
            np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name))
        with fits.open(path) as hdus:
            table = hdus["COADD"].data
            np.testing.assert_allclose(fast.wavelength, 10.0 ** table["loglam"].astype(float), rtol=1e-6)
            np.testing.assert_array_equal(fast.mask, table["and_mask"] != 0)
            np.testing.assert_array_equal(fast.flux, table["flux"])
            assert fast.snr == pytest.approx(float(hdus[2].data["SN_MEDIAN_ALL"][0]))
        np.testing.assert_allclose(np.diff(np.log10(fast.wavelength)), 1e-4, atol=1e-12)


def test_not_sdss(tmp_path: Path) -> None:
    path = write_mrs(tmp_path / "med.fits", mrs_tables())
    with pytest.raises(SpectrumError, match="not an SDSS spec file") as caught:
        read_sdss(path)
    assert caught.value.status == "missing_extension"


def test_missing_column(tmp_path: Path) -> None:
    table = fits.BinTableHDU.from_columns(
        [fits.Column("flux", "E", array=np.ones(9, np.float32))], name="COADD"
    )
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "spec.fits")
    with pytest.raises(SpectrumError, match="LOGLAM, IVAR, AND_MASK"):
        read_sdss(tmp_path / "spec.fits")


def test_one_number_for_an_observation() -> None:
    assert obsid(12547, 59000, 1000) == 12_547_590_001_000
