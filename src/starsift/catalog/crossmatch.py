"""The catalogued source of each spectrum, and its magnitudes, parallax and proper motion.

Every spectrum gets its own answer, so several spectra may show the same source. A one-to-one match would
silently drop the repeated observations of a star. For tables of more than some ten million sources use LSDB.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from starsift.errors import InputError
from starsift.io.columns import cast_column, first_outside, floats
from starsift.sky.sphere import unit_vectors
from starsift.survey.identity import MISSING

_CHUNK = 100_000  # spectra searched at once

# Our name, its type, unit, and the names under which tables of Gaia, 2MASS and WISE have it. The first one
# that a table has is taken; case does not matter.
ALIASES: dict[str, tuple[pa.DataType, str, tuple[str, ...]]] = {
    "ra": (pa.float64(), "deg", ("ra", "raj2000", "ra_icrs", "_raj2000")),
    "dec": (pa.float64(), "deg", ("dec", "dej2000", "decj2000", "de_icrs", "_dej2000")),
    "gaia_source_id": (pa.int64(), "", ("gaia_source_id", "source_id", "gaia_sourceid", "source")),
    "phot_g_mean_mag": (pa.float32(), "mag", ("phot_g_mean_mag", "gaia_g_mean_mag", "gaia_g", "gmag")),
    "bp_rp": (pa.float32(), "mag", ("bp_rp", "bp-rp")),
    "parallax": (pa.float64(), "mas", ("parallax", "plx")),
    "parallax_error": (pa.float32(), "mas", ("parallax_error", "e_plx", "parallax_err")),
    "pmra": (pa.float64(), "mas/yr", ("pmra", "pm_ra_cosdec")),
    "pmra_error": (pa.float32(), "mas/yr", ("pmra_error", "e_pmra", "pmra_err")),
    "pmdec": (pa.float64(), "mas/yr", ("pmdec", "pm_dec", "pmde")),
    "pmdec_error": (pa.float32(), "mas/yr", ("pmdec_error", "e_pmdec", "e_pmde", "pmdec_err")),
    "j": (pa.float32(), "mag", ("j", "j_m", "jmag", "j_mag")),
    "h": (pa.float32(), "mag", ("h", "h_m", "hmag", "h_mag")),
    "k": (pa.float32(), "mag", ("k", "k_m", "ks_m", "kmag", "ksmag", "k_mag", "ks_mag", "ks")),
    "w1": (pa.float32(), "mag", ("w1", "w1mpro", "w1mag", "w1_mag")),
    "w2": (pa.float32(), "mag", ("w2", "w2mpro", "w2mag", "w2_mag")),
    "j_err": (pa.float32(), "mag", ("j_err", "j_msigcom", "e_jmag")),
    "h_err": (pa.float32(), "mag", ("h_err", "h_msigcom", "e_hmag")),
    "k_err": (pa.float32(), "mag", ("k_err", "k_msigcom", "ks_msigcom", "e_kmag")),
    "w1_err": (pa.float32(), "mag", ("w1_err", "w1sigmpro", "w1mpro_error", "e_w1mag")),
    "w2_err": (pa.float32(), "mag", ("w2_err", "w2sigmpro", "w2mpro_error", "e_w2mag")),
}
REQUIRED = ("ra", "dec")
_LIMITS = {"ra": (-180.0, 360.0), "dec": (-90.0, 90.0)}  # both ways of counting right ascension
COLUMNS = tuple(name for name in ALIASES if name not in REQUIRED)


def crossmatch(
    ra: npt.ArrayLike, dec: npt.ArrayLike, table_ra: npt.ArrayLike, table_dec: npt.ArrayLike, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of a spectrum and a source that are at most `radius` apart.

    Parameters
    ----------
    ra, dec : (n,) degrees, of the spectra; where not finite, there is no pair
    table_ra, table_dec : (m,) degrees, of the sources
    radius : arcsec

    Returns
    -------
    i, j : (pair,) int64, row of the spectrum and of the source
    separation : (pair,) arcsec; sorted by i, then separation, then j

    Raises InputError: the radius is not a positive number of at most one degree.
    """
    if not 0 < radius <= 3600:
        raise InputError(f"radius is {radius} arcsec, expected more than 0 and at most 3600")
    here, positions = _known_vectors(ra, dec)
    there, sources = _known_vectors(table_ra, table_dec)
    # The chord of the radius, and a trifle (1e-9 arcsec) against rounding at the rim.
    chord = 2 * np.sin(np.radians(radius / 3600) / 2) + 5e-15
    found = []
    if len(sources):
        tree = cKDTree(sources)
        for start in range(0, len(positions), _CHUNK):
            part = cKDTree(positions[start : start + _CHUNK])
            pairs = part.sparse_distance_matrix(tree, chord, output_type="ndarray")
            found.append((pairs["i"] + start, pairs["j"], pairs["v"]))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    i, j, v = (np.concatenate(values) for values in zip(*found, strict=True))
    separation = np.degrees(2 * np.arcsin(v / 2)) * 3600
    i, j = here[i], there[j]
    order = np.lexsort((j, separation, i))
    return i[order], j[order], separation[order]


