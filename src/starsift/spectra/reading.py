"""Spectra of survey files, read without a catalogue and without a run of the workflow."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from starsift.errors import InputError, SpectrumError
from starsift.spectra.batches import ROW_SCHEMA, Spectrum, SpectrumBatch
from starsift.survey.fitsfile import open_fits
from starsift.survey.identity import OK, UNSUPPORTED
from starsift.survey.index import fits_files, index_headers
from starsift.survey.names import file_stem, identity_from_name
from starsift.survey.recognition import recognize

log = logging.getLogger(__name__)
PathLike = str | os.PathLike[str]


def read_spectra(files: PathLike | Iterable[PathLike]) -> SpectrumBatch:
    """Read the spectra of survey files in any layout that starsift knows, all into memory.

    Parameters
    ----------
    files : path, or several
        FITS files, or folders, which stand for all FITS files in them and in their folders.

    Returns
    -------
    SpectrumBatch
        One row a spectrum, in the order of the files and, in a file of LAMOST's medium resolution, of its
        extensions: coadds and single exposures of both arms. Wavelengths are vacuum, in Angstrom; flux and
        ivar are in the units of the file. A file or spectrum that cannot be used is a row without pixels
        (``batch.ok`` is False), ``status`` in ``batch.identity`` says why in a word, and a warning of the
        logger ``starsift`` in a sentence.

    Raises InputError: a folder holds no FITS file.
    """
    rows: list[dict[str, Any]] = []
    spectra: list[Spectrum | None] = []
    for path in _paths([files] if isinstance(files, str | os.PathLike) else files):
        for row, spectrum in _read_file(path):
            rows.append({name: row.get(name) for name in ROW_SCHEMA.names})
            spectra.append(spectrum)
    return SpectrumBatch.from_ragged(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), spectra)


def _paths(files: Iterable[PathLike]) -> Iterator[Path]:
    for path in map(Path, files):
        if not path.is_dir():
            yield path
            continue
        names = sorted(fits_files(path))
        if not names:
            raise InputError(f"{path}: no FITS file is in this folder")
        yield from (path / name for name in names)


def _read_file(path: Path) -> Iterator[tuple[dict[str, Any], Spectrum | None]]:
    """Identity and arrays of each spectrum of a file."""
    stem = file_stem(path.name)
    base = identity_from_name(path.name) | {"spectrum_id": stem, "status": OK}
    try:
        hdus = open_fits(path)
        try:
            headers = index_headers(hdus)
        except SpectrumError as error:
            if error.status != UNSUPPORTED:
                raise
            headers = [{}]  # some layouts can be read, but do not belong in an index
        exposures = recognize(hdus).read(str(path), hdus, None)
    except SpectrumError as error:
        message = str(error) if str(path) in str(error) else f"{path}: {error}"
        log.warning("%s: %s", error.status, message)
        yield base | {"status": error.status}, None
        return
    for exposure, header in zip(exposures, headers, strict=True):
        row = base | header | {"status": exposure.status}
        if exposure.lmjm is not None:
            row["spectrum_id"] = f"{stem}/{exposure.lmjm}"
        yield row, exposure.usable()
