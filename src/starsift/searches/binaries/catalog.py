"""From exposures to stars: which exposures show the same star, and what they tell of it together."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from starsift.catalog.naming import designation
from starsift.errors import ResultsError
from starsift.sky.sphere import unit_vectors

MATCH_RADIUS = 3.3  # arcsec: the diameter of a LAMOST fibre (Li et al. 2023, section 3)
_EXPOSURE_COLUMNS = ("spectrum_id", "band", "lmjm", "ra", "dec", "gaia_source_id")


def group_stars(
    ra: np.ndarray, dec: np.ndarray, gaia_source_id: np.ndarray, radius: float = MATCH_RADIUS
) -> np.ndarray:
    """Number the stars that exposures show.

    Exposures with a Gaia source are the same star if the source is the same. One without belongs to the
    nearest star with a source within the radius. The others are friends of friends: all pairs within the
    radius count, so no repeated exposure is lost, as it would be with the nearest partner only.

    Parameters
    ----------
    ra, dec : (n,) degrees; NaN makes an exposure without a Gaia source a star of its own
    gaia_source_id : (n,) int, 0 or less where there is none
    radius : arcsec

    Returns
    -------
    (n,) int64, from 0 without gaps
    """
    ra, dec, source = np.asarray(ra, float), np.asarray(dec, float), np.asarray(gaia_source_id, np.int64)
    known = source > 0
    star = np.full(source.size, -1, dtype=np.int64)
    sources, star[known] = np.unique(source[known], return_inverse=True)
    placed = np.isfinite(ra) & np.isfinite(dec)
    chord = 2 * np.sin(np.radians(radius / 3600) / 2)

    # Exposures of one plan share the coordinates of its input catalogue: far fewer positions than exposures.
    anonymous = np.flatnonzero(~known & placed)
    position, at = _unique_positions(ra[anonymous], dec[anonymous])
    label = np.full(len(position), -1, dtype=np.int64)
    seen = np.flatnonzero(known & placed)
    if seen.size and len(position):
        distance, nearest = cKDTree(unit_vectors(ra[seen], dec[seen])).query(
            position, distance_upper_bound=chord
        )
        near = np.isfinite(distance)
        label[near] = star[seen[nearest[near]]]
    alone = np.flatnonzero(label < 0)
    pairs = (
        cKDTree(position[alone]).query_pairs(chord, output_type="ndarray") if alone.size else np.empty((0, 2))
    )
    first, second = pairs.T.astype(np.int64)
    graph = coo_array((np.ones(len(pairs), dtype=bool), (first, second)), shape=(alone.size, alone.size))
    groups, component = connected_components(graph, directed=False) if alone.size else (0, np.empty(0, int))
    label[alone] = sources.size + component
    star[anonymous] = label[at]
    lost = np.flatnonzero(star < 0)
    star[lost] = sources.size + groups + np.arange(lost.size)
    return star


def make_objects(
    spectra: pa.Table, exposures: pa.Table, radius: float = MATCH_RADIUS
) -> tuple[pa.Table, pa.Table]:
    """Gather the exposures that show binaries into stars (Li et al. 2023, section 4; Table 4).

    A star with an SB3 exposure is SB3, whatever the others are. The number of exposures counts those without
    detection as well.

    Parameters
    ----------
    spectra : detections, columns as in `starsift.catalog.columns.BINARIES_SPECTRA` but object_id
    exposures : every usable exposure of the survey, detections among them: spectrum_id, band, lmjm, ra, dec,
        gaia_source_id
    radius : arcsec, see `group_stars`

    Returns
    -------
    spectra with object_id; objects as in `starsift.catalog.columns.BINARIES_OBJECTS`, sorted by object_id

    Raises
    ------
    ResultsError : a detection is not among the exposures, or has neither Gaia source nor coordinates.
    """
    # Sorted by time, so that a star is named after its first exposure and keeps its name as nights are added.
    exposures = exposures.select(_EXPOSURE_COLUMNS).sort_by(
        [("lmjm", "ascending"), ("spectrum_id", "ascending"), ("band", "ascending")]
    )
    ra, dec = _numbers(exposures["ra"], np.nan), _numbers(exposures["dec"], np.nan)
    source = _numbers(exposures["gaia_source_id"], 0)
    star = group_stars(ra, dec, source, radius)
    detection = _find(spectra, exposures)

    stars, of_star = np.unique(star[detection], return_inverse=True)
    wanted = np.searchsorted(stars, star)
    wanted[(wanted == stars.size) | (np.append(stars, -1)[wanted] != star)] = -1
    mine = np.flatnonzero(wanted >= 0)
    # The first exposure of each star, and the first one with a Gaia source if there is any.
    first = _first(wanted[mine], mine, stars.size)
    sourced = mine[source[mine] > 0]
    identifier = np.where(
        (at := _first(wanted[sourced], sourced, stars.size)) >= 0, source[at] if source.size else 0, 0
    )
    names = _names(ra[first], dec[first], identifier)
    bare = np.flatnonzero((identifier <= 0) & ~(np.isfinite(ra[first]) & np.isfinite(dec[first])))
    if bare.size:
        name = exposures["spectrum_id"][int(first[bare[0]])].as_py()
        raise ResultsError(f"spectrum {name} has neither gaia_source_id nor coordinates; give one of them")
    spectra = spectra.append_column("object_id", pa.array(names[of_star], pa.string()))

    multiplicity = np.asarray(spectra["multiplicity"].to_pylist(), dtype=object)
    moonlight = _numbers(spectra["suspect_moonlight"], False)
    crosstalk = _numbers(spectra["suspect_crosstalk"], False)
    suspect = moonlight | crosstalk
    is_sb3 = multiplicity == "SB3"

    def count(which: np.ndarray) -> np.ndarray:
        return np.bincount(of_star[which], minlength=stars.size)

    n_detections, n_sb3 = count(np.ones(of_star.size, bool)), count(is_sb3)
    rv = np.stack([_numbers(spectra[f"rv_{i}"], np.nan) for i in (1, 2, 3)], axis=1)
    low, high = np.nanmin(rv, axis=1, initial=np.inf), np.nanmax(rv, axis=1, initial=-np.inf)
    snr = _numbers(spectra["snr"], -np.inf)
    best = _best(of_star, n_sb3, is_sb3, suspect, snr, spectra["spectrum_id"])
    magnitude = _numbers(spectra["phot_g_mean_mag"], np.nan)
    columns = {
        "object_id": pa.array(names, pa.string()),
        "ra": pa.array(ra[first], from_pandas=True),
        "dec": pa.array(dec[first], from_pandas=True),
        "gaia_source_id": pa.array(identifier, pa.int64(), mask=identifier <= 0),
        # One star has one magnitude; where releases differ, the fainter is as good as any.
        "phot_g_mean_mag": _or_null(_reduce(np.fmax, magnitude, of_star, stars.size)),
        "multiplicity": pa.array(np.where(n_sb3 > 0, "SB3", "SB2").astype(object), pa.string()),
        "n_exposures": pa.array(np.bincount(wanted[mine], minlength=stars.size), pa.int32()),
        "n_detections": pa.array(n_detections, pa.int32()),
        "n_sb2": pa.array(n_detections - n_sb3, pa.int32()),
        "n_sb3": pa.array(n_sb3, pa.int32()),
        "rv_separation_max": pa.array(_reduce(np.fmax, high - low, of_star, stars.size), pa.float32()),
        "rv_range": pa.array(
            _reduce(np.fmax, high, of_star, stars.size) - _reduce(np.fmin, low, of_star, stars.size),
            pa.float32(),
        ),
        "snr_max": _or_null(_reduce(np.fmax, snr, of_star, stars.size)),
        "n_suspect_moonlight": pa.array(count(moonlight), pa.int32()),
        "n_suspect_crosstalk": pa.array(count(crosstalk), pa.int32()),
        "suspect": pa.array(count(suspect) == n_detections),
        "best_spectrum_id": spectra["spectrum_id"].take(pa.array(best)),
    }
    return spectra, pa.table(columns).sort_by("object_id")


def _unique_positions(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (m, 3) of the different positions, and the place (n,) of each input among them."""
    unique, at = np.unique(np.stack([ra, dec], axis=1), axis=0, return_inverse=True)
    return unit_vectors(unique[:, 0], unique[:, 1]), at.ravel()