def nearest(
    ra: npt.ArrayLike, dec: npt.ArrayLike, table_ra: npt.ArrayLike, table_dec: npt.ArrayLike, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest source of each spectrum; many spectra may have the same one. Parameters as `crossmatch`.

    Returns the row of the source (n,) int64, -1 where none is within the radius, the first of equally near
    ones; and the separation (n,) arcsec, NaN where there is none.
    """
    i, j, apart = crossmatch(ra, dec, table_ra, table_dec, radius)
    row = np.full(np.shape(ra), -1, dtype=np.int64)
    separation = np.full(np.shape(ra), np.nan)
    spectrum, first = np.unique(i, return_index=True)
    row[spectrum], separation[spectrum] = j[first], apart[first]
    return row, separation


def group_exposures(ra: np.ndarray, dec: np.ndarray, radius: float) -> np.ndarray:
    """Number the stars that spectra show: friends of friends on the sky.

    Designations do not serve: one star has several, as the coordinates of its fibres differ.

    Parameters
    ----------
    ra, dec : (n,) degrees; where not finite, a spectrum is a star of its own
    radius : arcsec

    Returns (n,) int64, from 0 in the order of each star's first spectrum.

    Source: Skoda et al. 2020, Appendix B.2.
    """
    i, j, _ = crossmatch(ra, dec, ra, dec, radius)
    graph = coo_array((np.ones(len(i), dtype=bool), (i, j)), shape=(len(ra), len(ra)))
    label = connected_components(graph, directed=False)[1] if len(ra) else np.empty(0, np.int64)
    _, first, group = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group]


def attach(rows: pa.Table, sources: pa.Table, radius: float, *, years: float = 0.0) -> pa.Table:
    """Add the values of a table of sources to each spectrum.

    A spectrum whose `gaia_source_id` the table has belongs to that source, however far it is: bright stars
    and fast ones were observed where they were then. Any other belongs to the nearest source within the
    radius.

    Parameters
    ----------
    rows : with ra, dec (degrees; may be null) and, if known, gaia_source_id; columns of the names to be added
        are replaced
    sources : as published, see `ALIASES`; those without coordinates only match by identifier
    radius : arcsec
    years : how much later than the spectra's the epoch of the sources' coordinates is. They are taken back
        along the proper motions: LAMOST's coordinates are of 2000, Gaia DR2's of 2015.5, so a star of more
        than 0.32 arcsec a year is missed at 5 arcsec otherwise.

    Returns rows with `COLUMNS` and match_separation (arcsec), null where nothing matches or the table lacks a
    column; gaia_source_id stays as it was there. Raises InputError: ra or dec is missing (all that is missing
    is listed), values have the wrong type, an identifier is repeated.
    """
    sources = standard_columns(sources)
    ra, dec = (floats(rows, name) for name in REQUIRED)
    source_ra, source_dec = _moved(sources, years)
    place, separation = nearest(ra, dec, source_ra, source_dec, radius)

    own = _identifiers(rows["gaia_source_id"]) if "gaia_source_id" in rows.column_names else None
    if own is not None:
        known = pc.index_in(own, value_set=_unique_identifiers(sources), skip_nulls=True)
        row = pc.fill_null(known, -1).to_numpy().astype(np.int64)
        by_name = row >= 0
        place = np.where(by_name, row, place)
        separation[by_name] = _apart(
            ra[by_name], dec[by_name], source_ra[row[by_name]], source_dec[row[by_name]]
        )
    else:
        _unique_identifiers(sources)

    take = pa.array(place, mask=place < 0)
    result = rows
    for name in (*COLUMNS, "match_separation"):
        if name == "match_separation":
            values: pa.Array | pa.ChunkedArray = pa.array(separation, pa.float32(), from_pandas=True)
            unit = "arcsec"
        else:
            values, unit = sources[name].take(take), ALIASES[name][1]
        if name == "gaia_source_id" and own is not None:
            values = pc.coalesce(values, own)
        field = pa.field(name, values.type, metadata={"unit": unit} if unit else None)
        if name in result.column_names:
            result = result.set_column(result.column_names.index(name), field, values)
        else:
            result = result.append_column(field, values)
    return result


def standard_columns(sources: pa.Table) -> pa.Table:
    """All columns of `ALIASES`, in our types; missing, NaN, infinite and -9999 become null.

    Raises InputError if ra or dec is missing, or values are not what they should be.
    """
    present: dict[str, str] = {}
    for name in sources.column_names:
        present.setdefault(name.lower(), name)
    taken = {
        name: next((present[alias] for alias in aliases if alias in present), None)
        for name, (_, _, aliases) in ALIASES.items()
    }
    missing = [" or ".join(ALIASES[name][2]) for name in REQUIRED if taken[name] is None]
    if missing:
        raise InputError(
            f"the table of sources lacks columns: {'; '.join(missing)}. "
            f"It has: {', '.join(sources.column_names)}"
        )
    columns = {}
    for name, theirs in taken.items():
        kind = ALIASES[name][0]
        if theirs is None:
            columns[name] = pa.nulls(sources.num_rows, kind)
        elif name == "gaia_source_id":
            columns[name] = _identifiers(sources[theirs])
        else:
            numbers = cast_column("the table of sources", theirs, sources[theirs], pa.float64())
            columns[name] = _clean(numbers).cast(kind, safe=False)
    for name, (low, high) in _LIMITS.items():
        row = first_outside(columns[name], low, high)
        if row is not None:
            raise InputError(
                f"the table of sources: row {row + 1}, column {taken[name]}: {columns[name][row]} is not "
                f"between {low:g} and {high:g} degrees"
            )
    return pa.table(columns)


def _clean(values: pa.ChunkedArray) -> pa.ChunkedArray:
    good = pc.and_(pc.is_finite(values), pc.not_equal(values, float(MISSING)))
    return pc.if_else(pc.fill_null(good, False), values, pa.scalar(None, values.type))


def _identifiers(values: pa.ChunkedArray) -> pa.Array:
    """Gaia's identifiers as int64, null where there is none."""
    if pa.types.is_floating(values.type) and values.null_count < len(values):
        raise InputError(
            "identifiers of Gaia sources are floating-point numbers, which round them; give int64 or text"
        )
    try:
        numbers = values.cast(pa.int64())
    except pa.ArrowException as error:
        raise InputError(f"identifiers of Gaia sources should be integers: {error}") from error
    numbers = pc.if_else(pc.fill_null(pc.greater(numbers, 0), False), numbers, pa.scalar(None, pa.int64()))
    return numbers.combine_chunks() if isinstance(numbers, pa.ChunkedArray) else numbers


def _unique_identifiers(sources: pa.Table) -> pa.Array:
    identifiers = sources["gaia_source_id"]
    known = identifiers.drop_null()
    if len(known) != len(known.unique()):
        counts = pc.value_counts(known)
        repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
        raise InputError(
            f"the table of sources has {len(repeated)} identifiers more than once, such as {repeated[0]}; "
            "each source must occur once"
        )
    return identifiers.combine_chunks() if isinstance(identifiers, pa.ChunkedArray) else identifiers


def _moved(sources: pa.Table, years: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the sources some years before, degrees; linear, good for decades."""
    ra, dec = (floats(sources, name) for name in REQUIRED)
    if years:
        shift = years / 3.6e6  # mas to degrees
        ra = ra - np.nan_to_num(floats(sources, "pmra")) * shift / np.cos(np.radians(dec))
        dec = dec - np.nan_to_num(floats(sources, "pmdec")) * shift
    return ra, dec


def _known_vectors(ra: npt.ArrayLike, dec: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Rows with coordinates (n,) and their unit vectors (n, 3)."""
    ra, dec = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    return rows, unit_vectors(ra[rows], dec[rows])


def _apart(ra: np.ndarray, dec: np.ndarray, other_ra: np.ndarray, other_dec: np.ndarray) -> np.ndarray:
    """Separation (n,) in arcsec, row by row."""
    chord = np.linalg.norm(unit_vectors(ra, dec) - unit_vectors(other_ra, other_dec), axis=-1)
    return np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1))) * 3600
