"""The published tables: every column with its type, unit, UCD and description.

UCDs are words of the UCD1+ controlled vocabulary. A column that may hold nulls says so; missing is null,
never a number that means it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc


class SchemaError(ValueError):
    """A table that is not what its schema declares; the message lists every difference."""


@dataclass(frozen=True)
class ColumnSchema:
    """One column: `unit` as astropy reads it ("" for none), `nullable` where a value may be missing."""

    name: str
    type: pa.DataType
    description: str
    ucd: str
    unit: str = ""
    nullable: bool = False

    @property
    def field(self) -> pa.Field:
        """The Arrow field, with unit, ucd and description as metadata."""
        words = {"unit": self.unit, "ucd": self.ucd, "description": self.description}
        metadata = {key: value for key, value in words.items() if value}
        return pa.field(self.name, self.type, nullable=self.nullable, metadata=metadata)


@dataclass(frozen=True)
class TableSchema:
    """A published table: `key` are the columns that identify a row and by which rows are sorted."""

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[ColumnSchema, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema."""
        return pa.schema([column.field for column in self.columns])

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]


def check(table: pa.Table, schema: TableSchema) -> None:
    """Compare a table with its schema: columns and their order, types, nulls, repeated keys.

    Raises
    ------
    SchemaError : lists everything that differs.
    """
    problems = _missing(table, schema)
    problems += [f"column {name} is not declared" for name in table.column_names if name not in schema.names]
    if not problems and table.column_names != schema.names:
        problems.append(f"columns are in the order {table.column_names}, expected {schema.names}")
    for column in _present(table, schema):
        found = table.schema.field(column.name).type
        if found != column.type:
            problems.append(f"column {column.name} has type {found}, expected {column.type}")
    _raise(schema, problems + _bad_values(table, schema))


def conform(table: pa.Table, schema: TableSchema) -> pa.Table:
    """The declared columns of a table, in order and of the declared types, rows sorted by the key.

    Columns that are not declared are left out. Types are converted only where no value changes, except that
    float64 may be rounded to float32. NaN becomes null.

    Raises
    ------
    SchemaError : a column is missing or cannot be converted, a value is missing, two rows have the same key.
    """
    problems = _missing(table, schema)
    columns = {}
    for column in _present(table, schema):
        try:
            columns[column.name] = _nan_to_null(table[column.name].cast(column.type))
        except pa.ArrowException as error:
            problems.append(f"column {column.name} does not convert to {column.type}: {error}")
    problems += _bad_values(pa.table(columns), schema)
    _raise(schema, problems)
    # Nulls are ruled out above, so fields that forbid them can be attached.
    ordered = pa.table([columns[name] for name in schema.names], schema=schema.arrow)
    return ordered.sort_by([(name, "ascending") for name in schema.key]).combine_chunks()


