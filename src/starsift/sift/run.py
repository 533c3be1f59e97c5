"""From the files that a user names to candidates: `starsift sift`."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError, StarsiftError
from starsift.io.files import read_json, write_json
from starsift.io.parquet import write_parquet
from starsift.learning.model_sets import SHIPPED, find_model_set, read_model_set, settings_of
from starsift.review.results import RUN_SETTINGS, Results
from starsift.searches.registry import SEARCHES
from starsift.settings import complete_settings
from starsift.sift.candidates import list_candidates, queue_of
from starsift.sift.files import Found, describe_skipped, index_places
from starsift.sift.page import write_page
from starsift.sift.pictures import Spectrum, draw_candidate, draw_sheets
from starsift.sift.settings import choose_searches, make_settings, write_settings

FILES = "files.json"  # size and time of each file in the last run
_UNITS = {"mrs": "LAMOST medium-resolution", "lrs": "LAMOST low-resolution", "sdss": "SDSS"}


@dataclass(frozen=True)
class Sifted:
    """What `sift` made: the folder, candidates, the sentences that describe the files, the searches that
    failed."""

    folder: Path
    candidates: pa.Table
    summary: tuple[str, ...]
    failed: tuple[str, ...]


def sift(
    places: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    searches: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Sifted:
    """Search all spectra among some files, with the model sets that come with starsift.

    In `folder` appear settings.yaml and spectra.parquet, which are those of a survey; results/, as a survey
    has it; candidates.parquet, pictures/, contact-sheet-1.png and so on, and report.html.

    Parameters
    ----------
    places : folders, FITS files, lists of files
    folder : to write to
    searches : names of the only searches to run; by default all that the files allow
    progress : called with a stage, and how many of how many of its jobs are done

    Raises InputError: no file can be searched, or the folder cannot be written to. SettingsError: a search
    has nothing to search, or the settings in the folder were edited. ResultsError: a stage failed.
    """
    output = Path(folder)
    _check_foreign(output)
    progress("reading headers", 0, 1)
    found = index_places(places, without=output / "results")
    chosen = choose_searches(found, searches)
    settings = make_settings(found, chosen, {name: _bound(name) for name in chosen})
    output.mkdir(parents=True, exist_ok=True)
    file = write_settings(settings, found, output)
    (output / "results").mkdir(exist_ok=True)
    write_json(complete_settings({file: settings}), output / "results" / RUN_SETTINGS)
    progress("reading headers", 1, 1)
    _remove_catalogs(output / "results", [name for name in SEARCHES if name not in chosen])
    # Snakemake is imported where it is used: a folder without a spectrum needs none.
    from starsift.sift.inprocess import run_workflow

    targets = [f"results/{queue_of(search).pattern}" for search in chosen]
    targets += [
        f"results/manifest/{name}-status.csv" for name in sorted({k for v in chosen.values() for k in v})
    ]
    files = _states(found)
    again = ["pack"] if _are_changed(output / "results" / FILES, files) else []
    errors = run_workflow(output, file, targets, progress, again=again)
    write_json(files, output / "results" / FILES)
    skipped = [message for files in found.skipped.values() for message in files.values()]
    unusable = _list_unusable(places, output / "results", settings["surveys"])
    failed = _failed_searches(errors, chosen)
    candidates = list_candidates(output / "results", [one for one in chosen if one not in failed], found.root)
    summary = tuple(_describe(found, chosen, unusable, failed, candidates))
    _draw(output, candidates, progress)
    write_parquet(candidates, output / "candidates.parquet")
    write_page(output / "report.html", summary, candidates.to_pylist(), [*skipped, *unusable])
    return Sifted(output, candidates, summary, tuple(failed))


def _check_foreign(output: Path) -> None:
    """Refuse to write over files that no earlier run of `sift` wrote."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: a file, not a folder; name another one with --output")
    if not (output / "results" / RUN_SETTINGS).is_file():
        for pattern in ("report.html", "candidates.parquet", "pictures", "contact-sheet-*.png"):
            if foreign := next(output.glob(pattern), None):
                raise InputError(f"{foreign}: not of starsift sift; name another folder with --output")


def _states(found: Found) -> dict[str, list[int]]:
    """Size and time of each file."""
    paths = [found.root / name for name in pc.unique(found.index["path"]).to_pylist()]
    return {str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in paths if path.exists()}


def _are_changed(record: Path, files: Mapping[str, list[int]]) -> bool:
    """Whether a file of the last run has changed: those of a survey do not, and are not looked at again."""
    before = read_json(record) if record.is_file() else {}
    return any(before.get(path, state) != state for path, state in files.items())


