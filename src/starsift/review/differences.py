"""Two runs, or two releases of a catalogue, compared; and why a spectrum is in the catalogue of one alone."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from starsift.catalog.compare import Comparison, compare
from starsift.errors import InputError
from starsift.io.tables import read_table
from starsift.review.story import Story, tell
from starsift.searches.base import Search
from starsift.searches.registry import SEARCHES

# Of what was measured: between kinds of processor networks differ by less, and searches by more.
CLOSE = 1e-3
TOLD = 20  # rows whose difference is explained
_NAMES = ("spectrum_id", "object_id", "source_id", "obsid", "id")


def compare_files(old: Path, new: Path, key: Sequence[str] = ()) -> Comparison:
    """Compare two versions of a catalogue, in any format.

    `key` are the columns that name a row; by default those of the published catalogue of the file's name, or
    a column whose name says so. Raises InputError: a file cannot be read, or no column names its rows.
    """
    tables = read_table(old), read_table(new)
    if not key:
        schema = next((s.schema(old.stem) for s in SEARCHES.values() if old.stem in s.catalogs), None)
        key = schema.key if schema else [name for name in _NAMES if name in tables[0].column_names][:1]
    if not key:
        raise InputError(f"{old}: which column names a row? Give it with --key; {tables[0].column_names}")
    return compare(*tables, key, old.stem)


def compare_runs(old: Path, new: Path) -> Iterator[tuple[Comparison, dict[str, str]]]:
    """Compare the catalogues of two folders of results.

    Yields a comparison for each catalogue that both have, and why rows were lost or gained, by their keys; of
    the first `TOLD`. Raises InputError: they have no catalogue in common.
    """
    found = False
    for search in SEARCHES.values():
        for name in search.catalogs:
            files = [folder / "catalogs" / f"{name}.parquet" for folder in (old, new)]
            if all(file.is_file() for file in files):
                found = True
                compared = compare_files(files[0], files[1])
                rows = (*compared.lost, *compared.gained)[:TOLD] if "spectrum_id" in compared.key else ()
                yield compared, {row: explain_difference(old, new, search, row.split(" ")[0]) for row in rows}
    if not found:
        raise InputError(f"{old}, {new}: no catalogue that both have; name the results of two runs")


def explain_difference(old: Path, new: Path, search: Search, name: str) -> str:
    """Why a spectrum is in the catalogue of one run alone: it lies on a threshold, or what differs most."""
    numbers = []
    for folder in (old, new):
        try:
            numbers.append(_numbers(tell(folder, name), search))
        except InputError:
            numbers.append({})
        if not numbers[-1]:
            return f"not searched in {folder}"
    before, after = numbers
    apart = {
        key: abs(before[key] - after[key]) / max(abs(before[key]), abs(after[key]), 1.0)
        for key in before
        if key in after
    }
    worst = max(apart, key=apart.__getitem__, default="")
    change = (
        f"{worst}: {before[worst]:.6g} before, {after[worst]:.6g} now" if worst else "no number in common"
    )
    if worst and apart[worst] <= CLOSE:
        return f"on a threshold: what was measured agrees ({change})"
    return change


def _numbers(story: Story, search: Search) -> dict[str, float]:
    """What the stages of a search measured of a spectrum, without its catalogues."""
    found: dict[str, float] = {}
    for searched in story.searched:
        if searched.search.name == search.name:
            for stage, row in searched.stages.items():
                if stage not in search.catalogs:
                    found |= dict(_values(stage, row))
    return found


def _values(stage: str, row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a row by stage and column."""
    for column, value in row.items():
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(one, int | float) and one == one:
                where = f"{stage} {column}" + (f"[{number}]" if isinstance(value, list) else "")
                yield where, float(one)
