"""The table of candidates of all searches, with the reason for each."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.searches.base import Brief, Queue
from starsift.searches.registry import SEARCHES
from starsift.sift.pictures import picture_name

CANDIDATES = pa.schema(
    [
        pa.field("search", pa.string(), metadata={"description": "Search that found it"}),
        pa.field("spectrum_id", pa.string(), metadata={"description": "Name of the spectrum"}),
        pa.field("kind", pa.string(), metadata={"description": "What it seems to be"}),
        pa.field("probability", pa.float32(), metadata={"description": "Probability of that, calibrated"}),
        pa.field("numbers", pa.string(), metadata={"description": "Key measurements"}),
        pa.field("why", pa.string(), metadata={"description": "Why it is a candidate"}),
        pa.field("snr", pa.float32(), metadata={"description": "S/N a pixel"}),
        pa.field("ra", pa.float64(), metadata={"description": "Right ascension (J2000)", "unit": "deg"}),
        pa.field("dec", pa.float64(), metadata={"description": "Declination (J2000)", "unit": "deg"}),
        pa.field("file", pa.string(), metadata={"description": "File of the spectrum"}),
        pa.field("picture", pa.string(), metadata={"description": "Picture of it"}),
    ]
)


def queue_of(search: str) -> Queue:
    """The queue of the review app that shows a search's catalogue."""
    declared = SEARCHES[search]
    return next(one for one in declared.queues if one.pattern == f"catalogs/{declared.catalogs[0]}.parquet")


def _plain(row: Mapping[str, Any]) -> Brief:
    return Brief("candidate", None, "", "in the catalogue")


def list_candidates(results: Path, searches: Iterable[str], root: Path) -> pa.Table:
    """All candidates of a run, the most probable first.

    Parameters
    ----------
    results : folder of the run
    searches : names of the searches that ran
    root : folder that the files of spectra are relative to

    Returns a Table of `CANDIDATES`; `picture` is a path relative to the folder that results is in.
    """
    rows = []
    for search in searches:
        brief = SEARCHES[search].view().brief or _plain
        table = pq.read_table(results / queue_of(search).pattern)
        for row in table.to_pylist():
            told = brief(row)
            rows.append(
                {key: row.get(key) for key in ("spectrum_id", "snr", "ra", "dec")}
                | vars(told)
                | {"search": search, "file": str(root / row["file"])}
                | {"picture": f"pictures/{search}/{picture_name(row['spectrum_id'])}"}
            )
    rows.sort(key=lambda row: (-(row["probability"] or 0.0), -(row["snr"] or 0.0), row["spectrum_id"]))
    return pa.Table.from_pylist(rows, schema=CANDIDATES)
