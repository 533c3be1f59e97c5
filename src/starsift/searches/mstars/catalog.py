"""The catalogue of M stars: candidates with measurements, other surveys' sources, and labels.

Labels are those of `starsift.learning.labels.read_labels`, one a spectrum. A label that
starts with type M (M, M3, dM4, gM2, M dwarf) confirms a candidate; any other removes it from the catalogue.
"""

import logging
import os
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.catalog.crossmatch import attach, standard_columns
from starsift.catalog.naming import dates, designation
from starsift.errors import InputError, ResultsError
from starsift.io.columns import floats
from starsift.io.tables import read_table
from starsift.learning.labels import with_labels
from starsift.searches.mstars.columns import MSTARS
from starsift.searches.mstars.kinematics import derive, dispersions
from starsift.searches.mstars.luminosity import Separator, giant_by_magnitude, separate
from starsift.survey.identity import MISSING

PathLike = str | os.PathLike[str]
log = logging.getLogger(__name__)
_M = re.compile(r"[dg]?Me?(?![a-z])", re.IGNORECASE)  # no other word, such as "maybe"


def read_sources(path: PathLike | None) -> pa.Table | None:
    """A table of Gaia, 2MASS and WISE sources.

    Raises InputError if the file cannot be read, or source_id has lost digits; ResultsError if a column is
    missing or has the wrong type.
    """
    if path is None:
        return None
    table = read_table(path)
    try:
        return standard_columns(table)
    except InputError as error:
        raise ResultsError(f"{path}: {error}") from error


def join_measurements(candidates: pa.Table, measurements: pa.Table) -> pa.Table:
    """Candidates of `rank_pool` with their measurements of `measure`: the same spectra in any order.

    Raises ResultsError if a candidate has no measurements.
    """
    rows = candidates.drop_columns(["bundle", "row"])
    measured = measurements.take(_places(rows["spectrum_id"], measurements["spectrum_id"], "measurements"))
    for name in measured.column_names:
        if name not in rows.column_names:
            rows = rows.append_column(name, measured[name])
    return rows


def characterize(
    rows: pa.Table,
    manifest: pa.Table,
    sources: pa.Table | None,
    *,
    match_radius: float,
    epoch_years: float,
    separators: Sequence[Separator],
    giant_share: float,
    max_relative_error: float,
    solar_motion: Sequence[float],
    sun_height: float,
) -> pa.Table:
    """Add to measured M stars what follows from them and from other surveys: names, magnitudes, astrometry,
    giant or dwarf, distances and velocities.

    Parameters
    ----------
    rows : of `starsift.searches.mstars.measurements.measure`, further columns allowed
    manifest : of the survey: spectrum_id, lmjd, file, gaia_source_id, phot_g_mean_mag, and snrr, mjd if it
        has them
    sources : Gaia, 2MASS and WISE, see `starsift.catalog.crossmatch`; None: nothing is known
    match_radius : arcsec
    epoch_years : as `years` of `starsift.catalog.crossmatch.attach`
    separators, giant_share : as in `starsift.searches.mstars.luminosity.separate`
    max_relative_error, solar_motion, sun_height : as in `starsift.searches.mstars.kinematics.derive`

    Raises ResultsError: a spectrum is not in the manifest.
    """
    listed = manifest.take(_places(rows["spectrum_id"], manifest["spectrum_id"], "manifest"))
    for name in ("ra", "dec", "file", "gaia_source_id"):
        if name not in rows.column_names:
            rows = rows.append_column(name, listed[name])
    rows = _named(rows, listed)
    nothing = pa.table({"ra": pa.array([], pa.float64()), "dec": pa.array([], pa.float64())})
    rows = attach(rows, nothing if sources is None else sources, match_radius, years=epoch_years)
    magnitude = pc.coalesce(rows["phot_g_mean_mag"], _known(listed["phot_g_mean_mag"]))
    rows = rows.set_column(rows.column_names.index("phot_g_mean_mag"), "phot_g_mean_mag", magnitude)
    for table in (
        separate(rows, separators, giant_share=giant_share),
        derive(rows, max_relative_error=max_relative_error, solar_motion=solar_motion, sun_height=sun_height),
    ):
        for name in table.column_names:
            rows = rows.append_column(name, table[name])
    gaia = giant_by_magnitude(floats(rows, "m_g"))
    return rows.append_column("giant_gaia", gaia)


