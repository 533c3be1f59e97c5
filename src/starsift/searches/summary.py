"""The first page of the report: what was searched, what was found, how good it is, what made it."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from starsift.io.files import read_json
from starsift.searches.base import Search
from starsift.searches.registry import SEARCHES

Row = tuple[Any, ...]


def summarise(results: str | os.PathLike[str], record: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """The summary of a finished run as reStructuredText.

    Parameters
    ----------
    results : folder of the run, with its catalogues and, of simulated surveys, scorecards
    record : of its provenance, see `starsift.catalog.provenance.write_provenance`
    defaults : settings that a run has unless it is told otherwise
    """
    settings, counts = record["settings"], record["counts"]
    parts = [_table("Spectra", ("survey", "status", "spectra"), _statuses(counts["status"]))]
    for name in settings["searches"]:
        search = SEARCHES[name]
        steps = counts["funnel"].get(name) or [{}]
        head = [column.replace("_", " ") for column in steps[0]]
        parts.append(_table(search.title, head, [tuple(row.values()) for row in steps if row]))
        kinds = list(_kinds(Path(results), search))
        parts.append(_table(f"{search.title}: the catalogue", ("kind", "rows"), kinds))
        card = Path(results) / "scorecards" / f"{name}.json"
        if card.is_file():
            rows = list(_scores(read_json(card)["lines"]))
            parts.append(
                _table(f"{search.title}: against the truth", ("score", "value", "of", "required"), rows)
            )
    made = [("starsift", record["code"]["version"]), ("code", record["code"]["fingerprint"][:12])]
    made += [("processor", record["processor"]), ("seed", record["seed"])]
    made += [
        (f"models of {SEARCHES[name].stars}", settings[name]["models"])
        for name in settings["searches"]
        if SEARCHES[name].models
    ]
    parts.append(_table("Made by", ("what", "version"), made))
    changed = list(_changed(defaults, settings))
    parts.append(_table("Settings that differ from the defaults", ("setting", "value", "default"), changed))
    return "\n".join(parts)


def _statuses(status: Mapping[str, Mapping[str, int]]) -> list[Row]:
    return [(survey, name, number) for survey, found in status.items() for name, number in found.items()]


def _kinds(results: Path, search: Search) -> Iterator[Row]:
    """Rows of the catalogue that people review, by the kind of the star."""
    file, view = results / "catalogs" / f"{search.catalogs[0]}.parquet", search.view()
    if view.brief and file.is_file():
        kinds = Counter(view.brief(row).kind for row in pq.read_table(file).to_pylist())
        yield from sorted(kinds.items())


def _scores(lines: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """The lines of a scorecard that have to reach something."""
    for line in lines:
        if line["target"]:
            passed = "" if line["passed"] else ", missed"
            value = "none" if line["value"] is None else f"{line['value']:.4g}"
            yield line["name"], value, line["number"], f"{line['target']}{passed}"


def _changed(before: Any, now: Any, key: str = "") -> Iterator[Row]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in [*before, *(name for name in now if name not in before)]:
            yield from _changed(before.get(name), now.get(name), f"{key}.{name}" if key else name)
    elif before != now:
        yield key, _short(now), _short(before)


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _table(title: str, head: Sequence[str], rows: Sequence[Row]) -> str:
    """A table whose cells are literal, so that nothing in them is markup."""
    if not rows:
        return ""
    lines = [f".. list-table:: {title}", "   :header-rows: 1", ""]
    for row in (head, *rows):
        for at, cell in enumerate(row):
            lines.append(f"   {'*' if at == 0 else ' '} - {_literal(cell)}")
    return "\n".join([*lines, ""])


def _literal(cell: Any) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else str(cell)
    if not text:
        return text
    # An escaped blank, which is not shown, so that no first letter begins a list or a title.
    return "\\ " + "".join(f"\\{letter}" if letter in "\\*`_|:<>" else letter for letter in text)
