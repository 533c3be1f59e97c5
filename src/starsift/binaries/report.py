"""The small tables of the report, as HTML pages."""

import csv
import html
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starsift.binaries.training import summarise_folds
from starsift.spectra.batches import atomic_path

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; font-size: 14px; margin: 1.5em; }}
table {{ border-collapse: collapse; margin-bottom: 2em; }}
caption {{ text-align: left; font-weight: bold; padding-bottom: 0.5em; }}
th, td {{ padding: 0.25em 0.9em; text-align: right; border-bottom: 1px solid #ddd; }}
th {{ border-bottom: 2px solid #555; }}
th.text, td.text {{ text-align: left; }}
</style>
</head>
<body>
{tables}
</body>
</html>
"""

Row = Sequence[Any]


def selection_page(selection: str | os.PathLike[str], status: str | os.PathLike[str]) -> str:
    """The cuts (CSV: cut, before, removed, after) and what was read (CSV: status, spectra)."""
    tables = [("Cuts, in order", _read(selection)), ("What was read of the selected spectra", _read(status))]
    return _page("The survey", tables)


def cross_validation_page(folds: Iterable[str | os.PathLike[str]]) -> str:
    """Mean and scatter of each classifier's metrics over the folds (JSON of `cross_validate_fold`)."""
    results = [json.loads(Path(path).read_text()) for path in folds]
    metrics = ("accuracy", "precision", "recall", "f1")
    rows: list[Row] = [("classifier", "category", *metrics)]
    for row in summarise_folds(results):
        rows.append((row["classifier"], row["category"], *(_percent(row, metric) for metric in metrics)))
    number = len(results)
    return _page("Cross-validation", [(f"Mean and standard deviation over {number} folds, per cent", rows)])


def funnel_page(funnel: str | os.PathLike[str]) -> str:
    """From CCF candidates to selected binaries (CSV of `starsift.binaries.voting.funnel`)."""
    return _page("Funnel", [("What the classifiers called the CCF candidates", _read(funnel))])


def write_page(page: str, path: str | os.PathLike[str]) -> None:
    """Write a page, complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(page)


def _percent(row: Mapping[str, Any], metric: str) -> str:
    mean, scatter = row[f"{metric}_mean"], row[f"{metric}_std"]
    return f"{100 * mean:.2f}" if scatter is None else f"{100 * mean:.2f} ± {100 * scatter:.2f}"


def _read(path: str | os.PathLike[str]) -> list[list[str]]:
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


def _page(title: str, tables: Iterable[tuple[str, Sequence[Row]]]) -> str:
    return _PAGE.format(title=html.escape(title), tables="\n".join(_table(*table) for table in tables))


def _table(caption: str, rows: Sequence[Row]) -> str:
    # A column is text if any cell of it is.
    text = [any(not _is_number(cell) for cell in column[1:]) for column in zip(*rows, strict=True)]
    lines = [f"<caption>{html.escape(caption)}</caption>"]
    for number, row in enumerate(rows):
        tag = "th" if number == 0 else "td"
        cells = "".join(
            f"<{tag}{' class=text' if left else ''}>{html.escape(_show(cell))}</{tag}>"
            for cell, left in zip(row, text, strict=True)
        )
        lines.append(f"<tr>{cells}</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _is_number(cell: Any) -> bool:
    return all(part.strip().replace(".", "", 1).lstrip("-").isdigit() for part in str(cell or 0).split("±"))


def _show(cell: Any) -> str:
    text = str(cell)
    return f"{int(text):,}" if text.isdigit() else text.replace("_", " ") if text else "–"
