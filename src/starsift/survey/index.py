"""An index for a folder of spectra that came without a catalogue, made from the headers of its files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from starsift.errors import InputError, SpectrumError
from starsift.survey.catalog import COORDINATES, INDEX_COLUMNS
from starsift.survey.fitsfile import Hdu, open_fits, unpacked
from starsift.survey.identity import DUPLICATE, OK, OTHER_FILES
from starsift.survey.names import identity_from_name, is_fits_name
from starsift.survey.readers.registry import read_exposures
from starsift.survey.recognition import recognize

_LIMITS = {f.name: 2 ** (f.type.bit_width - 1) for f in INDEX_COLUMNS if pa.types.is_integer(f.type)}
# Columns that identify an observation, whatever the name of its file.
_OBSERVATION = ("survey", "lmjd", "planid", "spid", "fiberid")


def index_folder(folder: str | os.PathLike[str]) -> pa.Table:
    """A catalogue made of the headers of all FITS files in a folder and the folders in it.

    One row a spectrum; an MRS file gives one row an exposure and arm, coadds included (``coadd`` 1). A file
    that cannot be used is a row with its ``status`` and ``message``, and what its name tells. Of several
    copies of an observation one is kept, the newest release first; the rows of the others have status
    `DUPLICATE` and name it. Headers know nothing against an arm, so ``bad_b`` and ``bad_r`` are 0;
    ``fibermask`` is null where there is no such card (DR1 to DR3, SDSS).

    Returns
    -------
    pyarrow.Table : schema `INDEX_COLUMNS`, sorted by path; ``path`` is relative to ``folder``; ``survey`` is
        mrs, lrs, sdss or null

    Raises InputError: the folder does not exist or holds no FITS file.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: {'a file, not a folder' if root.exists() else 'no such folder'}")
    names = sorted(fits_files(root))
    if not names:
        raise InputError(f"{root}: no file in it ends in .fits, .fit or .fts, or these with .gz, .bz2, .fz")
    return index_files(root, names)


def index_files(root: Path, names: Iterable[str]) -> pa.Table:
    """The catalogue of `index_folder`, of files by their paths relative to a folder, in their order."""
    files = [_index_file(root, name) for name in names]
    _name_duplicates(root, files)
    return pa.Table.from_pylist([row for rows in files for row in rows], schema=INDEX_COLUMNS)


def fits_files(root: Path) -> Iterator[str]:
    """Paths of the FITS files in a folder and the folders in it, relative to it, in no order."""
    seen = set()
    for here, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        for name in files:
            path = Path(here) / name
            # A pipe has no end, and would be waited for.
            if is_fits_name(name) and not name.startswith(".") and (path.is_file() or path.is_symlink()):
                yield path.relative_to(root).as_posix()


def _index_file(root: Path, name: str) -> list[dict[str, Any]]:
    text = os.fsencode(name).decode(errors="backslashreplace")
    if text != name:
        message = f"{text}: its name is not UTF-8 text; rename the file"
        return [{"path": text, "status": "unreadable", "message": message}]
    base = identity_from_name(name) | {"path": name, "status": OK}
    try:
        hdus = open_fits(root / name)
        return [base | row for row in index_headers(hdus)]
    except SpectrumError as error:
        # Without the folder: the same files give the same index wherever they lie.
        message = str(error).replace(str(root) + os.sep, "")
        message = message if message.startswith(name) else f"{name}: {message}"
        if error.status in OTHER_FILES:
            base |= dict.fromkeys(("survey", "obsid", "mjd", "band", "coadd"))
        return [base | {"status": error.status, "message": message}]


def index_headers(hdus: Sequence[Hdu]) -> list[dict[str, Any]]:
    """What the headers of an opened file say of each of its spectra, by the names of `INDEX_COLUMNS`.

    Raises SpectrumError if the file holds no spectrum that belongs in an index, or a header is damaged.
    """
    try:
        rows = recognize(hdus).index(hdus)
        for row in rows:
            _check_numbers(row)
        return rows
    except SpectrumError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise SpectrumError("corrupt", f"a header is damaged ({type(error).__name__}: {error})") from error


def _check_numbers(row: Mapping[str, Any]) -> None:
    """One file with numbers that no catalogue can hold must not make the index useless."""
    for name, limit in _LIMITS.items():
        value = row.get(name)
        if value is not None and not -limit <= value < limit:
            raise ValueError(f"{name} is {value}")
    for name, (low, high) in COORDINATES.items():
        value = row.get(name)
        if value is not None and not low <= value <= high:
            raise ValueError(f"{name} is {value} degrees")


def _name_duplicates(root: Path, files: Sequence[Sequence[dict[str, Any]]]) -> None:
    """Give the rows of all copies of an observation but one the status `DUPLICATE`.

    Copies have the same night, plan, spectrograph and fibre in their headers (and arm and minute, for single
    exposures), and share minutes of exposure where they list any; files that lack one of these are copies if
    their bytes are the same.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for rows in files:
        for row in rows:
            if row["status"] == OK:
                identity = tuple(row.get(name) for name in _OBSERVATION)
                if None in identity:
                    identity = (_content(root / row["path"]),)
                key = (*identity, *(row.get(name) for name in ("band", "coadd", "lmjm")))
                groups.setdefault(key, []).append(row)
    for group in groups.values():
        kept: list[dict[str, Any]] = []
        damaged = _damaged(root, group)
        for row in sorted(group, key=lambda row: (row["path"] in damaged, *_worse(row))):
            minutes = row.get("minutes", set())
            first = next(
                (k for k in kept if not (minutes and k["minutes"] and minutes.isdisjoint(k["minutes"]))), None
            )
            if first is None:
                kept.append(row | {"minutes": minutes})
                continue
            same = _content(root / row["path"]) == _content(root / first["path"])
            what = "the same bytes" if same else "the same observation, in other bytes"
            row["status"] = DUPLICATE
            row["message"] = f"{row['path']}: a copy of {first['path']} ({what}), which is kept"


def _damaged(root: Path, copies: Sequence[Mapping[str, Any]]) -> set[str]:
    """Those of several copies, if their bytes differ, whose spectrum cannot be used."""
    if len({_content(root / row["path"]) for row in copies} if len(copies) > 1 else ()) < 2:
        return set()
    return {row["path"] for row in copies if not _can_be_used(root / row["path"], row)}


def _can_be_used(path: Path, row: Mapping[str, Any]) -> bool:
    place = row.get("band") or "", row.get("lmjm")
    try:
        exposures = read_exposures(path, row["survey"])
    except SpectrumError:
        return False
    return any(one.status == OK for one in exposures if (one.band, one.lmjm) == place)


def _worse(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sorts copies: newest release, the survey's own name, not in a folder of a folder, first path."""
    path = row["path"]
    return (-row.get("release", 0), not identity_from_name(path), path.count("/"), path)


def _content(path: Path) -> str:
    return hashlib.sha256(unpacked(path)).hexdigest()
