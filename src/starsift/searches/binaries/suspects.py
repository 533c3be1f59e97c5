"""Flags of contaminated spectra: moonlight, and cross-talk from the star on the next fibre.

The wavelengths of the survey are heliocentric. Moonlight is sunlight that hardly moves for the observer, so
it shows at the velocity that was added to every other: the correction from the observer to the Sun. The
barycentric one stands in for it, because the Sun moves by less than 0.02 km/s about the barycentre. Observer,
Moon and Sun move by up to 1.5 km/s relative to each other, hence the floor of an error.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from starsift.searches.binaries.stars import group_stars
from starsift.sky import barycentric
from starsift.spectra.batches import IDENTITY, IDENTITY_NAMES

# km/s; a larger error means that a velocity is hardly measured, not that it may be any other. Without a
# ceiling, every badly measured component would be a suspect.
ERROR_CEILING = 3.0
# km/s; light of the fibre's own star shifts the velocities of a neighbour's light.
CROSSTALK_FLOOR = 2.0
# Largest difference of the velocities of a pair, in errors of the difference.
CROSSTALK_SIGMAS = 3.0

SUSPECTS = pa.schema(
    [
        *IDENTITY,
        pa.field("suspect_moonlight", pa.bool_()),
        pa.field("suspect_crosstalk", pa.bool_()),
        pa.field("crosstalk_partner", pa.string()),
        pa.field("barycentric_correction", pa.float32()),
    ]
)


def barycentric_correction(
    ra: npt.ArrayLike, dec: npt.ArrayLike, lmjm: npt.ArrayLike, exptime: npt.ArrayLike
) -> np.ndarray:
    """Velocity to be added to one observed at Xinglong, at the middle of the exposure.

    Parameters
    ----------
    ra, dec : (n,) degrees, ICRS
    lmjm : (n,) local (UTC+8) modified Julian minutes at the start of the exposure
    exptime : (n,) s; NaN is taken as 0

    Returns (n,) float64, km/s; NaN where coordinates are not finite, see
    `starsift.sky.barycentric.correction`.
    """
    return barycentric.correction(ra, dec, barycentric.mid_exposure(lmjm, exptime))


def flag_moonlight(
    rv: np.ndarray, rv_err: np.ndarray, correction: np.ndarray, *, sigmas: float, floor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Flag spectra with a component that stands still for the observer.

    Parameters
    ----------
    rv, rv_err : (n, component) km/s, heliocentric; NaN where there is none
    correction : (n,) km/s, see `barycentric_correction`
    sigmas : largest difference, in errors
    floor : km/s; errors count as at least this, a missing one as the floor

    Returns flag (n,) bool; component (n,) int8, the one nearest to the correction, -1 where not flagged.
    """
    away = np.abs(rv - np.asarray(correction)[:, None])
    still = away <= sigmas * _bounded(rv_err, floor)  # false for NaN
    flag = still.any(axis=1)
    nearest = np.argmin(np.where(still, away, np.inf), axis=1) if rv.shape[1] else 0
    return flag, np.where(flag, nearest, -1).astype(np.int8)


