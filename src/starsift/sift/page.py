"""The report of `starsift sift`: one page that links the pictures beside it."""

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starsift.io.files import atomic_path
from starsift.sift.pictures import headline

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>starsift: what is in these files</title>
<style>
body {{ font-family: sans-serif; font-size: 15px; margin: 1.5em auto; max-width: 70em; padding: 0 1em; }}
figure {{ margin: 0 0 2.5em; }}
figcaption {{ margin-bottom: 0.4em; }}
img {{ max-width: 100%; height: auto; border: 1px solid #ddd; }}
code {{ overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>What is in these files</h1>
{summary}
{figures}
{skipped}
</body>
</html>
"""


def write_page(
    path: Path, summary: Iterable[str], rows: Sequence[Mapping[str, Any]], skipped: Iterable[str]
) -> None:
    """Write the page: sentences, a figure for each row of `starsift.sift.candidates.CANDIDATES`, and why
    files were skipped."""
    lines = "\n".join(f"<p>{html.escape(sentence)}</p>" for sentence in summary)
    reasons = "\n".join(f"<li>{html.escape(reason)}</li>" for reason in skipped)
    end = f"<h2>Files that were skipped</h2>\n<ul>\n{reasons}\n</ul>" if reasons else ""
    with atomic_path(path) as draft:
        draft.write_text(_PAGE.format(summary=lines, figures="\n".join(map(_figure, rows)), skipped=end))


def _figure(row: Mapping[str, Any]) -> str:
    name, title = html.escape(row["spectrum_id"]), html.escape(headline(row))
    about = html.escape("; ".join(part for part in (row["numbers"], row["why"]) if part))
    return (
        f'<figure id="{name}"><figcaption><b>{title}</b> <code>{name}</code><br>{about}<br>'
        f"<code>{html.escape(row['file'])}</code></figcaption>"
        f'<img loading="lazy" src="{quote(row["picture"])}" alt="Spectrum of {name}"></figure>'
    )
