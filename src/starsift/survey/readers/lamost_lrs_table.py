"""Low-resolution spectra of LAMOST (LRS) as files of DR8 and later have them: a one-row table ``COADD``."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from starsift.survey.exposure import Exposure
from starsift.survey.fitsfile import Hdu, find_hdu
from starsift.survey.readers.base import Reader
from starsift.survey.readers.lamost import LRS_MASKS, check_lrs, index_lrs, is_lamost, lrs_snr, read_columns


def _holds(hdus: Sequence[Hdu]) -> bool:
    return find_hdu(hdus, "COADD") is not None


def _recognizes(hdus: Sequence[Hdu]) -> bool:
    return is_lamost(hdus[0].header) and _holds(hdus)


def _read(path: str, hdus: Sequence[Hdu], extensions: Collection[str] | None) -> list[Exposure]:
    table, header = find_hdu(hdus, "COADD"), hdus[0].header
    assert table is not None
    arrays = read_columns(f"{path}[COADD]", table, LRS_MASKS, snap=True)
    return [Exposure("COADD", "", None, True, lrs_snr(header), *arrays, header=header)]


READER = Reader("lrs", "LRS", "extension COADD", _recognizes, _holds, _read, index_lrs, check_lrs)