def flag_crosstalk(
    identity: pa.Table,
    star: np.ndarray,
    ccf: np.ndarray,
    rv: np.ndarray,
    rv_err: np.ndarray,
    *,
    correlation: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Flag pairs of different stars on neighbouring fibres whose spectra of one exposure are nearly the same.

    The CCFs of two single stars of like type and velocity agree by chance, most of all in a cluster. Two or
    more velocities that agree one by one do not. So a pair is flagged if every component of the spectrum with
    fewer of them has its like in the other, these are at least two, and the curves correlate. (A component
    more is allowed on one side: noise may add one.)

    Parameters
    ----------
    identity : n rows with planid, spid, fiberid, lmjm, band, in any order
    star : (n,) int, see `starsift.searches.binaries.stars.group_stars`
    ccf : (n, velocity)
    rv, rv_err : (n, component) km/s, NaN where there is none
    correlation : Pearson's r of the two CCFs is at least this

    Returns flag (n,) bool; partner (n,) int64, row of the neighbour that correlates best, -1 where not
    flagged.
    """
    partner = np.full(len(rv), -1, dtype=np.int64)
    a, b = _neighbours(identity)
    error = _bounded(rv_err, CROSSTALK_FLOOR)
    away = np.abs(rv[a][:, :, None] - rv[b][:, None, :])
    like = away <= CROSSTALK_SIGMAS * np.hypot(error[a][:, :, None], error[b][:, None, :])
    matched = np.minimum(like.any(axis=2).sum(axis=1), like.any(axis=1).sum(axis=1))
    count = np.isfinite(rv).sum(axis=1)
    fewer = np.minimum(count[a], count[b])
    same = (star[a] != star[b]) & (matched == fewer) & (fewer >= 2)
    a, b = a[same], b[same]
    r = _pearson(ccf[a], ccf[b])
    a, b, r = a[r >= correlation], b[r >= correlation], r[r >= correlation]
    row, other, r = np.concatenate([a, b]), np.concatenate([b, a]), np.concatenate([r, r])
    # Ascending r: of two partners the better one is written last.
    order = np.lexsort((other, r))
    partner[row[order]] = other[order]
    return partner >= 0, partner


def find_suspects(
    rows: pa.Table,
    ccf: np.ndarray,
    rv: np.ndarray,
    rv_err: np.ndarray,
    exptime: np.ndarray,
    gaia_source_id: np.ndarray,
    *,
    match_radius: float,
    moonlight_sigmas: float,
    moonlight_floor: float,
    crosstalk_correlation: float,
) -> pa.Table:
    """Flag the suspects among the spectra of a bundle that show two or more components.

    Parameters
    ----------
    rows : n rows with the identity, ra, dec, all exposures of a partition together
    ccf : (n, velocity); rv, rv_err : (n, component) km/s, NaN where there is none; there may be fewer columns
        of errors than of velocities
    exptime : (n,) s; gaia_source_id : (n,) int, 0 where there is none
    match_radius : arcsec, see `group_stars`
    moonlight_sigmas, moonlight_floor, crosstalk_correlation : see `flag_moonlight`, `flag_crosstalk`

    Returns a Table, schema `SUSPECTS`, in the order of `rows`; barycentric_correction is null where there are
    fewer than two components.
    """
    rv_err = np.pad(rv_err, ((0, 0), (0, rv.shape[1] - rv_err.shape[1])), constant_values=np.nan)
    multiple = np.flatnonzero(np.isfinite(rv).sum(axis=1) >= 2)
    some = rows.take(pa.array(multiple))
    ra, dec, lmjm = (some[name].to_numpy() for name in ("ra", "dec", "lmjm"))
    correction = np.full(rows.num_rows, np.nan)
    correction[multiple] = barycentric_correction(ra, dec, lmjm, exptime[multiple])
    moonlight, _ = flag_moonlight(rv, rv_err, correction, sigmas=moonlight_sigmas, floor=moonlight_floor)
    star = group_stars(ra, dec, gaia_source_id[multiple], match_radius)
    _, neighbour = flag_crosstalk(
        some, star, ccf[multiple], rv[multiple], rv_err[multiple], correlation=crosstalk_correlation
    )
    partner = np.full(rows.num_rows, -1, dtype=np.int64)
    partner[multiple] = np.where(neighbour >= 0, multiple[neighbour], -1) if multiple.size else -1
    columns = [rows[name] for name in IDENTITY_NAMES]
    columns += [
        pa.array(moonlight),
        pa.array(partner >= 0),
        rows["spectrum_id"].take(pa.array(partner, mask=partner < 0)),
        pa.array(correction, pa.float32(), mask=np.isnan(correction)),
    ]
    return pa.table(columns, schema=SUSPECTS)


def _bounded(error: np.ndarray, floor: float) -> np.ndarray:
    return np.clip(np.where(np.isfinite(error), error, floor), floor, max(floor, ERROR_CEILING))


def _neighbours(identity: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Rows (m,), (m,) of the pairs on neighbouring fibres of one spectrograph in one exposure and arm."""

    def codes(name: str) -> np.ndarray:
        return np.asarray(identity[name].combine_chunks().dictionary_encode().indices.to_numpy())

    fiber = identity["fiberid"].to_numpy().astype(np.int64)
    exposure = [codes("planid"), codes("band"), identity["spid"].to_numpy(), identity["lmjm"].to_numpy()]
    order = np.lexsort((fiber, *exposure))
    first, second = order[:-1], order[1:]
    pair = fiber[second] - fiber[first] == 1
    for key in exposure:
        pair &= key[first] == key[second]
    return first[pair], second[pair]


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's r (m,) of the rows of two arrays (m, k); 0 where one of them is constant."""
    a, b = (x.astype(np.float64) - x.mean(axis=1, keepdims=True, dtype=np.float64) for x in (a, b))
    norm = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    return np.divide(np.einsum("ij,ij->i", a, b), norm, out=np.zeros(len(a)), where=norm > 0)
