"""The reader of SDSS spectra; `test_formats` has it read real ones."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from starsift.errors import SpectrumError
from starsift.survey.names import sdss_obsid
from starsift.survey.readers.registry import read_spectrum


def test_missing_column(tmp_path: Path) -> None:
    table = fits.BinTableHDU.from_columns(
        [fits.Column("flux", "E", array=np.ones(9, np.float32))], name="COADD"
    )
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "spec.fits")
    with pytest.raises(SpectrumError, match="LOGLAM, IVAR, AND_MASK"):
        read_spectrum(tmp_path / "spec.fits", "sdss")


def test_one_number_for_an_observation() -> None:
    assert sdss_obsid(12547, 59000, 1000) == 12_547_590_001_000
