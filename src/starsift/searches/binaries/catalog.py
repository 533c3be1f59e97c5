"""The catalogues of spectra and of objects, from the tables of all bundles."""

import os
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.catalog.naming import designation
from starsift.errors import ResultsError
from starsift.searches.binaries.bundles import join_bundles
from starsift.searches.binaries.peaks import rectangle
from starsift.searches.binaries.stars import group_stars
from starsift.spectra.batches import IDENTITY_NAMES, OK

_EXPOSURE_COLUMNS = ("spectrum_id", "band", "lmjm", "ra", "dec", "gaia_source_id")


def gather_catalog(
    stages: Mapping[str, Iterable[str | os.PathLike[str]]],
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Read the rows and columns that the catalogues need, bundle by bundle, so that memory holds few of most.

    Parameters
    ----------
    stages : as in `join_bundles`: components, errors, classes, suspects, and the manifests

    Returns
    -------
    spectra : those that are SB2 or SB3, as input of `make_objects`
    exposures : every usable exposure, as input of `make_objects`
    candidates : the classifiers' columns of all candidates, as input of `binaries.voting.funnel`
    """
    spectra, exposures, candidates = [], [], []
    for table in join_bundles(stages):
        usable = table.filter(pc.equal(table["status"], OK))
        exposures.append(usable.select([*IDENTITY_NAMES, "ra", "dec", "gaia_source_id"]))
        chosen = table.filter(pc.is_in(table["n_components"], pa.array([2, 3], pa.int16())))
        classes = [name for name in chosen.column_names if name.startswith("p_c")]
        candidates.append(chosen.select(["n_components", "multiplicity", *classes]))
        spectra.append(chosen.filter(pc.is_valid(chosen["multiplicity"])))
    return _numbered(pa.concat_tables(spectra)), pa.concat_tables(exposures), pa.concat_tables(candidates)


def make_objects(spectra: pa.Table, exposures: pa.Table, radius: float) -> tuple[pa.Table, pa.Table]:
    """Gather the exposures that show binaries into stars (Li et al. 2023, section 4; Table 4).

    A star with an SB3 exposure is SB3, whatever the others are. The number of exposures counts those without
    detection as well.

    Parameters
    ----------
    spectra : detections, columns as in `BINARIES_SPECTRA` but object_id
    exposures : every usable exposure of the survey, detections among them: spectrum_id, band, lmjm, ra, dec,
        gaia_source_id
    radius : arcsec, see `group_stars`

    Returns spectra with object_id; objects as in `BINARIES_OBJECTS`, sorted by object_id. Raises
    ResultsError: a detection is not among the exposures, or has neither Gaia source nor coordinates.
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
    place = np.searchsorted(stars, star)
    place[(place == stars.size) | (np.append(stars, -1)[place] != star)] = -1
    mine = np.flatnonzero(place >= 0)
    # The first exposure of each star, and the first one with a Gaia source if there is any.
    first = _first(place[mine], mine, stars.size)
    sourced = mine[source[mine] > 0]
    identifier = np.where(
        (at := _first(place[sourced], sourced, stars.size)) >= 0, source[at] if source.size else 0, 0
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
        "n_exposures": pa.array(np.bincount(place[mine], minlength=stars.size), pa.int32()),
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


def _numbered(table: pa.Table) -> pa.Table:
    """Lists of velocities and errors as columns rv_1 to rv_3, rv_1_err to rv_3_err."""
    for source, ending in (("rv", ""), ("rv_err", "_err")):
        values = rectangle(table[source])
        for i in range(3):
            column = pa.array(values[:, i], pa.float32(), mask=np.isnan(values[:, i]))
            table = table.append_column(f"rv_{i + 1}{ending}", column)
    names = ["n_ccf_components" if name == "n_components" else name for name in table.column_names]
    return table.rename_columns(names).drop_columns(["rv", "rv_err"])


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
