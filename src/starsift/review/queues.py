"""Queues of candidates: which there are in a folder of results, and their tables.

A queue is a table of candidates in the order in which people see them. It does not change while it is open,
even where the workflow writes its file again: a position means one spectrum, or labels would land on others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.errors import ResultsError
from starsift.review.columns import QueueColumn, describe_columns
from starsift.searches.base import View
from starsift.searches.registry import SEARCHES

PLACE = ("spectrum_id", "band", "bundle", "row", "ra", "dec")  # columns that say where a spectrum is


@dataclass
class QueueFile:
    """A queue of a folder of results, not read yet; see `starsift.searches.base.Queue`."""

    id: str
    search: str
    title: str
    group: str
    file: Path


def find_queues(folder: Path) -> Iterator[QueueFile]:
    """The queues of all searches that a folder of results has."""
    for search in SEARCHES.values():
        for queue in search.queues:
            name = re.compile(re.escape(queue.pattern).replace(r"\*", r"(\d+)"))
            for file in sorted(folder.glob(queue.pattern)):
                if file.is_file() and (found := name.fullmatch(file.relative_to(folder).as_posix())):
                    number = found[1] if found.groups() else ""
                    title = queue.title.replace("*", number.lstrip("0") or "0")
                    yield QueueFile(queue.id.replace("*", number), search.name, title, queue.group, file)


@dataclass
class Queue(QueueFile):
    """Candidates of a search in the order in which people see them."""

    view: View
    ids: tuple[str, ...]
    rows: np.ndarray | None  # (n,) of the file's rows, where it holds a spectrum twice; None: all
    _last: tuple[int, dict[str, Any]] = field(default=(-1, {}), repr=False)  # the last row that was read

    @classmethod
    def open(cls, queue: QueueFile) -> Queue:
        """Read the names of the candidates; each is kept where it first comes."""
        try:
            ids = pq.read_table(queue.file, columns=["spectrum_id"])["spectrum_id"].combine_chunks()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ResultsError(
                f"{queue.file}: not a table of candidates with spectrum_id ({error})"
            ) from error
        # Indices into the distinct values count up where a value is new.
        codes = ids.dictionary_encode().indices.to_numpy()
        first = np.unique(codes, return_index=True)[1]
        rows = None if len(first) == len(codes) else np.sort(first)
        ids = ids if rows is None else ids.take(rows)
        view = SEARCHES[queue.search].view()
        return cls(**vars(queue), view=view, ids=tuple(ids.to_pylist()), rows=rows)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Of each spectrum its position."""
        return {name: at for at, name in enumerate(self.ids)}

    @cached_property
    def table(self) -> pa.Table:
        """All columns of single values, a row a candidate."""
        names = [field.name for field in pq.read_schema(self.file) if not pa.types.is_nested(field.type)]
        table = pq.read_table(self.file, columns=names)
        if self.rows is not None and len(self.rows) <= table.num_rows:
            table = table.take(self.rows)
        if tuple(table["spectrum_id"].to_pylist()) != self.ids:
            raise ResultsError(f"{self.file}: it was written again; restart the review app to see it")
        return table.combine_chunks()

    @cached_property
    def columns(self) -> dict[str, QueueColumn]:
        """The columns that candidates can be chosen and sorted by, in the order of their groups."""
        return describe_columns(self.table.schema, self.view.table)

    def row(self, position: int) -> dict[str, Any]:
        """One row of the table; None where a value is null or NaN."""
        at, row = self._last
        if at != position:
            values = self.table.slice(position, 1).to_pylist()[0]
            row = {name: finite(value) for name, value in values.items()}
            self._last = position, row
        return row

    def value(self, name: str, position: int) -> Any:
        """One value of the table; None where it is null, NaN, or there is no such column."""
        return self.row(position).get(name)


def finite(value: Any) -> Any:
    """The value; None for NaN and infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def error_names(name: str) -> tuple[str, str]:
    """Names that the error of a column may have."""
    return f"{name}_err", f"{name}_error"
