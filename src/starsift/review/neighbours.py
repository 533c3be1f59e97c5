"""Other exposures of the stars of a queue."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.spatial import cKDTree

from starsift.review.places import read_parts
from starsift.review.queues import Queue
from starsift.sky.dates import MJD_EPOCH
from starsift.sky.sphere import unit_vectors
from starsift.survey.names import is_sdss_name

RADIUS = 5.0  # arcsec within which exposures are of one star
_COLUMNS = ("spectrum_id", "band", "bundle", "ra", "dec", "snr", "lmjd", "lmjm")


class Neighbours:
    """Exposures of the stars of a queue in all packed surveys of the kind of its spectra.

    Candidates of the queue without coordinates have no neighbours. `manifests` are those of the surveys.
    """

    def __init__(self, queue: Queue, manifests: Sequence[Path]) -> None:
        self.ids = queue.ids
        n = len(queue.ids)
        ra, dec = (
            _numbers(queue.table[name]) if name in queue.table.column_names else np.full(n, np.nan)
            for name in ("ra", "dec")
        )
        self.vectors = unit_vectors(ra, dec)
        self.radius = 2.0 * math.sin(math.radians(RADIUS / 3600.0) / 2.0)
        self.table = self._read_near(manifests)
        self.tree = cKDTree(unit_vectors(*(_numbers(self.table[name]) for name in ("ra", "dec"))))

    def _read_near(self, manifests: Sequence[Path]) -> pa.Table:
        """Spectra near a candidate; a survey is read in parts, to save memory."""
        placed = np.isfinite(self.vectors).all(axis=1)
        stars = cKDTree(self.vectors[placed])
        tables = [pa.table({name: [] for name in ("ra", "dec")})]
        for manifest in manifests if placed.any() else []:
            for part in read_parts(manifest, _COLUMNS):
                if part.num_rows and _kind(part["spectrum_id"][0].as_py()) != _kind(self.ids[0]):
                    break
                vectors = unit_vectors(_numbers(part["ra"]), _numbers(part["dec"]))
                known = np.flatnonzero(np.isfinite(vectors).all(axis=1))
                distance = stars.query(vectors[known], distance_upper_bound=self.radius)[0]
                near = pa.array(known[np.isfinite(distance)])
                table = pa.Table.from_batches([part]).take(near)
                survey = pa.array([manifest.stem] * len(near), pa.string())
                tables.append(table.append_column("survey", survey))
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()

    def of(self, position: int) -> list[dict[str, Any]]:
        """The other exposures of one candidate, by time; each once, also where two surveys have it."""
        vector = self.vectors[position]
        if not self.table.num_rows or not np.isfinite(vector).all():
            return []
        at = pa.array(self.tree.query_ball_point(vector, self.radius), pa.int64())
        rows = self.table.take(at).append_column("key", at).to_pylist()
        others: dict[tuple[str, str], dict[str, Any]] = {}
        for row in sorted(rows, key=lambda r: (r["lmjd"] or 0, r["lmjm"] or 0, r["spectrum_id"])):
            if row["spectrum_id"] != self.ids[position]:
                date = None if row["lmjd"] is None else str(MJD_EPOCH + row["lmjd"])
                other = {
                    "key": str(row["key"]),
                    "spectrum_id": row["spectrum_id"],
                    "date": date,
                    "snr": None if row["snr"] is None else round(row["snr"], 2),
                }
                others.setdefault((row["spectrum_id"], row["band"]), other)
        return list(others.values())

    def exposure(self, key: int) -> tuple[str, str, str, str]:
        """Survey, bundle, name and band of an exposure."""
        row = self.table.slice(key, 1).to_pylist()[0]
        return row["survey"], row["bundle"], row["spectrum_id"], row["band"]


def _numbers(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """float64 (n,), NaN where there is none."""
    values: np.ndarray = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return values


def _kind(name: str) -> str:
    return "sdss" if is_sdss_name(name) else name.partition("-")[0]
