"""An index for a folder of spectra that came without a catalogue, made from the headers of its files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from starsift.survey import lamost, sdss
from starsift.survey.catalog import INDEX_COLUMNS, MISSING, CatalogError
from starsift.survey.fitsfile import Hdu, SpectrumError, file_stem, number, open_fits


def index_folder(folder: str | os.PathLike[str]) -> pa.Table:
    """A catalogue made of the headers of all FITS files in a folder and the folders in it.

    One row a spectrum; an MRS file gives one row an exposure and arm, coadds included (``coadd`` 1). A file
    that cannot be used is a row with its ``status`` and ``message``, and what its name tells. Headers know
    nothing against an arm, so ``bad_b`` and ``bad_r`` are 0.

    Returns
    -------
    pyarrow.Table
        Schema `INDEX_COLUMNS`, sorted by path; ``path`` is relative to ``folder``; ``survey`` is mrs, lrs,
        sdss or null.

    Raises
    ------
    CatalogError
        The folder does not exist or holds no FITS file.
    """
    root = Path(folder)
    if not root.is_dir():
        raise CatalogError(f"{root}: no such folder")
    rows = [row for name in sorted(_fits_files(root)) for row in _index_file(root, name)]
    if not rows:
        raise CatalogError(f"{root}: no file in it ends in .fits, .fit or .fits.gz")
    return pa.Table.from_pylist(rows, schema=INDEX_COLUMNS)


def _fits_files(root: Path) -> Iterator[str]:
    seen = set()
    for here, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        for name in files:
            if name.lower().endswith((".fits", ".fits.gz", ".fit")) and not name.startswith("."):
                yield (Path(here) / name).relative_to(root).as_posix()


def _index_file(root: Path, name: str) -> list[dict[str, Any]]:
    base = _from_name(name) | {"path": name, "status": "ok"}
    try:
        hdus = open_fits(root / name)
        header = hdus[0].header
        names = {hdu.name for hdu in hdus}
        if any(lamost.MRS_EXTENSION.match(n) for n in names):
            return _index_mrs(base, hdus)
        if "PLATEID" in header and "COADD" in names:
            return [_index_sdss(base, hdus)]
        if "COADD" in names or (header.get("NAXIS") == 2 and header.get("NAXIS2", 0) >= 5):
            return [_index_lrs(base, header)]
        raise SpectrumError("unknown_format", f"{name}: neither LAMOST MRS, LAMOST LRS nor SDSS")
    except SpectrumError as error:
        # Without the folder: the same files give the same index wherever they lie.
        return [base | {"status": error.status, "message": str(error).replace(str(root) + os.sep, "")}]


def _from_name(path: str) -> dict[str, Any]:
    """What the file's name says of its spectra."""
    stem = file_stem(path)
    if match := lamost.FILE_NAME.match(stem):
        return {
            "survey": "mrs" if match[1] == "med" else "lrs",
            "lmjd": int(match[2]),
            "planid": match[3],
            "spid": int(match[4]),
            "fiberid": int(match[5]),
        }
    if match := sdss.FILE_NAME.match(stem):
        plate, mjd, fiber = (int(text) for text in match.groups())
        return _sdss_identity(plate, mjd, fiber)
    return {}


def _sdss_identity(plate: int, mjd: int, fiber: int) -> dict[str, Any]:
    return {
        "survey": "sdss",
        "obsid": sdss.obsid(plate, mjd, fiber),
        "planid": str(plate),
        "spid": 1,
        "fiberid": fiber,
        "lmjd": mjd,
        "mjd": mjd,
        "band": "",
        "coadd": 1,
    }


def _int(header: Mapping[str, Any], key: str) -> int | None:
    value = number(header, key)
    return None if np.isnan(value) else int(header[key])


def _float(header: Mapping[str, Any], *keys: str) -> float | None:
    value = number(header, *keys)
    return None if np.isnan(value) or value == MISSING else value


def _text(header: Mapping[str, Any], key: str) -> str | None:
    value = header.get(key)
    return value.strip() if isinstance(value, str) and value.strip() else None


def _lamost_header(header: Mapping[str, Any]) -> dict[str, Any]:
    known = {
        "obsid": _int(header, "OBSID"),
        "planid": _text(header, "PLANID"),
        "spid": _int(header, "SPID"),
        "fiberid": _int(header, "FIBERID"),
        "lmjd": _int(header, "LMJD"),
        "mjd": _int(header, "MJD"),
        "fibermask": _int(header, "FIB_MASK"),
        "ra": _float(header, "RA"),
        "dec": _float(header, "DEC"),
        "exptime": _float(header, "EXPTIME"),
        "class": _text(header, "CLASS"),
        "subclass": _text(header, "SUBCLASS"),
    }
    return {"fibermask": 0, "bad_b": 0, "bad_r": 0} | {k: v for k, v in known.items() if v is not None}


def _index_mrs(base: dict[str, Any], hdus: list[Hdu]) -> list[dict[str, Any]]:
    shared = base | _lamost_header(hdus[0].header) | {"survey": "mrs"}
    rows = []
    for hdu in hdus:
        if match := lamost.MRS_EXTENSION.match(hdu.name):
            row = shared | {
                "band": match[1] or match[2],
                "coadd": 0 if match[3] else 1,
                "lmjm": int(match[3]) if match[3] else None,
                "snr": _float(hdu.header, "SNR"),
            }
            exptime = _float(hdu.header, "EXPTIME")
            rows.append(row if exptime is None else row | {"exptime": exptime})
    return rows


def _index_lrs(base: dict[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    snr = _float(header, "SNRG", "SN_G", "SNR")
    return base | _lamost_header(header) | {"survey": "lrs", "band": "", "coadd": 1, "snr": snr}


def _index_sdss(base: dict[str, Any], hdus: list[Hdu]) -> dict[str, Any]:
    header = hdus[0].header
    plate, mjd, fiber = (_int(header, key) for key in ("PLATEID", "MJD", "FIBERID"))
    row = base | {"survey": "sdss"}
    if plate is not None and mjd is not None and fiber is not None:
        row |= _sdss_identity(plate, mjd, fiber)
    # RA and DEC are the middle of the plate, PLUG_RA and PLUG_DEC the star.
    row |= {"ra": _float(header, "PLUG_RA"), "dec": _float(header, "PLUG_DEC")}
    row |= {"fibermask": 0, "exptime": _float(header, "EXPTIME")}
    found = next((hdu for hdu in hdus if hdu.name in sdss.CLASSIFICATIONS), None)
    if found is not None:
        columns = found.columns(["CLASS", "SUBCLASS", "SN_MEDIAN_ALL"])
        for ours in ("class", "subclass"):
            if ours.upper() in columns:
                value = columns[ours.upper()][0]
                row[ours] = (
                    value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
                ).strip()
        if "SN_MEDIAN_ALL" in columns:
            row["snr"] = float(columns["SN_MEDIAN_ALL"][0])
    return row
