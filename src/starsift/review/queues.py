"""What can be looked at in a folder of results: queues of candidates, and all that is shown of one of them.

A queue is a table of candidates in the order in which people see them. It does not change while it is open,
even where the workflow writes its file again: a position means one spectrum, or labels would land on others.
Spectra are read one at a time, by place, and each is compared by name with what the queue expects. In memory
stay the columns of the tables and a few items, never spectra.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.spatial import cKDTree

from starsift.errors import NotFoundError, ResultsError
from starsift.searches.bhb.columns import BHB
from starsift.searches.binaries.columns import BINARIES_SPECTRA
from starsift.searches.binaries.curves import VELOCITY_KEYS
from starsift.searches.binaries.peaks import CosineBasis, cosine_basis, smoothed_derivatives
from starsift.searches.emission.classes import CLASSES
from starsift.searches.emission.columns import EMISSION
from starsift.searches.emission.window import WAVELENGTH
from starsift.searches.mstars.columns import MSTARS
from starsift.sky.air import air_to_vacuum
from starsift.sky.dates import MJD_EPOCH
from starsift.spectra.batches import MASK_IVAR, OK
from starsift.survey.names import is_sdss_name

MATCH = 5.0  # arcsec within which exposures are of one star
NEAREST = 5  # M stars shown beside a candidate
ITEMS = 32  # kept in memory: what a few people prefetch and go back to
FILES = 8  # open bundles
BATCHES = 2  # decoded record batches, 72 MB each at most: catalogues are sorted, the next one is often there
STARS = 500  # known M stars, 21 kB each: the same ones come again and again
SPECTRUM = ("status", "log10_lambda0", "dlog10_lambda", "wavelength", "flux", "ivar", "mask")

# Wavelengths in air, Angstrom, as spectroscopists name the lines: NIST Atomic Spectra Database; band heads of
# molecules: Kirkpatrick et al. 1991 (ApJS 77, 417), CaOH Reid et al. 1995 (AJ 110, 1838).
_BALMER = {"Hα": 6562.80, "Hβ": 4861.33, "Hγ": 4340.47, "Hδ": 4101.74}
_LINES = {
    "binaries": _BALMER
    | {"Mg b1": 5183.60, "Mg b2": 5172.68, "Mg b4": 5167.32, "Fe I 4957": 4957.60, "Fe I 5270": 5269.54}
    | {"Fe I 5328": 5328.04, "Li I": 6707.81, "Ca I": 6162.17},
    "mstars": _BALMER
    | {"Na D2": 5889.95, "Na D1": 5895.92, "Ca I": 4226.73, "CaOH": 6230.0, "CaH": 6750.0}
    | {"TiO 7053": 7053.0, "VO": 7334.0, "K I 7665": 7664.90, "K I 7699": 7698.96, "TiO 7589": 7589.0}
    | {"Na I 8183": 8183.26, "Na I 8195": 8194.82, "Ca II 8498": 8498.02, "Ca II 8542": 8542.09}
    | {"Ca II 8662": 8662.14},
    "emission": _BALMER
    | {"[N II] 6548": 6548.05, "[N II] 6583": 6583.45, "He I 6678": 6678.15, "He I 5876": 5875.62}
    | {"[O III] 4959": 4958.91, "[O III] 5007": 5006.84, "[S II] 6716": 6716.44, "[S II] 6731": 6730.82}
    | {"Fe II 5018": 5018.44, "Fe II 5169": 5169.03, "Fe II 5317": 5316.61},
    "bhb": _BALMER
    | {"Hε": 3970.08, "H8": 3889.06, "Ca II K": 3933.66, "Mg II": 4481.13, "He I 4471": 4471.48}
    | {"He I 5876": 5875.62, "Mg b": 5183.60},
}
WINDOWS = {  # what the page zooms to, vacuum Angstrom
    "binaries": (5150.0, 5290.0),
    "mstars": (6500.0, 7300.0),
    "emission": (float(WAVELENGTH[0]), float(WAVELENGTH[-1])),
    "bhb": (3830.0, 4960.0),
}

# What is shown of a row, in this order; None: every column that is one value. name_err joins name.
_SHOWN: dict[str, tuple[str, ...] | None] = {
    "binaries": (
        *("object_id", "multiplicity", "snr", "rv_1", "rv_2", "rv_3", "reliability", "n_ccf_components"),
        *("sigma", "converged", "ccf_max", "template"),
        *(column.name for column in BINARIES_SPECTRA.columns if column.name.startswith("p_c")),
        *("suspect_moonlight", "suspect_crosstalk", "crosstalk_partner", "barycentric_correction"),
        *("gaia_source_id", "gaia_g_mean_mag", "band", "obsid", "lmjd", "file"),
    ),
    "mstars": (
        *("designation", "obsdate", "snr", "snrr", "p_m", "score", "best_rank", "hamming_distance"),
        *("n_queries", "subclass", "subtype", "rv", "ewha", "snr_ha", "active", "tio5", "cah2", "cah3"),
        *("zeta", "giant", "giant_evidence", "giant_log_odds", "phot_g_mean_mag", "bp_rp", "m_g", "j", "h"),
        *("k", "distance", "n_bad", "defective", "gaia_source_id", "obsid", "file"),
    ),
    "emission": None,
    "bhb": None,
}
_PLACE = ("spectrum_id", "band", "bundle", "row", "ra", "dec")
# Where a table carries none; one name may have another unit in another path.
_UNITS = {
    path: {column.name: column.unit for column in schema.columns}
    for path, schema in {
        "binaries": BINARIES_SPECTRA,
        "mstars": MSTARS,
        "emission": EMISSION,
        "bhb": BHB,
    }.items()
}
_PROBABILITIES = dict(zip(CLASSES, ("p_single", "p_double", "p_uninteresting"), strict=True))
_ROUND = re.compile(r"round-(\d+)$")


def spectral_lines() -> dict[str, list[dict[str, Any]]]:
    """The lines of each path: name and vacuum wavelength, Angstrom, ascending."""
    return {
        path: [
            {"name": name, "wavelength": round(float(air_to_vacuum(np.array(air))), 2)}
            for name, air in sorted(lines.items(), key=lambda line: line[1])
        ]
        for path, lines in _LINES.items()
    }


@dataclass(frozen=True)
class Place:
    """Where a spectrum is: `position` is counted through the bundle, `row` in its record batch."""

    spectrum_id: str
    survey: str
    bundle: str
    position: int
    batch: int
    row: int


@dataclass
class Queue:
    """Candidates of a path in the order in which people see them."""

    id: str
    path: str
    title: str
    group: str  # candidates or round
    file: Path
    ids: tuple[str, ...]
    rows: np.ndarray | None  # (n,) of the file's rows, where it holds a spectrum twice; None: all
    _last: tuple[int, dict[str, Any]] = field(default=(-1, {}), repr=False)  # the row asked for last

    @classmethod
    def open(cls, id: str, path: str, title: str, group: str, file: Path) -> Queue:
        """Read the names of the candidates; each is kept where it first comes."""
        try:
            ids = pq.read_table(file, columns=["spectrum_id"])["spectrum_id"].combine_chunks()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ResultsError(f"{file}: not a table of candidates with spectrum_id ({error})") from error
        # Indices into the distinct values count up where a value is new.
        codes = ids.dictionary_encode().indices.to_numpy()
        first = np.unique(codes, return_index=True)[1]
        rows = None if len(first) == len(codes) else np.sort(first)
        ids = ids if rows is None else ids.take(rows)
        return cls(id, path, title, group, file, tuple(ids.to_pylist()), rows)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Of each spectrum its position."""
        return {name: at for at, name in enumerate(self.ids)}

    @cached_property
    def table(self) -> pa.Table:
        """The columns that say where a spectrum is and what is shown of it, a row a candidate."""
        schema = pq.read_schema(self.file)
        shown = _SHOWN[self.path]
        names = schema.names if shown is None else [n for s in shown for n in (s, *_error_names(s))]
        names = [
            name
            for name in dict.fromkeys([*_PLACE, *names])
            if name in schema.names and not pa.types.is_nested(schema.field(name).type)
        ]
        table = pq.read_table(self.file, columns=names)
        if self.rows is not None and len(self.rows) <= table.num_rows:
            table = table.take(self.rows)
        if tuple(table["spectrum_id"].to_pylist()) != self.ids:
            raise ResultsError(f"{self.file}: it was written again; restart the review app to see it")
        return table.combine_chunks()

    def value(self, name: str, position: int) -> Any:
        """One value of the table; None where it is null, NaN, or there is no such column."""
        at, row = self._last
        if at != position:
            row = self.table.slice(position, 1).to_pylist()[0]
            self._last = position, row
        value = row.get(name)
        return None if isinstance(value, float) and not math.isfinite(value) else value


