"""The registry of readers: a new layout is one reader more."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from starsift.errors import SpectrumError
from starsift.survey.exposure import Exposure, checked
from starsift.survey.fitsfile import Hdu, find_hdu
from starsift.survey.index import index_folder
from starsift.survey.readers import registry
from starsift.survey.readers.base import Reader
from starsift.survey.readers.registry import READERS, read_exposures, read_spectrum

WAVELENGTH, FLUX = np.linspace(5000.0, 6000.0, 50), np.arange(1.0, 51.0)


def _holds(hdus: Sequence[Hdu]) -> bool:
    return find_hdu(hdus, "TOY") is not None


def _read(path: str, hdus: Sequence[Hdu], extensions: Collection[str] | None) -> list[Exposure]:
    columns = hdus[1].columns(["WAVELENGTH", "FLUX"])
    flux = columns["FLUX"]
    arrays = checked(path, columns["WAVELENGTH"], flux, np.ones_like(flux), np.zeros_like(flux))
    return [Exposure("TOY", "", None, True, 9.0, *arrays, header=hdus[0].header)]


def _index(hdus: Sequence[Hdu]) -> list[dict[str, Any]]:
    return [{"survey": "toy", "planid": "T1", "fiberid": 7}]


TOY = Reader("toy", "a toy", "extension TOY", recognizes=_holds, holds=_holds, read=_read, index=_index)


def test_one_more_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = [fits.Column(n, "D", array=a) for n, a in (("wavelength", WAVELENGTH), ("flux", FLUX))]
    path = tmp_path / "star.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(table, name="TOY")]).writeto(path)
    assert index_folder(tmp_path)["status"].to_pylist() == ["unsupported_spectrum"]
    monkeypatch.setattr(registry, "READERS", (*READERS, TOY))
    [row] = index_folder(tmp_path).to_pylist()
    assert (row["survey"], row["planid"], row["fiberid"], row["status"]) == ("toy", "T1", 7, "ok")
    np.testing.assert_array_equal(read_spectrum(path, "toy").flux, FLUX.astype(np.float32))
    with pytest.raises(SpectrumError, match=r"star\.fits: no extension COADD and no primary image \(5, n\)"):
        read_exposures(path, "lrs")


def test_readers_of_a_kind_name_it_alike() -> None:
    for kind in {reader.kind for reader in READERS}:
        assert len({reader.names for reader in READERS if reader.kind == kind}) == 1