def _nan_to_null(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def _present(table: pa.Table, schema: TableSchema) -> Iterable[ColumnSchema]:
    return [column for column in schema.columns if column.name in table.column_names]


def _missing(table: pa.Table, schema: TableSchema) -> list[str]:
    return [f"column {name} is missing" for name in schema.names if name not in table.column_names]


def _bad_values(table: pa.Table, schema: TableSchema) -> list[str]:
    problems = []
    for column in _present(table, schema):
        values = table[column.name]
        if pa.types.is_floating(values.type) and pc.any(pc.is_nan(values)).as_py():
            problems.append(f"column {column.name} holds NaN; missing is null")
        if values.null_count and not column.nullable:
            row = pc.index(values.is_null(), True).as_py()
            problems.append(f"column {column.name} lacks {values.null_count} values, the first in row {row}")
    if all(name in table.column_names for name in schema.key):
        groups = table.select(schema.key).group_by(list(schema.key)).aggregate([([], "count_all")])
        repeated = groups.filter(pc.field("count_all") > 1)
        if repeated.num_rows:
            first = ", ".join(f"{name}={repeated[name][0].as_py()}" for name in schema.key)
            problems.append(f"{repeated.num_rows} keys are repeated, such as {first}")
    return problems


def _raise(schema: TableSchema, problems: list[str]) -> None:
    if problems:
        raise SchemaError(f"table {schema.name}: {'; '.join(problems)}")


_C = ColumnSchema
_VELOCITY = "spect.dopplerVeloc.opt"
_CLASSES = {"c1": (0, 1, 2, 3), "c2": (0, 1, 2, 3), "c3": (0, 1, 2), "c4": (0, 1, 3)}
_LINES = ("noise (L0)", "single-lined (L1)", "double-lined (L2)", "triple-lined (L3)")


def _velocity(name: str, description: str, ucd: str = _VELOCITY, nullable: bool = False) -> ColumnSchema:
    return ColumnSchema(name, pa.float32(), description, ucd, "km/s", nullable)


def _probability(name: str, description: str) -> ColumnSchema:
    return ColumnSchema(name, pa.float32(), description, "stat.probability", nullable=True)


_IDENTITY = (
    _C("spectrum_id", pa.string(), "Stem of the file, and /LMJM of the exposure", "meta.id;meta.main"),
    _C("obsid", pa.int64(), "Observation in the survey; none until DR3", "meta.id;obs", nullable=True),
    _C("planid", pa.string(), "Observing plan", "meta.id;obs.field"),
    _C("spid", pa.int8(), "Spectrograph", "meta.id;instr"),
    _C("fiberid", pa.int16(), "Fibre", "meta.id;instr.setup"),
    _C("lmjd", pa.int32(), "Local modified Julian day of the night (UTC+8)", "time.epoch", "d"),
    _C("lmjm", pa.int64(), "Local modified Julian minute, start of the exposure", "time.start", "min"),
    _C("band", pa.string(), "Arm of the spectrograph, B or R", "meta.code;instr.bandpass"),
)
_STAR = (
    _C("ra", pa.float64(), "Right ascension (J2000)", "pos.eq.ra;meta.main", "deg"),
    _C("dec", pa.float64(), "Declination (J2000)", "pos.eq.dec;meta.main", "deg"),
    _C("gaia_source_id", pa.int64(), "Gaia source, as the survey gives it", "meta.id.cross", nullable=True),
    _C("gaia_g_mean_mag", pa.float32(), "Gaia G magnitude", "phot.mag;em.opt", "mag", nullable=True),
)
_OBJECT_ID = "Star: gaia-<source>, or J<coordinates> without one"

BINARIES_SPECTRA = TableSchema(
    "binaries_spectra",
    "Double- and triple-lined exposures (Li et al. 2023, Table 3)",
    ("spectrum_id", "band"),
    (
        *_IDENTITY,
        _C("object_id", pa.string(), _OBJECT_ID, "meta.id.parent"),
        *_STAR,
        _C("snr", pa.float32(), "Signal-to-noise ratio a pixel", "stat.snr", nullable=True),
        _C("multiplicity", pa.string(), "SB2 or SB3: result of the vote", "meta.code.multip"),
        _velocity("rv_1", "Lowest heliocentric radial velocity"),
        _velocity("rv_2", "Second radial velocity, ascending"),
        _velocity("rv_3", "Third radial velocity, ascending", nullable=True),
        *(
            _velocity(f"rv_err_{i}", f"Error of rv_{i} from noisy copies", f"stat.error;{_VELOCITY}", True)
            for i in (1, 2, 3)
        ),
        _C("template", pa.int8(), "Best template: its place in the settings, from 0", "meta.code"),
        _C("n_ccf_components", pa.int16(), "Number of components found in the CCF", "meta.number"),
        _velocity("sigma", "Last smoothing of the derivatives of the CCF", "stat.param"),
        _C("converged", pa.bool_(), "As many components as valleys of the derivative", "meta.code.qual"),
        _C("ccf_max", pa.float32(), "Highest value of the CCF, at most 1", "stat.correlation"),
        *(
            _probability(f"p_{name}_l{line}", f"Classifier {name.upper()}: P that the CCF is {_LINES[line]}")
            for name, lines in _CLASSES.items()
            for line in lines
        ),
        _probability("reliability", "Share of noisy copies with the same number of components"),
        _C("suspect_moonlight", pa.bool_(), "A component stands still for the observer", "meta.code.qual"),
        _C("suspect_crosstalk", pa.bool_(), "Another star on the next fibre has its CCF", "meta.code.qual"),
        _C("crosstalk_partner", pa.string(), "Spectrum with the same CCF", "meta.id.assoc", nullable=True),
        _velocity(
            "barycentric_correction",
            "Barycentric correction, added to observed velocities",
            "phys.veloc;pos.barycenter",
            nullable=True,
        ),
        _C("label", pa.string(), "What people see who looked at it", "meta.code;src.class", nullable=True),
        _C("vetted_by", pa.string(), "Who has looked at it", "meta.curation", nullable=True),
        _C("file", pa.string(), "File of the spectrum", "meta.id;meta.file"),
    ),
)

BINARIES_OBJECTS = TableSchema(
    "binaries_objects",
    "Double- and triple-lined stars (Li et al. 2023, Table 4)",
    ("object_id",),
    (
        _C("object_id", pa.string(), _OBJECT_ID, "meta.id;meta.main"),
        *_STAR,
        _C("multiplicity", pa.string(), "SB3 if any exposure is, else SB2", "meta.code.multip"),
        _C("n_exposures", pa.int32(), "Usable exposures, with and without detection", "meta.number;obs"),
        _C("n_detections", pa.int32(), "Exposures that are SB2 or SB3", "meta.number;obs"),
        _C("n_sb2", pa.int32(), "Exposures that are SB2", "meta.number;obs"),
        _C("n_sb3", pa.int32(), "Exposures that are SB3", "meta.number;obs"),
        _velocity("rv_separation_max", "Largest difference within one exposure", f"{_VELOCITY};stat.max"),
        _velocity("rv_range", "Highest minus lowest velocity in all detections", f"{_VELOCITY};stat.max"),
        _C("snr_max", pa.float32(), "Best S/N of a detection", "stat.snr;stat.max", nullable=True),
        _C("n_suspect_moonlight", pa.int32(), "Detections that may be moonlight", "meta.number"),
        _C("n_suspect_crosstalk", pa.int32(), "Detections that may be cross-talk", "meta.number"),
        _C("suspect", pa.bool_(), "Every detection is a suspect of either kind", "meta.code.qual"),
        _C("best_spectrum_id", pa.string(), "Best example of the multiplicity", "meta.id.assoc"),
    ),
)

_BANDS = ("tio1", "tio2", "tio3", "tio4", "tio5", "cah1", "cah2", "cah3", "caoh", "na")
_INFRARED = {
    "j": ("2MASS J", "em.IR.J"),
    "h": ("2MASS H", "em.IR.H"),
    "k": ("2MASS Ks", "em.IR.K"),
    "w1": ("WISE W1, 3.4 um", "em.IR.3-4um"),
    "w2": ("WISE W2, 4.6 um", "em.IR.4-8um"),
}
_SPEEDS = {"u": "Towards the Galactic centre", "v": "With the rotation", "w": "To the north Galactic pole"}


def _measured(
    name: str, description: str, ucd: str, unit: str = "", type: pa.DataType | None = None
) -> ColumnSchema:
    return ColumnSchema(name, type or pa.float32(), description, ucd, unit, nullable=True)


def _with_error(name: str, description: str, ucd: str, unit: str = "") -> tuple[ColumnSchema, ColumnSchema]:
    return (
        _measured(name, description, ucd, unit),
        _measured(f"{name}_err", f"Error of {name}", f"stat.error;{ucd}", unit),
    )


def _astrometry(name: str, description: str, ucd: str, unit: str) -> tuple[ColumnSchema, ColumnSchema]:
    return (
        _measured(name, description, ucd, unit, pa.float64()),
        _measured(f"{name}_error", f"Standard error of {name}", f"stat.error;{ucd}", unit),
    )


def _code(name: str, description: str, ucd: str = "meta.code;src.class.luminosity") -> ColumnSchema:
    return _measured(name, description, ucd, type=pa.int8())


# Yes, no and unknown are 1, 0 and null in small integers: logicals that may be missing are read by few.
MSTARS = TableSchema(
    "mstars",
    "M stars found by hashing (Guo et al. 2019, Table 2)",
    ("spectrum_id",),
    (
        *(replace(column, nullable=column.nullable or column.name == "lmjm") for column in _IDENTITY),
        _measured("designation", "Name after the coordinates", "meta.id;pos.eq", type=pa.string()),
        _C("obsdate", pa.string(), "Date of mjd, YYYY-MM-DD", "time.epoch;obs"),
        _C("mjd", pa.int32(), "Modified Julian day (UTC)", "time.epoch;obs", "d"),
        *(replace(column, nullable=True) for column in _STAR[:2]),
        _C("snr", pa.float32(), "S/N a pixel, as the survey gives it", "stat.snr", nullable=True),
        _measured("snrr", "Median S/N a pixel in r", "stat.snr;em.opt.R"),
        _C("n_bad", pa.int32(), "Bad pixels, interpolated for the search", "meta.number"),
        _C("defective", pa.bool_(), "The spectrum has gaps", "meta.code.qual"),
        _C("best_rank", pa.int64(), "Best rank among the neighbours of any query, from 1", "stat.rank"),
        _C("nearest_query", pa.string(), "Known M star with the nearest code", "meta.id.assoc"),
        _C("hamming_distance", pa.int16(), "Differing bits, from the nearest query", "stat.value"),
        _C("n_queries", pa.int32(), "Queries that have it among their neighbours", "meta.number"),
        _measured("score", "What candidates are sorted by, larger is likelier", "stat.value"),
        _probability("p_m", "Probability of being an M star"),
        _measured("subclass", "Spectral subtype, M0 to M9", "src.spType", type=pa.string()),
        *_with_error("subtype", "Spectral subtype as a number, 0 for M0", "src.spType"),
        _velocity("rv", "Heliocentric radial velocity", nullable=True),
        _velocity("rv_err", "Error of rv", f"stat.error;{_VELOCITY}", nullable=True),
        _measured("ccf_max", "Highest value of the CCF, at most 1", "stat.correlation"),
        _measured("template", "Template of the highest CCF", "meta.id.assoc", type=pa.string()),
        *_with_error("ewha", "Equivalent width of H alpha", "spect.line.eqWidth;em.opt.R", "Angstrom"),
        _measured("snr_ha", "S/N a pixel of the continuum at H alpha", "stat.snr;em.opt.R"),
        _code("active", "1 active, 0 not, by H alpha emission", "meta.code;spect.line.eqWidth"),
        *(
            column
            for name in _BANDS
            for column in _with_error(name, f"Index {name.upper()}", "spect.index;em.opt.R")
        ),
        *_with_error("zeta", "Metallicity index zeta of TiO5 and CaH", "spect.index;phys.abund.Z"),
        _measured("gaia_source_id", "Gaia source", "meta.id.cross", type=pa.int64()),
        _measured("match_separation", "Separation from the Gaia source", "pos.angDistance", "arcsec"),
        _measured("phot_g_mean_mag", "Gaia G magnitude", "phot.mag;em.opt", "mag"),
        _measured("bp_rp", "Gaia BP - RP", "phot.color;em.opt.B;em.opt.R", "mag"),
        *(
            _measured(name, f"{band} magnitude", f"phot.mag;{ucd}", "mag")
            for name, (band, ucd) in _INFRARED.items()
        ),
        *_astrometry("parallax", "Parallax", "pos.parallax.trig", "mas"),
        *_astrometry("pmra", "Proper motion in ra, times cos(dec)", "pos.pm;pos.eq.ra", "mas/yr"),
        *_astrometry("pmdec", "Proper motion in dec", "pos.pm;pos.eq.dec", "mas/yr"),
        _code("giant", "1 giant, 0 dwarf"),
        _C("giant_evidence", pa.string(), "What speaks for the value of giant", "meta.code"),
        _measured("giant_log_odds", "Log odds of a giant, but for their rarity", "stat.likelihood"),
        _code("giant_h_jk", "Vote of H against J-K, 1 giant"),
        _code("giant_caoh_cah1", "Vote of CaOH against CaH1, 1 giant"),
        _code("giant_jk_w1w2", "Vote of J-K against W1-W2, 1 giant"),
        _code("giant_cah23_tio5", "Vote of CaH2+CaH3 against TiO5, 1 giant"),
        _code("giant_gaia", "1 giant by m_g; a check, it does not vote"),
        _measured("m_g", "Absolute G magnitude, no extinction", "phys.magAbs;em.opt", "mag"),
        _measured("distance", "Inverse parallax, if its error is small", "pos.distance", "pc"),
        *(
            _measured(name, f"{text}, LSR", "phys.veloc;pos.galactic", "km/s")
            for name, text in _SPEEDS.items()
        ),
        _measured("h_disc", "Height above the Galactic plane", "pos.cartesian.z;pos.galactic", "pc"),
        _measured("l", "Galactic longitude", "pos.galactic.lon", "deg", pa.float64()),
        _measured("b", "Galactic latitude", "pos.galactic.lat", "deg", pa.float64()),
        _C("vetted", pa.bool_(), "Whether a person has looked at it", "meta.code.status"),
        _measured("vetted_by", "Who has", "meta.curation", type=pa.string()),
        _measured("label", "What it is to that person", "meta.code;src.class", type=pa.string()),
        _C("file", pa.string(), "File of the spectrum", "meta.id;meta.file"),
    ),
)

_PROFILE = "single peak, double peak or uninteresting"

EMISSION = TableSchema(
    "emission",
    "Spectra with H alpha in emission (Skoda et al. 2020)",
    ("spectrum_id",),
    (
        *(replace(column, nullable=column.nullable or column.name == "lmjm") for column in _IDENTITY),
        _measured("designation", "Name after the coordinates", "meta.id;pos.eq", type=pa.string()),
        _C("obsdate", pa.string(), "Date of mjd, YYYY-MM-DD", "time.epoch;obs"),
        _C("mjd", pa.int32(), "Modified Julian day (UTC)", "time.epoch;obs", "d"),
        *(replace(column, nullable=True) for column in _STAR),
        _C("snr", pa.float32(), "S/N a pixel, as the survey gives it", "stat.snr", nullable=True),
        _measured("snrr", "S/N a pixel in r, as the survey gives it", "stat.snr;em.opt.R"),
        _measured("class", "Class by the survey's pipeline", "src.class", type=pa.string()),
        _measured("subclass", "Spectral type by the survey's pipeline", "src.spType", type=pa.string()),
        _C("profile", pa.string(), "H alpha: by people, else by the network", "meta.code;spect.line.profile"),
        _C("predicted", pa.string(), f"By the network: {_PROFILE}", "meta.code;spect.line.profile"),
        _probability("p_single", "Probability of a single peak, calibrated"),
        _probability("p_double", "Probability of a double peak, calibrated"),
        _probability("p_uninteresting", "Probability of no emission, calibrated"),
        _probability("p_emission", "Probability of either peak, calibrated"),
        _C("origin", pa.string(), "predicted, or oracle: labelled to teach the network", "meta.code"),
        _measured("round", "Round in which the oracle labelled it, from 0", "meta.number", type=pa.int16()),
        _C("vetted", pa.bool_(), "Whether a person has looked at it", "meta.code.status"),
        _measured("vetted_by", "Who has", "meta.curation", type=pa.string()),
        _measured("label", "What it is to that person", "meta.code;src.class", type=pa.string()),
        _C("group_id", pa.int32(), "Star: spectra that lie together have one number", "meta.id.parent"),
        _measured(
            "group_name", "Star: designation of its first spectrum", "meta.id.parent", type=pa.string()
        ),
        _C("n_exposures", pa.int32(), "Spectra of the star in the catalogue", "meta.number;obs"),
        *_with_error(
            "ewha",
            "Equivalent width of H alpha, emission positive",
            "spect.line.eqWidth;em.opt.R",
            "Angstrom",
        ),
        _measured("snr_ha", "S/N a pixel of the continuum at H alpha", "stat.snr;em.opt.R"),
        _measured("peak_wavelength", "Most prominent peak, vacuum", "em.wl;spect.line", "Angstrom"),
        _velocity("peak_velocity", "Heliocentric velocity of that peak", nullable=True),
        _velocity(
            "peak_separation", "Between the peaks of a double one", f"{_VELOCITY};arith.diff", nullable=True
        ),
        _measured("link", "Web page of the spectrum", "meta.ref.url", type=pa.string()),
        _C("file", pa.string(), "File of the spectrum", "meta.id;meta.file"),
    ),
)

_SDSS = {"u": "em.opt.U", "g": "em.opt.B", "r": "em.opt.R", "i": "em.opt.I", "z": "em.opt.I"}

BHB = TableSchema(
    "bhb",
    "Blue horizontal branch stars (Wei et al. 2023)",
    ("spectrum_id",),
    (
        *(replace(column, nullable=column.nullable or column.name == "lmjm") for column in _IDENTITY),
        _C("survey", pa.string(), "Survey, as the settings name it", "meta.dataset"),
        _measured("designation", "Name after the coordinates", "meta.id;pos.eq", type=pa.string()),
        _C("obsdate", pa.string(), "Date of mjd, YYYY-MM-DD", "time.epoch;obs"),
        _C("mjd", pa.int32(), "Modified Julian day (UTC)", "time.epoch;obs", "d"),
        *(replace(column, nullable=True) for column in _STAR),
        _C("snr", pa.float32(), "S/N a pixel, as the survey gives it", "stat.snr", nullable=True),
        _measured("class", "Class by the survey's pipeline", "src.class", type=pa.string()),
        _measured("subclass", "Spectral type by the survey's pipeline", "src.spType", type=pa.string()),
        _probability("p_bhb", "Probability of a BHB star, calibrated"),
        _measured("modality", "What it rests on: spectrum+image or spectrum", "meta.code", type=pa.string()),
        _measured("image_status", "ok, or why there is no image", "meta.code.status", type=pa.string()),
        _C("origin", pa.string(), "predicted, or people: they alone say BHB", "meta.code"),
        _measured("split", "Part of the labelled stars it is in, if any", "meta.code", type=pa.string()),
        _measured("known_class", "Class in the labelled catalogue", "meta.code;src.class", type=pa.string()),
        *(
            _measured(f"psfmag_{band}", f"SDSS {band}, point source, as observed", f"phot.mag;{ucd}", "mag")
            for band, ucd in _SDSS.items()
        ),
        _measured("g_0", "g without extinction", "phot.mag;em.opt.B", "mag"),
        _measured("u_g_0", "u-g without extinction", "phot.color;em.opt.U;em.opt.B", "mag"),
        _measured("g_r_0", "g-r without extinction", "phot.color;em.opt.B;em.opt.R", "mag"),
        _measured("absmag_g", "Absolute g magnitude of a BHB star of g_r_0", "phys.magAbs;em.opt.B", "mag"),
        _measured("distance", "Distance from the Sun of a BHB star", "pos.distance", "kpc"),
        _measured("e_distance", "Error of distance", "stat.error;pos.distance", "kpc"),
        _C("group_id", pa.int32(), "Star: spectra that lie together have one number", "meta.id.parent"),
        _measured(
            "group_name", "Star: designation of its first spectrum", "meta.id.parent", type=pa.string()
        ),
        _C("n_exposures", pa.int32(), "Spectra of the star in the catalogue", "meta.number;obs"),
        _C("vetted", pa.bool_(), "Whether a person has looked at it", "meta.code.status"),
        _measured("vetted_by", "Who has", "meta.curation", type=pa.string()),
        _measured("label", "What it is to that person", "meta.code;src.class", type=pa.string()),
        _measured("link", "Web page of the spectrum", "meta.ref.url", type=pa.string()),
        _C("file", pa.string(), "File of the spectrum", "meta.id;meta.file"),
    ),
)

# The last one's unit holds for a table without units, where columns of one name differ (distance).
SCHEMAS = {schema.name: schema for schema in (BINARIES_SPECTRA, BINARIES_OBJECTS, BHB, MSTARS, EMISSION)}