def build_catalog(
    rows: pa.Table, labels: pa.Table, *, probability: float
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """The published M stars, and all candidates to be vetted.

    Parameters
    ----------
    rows : candidates, of `join_measurements` and `characterize`
    labels : of `starsift.learning.labels.read_labels`: spectrum_id, label, vetted_by
    probability : least p_m of a published candidate that is not vetted

    Returns
    -------
    catalogue : columns of `MSTARS`: the published M stars
    vetting : the same columns, all candidates in order
    funnel : how many candidates are left after each step
    """
    rows = _labelled(rows, labels)
    for column in MSTARS.columns:  # a separator that the settings leave out
        if column.nullable and column.name not in rows.column_names:
            rows = rows.append_column(column.name, pa.nulls(rows.num_rows, column.type))
    vetting = rows.select(MSTARS.names)
    catalogue, funnel = _published(vetting, probability)
    return catalogue, vetting, funnel


def all_m(catalogue: pa.Table, *released: pa.Table) -> pa.Table:
    """The supplemental catalogue and the M stars that were known, if any, the paper's "ALL M" (section 4).

    From `build_catalog` and `characterize`. Returns a Table of the columns of `MSTARS` that all have, and
    `released` (bool).
    """
    names = [name for name in catalogue.column_names if all(name in table.column_names for table in released)]
    parts = []
    for table, known in ((catalogue, False), *((table, True) for table in released)):
        flag = pa.array([known] * table.num_rows, pa.bool_())
        parts.append(table.select(names).append_column("released", flag))
    return pa.concat_tables(parts, promote_options="permissive")


def _places(ids: pa.ChunkedArray, known: pa.ChunkedArray, what: str) -> pa.Array:
    places = pc.index_in(ids, value_set=known.combine_chunks())
    if places.null_count:
        first = ids.filter(pc.is_null(places))[0].as_py()
        raise ResultsError(f"{what}: candidate {first} is not in it; delete results/mstars and run again")
    return places


def _known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """float32, null where there is no number; surveys write -9999 too."""
    values = column.cast(pa.float32())
    good = pc.fill_null(pc.greater(values, float(MISSING)), False)
    return pc.if_else(good, values, pa.scalar(None, pa.float32()))


def _named(rows: pa.Table, listed: pa.Table) -> pa.Table:
    """Designation, date and S/N in r as LAMOST writes them."""
    ra, dec = (floats(rows, name) for name in ("ra", "dec"))
    snr = rows["snr_r"]
    if "snrr" in listed.column_names:
        snr = pc.coalesce(_known(listed["snrr"]), snr)
    for name, values in {"designation": designation(ra, dec), **dates(listed), "snrr": snr}.items():
        rows = rows.append_column(name, values)
    return rows


def _labelled(rows: pa.Table, labels: pa.Table) -> pa.Table:
    other = labels["spectrum_id"].filter(
        pc.is_null(pc.index_in(labels["spectrum_id"], value_set=rows["spectrum_id"].combine_chunks()))
    )
    if len(other):
        log.warning("%d labels are of spectra that are no candidates, such as %s", len(other), other[0])
    vetted = pc.is_in(rows["spectrum_id"], value_set=labels["spectrum_id"].combine_chunks())
    return with_labels(rows.append_column("vetted", vetted), labels)


def _published(rows: pa.Table, probability: float) -> tuple[pa.Table, dict[str, int]]:
    label = rows["label"].to_pylist()
    vetted = rows["vetted"].to_numpy()
    confirmed = vetted & np.array([bool(_M.match(text or "")) for text in label], dtype=bool)
    likely = ~vetted & (rows["p_m"].to_numpy() >= probability)
    chosen = confirmed | likely
    typed = pc.fill_null(pc.starts_with(rows["subclass"], "M"), False).to_numpy()
    # Labels of people overrule the indices.
    kept = confirmed | (likely & typed)
    catalogue = rows.filter(pa.array(kept))
    giant, flag = catalogue["giant"], catalogue["active"]
    return catalogue, {
        "vetted": int(vetted.sum()),
        "confirmed or likely": int(chosen.sum()),
        "of type M": int(kept.sum()),
        "dwarfs": int(pc.sum(pc.equal(giant, 0)).as_py() or 0),
        "giants": int(pc.sum(pc.equal(giant, 1)).as_py() or 0),
        "active": int(pc.sum(pc.equal(flag, 1)).as_py() or 0),
    }


def velocity_bins(catalogue: pa.Table, width: float = 100.0) -> pa.Table:
    """Mean velocities and dispersions of dwarfs by height (figure 18); see `dispersions`."""
    dwarfs = catalogue.filter(pc.fill_null(pc.equal(catalogue["giant"], 0), False))
    h_disc, u, v, w, active = (floats(dwarfs, name) for name in ("h_disc", "u", "v", "w", "active"))
    return dispersions(h_disc, u, v, w, active, width)