def _numbers(column: pa.ChunkedArray, missing: float | bool) -> np.ndarray:
    return np.asarray(pc.fill_null(column, pa.scalar(missing).cast(column.type)).to_numpy())


def _or_null(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float32(), mask=~np.isfinite(values))


def _find(spectra: pa.Table, exposures: pa.Table) -> np.ndarray:
    """Row of each detection among the exposures."""
    keys = [pc.binary_join_element_wise(t["spectrum_id"], t["band"], "\n") for t in (spectra, exposures)]
    found = pc.index_in(keys[0], value_set=keys[1])
    if found.null_count:
        name = spectra["spectrum_id"][pc.index(found.is_null(), True).as_py()].as_py()
        raise ResultsError(
            f"spectrum {name} is a detection, but not among the usable exposures of the manifest"
        )
    return np.asarray(found.to_numpy(), dtype=np.int64)


def _first(group: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """The first of the ascending `rows` in each of n groups, -1 where there is none."""
    first = np.full(n, -1, dtype=np.int64)
    present, at = np.unique(group, return_index=True)
    first[present] = rows[at]
    return first


def _reduce(function: np.ufunc, values: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
    """A ufunc that skips NaN over each of n groups, none of which is empty."""
    result = np.full(n, np.nan)
    function.at(result, group, values)
    return result


def _best(
    of_star: np.ndarray,
    n_sb3: np.ndarray,
    is_sb3: np.ndarray,
    suspect: np.ndarray,
    snr: np.ndarray,
    spectrum_id: pa.ChunkedArray,
) -> np.ndarray:
    """Row of the best example of each star: of its multiplicity, no suspect if possible, highest S/N."""
    other_kind = is_sb3 != (n_sb3[of_star] > 0)
    names = np.asarray(spectrum_id.to_pylist(), dtype=str)
    order = np.lexsort((names, -snr, suspect, other_kind, of_star))
    return order[np.unique(of_star[order], return_index=True)[1]]


def _names(ra: np.ndarray, dec: np.ndarray, identifier: np.ndarray) -> np.ndarray:
    """gaia-<source>, or J<coordinates> cut to 0.01 s and 0.1 arcsec as IAU names are."""
    names = np.array([f"gaia-{source}" for source in identifier], dtype=object)
    unnamed = (identifier <= 0) & np.isfinite(ra) & np.isfinite(dec)
    names[unnamed] = designation(ra[unnamed], dec[unnamed]).to_pylist()
    return names
