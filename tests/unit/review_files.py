"""A small folder of results with something to review of every path, and what went into it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.binaries.curves import write_curves
from starsift.binaries.peaks import find_components
from starsift.catalog.parquet import write_parquet
from starsift.spectra.batches import MASK_SURVEY, SpectrumBatch, write_bundle, write_index
from starsift.spectra.ccf import CCFs

MRS = [f"med-58625-P_sp01-{fibre:03d}/{minute}" for fibre in (1, 2, 3) for minute in (84420171, 84420194)]
LRS = [f"spec-56300-P_sp01-{fibre:03d}" for fibre in range(1, 9)]
KNOWN = [f"spec-56200-Q_sp02-{fibre:03d}" for fibre in range(1, 8)]
SDSS = ["spec-0266-51602-0001", "spec-0266-51602-0002"]
VELOCITIES = np.arange(-300.0, 301.0)


@dataclass
class Truth:
    """What was written: flux and wavelength by bundle; codes; CCFs; images."""

    folder: Path
    spectra: dict[str, SpectrumBatch] = field(default_factory=dict)
    codes: np.ndarray = field(default_factory=lambda: np.zeros(0))
    known_codes: np.ndarray = field(default_factory=lambda: np.zeros(0))
    ccf: np.ndarray = field(default_factory=lambda: np.zeros(0))
    image: np.ndarray = field(default_factory=lambda: np.zeros(0))


def make_results(folder: Path) -> Truth:
    """Write the results of all four paths."""
    truth = Truth(folder)
    rng = np.random.default_rng(11)
    stars = np.repeat([0, 1, 2], 2)
    # The two exposures of a star are an arcsecond apart, stars a degree.
    ra = 100.0 + stars + np.tile([0.0, 1.0 / 3600.0], 3)
    even = 10.0 ** (3.5682 + 1e-4 * np.arange(400))
    uneven = np.linspace(5150.0, 5300.0, 300) + 0.2 * np.sin(np.arange(300.0))
    blue = [84420171, 84420194] * 3
    _pack(truth, "mrs", "night", MRS, uneven, ra, np.full(6, 41.0), rng, lmjm=blue, band="B")
    lrs_ra = 10.0 + np.arange(8)
    _pack(truth, "lrs", "plan", LRS, even, lrs_ra, np.zeros(8), rng)
    # Of the known stars the first is the third unknown one, seen on another night.
    known_ra = np.concatenate([lrs_ra[2:3] + 4.0 / 3600.0, 200.0 + np.arange(6)])
    _pack(truth, "known", "older", KNOWN, even, known_ra, np.zeros(7), rng)
    _pack(truth, "sdss", "plate", SDSS, even, np.array([10.0, 50.0]), np.zeros(2), rng)
    _binaries(truth, ra)
    _mstars(truth, lrs_ra, rng)
    _emission(truth, 0, [("query", 5), ("query", 1), ("precision", 5), ("precision", 0)])
    _bhb(truth, rng)
    return truth


def _pack(
    truth: Truth,
    survey: str,
    bundle: str,
    names: Sequence[str],
    wavelength: np.ndarray,
    ra: np.ndarray,
    dec: np.ndarray,
    rng: np.random.Generator,
    *,
    lmjm: Sequence[int] | None = None,
    band: str = "",
) -> None:
    n, shape = len(names), (len(names), len(wavelength))
    identity = {
        "spectrum_id": list(names),
        "obsid": np.arange(n) + 7000,
        "planid": ["P"] * n,
        "spid": np.ones(n, np.int8),
        "fiberid": np.arange(n),
        "lmjd": np.full(n, 56300, np.int32),
        "lmjm": pa.nulls(n, pa.int64()) if lmjm is None else list(lmjm),
        "band": [band] * n,
        "snr": rng.uniform(5, 50, n).astype(np.float32),
        "ra": ra,
        "dec": dec,
    }
    flux = rng.normal(1000.0, 30.0, shape)
    ivar = np.full(shape, 1.0 / 900.0)
    mask = np.zeros(shape, np.uint8)
    ivar[:, 20] = 0.0  # a flux without weight, as of a strong emission line
    mask[:, 30] = MASK_SURVEY
    batch = SpectrumBatch.from_arrays(identity, wavelength, flux, ivar, mask)
    truth.spectra[bundle] = batch
    arrow = truth.folder / "spectra" / survey / f"{bundle}.arrow"
    write_bundle(arrow, [batch], rows=4)  # several record batches
    write_index(arrow, arrow.with_suffix(".parquet"))
    manifest = batch.identity.drop_columns(["status"]).append_column("bundle", pa.array([bundle] * n))
    write_parquet(manifest, truth.folder / "manifest" / f"{survey}.parquet")


def _binaries(truth: Truth, ra: np.ndarray) -> None:
    centres = np.array([-80.0, -60.0, -100.0, -75.0, -50.0, -90.0])
    truth.ccf = np.stack(
        [
            0.6 * np.exp(-0.5 * ((VELOCITIES - c) / 20) ** 2)
            + 0.5 * np.exp(-0.5 * ((VELOCITIES + c) / 20) ** 2)
            for c in centres
        ]
    ).astype(np.float32)
    n = len(MRS)
    batch = truth.spectra["night"]
    parts = [
        (batch.identity.slice(at, 4), CCFs(truth.ccf[at : at + 4], np.ones(n, np.int8)[at : at + 4], usable))
        for at, usable in ((0, np.ones(4, bool)), (4, np.ones(2, bool)))
    ]
    write_curves(truth.folder / "binaries/ccf/night.arrow", parts, VELOCITIES)
    found = find_components(truth.ccf, VELOCITIES)
    chosen = [0, 1, 3, 5]
    km_s = {"unit": "km/s"}
    columns: dict[str, tuple[Any, pa.DataType]] = {
        "spectrum_id": ([MRS[i] for i in chosen], pa.string()),
        "obsid": ([7000 + i for i in chosen], pa.int64()),
        "band": (["B"] * 4, pa.string()),
        "ra": (ra[chosen], pa.float64()),
        "dec": ([41.0] * 4, pa.float64()),
        "multiplicity": (["SB2"] * 4, pa.string()),
        "rv_1": (found.rv[chosen, 0], pa.float32()),
        "rv_err_1": ([1.5] * 4, pa.float32()),
        "rv_2": (found.rv[chosen, 1], pa.float32()),
        "rv_3": ([None] * 4, pa.float32()),
        "sigma": (found.sigma[chosen], pa.float32()),
        "suspect_moonlight": ([False] * 4, pa.bool_()),
    }
    fields = [
        pa.field(name, kind, metadata=km_s if name.startswith("rv") or name == "sigma" else None)
        for name, (_, kind) in columns.items()
    ]
    arrays = [pa.array(values, kind) for values, kind in columns.values()]
    write_parquet(
        pa.table(arrays, schema=pa.schema(fields)), truth.folder / "catalogs/binaries_spectra.parquet"
    )


def _mstars(truth: Truth, ra: np.ndarray, rng: np.random.Generator) -> None:
    truth.codes = rng.integers(0, 256, (len(LRS), 32), np.uint8)
    truth.known_codes = rng.integers(0, 256, (len(KNOWN), 32), np.uint8)
    truth.known_codes[4] = truth.codes[6]  # the nearest of the seventh
    missing = np.array([False] * 7 + [True])
    codes = truth.spectra["plan"].identity.append_column(
        "code", pa.array([row.tobytes() for row in truth.codes], pa.binary(), mask=missing)
    )
    write_parquet(codes, truth.folder / "mstars/codes/plan.parquet")
    role = ["dwarf", "giant", "negative", "dwarf", "dwarf", "dwarf", "dwarf"]
    reference = {
        "spectrum_id": [*KNOWN, KNOWN[0]],
        "role": [*role, "dwarf"],
        "subclass": [*(f"M{i}" for i in range(7)), "M0"],
        "is_copy": [False] * 7 + [True],
        "code": [row.tobytes() for row in (*truth.known_codes, truth.codes[6])],
    }
    write_parquet(pa.table(reference), truth.folder / "mstars/reference.parquet")
    write_bundle(truth.folder / "mstars/sample.arrow", [truth.spectra["older"]], rows=3)
    order = [6, 2, 7, 0]
    vetting = {
        "spectrum_id": [LRS[i] for i in order],
        "obsid": [7000 + i for i in order],
        "designation": [f"J0040{i}0.00+000000.0" for i in order],
        "ra": ra[order],
        "dec": [0.0] * 4,
        "p_m": pa.array([0.99, 0.9, 0.5, 0.2], pa.float32()),
        "rv": pa.array([12.5, None, np.nan, -3.0], pa.float32()),
        "rv_err": pa.array([2.0, None, None, 1.0], pa.float32()),
        "distance": pa.array([150.0, None, None, 90.0], pa.float32()),
    }
    write_parquet(pa.table(vetting), truth.folder / "catalogs/mstars_vetting.parquet")


def _emission(truth: Truth, number: int, asked: Sequence[tuple[str, int]]) -> None:
    rows = [row for _, row in asked]
    query = {
        "purpose": [purpose for purpose, _ in asked],
        "rank": pa.array(range(len(asked)), pa.int32()),
        "spectrum_id": [LRS[row] for row in rows],
        "bundle": ["plan"] * len(rows),
        "row": pa.array(rows, pa.int64()),
        "p_single": pa.array([0.5] * len(rows), pa.float32()),
        "p_double": pa.array([0.25] * len(rows), pa.float32()),
        "p_uninteresting": pa.array([0.25] * len(rows), pa.float32()),
        "score": pa.array([1.04] * len(rows), pa.float32()),
    }
    write_parquet(pa.table(query), truth.folder / f"emission/round-{number:02d}/query.parquet")


def add_round(truth: Truth, number: int, rows: Sequence[int]) -> None:
    """Another round of queries, of spectra in these rows of the bundle."""
    _emission(truth, number, [("query", row) for row in rows])


def _bhb(truth: Truth, rng: np.random.Generator) -> None:
    truth.image = rng.normal(size=(5, 6, 4)).astype(np.float32)
    cutouts = {
        "spectrum_id": pa.array(SDSS, pa.string()),
        "status": ["misaligned", "ok"],
        "shape": pa.array([None, [5, 6, 4]], pa.list_(pa.int32())),
        "image": pa.array([None, truth.image.ravel()], pa.list_(pa.float32())),
    }
    write_parquet(pa.table(cutouts), truth.folder / "bhb/cutouts/sdss/plate.parquet")
    catalog = {
        "spectrum_id": SDSS,
        "obsid": [1, 2],
        "ra": [10.0, 50.0],
        "dec": [0.0, 0.0],
        "p_bhb": [0.8, 0.7],
        "distance": [20.5, 8.0],
    }
    write_parquet(pa.table(catalog), truth.folder / "catalogs/bhb.parquet")


def rewrite(file: Path, **columns: Any) -> None:
    """Write a Parquet table again with other values in some columns."""
    table = pq.read_table(file)
    for name, values in columns.items():
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.array(values, table.schema.field(name).type))
    write_parquet(table, file)
