"""Where the spectra of candidates are packed."""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import ResultsError
from starsift.io.columns import floats
from starsift.review.queues import Queue
from starsift.spectra.rows import FILES, Place


class Places:
    """Finds packed spectra in a folder of results. The manifests of a search's own surveys are read first."""

    def __init__(self, folder: Path, surveys: dict[str, list[str]]) -> None:
        self.folder = folder
        self._first = surveys
        self._bundles: dict[str, tuple[list[str], np.ndarray]] = {}  # of each queue
        self._coordinates: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._index = lru_cache(FILES)(self._read_index)

    @cached_property
    def _survey_of(self) -> dict[str, str]:
        """The survey of each packed bundle."""
        return {file.stem: file.parent.name for file in sorted(self.folder.glob("spectra/*/*.arrow"))}

    def manifests(self, search: str) -> list[Path]:
        """Manifests of packed surveys, those of the search's own surveys first."""
        own = self._first.get(search, [])
        surveys = sorted(set(self._survey_of.values()), key=lambda name: (name not in own, name))
        files = [self.folder / "manifest" / f"{name}.parquet" for name in surveys]
        return [file for file in files if file.is_file()]

    def place(self, queue: Queue, position: int) -> Place:
        """Where the spectrum of a candidate is packed.

        Raises ResultsError if it is in no bundle, or not where the queue says.
        """
        bundles, codes = self._bundles_of(queue)
        bundle = bundles[codes[position]] if codes[position] >= 0 else ""
        survey = self._survey_of.get(bundle)
        name = queue.ids[position]
        if survey is None:
            raise _not_packed(name)
        row = queue.value("row", position)
        if row is None:
            return self.find(survey, bundle, name, queue.value("band", position))
        index = self._index(survey, bundle)
        if not 0 <= row < index.num_rows:
            raise ResultsError(
                f"{queue.file}: {name} is in row {row} of {bundle}, which has {index.num_rows}"
            )
        return _place(index, name, survey, bundle, row)

    def coordinates(self, queue: Queue) -> tuple[np.ndarray, np.ndarray]:
        """Right ascension and declination (n,) of the candidates in degrees, NaN where unknown.

        They are the queue's, or where it has none those of the manifests.
        """
        if queue.id not in self._coordinates:
            if {"ra", "dec"} <= set(queue.table.column_names):
                ra, dec = (floats(queue.table, name) for name in ("ra", "dec"))
            else:
                ra, dec = _find_coordinates(queue, self.manifests(queue.search))
            self._coordinates[queue.id] = ra, dec
        return self._coordinates[queue.id]

    def find(self, survey: str, bundle: str, name: str, band: str | None) -> Place:
        """Where a spectrum of a bundle is; ResultsError if it is not there."""
        index = self._index(survey, bundle)
        same = pc.equal(index["spectrum_id"], name)
        if band is not None:
            same = pc.and_(same, pc.equal(index["band"], band))
        row = pc.index(same, True).as_py()
        if row < 0:
            raise _not_packed(name)
        return _place(index, name, survey, bundle, row)

    def _read_index(self, survey: str, bundle: str) -> pa.Table:
        file = self.folder / "spectra" / survey / f"{bundle}.parquet"
        return pq.read_table(file, columns=["spectrum_id", "band", "batch", "row"]).combine_chunks()

    def _bundles_of(self, queue: Queue) -> tuple[list[str], np.ndarray]:
        """Names of bundles, and for each candidate which of them it is in, -1 for none."""
        if queue.id not in self._bundles:
            if "bundle" in queue.table.column_names:
                coded = queue.table["bundle"].combine_chunks().dictionary_encode()
                codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
                self._bundles[queue.id] = coded.dictionary.to_pylist(), codes
            else:
                self._bundles[queue.id] = _find_bundles(queue.table, self.manifests(queue.search))
        return self._bundles[queue.id]


def _find_bundles(table: pa.Table, manifests: Sequence[Path]) -> tuple[list[str], np.ndarray]:
    """The bundles of spectra, by name and, where the table has it, band; as `Places._bundles_of`."""
    spectra = table["spectrum_id"].combine_chunks()
    bands = table["band"].to_numpy() if "band" in table.column_names else None
    names: dict[str, int] = {}
    codes = np.full(len(spectra), -1, np.int32)
    for manifest in manifests:
        for part in read_parts(manifest, ["spectrum_id", "band", "bundle"]):
            at = pc.index_in(part["spectrum_id"], value_set=spectra)
            hits = np.flatnonzero(pc.is_valid(at).to_numpy(zero_copy_only=False))
            places = at.take(pa.array(hits)).to_numpy()
            if bands is not None:
                same = part["band"].to_numpy(zero_copy_only=False)[hits] == bands[places]
                hits, places = hits[same], places[same]
            for place, bundle in zip(places, part["bundle"].take(pa.array(hits)).to_pylist(), strict=True):
                if codes[place] < 0:
                    codes[place] = names.setdefault(bundle, len(names))
        if (codes >= 0).all():
            break
    return list(names), codes


def _find_coordinates(queue: Queue, manifests: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    spectra = queue.table["spectrum_id"].combine_chunks()
    found = np.full((2, len(spectra)), np.nan)
    for manifest in manifests:
        for part in read_parts(manifest, ["spectrum_id", "ra", "dec"]):
            at = pc.index_in(part["spectrum_id"], value_set=spectra)
            hits = pa.array(np.flatnonzero(pc.is_valid(at).to_numpy(zero_copy_only=False)))
            table = pa.Table.from_batches([part]).take(hits)
            found[:, at.take(hits).to_numpy()] = floats(table, "ra"), floats(table, "dec")
        if np.isfinite(found).all():
            break
    return found[0], found[1]


def read_parts(file: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """A Parquet file in parts, of those columns that it has."""
    parquet = pq.ParquetFile(file)
    names = [name for name in columns if name in parquet.schema_arrow.names]
    yield from parquet.iter_batches(131_072, columns=names)


def _place(index: pa.Table, name: str, survey: str, bundle: str, row: int) -> Place:
    return Place(name, survey, bundle, row, index["batch"][row].as_py(), index["row"][row].as_py())


def _not_packed(name: str) -> ResultsError:
    return ResultsError(
        f"the spectrum of {name} is in no bundle of results/spectra; run the pack stage of its survey"
    )
