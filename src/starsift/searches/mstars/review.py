"""The nearest known M stars of M star candidates in the review app, and velocity templates."""

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import ResultsError
from starsift.searches.base import BALMER, Brief, Models, Panels, View, measured
from starsift.searches.mstars.columns import MSTARS
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import OK, SpectrumBatch
from starsift.spectra.resample import LAMOST_LRS
from starsift.spectra.rows import Place, RowReader, read_grid

NEAREST = 5  # M stars shown beside a candidate
_TEMPLATES = ("model_set/templates.parquet", "templates.parquet")
FILES = 8  # codes of bundles in memory
STARS = 500  # known M stars in memory, 21 kB each: the same ones come again and again
_SPECTRUM = ("log10_lambda0", "dlog10_lambda", "wavelength", "flux")


class _Neighbours:
    """Finds the known M stars nearest to a candidate in Hamming distance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mstars"
        self.sample = self.folder / "sample.arrow"
        self.reader = RowReader()
        self._codes = lru_cache(FILES)(_read_codes)
        self._star = lru_cache(STARS)(self._read_star)

    def panels(self, row: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """The nearest stars with their spectra; none where the candidate has no code."""
        file = self.folder / "codes" / f"{place.bundle}.parquet"
        if self._queries is None or not file.is_file():
            return {"nearest": []}
        stars, codes = self._queries
        code = self._codes(file)[place.position].as_py()
        if code is None or len(code) != codes.shape[1]:
            return {"nearest": []}
        distance = np.bitwise_count(codes ^ np.frombuffer(code, np.uint8)).sum(axis=1)
        nearest = []
        for at in np.argsort(distance, kind="stable")[:NEAREST].tolist():
            star = stars.slice(at, 1).to_pylist()[0]
            about = {"distance": int(distance[at]), "subclass": star["subclass"]}
            nearest.append(about | self._star(star["row"], star["spectrum_id"]))
        return {"nearest": nearest}

    @cached_property
    def _queries(self) -> tuple[pa.Table, np.ndarray] | None:
        """The queries of the search: their row in the sample, name and subclass; and codes (n, bytes)."""
        file = self.folder / "reference.parquet"
        if not (file.is_file() and self.sample.is_file()):
            return None
        table = pq.read_table(file, columns=["spectrum_id", "role", "subclass", "is_copy", "code"])
        # The reference begins with the sample, row by row; noisy copies follow.
        table = table.append_column("row", pa.array(np.arange(table.num_rows)))
        is_query = pc.and_(pc.not_equal(table["role"], "negative"), pc.invert(table["is_copy"]))
        table = table.filter(is_query)
        codes = np.frombuffer(b"".join(table["code"].to_pylist()), np.uint8)
        return table.drop_columns(["code"]).combine_chunks(), codes.reshape(table.num_rows, -1)

    def _read_star(self, row: int, name: str) -> dict[str, Any]:
        """The spectrum in a row of the sample."""
        batch = int(np.searchsorted(self._batch_ends, row, side="right"))
        start = int(self._batch_ends[batch - 1]) if batch else 0
        record = self.reader.row(self.sample, Place(name, "", "", row, batch, row - start), _SPECTRUM)
        return {"spectrum_id": name, **read_grid(record)[1], "flux": record["flux"].flatten().to_numpy()}

    @cached_property
    def _batch_ends(self) -> np.ndarray:
        reader = self.reader.open(self.sample, ("status",))
        return np.cumsum([reader.get_batch(i).num_rows for i in range(reader.num_record_batches)])


def _read_codes(file: Path) -> pa.ChunkedArray:
    return pq.read_table(file, columns=["code"])["code"]


def make_panels(folder: Path, settings: Mapping[str, Any]) -> Panels:
    """A function that gives the known M stars nearest to a candidate."""
    return _Neighbours(folder).panels


def make_models(folder: Path, settings: Mapping[str, Any]) -> Models:
    """A function that gives the velocity template of a candidate, at its velocity.

    Raises ResultsError if the run has no templates.
    """
    file = next((file for name in _TEMPLATES if (file := folder / "mstars" / name).is_file()), None)
    if file is None:
        raise ResultsError(
            f"{folder / 'mstars' / _TEMPLATES[0]}: no such file; run the search for M stars first"
        )
    table = pq.read_table(file)
    templates = dict(zip(table["name"].to_pylist(), np.array(table["flux"].to_pylist()), strict=True))

    def models(row: Mapping[str, Any], batch: SpectrumBatch) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        wavelength, name, rv = batch.wavelength[0], row.get("template"), row.get("rv")
        if name not in templates or rv is None:
            return wavelength, {}
        template = np.interp(wavelength, LAMOST_LRS.wavelength * (1 + rv / C_KMS), templates[name])
        scaled = scale_template(batch.flux[0], batch.ivar[0], template)
        return wavelength, {f"velocity template {name}, {rv:.0f} km/s": scaled}

    return models


def scale_template(flux: np.ndarray, ivar: np.ndarray, template: np.ndarray) -> np.ndarray:
    """A template (n,) times the cubic polynomial in the pixel that fits it best to a spectrum (n,)."""
    powers = np.vander(np.linspace(-1, 1, flux.size), 4) * template[:, None]
    root = np.sqrt(ivar)
    scaled: np.ndarray = powers @ np.linalg.lstsq(powers * root[:, None], flux * root, rcond=None)[0]
    return scaled


# Band heads of molecules: Kirkpatrick et al. 1991 (ApJS 77, 417), CaOH Reid et al. 1995 (AJ 110, 1838).
def brief(row: Mapping[str, Any]) -> Brief:
    """An M star in a line."""
    kind = {0: "M dwarf", 1: "M giant", None: "M star"}[row.get("giant")]
    active = "; active" if row.get("active") else ""
    shown = [row.get("subclass") or "", f"rv {rv}" if (rv := measured(row, "rv", 0, "km/s")) else ""]
    shown += [f"TiO5 {tio5}" if (tio5 := measured(row, "tio5", 2)) else ""]
    shown += [f"EW(Hα) {width}, emission positive" if (width := measured(row, "ewha", 1, "Å")) else ""]
    why = "molecular bands of an M star"
    if row.get("hamming_distance") is not None:
        bits, nearest = row["hamming_distance"], row["nearest_query"]
        why = f"its code differs in {bits} bits from that of the M star {nearest}"
    return Brief(kind, row.get("p_m"), "; ".join(filter(None, shown)) + active, why)


def story(folder: Path, stages: Mapping[str, dict[str, Any]], settings: Mapping[str, Any]) -> Iterator[str]:
    """What codes and measurements say of a spectrum."""
    pool, measured_ = stages.get("mstars/pool.parquet", {}), stages.get("measurements", {})
    if pool.get("status", OK) != OK:
        yield f"no code: {pool['status']}"
    elif pool:
        limits = settings.get("search", {}), settings.get("catalog", {})
        chosen = (
            f"{pool['n_queries']} known M stars have it among their nearest spectra"
            if pool["n_queries"]
            else "no known M star has it among its nearest spectra"
        )
        yield f"code: {chosen}; {pool['n_bad']} bad pixels{', gaps' if pool['defective'] else ''}"
        yield (
            f"score {pool['score']:.1f}: p(M star) = {pool['p_m']:.3f}; measured from "
            f"{limits[0].get('probability', 0.1)} on, published from {limits[1].get('probability', 0.5)} on"
        )
    if measured_:
        values = [measured_.get("subclass") or "no subtype", measured(measured_, "rv", 0, "km/s")]
        values += [
            f"{name} {text}" for name in ("tio5", "cah2", "cah3") if (text := measured(measured_, name, 2))
        ]
        yield f"measured: {', '.join(filter(None, values))}; the catalogue has those of type M"


VIEW = View(
    lines=BALMER
    | {"Na D2": 5889.95, "Na D1": 5895.92, "Ca I": 4226.73, "CaOH": 6230.0, "CaH": 6750.0}
    | {"TiO 7053": 7053.0, "VO": 7334.0, "K I 7665": 7664.90, "K I 7699": 7698.96, "TiO 7589": 7589.0}
    | {"Na I 8183": 8183.26, "Na I 8195": 8194.82, "Ca II 8498": 8498.02, "Ca II 8542": 8542.09}
    | {"Ca II 8662": 8662.14},
    window=(6500.0, 7300.0),
    columns=(
        *("designation", "obsdate", "snr", "snrr", "p_m", "score", "best_rank", "hamming_distance"),
        *("n_queries", "subclass", "subtype", "rv", "ewha", "snr_ha", "active", "tio5", "cah2", "cah3"),
        *("zeta", "giant", "giant_evidence", "giant_log_odds", "phot_g_mean_mag", "bp_rp", "m_g", "j", "h"),
        *("k", "distance", "n_bad", "defective", "gaia_source_id", "obsid", "file"),
    ),
    table=MSTARS,
    panels=make_panels,
    brief=brief,
    story=story,
    models=make_models,
)
