"""Train the hasher on the sample and noisy copies of it.

A labelled survey has labels because its spectra are good. The pool's are not, and codes of spectra that are
mostly noise lie elsewhere. So noisy copies at the pool's signal-to-noise ratios join the sample. What they
gain is in docs/mstars.md.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa

from starsift.searches.mstars.calibration import Calibration, calibrate
from starsift.searches.mstars.dataset import Sample
from starsift.searches.mstars.features import represent
from starsift.searches.mstars.hashing import code_column
from starsift.searches.mstars.model import METHODS, Model, train
from starsift.searches.mstars.preprocess import R_BAND, median_snr
from starsift.spectra.resample import LAMOST_LRS

ROWS = 2048  # spectra that get noise at a time
# With this many spectra of class UNKNOWN that are not M stars, these alone calibrate the scores of the pool's
# others: junk and galaxies are among them, as in the pool, and not among copies of classified spectra.
ENOUGH_UNKNOWN = 100

REFERENCE = pa.schema(
    [
        pa.field("spectrum_id", pa.string()),
        pa.field("role", pa.string()),  # dwarf, giant or negative
        pa.field("subclass", pa.string()),
        pa.field("is_copy", pa.bool_()),  # with noise added
        pa.field("code", pa.binary()),
    ]
)


def train_reference(
    sample: Sample, *, method: str, bits: int, copies: int, copy_snr: Sequence[float], seed: int
) -> tuple[Model, pa.Table, Calibration]:
    """Train the hasher on a sample and noisy copies of it, encode these, and calibrate scores.

    Parameters
    ----------
    sample : of `starsift.searches.mstars.dataset`
    method : a name in `METHODS` that has a code and ranks a pool
    bits : length of the code
    copies, copy_snr : as `copies` and `snr` of `noisy_copies`; spectra of class UNKNOWN are noisy already

    Returns Model; Table of schema `REFERENCE`, a row a spectrum of the sample in order, then the copies;
    Calibration: of faint spectra, on copies of M stars and on spectra of class UNKNOWN that are none, and
    where these are few on copies of other classes too; of bright ones, on the sample.
    """
    chosen = METHODS[method]
    labels = sample.labels
    parts = [(np.arange(len(labels)), sample.flux, sample.ivar)]
    known = np.flatnonzero(labels != "UNKNOWN")
    spectra = sample.flux[known], sample.ivar[known], sample.zero[known]
    noisy = noisy_copies(*spectra, copies=copies, snr=copy_snr, rng=np.random.default_rng([seed, bits]))
    parts_of_copies = ((known[rows], flux, ivar) for rows, flux, ivar in noisy)
    rows, features, ratios = zip(
        *(
            (
                at,
                represent(flux, ivar, sample.zero[at], chosen.representation),
                median_snr(LAMOST_LRS.wavelength, flux - sample.zero[at, None], ivar),
            )
            for at, flux, ivar in chain(parts, parts_of_copies)
        ),
        strict=True,
    )
    origin, data, snr = (np.concatenate(each) for each in (rows, features, ratios))
    is_copy = np.arange(origin.size) >= len(labels)
    model = train(data, labels[origin], chosen, bits=bits, seed=seed)
    codes = code_column(np.asarray(model.hasher.transform(data)))
    table = sample.table.select(["spectrum_id", "role", "subclass"]).take(pa.array(origin))
    table = pa.table([*table.columns, pa.array(is_copy), codes], schema=REFERENCE)
    is_m, unknown = sample.is_m[origin], labels[origin] == "UNKNOWN"
    used = unknown | is_copy & (is_m | (unknown.sum() < ENOUGH_UNKNOWN))
    calibration = calibrate(data, labels[origin], is_m, chosen, bits, seed, groups=origin, used=used, snr=snr)
    return model, table, calibration


def noisy_copies(
    flux: np.ndarray,
    ivar: np.ndarray,
    zero: np.ndarray,
    *,
    copies: int,
    snr: Sequence[float],
    rng: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Add noise to prepared spectra.

    Parameters
    ----------
    flux, ivar : (n, p) on `LAMOST_LRS`; zero : (n,), where no flux lies in `flux`
    copies : of each spectrum
    snr : lowest and highest median S/N a pixel in r; each copy gets one at random, uniform in its logarithm.
        Spectra of lower S/N stay as they are

    Yields
    ------
    rows (m,) that were copied, and their new flux and ivar (m, p), copy by copy, a part at a time. The noise
    of a pixel is proportional to that of the spectrum.
    """
    low, high = snr
    wavelength = LAMOST_LRS.wavelength
    for _ in range(copies):
        for start in range(0, len(flux), ROWS):
            rows = np.arange(start, min(start + ROWS, len(flux)))
            now = median_snr(wavelength, flux[rows] - zero[rows, None], ivar[rows], R_BAND)
            target = np.exp(rng.uniform(np.log(low), np.log(high), rows.size))
            factor = np.maximum(np.nan_to_num(now, nan=0.0) / target, 1.0).astype(np.float32)[:, None]
            good = ivar[rows] > 0
            sigma = np.where(good, 1.0 / np.sqrt(np.where(good, ivar[rows], 1.0)), 0.0).astype(np.float32)
            noise = rng.standard_normal(sigma.shape, np.float32) * sigma * np.sqrt(factor**2 - 1.0)
            yield rows, flux[rows] + noise, ivar[rows] / factor**2
