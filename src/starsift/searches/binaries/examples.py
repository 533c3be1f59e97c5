"""Spectra to show: one SB2, one SB3, one single star and one of noise, with their CCFs and derivatives."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.searches.binaries.curves import read_curves
from starsift.searches.binaries.peaks import cosine_basis, smoothed_derivatives
from starsift.spectra.batches import OK, read_rows
from starsift.spectra.continuum import normalize

SHOWN_SNR = 50.0  # examples are chosen near this S/N, which shows lines and noise
Paths = Sequence[str | os.PathLike[str]]

EXAMPLES = pa.schema(
    [
        ("title", pa.string()),
        ("spectrum_id", pa.string()),
        ("snr", pa.float32()),
        ("sigma", pa.float32()),
        ("rv", pa.list_(pa.float32())),
        *((name, pa.list_(pa.float64())) for name in ("wavelength", "velocity")),
        *((name, pa.list_(pa.float32())) for name in ("flux", "ccf", "smooth", "first", "second", "third")),
    ]
)


def collect_examples(
    spectra: Paths,
    curves: Paths,
    components: Paths,
    classes: Paths,
    *,
    continuum_degree: int,
    sigma_start: float,
) -> pa.Table:
    """Choose one example of each kind, with the curves that the figure shows of it.

    Parameters
    ----------
    spectra, curves, components, classes : files of the stages, one a bundle, bundles in the same order
    continuum_degree, sigma_start : as in the ccf and peaks stages

    Returns a Table, schema `EXAMPLES`; masked pixels of `flux` are NaN.
    """
    best: dict[str, tuple[float, int, int, Mapping[str, Any]]] = {}
    for bundle, (found, voted) in enumerate(zip(components, classes, strict=True)):
        table = pq.read_table(found)
        chosen = pq.read_table(voted, columns=["multiplicity", "rv"])
        table = table.set_column(table.column_names.index("rv"), "rv", chosen["rv"])
        for title, score in _scores(table, chosen["multiplicity"].fill_null("")).items():
            row = int(np.argmax(score))
            if np.isfinite(score[row]) and score[row] > best.get(title, (-np.inf,))[0]:
                best[title] = (float(score[row]), bundle, row, table.slice(row, 1).to_pylist()[0])
    rows = [
        _example(title, record, spectra[bundle], curves[bundle], row, continuum_degree, sigma_start)
        for title, (_, bundle, row, record) in best.items()
    ]
    return pa.Table.from_pylist(rows, schema=EXAMPLES)


def _scores(table: pa.Table, multiplicity: pa.ChunkedArray) -> dict[str, np.ndarray]:
    """Score of each spectrum (n,) as an example of each kind; -inf for other kinds."""
    snr = table["snr"].fill_null(np.nan).to_numpy()
    kind = np.asarray(multiplicity.to_pylist(), dtype=object)
    count = table["n_components"].to_numpy()
    usable = pc.equal(table["status"], OK).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        near = -np.abs(np.log(snr / SHOWN_SNR))
    faint = -table["ccf_max"].fill_null(np.nan).to_numpy()
    masks = {
        "SB2": (kind == "SB2", near),
        "SB3": (kind == "SB3", near),
        "single star": ((kind == "") & (count == 1), near),
        "little signal": (kind == "", faint),
    }
    return {
        title: np.where(mask & usable & np.isfinite(score), score, -np.inf)
        if mask.size
        else np.array([-np.inf])
        for title, (mask, score) in masks.items()
    }


def _example(
    title: str,
    record: Mapping[str, Any],
    spectra: str | os.PathLike[str],
    curves: str | os.PathLike[str],
    row: int,
    continuum_degree: int,
    sigma_start: float,
) -> dict[str, Any]:
    batch = read_rows(spectra, [row])
    flux, ivar = normalize(batch, degree=continuum_degree)
    velocities, ccf = _curve(curves, row)
    basis = cosine_basis(velocities, sigma_start)
    smooth, second, third = (
        derivative[0]
        for derivative in smoothed_derivatives(ccf[None] @ basis.analysis, basis, record["sigma"])
    )
    middle = 0.5 * (velocities[1:] + velocities[:-1])
    return {
        "title": f"{title}, S/N {record['snr']:.0f}",
        "spectrum_id": record["spectrum_id"],
        "snr": record["snr"],
        "sigma": record["sigma"],
        "rv": record["rv"],
        "wavelength": batch.wavelength[0],
        "flux": np.where(ivar[0] > 0, flux[0], np.nan),
        "velocity": velocities,
        "ccf": ccf,
        "smooth": smooth,
        "first": np.gradient(smooth, velocities),
        "second": second,
        "third": np.interp(velocities, middle, third),
    }


def _curve(path: str | os.PathLike[str], row: int) -> tuple[np.ndarray, np.ndarray]:
    """Velocities and CCF of one spectrum, counted through the whole bundle."""
    for part in read_curves(path):
        if row < len(part.ccf):
            return part.velocities, part.ccf[row].copy()
        row -= len(part.ccf)
    raise IndexError(f"{path}: it has fewer CCFs than spectra")
