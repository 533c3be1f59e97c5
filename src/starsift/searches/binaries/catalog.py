"""The catalogues of spectra and of objects, from the tables of all bundles."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import chi2

from starsift.catalog.naming import designation
from starsift.errors import ResultsError
from starsift.searches.binaries.bundles import join_bundles
from starsift.searches.binaries.peaks import rectangle
from starsift.searches.binaries.stars import group_stars
from starsift.searches.binaries.wilson import fit_wilson
from starsift.sky.barycentric import FIRST_MJD, barycentric_time, mid_exposure
from starsift.spectra.batches import IDENTITY_NAMES, OK

SPLIT = 0.5  # share of the exposures of a double-lined star in which its lines are apart
CLEAR_SIGMAS = 10.0  # of the lines' depth, from which a velocity is that of a star
_STAR = ("ra", "dec", "gaia_source_id", "phot_g_mean_mag")


@dataclass(frozen=True)
class Exposures:
    """Every usable exposure of a survey in order of time, and the star (n,) that each shows, from 0."""

    table: pa.Table
    star: np.ndarray

    @property
    def stars(self) -> int:
        """Number of stars."""
        return int(self.star.max(initial=-1)) + 1


def gather_catalog(
    stages: Mapping[str, Iterable[str | os.PathLike[str]]],
) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """Read the rows and columns that the catalogues need, bundle by bundle, so that memory holds few of most.

    Parameters
    ----------
    stages : as in `join_bundles`: classes, components, errors, suspects, and the manifests

    Returns
    -------
    spectra : those that are SB2 or SB3, or may be so, as input of `weigh_exposures`
    exposures : every usable exposure, as input of `group_exposures`
    candidates : the classifiers' columns of all candidates of the CCF, as input of `binaries.voting.funnel`
    called : from `compare_methods`
    """
    spectra, exposures, candidates, called = [], [], [], []
    for table in join_bundles(stages):
        usable = table.filter(pc.equal(table["status"], OK))
        names = [*IDENTITY_NAMES, "exptime", *_STAR, "p_single", "rv", "rv_err"]
        exposures.append(_with_one_velocity(usable).select(names))
        seen = table.filter(pc.is_in(table["n_components"], pa.array([2, 3], pa.int16())))
        classes = [name for name in seen.column_names if name.startswith("p_c")]
        candidates.append(seen.select(["n_components", "vote", *classes]))
        # By the models a spectrum may show two stars, and be no binary before its other exposures are seen.
        several = pc.greater(pc.list_value_length(table["light"]).fill_null(0), 1)
        spectra.append(table.filter(pc.or_(pc.is_valid(table["multiplicity"]), several)))
        by_any = pc.or_(pc.is_valid(table["vote"]), pc.is_valid(table["model"]))
        called.append(compare_methods(table.filter(by_any)))
    joined = map(pa.concat_tables, (exposures, candidates, called))
    return _numbered(pa.concat_tables(spectra)), *joined


def compare_methods(table: pa.Table) -> pa.Table:
    """What the vote and the models call binaries: identity, vote, model, snr, difference of the outermost
    velocities (km/s), light of the faintest star over that of the brightest; null of one velocity."""
    rv, light = rectangle(table["rv"]), rectangle(table["light"])
    several = np.isfinite(rv).sum(axis=1) > 1
    separation, ratio = np.full((2, len(rv)), np.nan, np.float32)
    separation[several] = np.nanmax(rv[several], axis=1) - np.nanmin(rv[several], axis=1)
    lit = several & np.isfinite(light).any(axis=1)
    ratio[lit] = np.nanmin(light[lit], axis=1) / np.nanmax(light[lit], axis=1)
    table = table.select([*IDENTITY_NAMES, "vote", "model", "snr"])
    table = table.append_column("separation", pa.array(separation, from_pandas=True))
    return table.append_column("light_ratio", pa.array(ratio, from_pandas=True))


def group_exposures(exposures: pa.Table, radius: float) -> Exposures:
    """Put exposures in order of time, and find those that show the same star.

    Parameters
    ----------
    exposures : spectrum_id, band, lmjm, ra, dec, gaia_source_id and what later steps need of them
    radius : arcsec, see `group_stars`
    """
    exposures = exposures.sort_by([(name, "ascending") for name in ("lmjm", "spectrum_id", "band")])
    ra, dec = _numbers(exposures["ra"], np.nan), _numbers(exposures["dec"], np.nan)
    return Exposures(exposures, group_stars(ra, dec, _numbers(exposures["gaia_source_id"], 0), radius))


def weigh_exposures(
    spectra: pa.Table, exposures: Exposures, *, threshold: float, binaries: float
) -> pa.Table:
    """Call exposures SB2 for what all exposures of their star show together.

    A binary shows two stars in half of its exposures, so the odds of a star are the product over exposures of
    (1 + ratio) / 2, with the likelihood ratio of two stars to one, times the odds before. Of one exposure
    alone that is its own probability; two or more that are likely support each other.

    Parameters
    ----------
    spectra : those with several stars, from `gather_catalog`; multiplicity is null where they may have them
    exposures : with p_single
    threshold : least probability of a binary, see `Decision`
    binaries : proportion of spectra with two stars or more among all

    Returns the spectra that are SB2 or SB3, with `p_star`, the probability that their star is a binary (null
    without models), and `by_star`: whether the other exposures made it so.
    """
    p = np.clip(1.0 - _numbers(exposures.table["p_single"], 1.0).astype(np.float64), 1e-6, 1 - 1e-6)
    ratio = p / (1 - p) * (1 - binaries) / binaries
    prior = min(binaries / SPLIT, 0.5)
    evidence = np.bincount(exposures.star, np.log(SPLIT * ratio + 1 - SPLIT), exposures.stars)
    log_odds = np.log(prior / (1 - prior)) + evidence
    at = _find(spectra, exposures.table)
    p_star = 1.0 / (1.0 + np.exp(-log_odds[exposures.star[at]]))
    here = p_star * SPLIT * ratio[at] / (SPLIT * ratio[at] + 1 - SPLIT)
    called = spectra["multiplicity"].is_valid().to_numpy()
    more = ~called & (here >= threshold)
    kind = np.where(more, "SB2", spectra["multiplicity"].fill_null("").to_numpy(zero_copy_only=False))
    spectra = spectra.set_column(
        spectra.column_names.index("multiplicity"), "multiplicity", pa.array(kind.astype(object), pa.string())
    )
    known = spectra["p_single"].is_valid().to_numpy()
    spectra = spectra.append_column("p_star", pa.array(p_star, pa.float32(), mask=~known))
    spectra = spectra.append_column("by_star", pa.array(more))
    return spectra.filter(pa.array(called | more))


def make_objects(spectra: pa.Table, exposures: Exposures) -> tuple[pa.Table, pa.Table]:
    """Gather the exposures that show binaries into stars (Li et al. 2023, section 4; Table 4).

    A star with an SB3 exposure is SB3, whatever the others are. The number of exposures counts those without
    detection as well.

    Parameters
    ----------
    spectra : detections, columns as in `BINARIES_SPECTRA` but object_id
    exposures : those of the survey, detections among them

    Returns spectra with object_id; objects as in `BINARIES_OBJECTS`, sorted by object_id. Raises
    ResultsError: a detection is not among the exposures, or has neither Gaia source nor coordinates.
    """
    detection = _find(spectra, exposures.table)
    stars, of_star = np.unique(exposures.star[detection], return_inverse=True)
    place = _place(exposures.star, stars)
    mine = np.flatnonzero(place >= 0)
    who = _identify(exposures.table, place, stars.size)
    names = who["object_id"]
    spectra = spectra.append_column("object_id", names.take(pa.array(of_star)))
    spectra, masses = _follow_stars(spectra, of_star, stars.size)

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
        **who,
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
        "p_binary": _or_null(_reduce(np.fmax, _numbers(spectra["p_star"], np.nan), of_star, stars.size)),
        **masses,
        "snr_max": _or_null(_reduce(np.fmax, snr, of_star, stars.size)),
        "n_suspect_moonlight": pa.array(count(moonlight), pa.int32()),
        "n_suspect_crosstalk": pa.array(count(crosstalk), pa.int32()),
        "suspect": pa.array(count(suspect) == n_detections),
        "best_spectrum_id": spectra["spectrum_id"].take(pa.array(best)),
    }
    return spectra, pa.table(columns).sort_by("object_id")


def find_variables(
    exposures: Exposures, detected: pa.ChunkedArray, *, stability: float, p_value: float
) -> pa.Table:
    """Single-lined stars whose velocity changes from exposure to exposure, by chi-square about its mean.

    Parameters
    ----------
    exposures : with phot_g_mean_mag, rv and rv_err (km/s), null where a spectrum has no velocity or several
    detected : object_id of the stars in `BINARIES_OBJECTS`, which are left out
    stability : km/s, by which velocities of constant stars differ between exposures, beyond their errors
    p_value : chance of a constant star to vary as much, below which a star is listed

    Returns a Table, columns as in `BINARIES_VARIABLES`, sorted by object_id.
    """
    known = pc.and_(pc.is_valid(exposures.table["rv"]), pc.is_valid(exposures.table["rv_err"]))
    known = known.to_numpy(zero_copy_only=False)
    measured, star, n = exposures.table.filter(pa.array(known)), exposures.star[known], exposures.stars
    rv = _numbers(measured["rv"], np.nan).astype(np.float64)
    weight = 1.0 / (_numbers(measured["rv_err"], np.nan).astype(np.float64) ** 2 + stability**2)
    total = np.bincount(star, weight, n)
    mean = np.bincount(star, weight * rv, n) / np.where(total > 0, total, np.nan)
    square = np.bincount(star, weight * (rv - mean[star]) ** 2, n)
    number = np.bincount(star, minlength=n)
    chance = chi2.sf(square, np.maximum(number - 1, 1))
    stars = np.flatnonzero((number > 1) & (chance < p_value))
    place = _place(star, stars)
    mine = place >= 0
    magnitude = _numbers(measured["phot_g_mean_mag"], np.nan)
    high, low = (_reduce(f, rv[mine], place[mine], stars.size) for f in (np.fmax, np.fmin))
    table = pa.table(
        {
            **_identify(measured, place, stars.size),
            "phot_g_mean_mag": _or_null(_reduce(np.fmax, magnitude[mine], place[mine], stars.size)),
            "n_velocities": pa.array(number[stars], pa.int32()),
            "rv": pa.array(mean[stars], pa.float32()),
            "rv_err": pa.array(total[stars] ** -0.5, pa.float32()),
            "rv_range": pa.array(high - low, pa.float32()),
            "chi2": pa.array(square[stars], pa.float32()),
            "p_value": chance[stars],
        }
    )
    return table.filter(pc.invert(pc.is_in(table["object_id"], detected))).sort_by("object_id")


def collect_velocities(
    spectra: pa.Table, exposures: Exposures, objects: pa.Table, variables: pa.Table
) -> pa.Table:
    """All velocities of the stars that have two exposures or more: SB2, and single-lined ones that vary.

    Velocities without an error are left out, and so are pairs that may be moonlight or cross-talk.

    Parameters
    ----------
    spectra, objects : from `make_objects`
    exposures : with exptime (s), rv and rv_err as in `find_variables`
    variables : from `find_variables`

    Returns a Table, sorted by object_id and time: object_id, spectrum_id, `time` (barycentric, modified
    Julian date, TDB), rv_1, rv_2 and their errors (km/s, the second null of one velocity), light_1, light_2
    and their errors.
    """
    double = objects.filter(pc.equal(objects["multiplicity"], "SB2"))["object_id"].combine_chunks()
    names = pa.concat_arrays([double, variables["object_id"].combine_chunks()])
    pairs = spectra.filter(pc.equal(spectra["multiplicity"], "SB2"))
    suspect = pc.or_kleene(pairs["suspect_moonlight"], pairs["suspect_crosstalk"]).fill_null(False)
    suspected = suspect.to_numpy(zero_copy_only=False)
    table, star = exposures.table, exposures.star
    row = np.full(len(star), -1)  # of each exposure among the pairs
    row[_find(pairs, table)] = np.arange(pairs.num_rows)
    mjd = mid_exposure(_numbers(table["lmjm"], -1), _numbers(table["exptime"], np.nan))
    single = _numbers(table["rv_err"], np.nan) > 0
    errors = np.stack([_numbers(pairs[f"rv_{i}_err"], np.nan) for i in (1, 2)], axis=1)
    clean = np.append((errors > 0).all(axis=1) & ~suspected, False)[row]  # last: no pair
    measured = np.where(row >= 0, clean, single & table["rv"].is_valid().to_numpy())
    measured &= mjd >= FIRST_MJD  # coadded spectra have no time
    stars = np.flatnonzero(np.bincount(star[measured], minlength=exposures.stars) > 1)
    place = _place(star, stars)
    name = _identify(table, place, stars.size)["object_id"]
    wanted = np.append(pc.is_in(name, names).to_numpy(zero_copy_only=False), False)  # last: no place
    mine = measured & wanted[place]
    table, row, name = table.filter(pa.array(mine)), row[mine], name.take(pa.array(place[mine]))
    paired = row >= 0

    def pair(column: str, single: str | None) -> pa.Array:
        values = np.full(len(row), np.nan)
        values[paired] = _numbers(pairs[column], np.nan)[row[paired]]
        if single:
            values[~paired] = _numbers(table[single], np.nan)[~paired]
        return _or_null(values)

    ra, dec = (_numbers(table[key], np.nan) for key in ("ra", "dec"))
    found = pa.table(
        {
            "object_id": name,
            "spectrum_id": table["spectrum_id"],
            "time": barycentric_time(ra, dec, mjd[mine]),
            "rv_1": pair("rv_1", "rv"),
            "rv_2": pair("rv_2", None),
            "rv_1_err": pair("rv_1_err", "rv_err"),
            "rv_2_err": pair("rv_2_err", None),
            **{key: pair(key, None) for key in ("light_1", "light_2", "light_1_err", "light_2_err")},
        }
    )
    return found.sort_by([("object_id", "ascending"), ("time", "ascending")])


def _with_one_velocity(table: pa.Table) -> pa.Table:
    """A velocity and its error in place of lists, null where there is none, more than one, or only noise."""
    one = pc.equal(pc.list_value_length(table["rv"]), 1).fill_null(False).to_numpy(zero_copy_only=False)
    one &= ~(rectangle(table["light_err"])[:, 0] > 1 / CLEAR_SIGMAS)
    for name in ("rv", "rv_err"):
        column = _or_null(np.where(one, rectangle(table[name])[:, 0], np.nan))
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _place(star: np.ndarray, stars: np.ndarray) -> np.ndarray:
    """Where each star (n,) is among the ascending `stars`, -1 where it is not."""
    place = np.searchsorted(stars, star)
    place[(place == stars.size) | (np.append(stars, -1)[place] != star)] = -1
    return place


def _identify(exposures: pa.Table, place: np.ndarray, n: int) -> dict[str, pa.Array]:
    """object_id, ra, dec and gaia_source_id of n objects; `place` are those of exposures in time."""
    ra, dec = _numbers(exposures["ra"], np.nan), _numbers(exposures["dec"], np.nan)
    source = _numbers(exposures["gaia_source_id"], 0)
    mine = np.flatnonzero(place >= 0)
    # The first exposure of each star, and the first one with a Gaia source if there is any.
    first = _first(place[mine], mine, n)
    sourced = mine[source[mine] > 0]
    at = _first(place[sourced], sourced, n)
    identifier = np.where(at >= 0, source[at] if source.size else 0, 0)
    bare = np.flatnonzero((identifier <= 0) & ~(np.isfinite(ra[first]) & np.isfinite(dec[first])))
    if bare.size:
        name = exposures["spectrum_id"][int(first[bare[0]])].as_py()
        raise ResultsError(f"spectrum {name} has neither gaia_source_id nor coordinates; give one of them")
    return {
        "object_id": pa.array(_names(ra[first], dec[first], identifier), pa.string()),
        "ra": pa.array(ra[first], from_pandas=True),
        "dec": pa.array(dec[first], from_pandas=True),
        "gaia_source_id": pa.array(identifier, pa.int64(), mask=identifier <= 0),
    }


def _follow_stars(spectra: pa.Table, of_star: np.ndarray, n: int) -> tuple[pa.Table, dict[str, pa.Array]]:
    """Spectra with `primary`, and of n objects mass ratio and systemic velocity, from the SB2 among them."""
    rv, rv_err, light, light_err = (
        np.stack([_numbers(spectra[name.format(i)], np.nan) for i in (1, 2)], axis=1)
        for name in ("rv_{}", "rv_{}_err", "light_{}", "light_{}_err")
    )
    # Unknown light tells nothing.
    dark = ~(np.isfinite(light) & (light_err > 0)).all(axis=1)
    light[dark], light_err[dark] = 0.5, 1.0
    double = pc.equal(spectra["multiplicity"], "SB2").to_numpy(zero_copy_only=False)
    usable = np.flatnonzero(double & np.isfinite(rv).all(axis=1) & (rv_err > 0).all(axis=1))
    primary = np.zeros(len(rv), np.int8)
    found = np.full((4, n), np.nan)
    for star in np.unique(of_star[usable]):
        rows = usable[of_star[usable] == star]
        fit = fit_wilson(rv[rows], rv_err[rows], light[rows], light_err[rows])
        primary[rows] = np.where(fit.swapped, 2, 1) * ~(dark[rows] & np.isnan(fit.ratio))
        found[:, star] = fit.ratio, fit.ratio_err, fit.systemic, fit.systemic_err
    names = ("mass_ratio", "mass_ratio_err", "systemic_velocity", "systemic_velocity_err")
    spectra = spectra.append_column("primary", pa.array(primary, mask=primary == 0))
    return spectra, {name: _or_null(values) for name, values in zip(names, found, strict=True)}


def _numbered(table: pa.Table) -> pa.Table:
    """Lists of velocities, shares of the light and errors as columns rv_1 to rv_3, rv_1_err and so on."""
    lists = {"rv": "rv_{}", "rv_err": "rv_{}_err", "light": "light_{}", "light_err": "light_{}_err"}
    for source, name in lists.items():
        values = rectangle(table[source])
        for i in range(3):
            column = pa.array(values[:, i], pa.float32(), mask=np.isnan(values[:, i]))
            table = table.append_column(name.format(i + 1), column)
    names = ["n_ccf_components" if name == "n_components" else name for name in table.column_names]
    return table.rename_columns(names).drop_columns([*lists])


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