class Results:
    """A folder of results as the review app shows it.

    Parameters
    ----------
    folder : results of a run; what a path has not made yet is not shown

    Raises
    ------
    ResultsError : there is no such folder
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ResultsError(f"{folder}: no such folder; name the results of a run, such as results")
        self._queues: dict[str, Queue] = {}
        self._lock = threading.RLock()  # Arrow's readers are not made for several threads
        self._places: dict[str, tuple[list[str], np.ndarray]] = {}
        self._neighbours: dict[str, _Neighbours] = {}
        self.item: Callable[[str, int], dict[str, Any]] = lru_cache(ITEMS)(self._item)
        self._index = lru_cache(FILES)(self._read_index)
        self._open = lru_cache(FILES)(self._open_file)
        self._batch = lru_cache(BATCHES)(self._read_batch)
        self._codes = lru_cache(FILES)(self._read_codes)
        self._known_star = lru_cache(STARS)(self._read_known_star)

    def queues(self) -> dict[str, Queue]:
        """All queues by name; files that have come since the last call are added."""
        found = [
            ("binaries-spectra", "binaries", "Binaries", "candidates", "catalogs/binaries_spectra.parquet"),
            ("mstars-vetting", "mstars", "M stars to vet", "candidates", "catalogs/mstars_vetting.parquet"),
            ("mstars-catalog", "mstars", "M stars, catalogue", "candidates", "catalogs/mstars.parquet"),
            ("emission-candidates", "emission", "Emission", "candidates", "catalogs/emission.parquet"),
            ("bhb-candidates", "bhb", "Blue horizontal branch", "candidates", "catalogs/bhb.parquet"),
        ]
        for file in sorted(self.folder.glob("emission/round-*/query.parquet")):
            if number := _ROUND.search(file.parent.name):
                id, title = f"emission-round-{number[1]}", f"Emission, round {int(number[1])}"
                found.append((id, "emission", title, "round", f"emission/{file.parent.name}/query.parquet"))
        with self._lock:
            for id, path, title, group, name in found:
                if id not in self._queues and (self.folder / name).is_file():
                    self._queues[id] = Queue.open(id, path, title, group, self.folder / name)
            return dict(self._queues)

    def queue(self, id: str) -> Queue:
        """The queue of a name; NotFoundError where there is none."""
        queue = self._queues.get(id) or self.queues().get(id)
        if queue is None:
            raise NotFoundError(f"there is no queue {id!r}; queues: {', '.join(self._queues) or 'none'}")
        return queue

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings of the run, empty where its provenance is not written yet."""
        try:
            return dict(json.loads((self.folder / "provenance.json").read_text())["settings"])
        except (OSError, ValueError, KeyError):
            return {}

    # -- one item ----------------------------------------------------------------------------------------

    def _item(self, id: str, position: int) -> dict[str, Any]:
        """All that is shown of one candidate but its labels; see docs/review.md.

        Raises
        ------
        NotFoundError : there is no such queue or position
        ResultsError : its spectrum cannot be read
        """
        queue = self.queue(id)
        if not 0 <= position < len(queue.ids):
            raise NotFoundError(f"{id} has positions 0 to {len(queue.ids) - 1}, not {position}")
        name = queue.ids[position]
        with self._lock:
            place = self.place(queue, position)
            ra, dec = (queue.value(key, position) for key in ("ra", "dec"))
            if place is not None and (ra is None or dec is None):
                ra, dec = self._coordinates(place)
            return {
                "position": position,
                "spectrum_id": name,
                "path": queue.path,
                "title": queue.value("designation", position) or name,
                "metadata": self._metadata(queue, position),
                "ra": ra,
                "dec": dec,
                "links": links(name, queue.value("obsid", position), ra, dec),
                **self._spectrum(name, place),
                "rv": queue.value("rv_1" if queue.path == "binaries" else "rv", position),
                "others": self._others(queue, position),
                "extras": self._extras(queue, position, place),
            }

    def other(self, id: str, position: int, key: str) -> dict[str, Any]:
        """The spectrum of another exposure of a candidate's star, by the key that its item gives."""
        keys = [str(other["key"]) for other in self.item(id, position)["others"]]
        if key not in keys:
            raise NotFoundError(f"{id}, position {position}: there is no other exposure {key!r}")
        with self._lock:
            name, band, survey, bundle = self._neighbours[id].exposure(int(key))
            place = self._find(survey, bundle, name, band)
            return {"spectrum_id": name, **self._spectrum(name, place)}

    def spectrum(self, id: str, position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vacuum wavelength (Angstrom), flux, and error (NaN where unknown) of the pixels that are shown."""
        queue = self.queue(id)
        with self._lock:
            place = self.place(queue, position)
            if place is None:
                raise ResultsError(_unpacked(queue.ids[position]))
            wavelength, flux, error, good, _ = self._pixels(place)
        return wavelength[good], flux[good], np.where(error[good] > 0, error[good], np.nan)

    def place(self, queue: Queue, position: int) -> Place | None:
        """Where the spectrum of a candidate is packed; None where it is in no bundle."""
        bundles, codes = self._bundles_of(queue)
        if codes[position] < 0:
            return None
        bundle = bundles[codes[position]]
        survey = self._surveys.get(bundle)
        if survey is None:
            return None
        name = queue.ids[position]
        row = queue.value("row", position)
        if row is None:
            return self._find(survey, bundle, name, queue.value("band", position))
        index = self._index(survey, bundle)
        if not 0 <= row < index.num_rows:
            raise ResultsError(
                f"{queue.file}: {name} is in row {row} of {bundle}, which has {index.num_rows}"
            )
        return Place(name, survey, bundle, row, index["batch"][row].as_py(), index["row"][row].as_py())

    # -- where spectra are -------------------------------------------------------------------------------

    @cached_property
    def _surveys(self) -> dict[str, str]:
        """The survey of each packed bundle."""
        return {file.stem: file.parent.name for file in sorted(self.folder.glob("spectra/*/*.arrow"))}

    def _manifests(self, path: str) -> list[Path]:
        """Manifests of packed surveys, that of the path's own survey first."""
        own = self.settings.get(path, {}).get("survey", "")
        surveys = sorted(set(self._surveys.values()), key=lambda name: (name != own, name))
        files = [self.folder / "manifest" / f"{name}.parquet" for name in surveys]
        return [file for file in files if file.is_file()]

    def _bundles_of(self, queue: Queue) -> tuple[list[str], np.ndarray]:
        """Names of bundles, and for each candidate which of them it is in, -1 for none."""
        if queue.id not in self._places:
            if "bundle" in queue.table.column_names:
                coded = queue.table["bundle"].combine_chunks().dictionary_encode()
                codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
                self._places[queue.id] = coded.dictionary.to_pylist(), codes
            else:
                self._places[queue.id] = self._look_up(queue)
        return self._places[queue.id]

    def _look_up(self, queue: Queue) -> tuple[list[str], np.ndarray]:
        table = queue.table
        wanted = table["spectrum_id"].combine_chunks()
        bands = table["band"].to_numpy() if "band" in table.column_names else None
        names: dict[str, int] = {}
        codes = np.full(len(wanted), -1, np.int32)
        for manifest in self._manifests(queue.path):
            for part in _batches(manifest, ["spectrum_id", "band", "bundle"]):
                at = pc.index_in(part["spectrum_id"], value_set=wanted)
                hits = np.flatnonzero(pc.is_valid(at).to_numpy(zero_copy_only=False))
                places = at.take(pa.array(hits)).to_numpy()
                if bands is not None:
                    same = part["band"].to_numpy(zero_copy_only=False)[hits] == bands[places]
                    hits, places = hits[same], places[same]
                for place, bundle in zip(
                    places, part["bundle"].take(pa.array(hits)).to_pylist(), strict=True
                ):
                    if codes[place] < 0:
                        codes[place] = names.setdefault(bundle, len(names))
            if (codes >= 0).all():
                break
        return list(names), codes

    def _find(self, survey: str, bundle: str, name: str, band: str | None) -> Place | None:
        index = self._index(survey, bundle)
        wanted = pc.equal(index["spectrum_id"], name)
        if band is not None:
            wanted = pc.and_(wanted, pc.equal(index["band"], band))
        row = pc.index(wanted, True).as_py()
        if row < 0:
            return None
        return Place(name, survey, bundle, row, index["batch"][row].as_py(), index["row"][row].as_py())

    def _read_index(self, survey: str, bundle: str) -> pa.Table:
        file = self.folder / "spectra" / survey / f"{bundle}.parquet"
        return pq.read_table(file, columns=["spectrum_id", "band", "batch", "row"]).combine_chunks()

    def _coordinates(self, place: Place) -> tuple[float | None, float | None]:
        file = self.folder / "spectra" / place.survey / f"{place.bundle}.arrow"
        record = self._record(file, place, ("ra", "dec"))
        return record["ra"][0].as_py(), record["dec"][0].as_py()

    # -- what is read of it ------------------------------------------------------------------------------

    def _open_file(self, file: Path, columns: tuple[str, ...]) -> pa.RecordBatchFileReader:
        source = pa.memory_map(str(file))
        schema = pa.ipc.open_file(source).schema
        fields = [schema.get_field_index(name) for name in ("spectrum_id", *columns)]
        # One thread: two are no faster, and slower where both cores are busy.
        options = pa.ipc.IpcReadOptions(included_fields=sorted(fields), use_threads=False)
        return pa.ipc.open_file(source, options=options)

    def _read_batch(self, file: Path, columns: tuple[str, ...], number: int) -> pa.RecordBatch:
        return self._open(file, columns).get_batch(number)

    def _record(
        self, file: Path, place: Place, columns: tuple[str, ...], *, keep: bool = False
    ) -> pa.RecordBatch:
        """One row of an Arrow file with the bundle's record batches; `keep`: its neighbours come next."""
        try:
            read = self._batch if keep else self._read_batch
            record = read(file, columns, place.batch).slice(place.row, 1)
            found = record["spectrum_id"][0].as_py() if record.num_rows else None
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ResultsError(f"{file}: cannot be read; make it again ({error})") from error
        if found != place.spectrum_id:
            raise ResultsError(
                f"{file}: where {place.spectrum_id} was is {found}; the results were made again, restart "
                "the review app"
            )
        return record

    def _pixels(self, place: Place) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        file = self.folder / "spectra" / place.survey / f"{place.bundle}.arrow"
        return _decode(self._record(file, place, SPECTRUM, keep=True))

    def _spectrum(self, name: str, place: Place | None) -> dict[str, Any]:
        if place is None:
            raise ResultsError(_unpacked(name))
        _, flux, error, good, grid = self._pixels(place)
        return {
            "spectrum": grid,
            "flux": floats(flux),
            "error": floats(error) if error.any() else None,
            "good": _base64(good.astype(np.uint8)),
        }

    def _metadata(self, queue: Queue, position: int) -> list[dict[str, str]]:
        table = queue.table
        chosen = _SHOWN[queue.path] or [name for name in table.column_names if name not in _PLACE]
        errors = {error for name in table.column_names for error in _error_names(name)}
        shown = []
        for name in chosen:
            value = None if name in errors else queue.value(name, position)
            if value is None:
                continue
            text = _text(name, value)
            error = next((e for n in _error_names(name) if (e := queue.value(n, position)) is not None), None)
            if error is not None:
                text += f" ± {error:.3g}"
            own = (table.schema.field(name).metadata or {}).get(b"unit", b"").decode()
            unit = own or _UNITS[queue.path].get(name, "")
            shown.append({"name": name, "value": text, "unit": unit})
        return shown

    def _others(self, queue: Queue, position: int) -> list[dict[str, Any]]:
        if queue.id not in self._neighbours:
            self._neighbours[queue.id] = _Neighbours(queue, self._manifests(queue.path))
        return self._neighbours[queue.id].of(position)

    def _extras(self, queue: Queue, position: int, place: Place | None) -> dict[str, Any]:
        if queue.path == "emission":
            return self._emission_extras(queue, position)
        if place is None:
            return {}
        make = {"binaries": self._curves, "mstars": self._nearest, "bhb": self._images}[queue.path]
        return make(queue, position, place)

    def _emission_extras(self, queue: Queue, position: int) -> dict[str, Any]:
        found = {label: queue.value(name, position) for label, name in _PROBABILITIES.items()}
        return {
            "probabilities": {label: p for label, p in found.items() if p is not None},
            "window": list(WINDOWS["emission"]),
            "score": queue.value("score", position),
        }

    def _curves(self, queue: Queue, position: int, place: Place) -> dict[str, Any]:
        """The CCF and its derivatives as the search for peaks saw them."""
        file = self.folder / "binaries/ccf" / f"{place.bundle}.arrow"
        sigma = queue.value("sigma", position)
        if sigma is None or not file.is_file():
            return {}
        ccf = self._record(file, place, ("ccf",))["ccf"].flatten().to_numpy()
        metadata = self._open(file, ("ccf",)).schema.metadata
        first, step, count = (float(metadata[key]) for key in VELOCITY_KEYS)
        peaks = {"sigma_start": 13.0, "ccf_threshold": 0.60, "d2_threshold": 0.40}
        peaks |= {k: self.settings.get("binaries", {}).get("peaks", {}).get(k, v) for k, v in peaks.items()}
        velocity = first + step * np.arange(int(count))
        basis = _basis(first, step, int(count), peaks["sigma_start"])
        smooth, d2, d3 = (a[0] for a in smoothed_derivatives(ccf[None] @ basis.analysis, basis, sigma))
        middle = 0.5 * (velocity[1:] + velocity[:-1])
        return {
            "velocity": floats(velocity),
            "ccf": floats(ccf),
            "smooth": floats(smooth),
            "d1": floats(np.gradient(smooth, velocity)),
            "d2": floats(d2),
            "d3": floats(np.interp(velocity, middle, d3)),
            "ccf_threshold": _level(smooth, peaks["ccf_threshold"]),
            "d2_threshold": _level(d2, peaks["d2_threshold"]),
            "rv": [v for i in (1, 2, 3) if (v := queue.value(f"rv_{i}", position)) is not None],
            "sigma": sigma,
        }

    def _read_codes(self, file: Path) -> pa.ChunkedArray:
        return pq.read_table(file, columns=["code"])["code"]

    @cached_property
    def _known(self) -> tuple[pa.Table, np.ndarray] | None:
        """The queries of the M-star search: their row in the sample, name and subclass; and codes."""
        file = self.folder / "mstars/reference.parquet"
        if not (file.is_file() and (self.folder / "mstars/sample.arrow").is_file()):
            return None
        table = pq.read_table(file, columns=["spectrum_id", "role", "subclass", "is_copy", "code"])
        # The reference begins with the sample, row by row; noisy copies follow.
        table = table.append_column("row", pa.array(np.arange(table.num_rows)))
        query = pc.and_(pc.not_equal(table["role"], "negative"), pc.invert(table["is_copy"]))
        table = table.filter(query)
        codes = np.frombuffer(b"".join(table["code"].to_pylist()), np.uint8)
        return table.drop_columns(["code"]).combine_chunks(), codes.reshape(table.num_rows, -1)

    def _nearest(self, queue: Queue, position: int, place: Place) -> dict[str, Any]:
        """The known M stars whose codes are nearest, with their spectra."""
        file = self.folder / "mstars/codes" / f"{place.bundle}.parquet"
        if self._known is None or not file.is_file():
            return {"nearest": []}
        known, codes = self._known
        code = self._codes(file)[place.position].as_py()
        if code is None or len(code) != codes.shape[1]:
            return {"nearest": []}
        distance = np.bitwise_count(codes ^ np.frombuffer(code, np.uint8)).sum(axis=1)
        nearest = []
        for at in np.argsort(distance, kind="stable")[:NEAREST].tolist():
            about = {"distance": int(distance[at]), "subclass": known["subclass"][at].as_py()}
            star = self._known_star(known["row"][at].as_py(), known["spectrum_id"][at].as_py())
            nearest.append(about | star)
        return {"nearest": nearest}

    def _read_known_star(self, row: int, name: str) -> dict[str, Any]:
        """The spectrum of a row of the M-star sample."""
        batch = int(np.searchsorted(self._sample_ends, row, side="right"))
        start = int(self._sample_ends[batch - 1]) if batch else 0
        place = Place(name, "", "", row, batch, row - start)
        columns = ("log10_lambda0", "dlog10_lambda", "wavelength", "flux")
        record = self._record(self.folder / "mstars/sample.arrow", place, columns)
        return {"spectrum_id": name, **_grid(record)[1], "flux": floats(record["flux"].flatten().to_numpy())}

    @cached_property
    def _sample_ends(self) -> np.ndarray:
        reader = self._open(self.folder / "mstars/sample.arrow", ("status",))
        return np.cumsum([reader.get_batch(i).num_rows for i in range(reader.num_record_batches)])

    def _images(self, queue: Queue, position: int, place: Place) -> dict[str, Any]:
        """The cutouts in ugriz."""
        file = self.folder / "bhb/cutouts" / place.survey / f"{place.bundle}.parquet"
        if not file.is_file():
            return {}
        wanted = [("spectrum_id", "=", place.spectrum_id)]
        table = pq.read_table(file, columns=["shape", "image"], filters=wanted, partitioning=None)
        if not table.num_rows or not table["image"][0].is_valid:  # its status says why
            return {}
        shape = table["shape"][0].as_py()
        image = table["image"][0].values.to_numpy(zero_copy_only=False).astype(np.float32)
        if len(shape) != 3 or shape[0] != 5 or math.prod(shape) != image.size:
            raise ResultsError(
                f"{file}: the image of {place.spectrum_id} has {image.size} pixels and shape {shape}; "
                "expected five bands, height, width"
            )
        bands = image.reshape(shape)
        return {"bands": list("ugriz"), "shape": shape[1:], "images": [floats(band) for band in bands]}


class _Neighbours:
    """Exposures of the stars of a queue in all packed surveys of the kind of its spectra."""

    def __init__(self, queue: Queue, manifests: Sequence[Path]) -> None:
        self.ids, self.tree = queue.ids, None
        n = len(queue.ids)
        ra, dec = (
            _numbers(queue.table[name]) if name in queue.table.column_names else np.full(n, np.nan)
            for name in ("ra", "dec")
        )
        self.vectors = _vectors(ra, dec)
        self.radius = 2.0 * math.sin(math.radians(MATCH / 3600.0) / 2.0)
        placed = np.isfinite(self.vectors).all(axis=1)
        if not placed.any():
            return
        stars = cKDTree(self.vectors[placed])
        kind = _kind(queue.ids[0])
        names = ["spectrum_id", "band", "bundle", "ra", "dec", "snr", "lmjd", "lmjm"]
        tables = []
        # A survey goes by in parts; only what is near a candidate stays.
        for manifest in manifests:
            for part in _batches(manifest, names):
                if part.num_rows and _kind(part["spectrum_id"][0].as_py()) != kind:
                    break
                there = _vectors(_numbers(part["ra"]), _numbers(part["dec"]))
                known = np.flatnonzero(np.isfinite(there).all(axis=1))
                distance = stars.query(there[known], distance_upper_bound=self.radius)[0]
                near = pa.array(known[np.isfinite(distance)])
                table = pa.Table.from_batches([part]).take(near)
                survey = pa.array([manifest.stem] * len(near), pa.string())
                tables.append(table.append_column("survey", survey))
        if tables:
            self.table = pa.concat_tables(tables).combine_chunks()
            if self.table.num_rows:
                self.tree = cKDTree(_vectors(self.table["ra"].to_numpy(), self.table["dec"].to_numpy()))

    def of(self, position: int) -> list[dict[str, Any]]:
        """The other exposures of one candidate, by time."""
        vector = self.vectors[position]
        if self.tree is None or not np.isfinite(vector).all():
            return []
        at = pa.array(self.tree.query_ball_point(vector, self.radius), pa.int64())
        rows = self.table.take(at).append_column("key", at).to_pylist()
        others: dict[
            tuple[str, str], dict[str, Any]
        ] = {}  # one for each exposure, also where two surveys have it
        for row in sorted(rows, key=lambda r: (r["lmjd"] or 0, r["lmjm"] or 0, r["spectrum_id"])):
            if row["spectrum_id"] != self.ids[position]:
                date = None if row["lmjd"] is None else str(MJD_EPOCH + row["lmjd"])
                others.setdefault(
                    (row["spectrum_id"], row["band"]),
                    {
                        "key": str(row["key"]),
                        "spectrum_id": row["spectrum_id"],
                        "date": date,
                        "snr": None if row["snr"] is None else round(row["snr"], 2),
                    },
                )
        return list(others.values())

    def exposure(self, key: int) -> tuple[str, str, str, str]:
        """Name, band, survey and bundle of an exposure."""
        row = self.table.slice(key, 1).to_pylist()[0]
        return row["spectrum_id"], row["band"], row["survey"], row["bundle"]


def links(name: str, obsid: int | None, ra: float | None, dec: float | None) -> list[dict[str, str]]:
    """Pages about a star elsewhere, opened only when a person follows them.

    LAMOST numbers observations alike in all releases, so that a spectrum is found in any that has it.
    """
    found = []
    if ra is not None and dec is not None:
        where = f"{ra:.6f} {dec:+.6f}"
        query = {"Coord": where, "Radius": f"{MATCH:g}", "Radius.unit": "arcsec"}
        found = [
            {"name": "SIMBAD", "url": f"https://simbad.cds.unistra.fr/simbad/sim-coo?{urlencode(query)}"},
            {
                "name": "Aladin Lite",
                "url": "https://aladin.cds.unistra.fr/AladinLite/?"
                + urlencode({"target": where, "fov": "0.05"}),
            },
        ]
    if obsid is not None and not is_sdss_name(name):
        page = "medspectrum" if name.startswith("med-") else "spectrum"
        url = f"https://www.lamost.org/dr10/v2.0/{page}/view?{urlencode({'obsid': obsid})}"
        found.append({"name": "LAMOST archive", "url": url})
    return found


def floats(values: np.ndarray) -> str:
    """Base64 of little-endian float32."""
    return _base64(np.ascontiguousarray(values, "<f4"))


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _decode(record: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
    """Wavelength, flux, error, and which pixels to show, of the one spectrum of a record; its `_grid`.

    Shown are also fluxes that the survey gave no weight, such as LAMOST's strong emission lines; their error
    is 0.
    """
    status = record["status"][0].as_py()
    if status != OK:
        raise ResultsError(f"{record['spectrum_id'][0].as_py()} could not be used: {status}")
    flux, ivar, mask = (record[name].flatten().to_numpy() for name in ("flux", "ivar", "mask"))
    weighed = ivar > 0
    error = np.zeros_like(flux)
    error[weighed] = 1.0 / np.sqrt(ivar[weighed])
    good = ((mask & ~np.uint8(MASK_IVAR)) == 0) & (weighed | (flux != 0))
    wavelength, grid = _grid(record)
    return wavelength, flux, error, good, grid


def _grid(record: pa.RecordBatch) -> tuple[np.ndarray, dict[str, Any]]:
    """Vacuum wavelengths (n,) of the one spectrum of a record, and how the page gets them."""
    n = len(record["flux"].flatten())
    start, step = record["log10_lambda0"][0].as_py(), record["dlog10_lambda"][0].as_py()
    if start is None:
        wavelength = record["wavelength"].flatten().to_numpy()
        return wavelength, {"n": n, "wavelength": floats(wavelength)}
    return 10.0 ** (start + step * np.arange(n)), {"n": n, "log10_lambda0": start, "dlog10_lambda": step}


def _batches(file: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """A Parquet file in parts of those columns that it has."""
    parquet = pq.ParquetFile(file)
    names = [name for name in columns if name in parquet.schema_arrow.names]
    yield from parquet.iter_batches(131_072, columns=names)


def _unpacked(name: str) -> str:
    return f"the spectrum of {name} is in no bundle of results/spectra; run the pack stage of its survey"


def _vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Unit vectors (n, 3) of coordinates in degrees."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)


def _numbers(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """float64 (n,), NaN where there is none."""
    values: np.ndarray = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return values


def _kind(name: str) -> str:
    return "sdss" if is_sdss_name(name) else name.partition("-")[0]


@lru_cache(4)
def _basis(first: float, step: float, count: int, sigma_start: float) -> CosineBasis:
    return cosine_basis(first + step * np.arange(count), sigma_start)


def _level(curve: np.ndarray, fraction: float) -> float:
    """The height at a fraction of a curve's range."""
    low, high = float(curve.min()), float(curve.max())
    return low + fraction * (high - low)


def _error_names(name: str) -> tuple[str, str, str]:
    """How the error of a column may be called; that of rv_1 is rv_err_1."""
    stem, _, number = name.rpartition("_")
    return f"{name}_err", f"{name}_error", f"{stem}_err_{number}"


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6f}" if name in ("ra", "dec") else f"{value:.4g}"
    return str(value)