def _list_unusable(
    places: Sequence[str | os.PathLike[str]], results: Path, surveys: Iterable[str]
) -> list[str]:
    """The spectra whose pixels cannot be used, and why. Raises InputError: that are all."""
    reasons: dict[str, str] = {}
    number = 0
    for survey in surveys:
        file = results / "manifest" / f"{survey}-unusable.parquet"
        if not file.is_file():
            return []
        number += pq.read_metadata(results / "manifest" / f"{survey}.parquet").num_rows
        for row in pq.read_table(file).to_pylist():
            number -= 1
            why = row["status"].replace("_", " ")
            reasons[row["spectrum_id"]] = f"{row['file'] or row['spectrum_id']}: {why}"
    listed = list(reasons.values())
    if number == 0:
        raise InputError(
            f"{', '.join(map(str, places))}: no spectrum that can be used. {'; '.join(listed[:3])}"
        )
    return listed


def _remove_catalogs(results: Path, searches: Sequence[str]) -> None:
    """Remove what earlier files left of searches that these do not allow."""
    for search in searches:
        for name in SEARCHES[search].catalogs:
            for file in results.glob(f"catalogs/{name}.*"):
                file.unlink()


def _failed_searches(
    errors: Mapping[str, BaseException], chosen: Mapping[str, Sequence[str]]
) -> dict[str, BaseException]:
    """The searches that failed, with the error; raises it where no search succeeded, or where it is a bug."""
    failed: dict[str, BaseException] = {}
    for rule, error in errors.items():
        search = rule.partition("_")[0]
        if search not in chosen or not isinstance(error, StarsiftError | OSError):
            raise error
        failed.setdefault(search, error)
    if failed and len(failed) == len(chosen):
        raise next(iter(failed.values()))
    return failed


def _bound(search: str) -> dict[str, Any]:
    """The settings that a search's shipped model set is bound to, as a tree."""
    record = read_model_set(find_model_set(SHIPPED, search), search)
    default = SEARCHES[search].module("settings").Settings().model_dump()
    tree: dict[str, Any] = {}
    for name, value in settings_of(record.settings, SEARCHES[search].bound).items():
        if value != settings_of(default, [name])[name]:
            group, _, key = name.partition(".")
            tree[group] = tree.get(group, {}) | {key: value} if key else value
    return tree


def _describe(
    found: Found,
    chosen: Mapping[str, Sequence[str]],
    unusable: Sequence[str],
    failed: Mapping[str, BaseException],
    candidates: pa.Table,
) -> Iterator[str]:
    """What the files are, what was searched, what was skipped and what failed, a sentence each."""
    for kind, number in found.kinds.items():
        names = [SEARCHES[search].stars for search, kinds in chosen.items() if kind in kinds]
        searched = f"searched for {' and '.join(names)}" if names else "not searched"
        yield f"{number} file{'s' if number > 1 else ''} of {_UNITS[kind]} spectra, {searched}."
    for sentence in describe_skipped(found):
        yield f"Skipped, {sentence}."
    if unusable:
        more = f", and {len(unusable) - 1} more" if len(unusable) > 1 else ""
        yield f"Without usable pixels, so not searched: {unusable[0]}{more}."
    if len(unusable) > 1 or any(len(files) > 1 for files in found.skipped.values()):
        yield "The end of report.html lists all files that were skipped."
    for search, error in failed.items():
        yield f"The search for {SEARCHES[search].stars} failed: {error}."
    yield f"{candidates.num_rows} candidate{'' if candidates.num_rows == 1 else 's'}."


def _draw(output: Path, candidates: pa.Table, progress: Callable[[str, int, int], None]) -> None:
    """Pictures of all candidates, and contact sheets."""
    results, rows = Results(output / "results"), candidates.to_pylist()
    pictures = {output / row["picture"] for row in rows}
    for search in SEARCHES:
        for file in (output / "pictures" / search).glob("*.png"):
            if file not in pictures:
                file.unlink()
    shown: list[tuple[Spectrum, float | None]] = []
    for number, row in enumerate(rows):
        progress("pictures", number, len(rows))
        queue = results.queue(queue_of(row["search"]).id)
        position = queue.positions[row["spectrum_id"]]
        wavelength, flux, _ = results.spectrum(queue.id, position)
        velocity = queue.row(position).get(queue.view.velocity)
        shown.append(((wavelength, flux.astype(np.float64)), velocity))
        panels = results.panels(queue.id, position)
        model = results.curves(queue.id, position) if queue.view.models else None
        draw_candidate(output / row["picture"], row, shown[-1][0], panels, velocity, model)
    draw_sheets(output, rows, shown.__getitem__)
    progress("pictures", len(rows), len(rows))


@contextmanager
def show_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar a stage on a terminal, a line a stage in a log."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        # A copy of the terminal: jobs send the process's own output to their logs.
        with (
            os.fdopen(os.dup(2), "w") as terminal,
            Progress(*columns, console=Console(file=terminal)) as bars,
        ):
            tasks: dict[str, Any] = {}

            def advance(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(stage, total=total)
                bars.update(tasks[stage], completed=done, total=total)

            yield advance
        return
    start, seen = time.monotonic(), set()
    with os.fdopen(os.dup(2), "w", buffering=1) as log:

        def note(stage: str, done: int, total: int) -> None:
            if stage not in seen:
                seen.add(stage)
                log.write(f"{time.monotonic() - start:6.1f} s  {stage}\n")

        yield note
