"""Monte Carlo errors of radial velocities: noisy copies of a spectrum through the whole CCF and peak finding.

Li et al. 2023, section 3.1.2 (last paragraph), after Li et al. 2021.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from starsift.io.parquet import write_parquet
from starsift.parallel import map_chunks
from starsift.searches.binaries.peaks import Components, find_components, ragged
from starsift.spectra.batches import IDENTITY, IDENTITY_NAMES, SpectrumBatch
from starsift.spectra.ccf import TemplateBank, correlate_normalized, grid_position
from starsift.spectra.continuum import normalize

GROUP = 4  # spectra whose copies a thread takes at a time
MINIMUM_MATCHES = 10  # copies that must show a component before its scatter means anything

ERRORS = pa.schema(
    [*IDENTITY, pa.field("rv_err", pa.list_(pa.float32())), pa.field("reliability", pa.float32())]
)


def monte_carlo(
    batch: SpectrumBatch,
    bank: TemplateBank,
    components: Components,
    *,
    n_copies: int,
    seed: int,
    systematic: Sequence[float],
    **peak_settings: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Scatter of each component's velocity over noisy copies of its spectrum.

    Gaussian noise of the spectrum's own ivar is added on the native pixels (the continuum is that of the
    observed spectrum), each copy is correlated with the templates and searched for components, and a copy's
    component belongs to the observed one if each is the other's nearest.

    Parameters
    ----------
    batch : SpectrumBatch of n spectra
    components : of these spectra, from `find_components`
    n_copies : copies of each spectrum
    seed : of the noise; the result depends on it and on the order of the spectra only
    systematic : km/s, added in quadrature for template mismatch and blending; one number for spectra of one
        component, of two and so on, the last for all with more
    peak_settings : passed to `find_components`

    Returns
    -------
    rv_err : (n, width) float32 km/s, NaN where there is no component or it came back in fewer than 10 copies
    reliability : (n,) float32, the fraction of copies with as many components as the observed spectrum
    """
    rv_err = np.full(components.rv.shape, np.nan, np.float32)
    reliability = np.full(batch.n, np.nan, np.float32)

    def work(part: slice) -> None:
        group = batch.take(part)
        flux, ivar = normalize(group, degree=bank.continuum_degree)
        good = ivar > 0
        noise = np.divide(1.0, np.sqrt(ivar), out=np.zeros_like(ivar), where=good)
        # Each group its own random numbers, so that the number of threads does not matter.
        rng = np.random.default_rng([seed, part.start])
        copies = rng.standard_normal((group.n, n_copies, flux.shape[1]), np.float32)
        copies *= noise[:, None]
        copies += flux[:, None]
        ccfs = correlate_normalized(
            grid_position(group.wavelength, bank),
            copies.reshape(-1, flux.shape[1]),
            good,
            bank,
            copies=n_copies,
        )
        again = find_components(ccfs.ccf, bank.velocities, **peak_settings)
        rv_err[part] = matched_scatter(components.rv[part], again.rv.reshape(group.n, n_copies, -1))
        same = again.count.reshape(group.n, n_copies) == components.count[part, None]
        reliability[part] = same.mean(axis=1)

    map_chunks(work, batch.n, GROUP)
    floor = np.asarray(systematic, np.float32)[np.clip(components.count - 1, 0, len(systematic) - 1)]
    return np.hypot(rv_err, floor[:, None]), reliability


def matched_scatter(observed: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Standard deviations (n, width) of components' velocities over the copies that show them, float32 km/s.

    `observed` (n, width) and `copies` (n, copy, width of copies) are km/s, NaN where there is none. NaN with
    fewer than 10 matches.
    """
    distance = np.abs(observed[:, None, :, None] - copies[:, :, None, :])
    distance = np.where(np.isnan(distance), np.inf, distance)
    nearest = distance.argmin(axis=3)
    back = np.take_along_axis(distance.argmin(axis=2), nearest, axis=2)
    mutual = (back == np.arange(observed.shape[1])) & np.isfinite(distance.min(axis=3))
    matched = np.where(mutual, np.take_along_axis(copies, nearest, axis=2), 0.0).astype(np.float64)
    number = mutual.sum(axis=1)
    mean = matched.sum(axis=1) / np.maximum(number, 1)
    variance = (np.where(mutual, matched - mean[:, None], 0.0) ** 2).sum(axis=1) / np.maximum(number - 1, 1)
    return np.where(number >= MINIMUM_MATCHES, np.sqrt(variance), np.nan).astype(np.float32)


def write_errors(
    path: str | os.PathLike[str],
    table: pa.Table,
    rows: np.ndarray,
    rv_err: np.ndarray,
    reliability: np.ndarray,
) -> None:
    """Write velocity errors, one row a spectrum of the bundle's components, null where there is no candidate.

    Parameters
    ----------
    rows : (m,) positions of the candidates in the table
    rv_err, reliability : (m, width) km/s and (m,), as `monte_carlo` returns them
    """
    count = np.zeros(table.num_rows, np.int16)
    count[rows] = table["n_components"].to_numpy()[rows]
    errors = np.full((table.num_rows, max(3, rv_err.shape[1])), np.nan, np.float32)
    errors[rows, : rv_err.shape[1]] = rv_err
    share = np.full(table.num_rows, np.nan, np.float32)
    share[rows] = reliability
    columns = [table[name] for name in IDENTITY_NAMES]
    columns += [ragged(errors, count), pa.array(share, pa.float32(), mask=np.isnan(share))]
    write_parquet(pa.table(columns, schema=ERRORS), path)
