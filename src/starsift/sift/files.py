"""The files that a user names: folders, files, and lists of files; and what they are."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from starsift.errors import InputError
from starsift.survey.identity import OK
from starsift.survey.index import fits_files, index_files
from starsift.survey.names import is_fits_name

LISTS = (".txt", ".lst", ".list")


@dataclass(frozen=True)
class Found:
    """The spectra among a user's files.

    Attributes
    ----------
    root : folder that holds all files
    index : a row a spectrum, as of `starsift.survey.index.index_folder`
    """

    root: Path
    index: pa.Table

    def usable(self, kind: str) -> pa.Table:
        """Rows of the spectra of a kind of survey (mrs, lrs, sdss) that can be read."""
        ours = pc.and_(pc.equal(self.index["survey"], kind), pc.equal(self.index["status"], OK))
        return self.index.filter(pc.fill_null(ours, False))

    @property
    def kinds(self) -> dict[str, int]:
        """How many files have usable spectra of each kind."""
        counts = {
            kind: pc.count_distinct(self.usable(kind)["path"]).as_py() for kind in ("mrs", "lrs", "sdss")
        }
        return {kind: number for kind, number in counts.items() if number}

    @property
    def skipped(self) -> dict[str, dict[str, str]]:
        """The files that cannot be used, by status, with the message of each."""
        good = set(self.index.filter(pc.equal(self.index["status"], OK))["path"].to_pylist())
        messages: dict[str, dict[str, str]] = {}
        for row in self.index.select(["path", "status", "message"]).to_pylist():
            if row["path"] not in good:
                messages.setdefault(row["status"], {}).setdefault(row["path"], row["message"] or row["path"])
        return messages


def find_files(places: Sequence[str | os.PathLike[str]], without: Path | None = None) -> list[Path]:
    """FITS files in folders, FITS files themselves, and those that lists (.txt, one path a line) name.

    Files in the folder `without` are left out: results that were written there before.

    Raises InputError: a place does not exist or may not be read, a file is neither, or there is no FITS file.
    """
    found = dict.fromkeys(path for place in places for path in _files_of(Path(place).expanduser()))
    own = without.absolute() if without else None
    files = [path for path in found if own is None or own not in path.parents]
    if not files:
        raise InputError(
            f"{', '.join(map(str, places))}: no file in it ends in .fits, .fit or .fts, or these with .gz, "
            ".bz2, .fz"
        )
    return files


def _files_of(place: Path, lists: tuple[Path, ...] = ()) -> Iterator[Path]:
    """FITS files of a place that `lists` led to."""
    if not place.exists():
        raise InputError(f"{place}: no such file or folder")
    if place.is_dir():
        if not os.access(place, os.R_OK | os.X_OK):
            raise InputError(f"{place}: permission denied; this folder cannot be listed")
        yield from (place.absolute() / name for name in sorted(fits_files(place)))
    elif place.suffix.lower() in LISTS:
        if place.resolve() in lists:
            raise InputError(f"{place}: it lists itself")
        # As Windows saves it, a text may begin with a mark of its encoding.
        lines = [line.strip() for line in place.read_text("utf-8-sig", errors="replace").splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        if not lines:
            raise InputError(f"{place}: it lists no file; write one path a line")
        for line in lines:
            # As the shell would from here, or else from where the list is.
            path = Path(line).expanduser()
            path = path if path.exists() else place.parent / path
            if not path.exists():
                raise InputError(f"{place}: it lists {line}, and there is no such file or folder")
            yield from _files_of(path, (*lists, place.resolve()))
    elif is_fits_name(place.name):
        yield place.absolute()
    else:
        raise InputError(
            f"{place}: neither a folder, nor a FITS file, nor a list of files ({', '.join(LISTS)})"
        )


def index_places(places: Sequence[str | os.PathLike[str]], without: Path | None = None) -> Found:
    """Find and index files.

    Raises InputError: see `find_files`; or no file has a spectrum that can be used, with the first reasons.
    """
    files = find_files(places, without)
    root = Path(os.path.commonpath([file.parent for file in files]))
    found = Found(root, index_files(root, [file.relative_to(root).as_posix() for file in files]))
    if not found.kinds:
        reasons = "; ".join(describe_skipped(found))
        raise InputError(f"{', '.join(map(str, places))}: no spectrum that can be searched. {reasons}")
    return found


def describe_skipped(found: Found) -> Iterable[str]:
    """A sentence for each reason why files are not searched."""
    for status, files in sorted(found.skipped.items()):
        more = f", and {len(files) - 1} more" if len(files) > 1 else ""
        yield f"{status.replace('_', ' ')}: {next(iter(files.values()))}{more}"
