"""The layouts of survey files that starsift reads: a module and a line here for each."""

from __future__ import annotations

import os
from collections.abc import Collection

from starsift.errors import SpectrumError
from starsift.survey.exposure import Exposure
from starsift.survey.fitsfile import open_fits
from starsift.survey.readers import (
    lamost_lrs_image,
    lamost_lrs_table,
    lamost_mrs,
    ondrejov,
    sdss_spec,
    sdss_spspec,
)
from starsift.survey.readers.base import Reader

# The first reader that recognizes a file reads it.
READERS: tuple[Reader, ...] = (
    sdss_spec.READER,
    sdss_spspec.READER,
    lamost_mrs.READER,
    lamost_lrs_table.READER,
    lamost_lrs_image.READER,
    ondrejov.READER,
)


def read_exposures(
    path: str | os.PathLike[str], kind: str, extensions: Collection[str] | None = None, *, fast: bool = True
) -> list[Exposure]:
    """Spectra of a survey file.

    Parameters
    ----------
    kind : mrs, lrs, sdss or ondrejov
    extensions : names of those to decode in a file of several spectra, e.g. ``B-84420171``; by default all.
        Names that the file lacks are left out.
    fast : False reads with astropy only

    Returns
    -------
    list of Exposure : in file order. In a file of several spectra, a useless one has a ``status`` and empty
        arrays; the others are not lost with it.

    Raises SpectrumError: the file cannot be read, is not of this kind, or its only spectrum cannot be used.
    """
    hdus = open_fits(path, extensions, fast=fast)
    readers = [reader for reader in READERS if reader.kind == kind]
    for reader in readers:
        reader.check(str(path), hdus)
    for reader in readers:
        if reader.holds(hdus):
            return reader.read(str(path), hdus, extensions)
    expected = " and no ".join(reader.expected for reader in readers)
    raise SpectrumError("missing_extension", f"{path}: no {expected}; not {readers[0].names}")


def read_spectrum(path: str | os.PathLike[str], kind: str, *, fast: bool = True) -> Exposure:
    """The first spectrum of a survey file: `read_exposures` for files of one spectrum."""
    return read_exposures(path, kind, fast=fast)[0]
