"""The progress of a run, survey by survey and search by search, as `starsift status` shows it."""

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.searches.registry import SEARCHES
from starsift.survey.identity import DUPLICATE, OK, OTHER_FILES

LISTED = 20  # files that people read about; more are for programs, in tables
EXAMPLES = 3  # of each kind of broken spectra
DESCRIPTIVE = ("class", "subclass", "snr", "z", "exptime")


def describe_results(results: str | os.PathLike[str]) -> Iterator[str]:
    """Lines with the progress of the run in a folder of results: each survey, then each search.

    Of a survey: cuts, bundles of each stage, statuses with examples of what could not be used, and, where the
    files came without a catalogue, what they are. Raises FileNotFoundError if there is no manifest yet.
    """
    folder = Path(results)
    manifests = sorted(folder.glob("manifest/*-selection.csv"), key=_survey)
    if not manifests:
        raise FileNotFoundError(f"{folder}: no manifest here; is this the results folder of a run?")
    for path in manifests:
        name = _survey(path)
        yield f"survey {name}"
        yield from _indented(_read_csv(path))
        yield from _describe_stages(folder, name)
        status = folder / "manifest" / f"{name}-status.csv"
        if status.exists():
            yield from _indented(_read_csv(status))
        yield from _describe_unusable(folder / "manifest" / f"{name}-unusable.parquet")
        yield from _describe_files(folder / "manifest" / f"{name}-index.parquet")
    for name, search in SEARCHES.items():
        done = {step: len(list(folder.glob(pattern))) for step, pattern in search.steps.items()}
        published = [one for one in search.catalogs if (folder / f"catalogs/{one}.parquet").exists()]
        if any(done.values()) or published:
            yield f"search {name}"
            yield from (f"  {step}: {number}" for step, number in done.items() if number)
            yield f"  catalogues published: {', '.join(published) or 'none yet'}"


def _survey(path: Path) -> str:
    """The survey whose cuts a file lists."""
    return path.name.removesuffix("-selection.csv")


def _describe_stages(folder: Path, name: str) -> Iterator[str]:
    """How many bundles of a survey are done in each stage that has begun."""
    bundles = {path.stem for path in (folder / "manifest" / name).glob("*.parquet")}
    packed = sum((folder / "spectra" / name / f"{bundle}.arrow").exists() for bundle in bundles)
    yield f"  bundles packed: {packed} of {len(bundles)}"
    for search in SEARCHES.values():
        for stage in search.stages:
            for place in sorted(folder.glob(stage.format(survey=name))):
                done = len(bundles & {path.stem for path in place.iterdir()})
                if done:
                    title = ", ".join(part for part in place.relative_to(folder).parts if part != name)
                    yield f"  {title}: {done} of {len(bundles)} bundles"


def _describe_unusable(path: Path) -> Iterator[str]:
    """The first spectra of each status that could not be used, and where all are listed."""
    table = pq.read_table(path) if path.exists() else None
    if table is None or not table.num_rows:
        return
    yield "  could not be used, for example:"
    kinds = pc.unique(table["status"]).to_pylist()
    each = [table.filter(pc.equal(table["status"], kind)).slice(0, EXAMPLES) for kind in kinds]
    examples = pa.concat_tables(each)
    yield from _indented(_rows(examples))
    if table.num_rows > examples.num_rows:
        yield f"    all {table.num_rows} are in {path}"


def _describe_files(path: Path) -> Iterator[str]:
    """What the first files of a folder without a catalogue are, and where all are listed."""
    if path.exists():
        table = pq.read_table(path)
        usable = table.filter(pc.equal(table["status"], OK))
        columns = [name for name in ("path", "survey", "band", *DESCRIPTIVE) if name in table.column_names]
        if usable.num_rows:
            first: dict[str, int] = {}  # a file may have many spectra
            for row, name in enumerate(usable["path"]):
                first.setdefault(name.as_py(), row)
                if len(first) == LISTED:
                    break
            yield "  what the files are, by their first spectrum:"
            yield from _indented(_rows(usable.select(columns).take(list(first.values()))))
            if table.num_rows > len(first):
                yield f"    all {table.num_rows} rows are in {path}"
            found = sorted(Counter(usable["survey"].to_pylist()).items())
            if len(found) > 1:
                kinds = ", ".join(f"{count} {kind}" for kind, count in found)
                yield f"    spectra of each kind: {kinds}; a survey takes only those of its own kind"
        others = table.filter(pc.is_in(table["status"], pa.array([*OTHER_FILES, DUPLICATE])))
        if others.num_rows:
            yield "  other files and copies, for example:"
            kinds = pc.unique(others["status"]).to_pylist()
            for kind in kinds:
                messages = others.filter(pc.equal(others["status"], kind))["message"]
                yield from (f"    {message}" for message in messages.slice(0, EXAMPLES).to_pylist())
            if others.num_rows > EXAMPLES * len(kinds):
                yield f"    all {others.num_rows} are in {path}"


def _rows(table: pa.Table) -> list[list[str]]:
    return [table.column_names, *([_text(value) for value in row.values()] for row in table.to_pylist())]


def _text(value: object) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def _indented(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"    {cells.rstrip()}"
