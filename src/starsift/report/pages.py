"""Small HTML pages for the tables of the report."""

import csv
import html
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from starsift.io.files import atomic_path

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


def page(title: str, tables: Iterable[tuple[str, Sequence[Row]]]) -> str:
    """A page of tables, each a caption and its rows, the first of which names the columns.

    Cells may be anything with a `str`; whole numbers get thousands separators, an empty cell becomes a dash.
    """
    return _PAGE.format(title=html.escape(title), tables="\n".join(_table(*table) for table in tables))


def read_csv(path: str | os.PathLike[str]) -> list[list[str]]:
    """The rows of a CSV file, names_with_underscores as words."""
    with Path(path).open(newline="") as file:
        return [[cell.replace("_", " ") for cell in row] for row in csv.reader(file)]


def mean_scatter(mean: float, scatter: float | None, digits: int) -> str:
    """A cell such as 97.31 ± 0.25; without the scatter where it is None."""
    return f"{mean:.{digits}f}" if scatter is None else f"{mean:.{digits}f} ± {scatter:.{digits}f}"


def percent(row: Mapping[str, Any], name: str) -> str:
    """A cell of a mean and its scatter, {name}_mean and {name}_std, in per cent."""
    scatter = row[f"{name}_std"]
    return mean_scatter(100 * row[f"{name}_mean"], None if scatter is None else 100 * scatter, 2)


def rounded(value: float | None, digits: int) -> str:
    """A cell of a number, empty where it is None."""
    return "" if value is None else f"{value:.{digits}f}"


def link_spectra(text: str, table: pa.Table) -> str:
    """The page with each cell that is the name of a spectrum made a link.

    `table` has `spectrum_id` and `link`, null where there is none.
    """
    links = dict(zip(table["spectrum_id"].to_pylist(), table["link"].to_pylist(), strict=True))

    def anchor(cell: re.Match[str]) -> str:
        link = links.get(html.unescape(cell[1]))
        inner = cell[1] if link is None else f'<a href="{html.escape(link)}">{cell[1]}</a>'
        return f"<td class=text>{inner}</td>"

    return re.sub("<td class=text>([^<]*)</td>", anchor, text)


def write_page(text: str, path: str | os.PathLike[str]) -> None:
    """Write a page, complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text)


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
    return f"{int(text):,}" if text.isdigit() else text or "–"
