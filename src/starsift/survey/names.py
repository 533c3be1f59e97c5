"""The information in the names of files and spectra."""

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# Survey sites add an ending for the compression; fpack's .fz is a FITS file with compressed units.
_ENDINGS = r"\.(?:fits?|fts)(?:\.(?:gz|bz2|fz|xz|z|zip))?"
_ENDING = re.compile(rf"{_ENDINGS}$", re.IGNORECASE)
LAMOST_NAME = re.compile(r"(med|spec)-(\d{5})-(.+)_sp(\d{2})-(\d{3})$")
SDSS_NAME = re.compile(r"spec-(?P<plate>\d{4,5})-(?P<mjd>\d{5})-(?P<fiber>\d{4})$")
OLD_SDSS_NAME = re.compile(r"spSpec-(?P<mjd>\d{5})-(?P<plate>\d{4,5})-(?P<fiber>\d{3,4})$")


def is_fits_name(name: str) -> bool:
    """Whether a file name ends as FITS files do: .fits, .fit or .fts, and .gz, .bz2, .fz, .xz, .Z or .zip."""
    return _ENDING.search(name) is not None


def file_stem(path: str) -> str:
    """Name of a file without its folder and without what `is_fits_name` knows as an ending."""
    return _ENDING.sub("", path.rsplit("/", 1)[-1])


def without_endings(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names of spectra without the endings of their files: ``a.fits.gz/84420171`` is ``a/84420171``."""
    return pc.replace_substring_regex(names, rf"(?i){_ENDINGS}(/|$)", r"\1")


def identity_from_name(path: str) -> dict[str, Any]:
    """What the name of a file says of its spectrum: survey, plan, fibre, night; or nothing."""
    stem = file_stem(path)
    if match := LAMOST_NAME.match(stem):
        return {
            "survey": "mrs" if match[1] == "med" else "lrs",
            "lmjd": int(match[2]),
            "planid": match[3],
            "spid": int(match[4]),
            "fiberid": int(match[5]),
        }
    if sdss := sdss_name(stem):
        return sdss_identity(**sdss)
    return {}


def sdss_identity(plate: int, mjd: int, fiber: int) -> dict[str, Any]:
    return {
        "survey": "sdss",
        "obsid": sdss_obsid(plate, mjd, fiber),
        "planid": str(plate),
        "spid": 1,
        "fiberid": fiber,
        "lmjd": mjd,
        "mjd": mjd,
        "band": "",
        "coadd": 1,
    }


def sdss_obsid(plate: int, mjd: int, fiber: int) -> int:
    """One number for one SDSS observation; SDSS's own specObjID does not fit a signed 64-bit integer."""
    return (plate * 100_000 + mjd) * 10_000 + fiber


def sdss_name(stem: str) -> dict[str, int] | None:
    """Plate, mjd and fiber of a file without its ending, or a spectrum; None if its name is not of SDSS's."""
    match = SDSS_NAME.match(stem) or OLD_SDSS_NAME.match(stem)
    return {name: int(value) for name, value in match.groupdict().items()} if match else None


def is_sdss_name(stem: str) -> bool:
    """Whether a file without its ending, or a spectrum, has a name of SDSS's."""
    return sdss_name(stem) is not None
