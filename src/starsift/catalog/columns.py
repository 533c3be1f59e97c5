"""The published tables: every column with its type, unit, UCD, precision and description.

UCDs are words of the UCD1+ controlled vocabulary. A column that may hold nulls says so; missing is null,
never a number that means it. Values are rounded to the precision of their column, so that a catalogue does
not depend on the last bits of the processor that made it. Thresholds are applied before that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.errors import ResultsError

# Endings of the files of a published table, see `starsift.catalog.publish`.
PRODUCTS = (".parquet", ".fits", ".vot", ".csv", ".dat", "_ReadMe.txt")


@dataclass(frozen=True)
class Column:
    """One column of a published table.

    Attributes
    ----------
    unit : as astropy reads it, "" for none
    nullable : whether a value may be missing
    decimals, digits : decimal places or significant digits to which published values are rounded; a column
        floats has one of them
    """

    name: str
    type: pa.DataType
    description: str
    ucd: str
    unit: str = ""
    nullable: bool = False
    decimals: int | None = None
    digits: int | None = None

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
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema."""
        return pa.schema([column.field for column in self.columns])

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]


def conform(table: pa.Table, schema: TableSchema) -> pa.Table:
    """The declared columns of a table, in order and of the declared types, rows sorted by the key.

    Columns that are not declared are left out. Types are converted only where no value changes, except that
    floats are rounded to the declared precision. NaN becomes null. Raises ResultsError if a column is missing
    or cannot be converted, a value is missing, or two rows have the same key.
    """
    problems = [f"column {name} is missing" for name in schema.names if name not in table.column_names]
    columns = {}
    for column in _present(table, schema):
        try:
            columns[column.name] = _rounded(_nan_to_null(table[column.name].cast(column.type)), column)
        except pa.ArrowException as error:
            problems.append(f"column {column.name} does not convert to {column.type}: {error}")
    problems += _bad_values(pa.table(columns), schema)
    if problems:
        raise ResultsError(f"table {schema.name}: {'; '.join(problems)}")
    # Nulls are ruled out above, so fields that forbid them can be attached.
    ordered = pa.table([columns[name] for name in schema.names], schema=schema.arrow)
    return ordered.sort_by([(name, "ascending") for name in schema.key]).combine_chunks()


def _nan_to_null(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def _rounded(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    """Values at the precision of their column, the same on every processor; none is -0."""
    numbers = values.cast(pa.float64()).combine_chunks() if pa.types.is_floating(values.type) else values
    if column.decimals is not None:
        numbers = pc.round(numbers, column.decimals, "half_to_even")
    elif column.digits is not None:  # not by logarithms, whose last bits differ
        text = np.char.mod(f"%.{column.digits - 1}e", numbers.drop_null().to_numpy())
        numbers = pc.replace_with_mask(numbers, numbers.is_valid(), pa.array(text.astype(np.float64)))
    else:
        return values
    return pa.chunked_array([pc.add(numbers, 0.0).cast(column.type)])


def _present(table: pa.Table, schema: TableSchema) -> Iterable[Column]:
    return [column for column in schema.columns if column.name in table.column_names]


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


VELOCITY_UCD = "spect.dopplerVeloc.opt"


def velocity(name: str, description: str, ucd: str = VELOCITY_UCD, nullable: bool = False) -> Column:
    return Column(name, pa.float32(), description, ucd, "km/s", nullable, decimals=2)


def probability(name: str, description: str) -> Column:
    return Column(name, pa.float32(), description, "stat.probability", nullable=True, decimals=4)


IDENTITY = (
    Column("spectrum_id", pa.string(), "Stem of the file, and /LMJM of the exposure", "meta.id;meta.main"),
    Column("obsid", pa.int64(), "Observation in the survey; none until DR3", "meta.id;obs", nullable=True),
    Column("planid", pa.string(), "Observing plan", "meta.id;obs.field"),
    Column("spid", pa.int8(), "Spectrograph", "meta.id;instr"),
    Column("fiberid", pa.int16(), "Fibre", "meta.id;instr.setup"),
    Column("lmjd", pa.int32(), "Local modified Julian day of the night (UTC+8)", "time.epoch", "d"),
    Column("lmjm", pa.int64(), "Local modified Julian minute, start of the exposure", "time.start", "min"),
    Column("band", pa.string(), "Arm of the spectrograph, B or R", "meta.code;instr.bandpass"),
)
STAR = (
    Column("ra", pa.float64(), "Right ascension (J2000)", "pos.eq.ra;meta.main", "deg", decimals=7),
    Column("dec", pa.float64(), "Declination (J2000)", "pos.eq.dec;meta.main", "deg", decimals=7),
    Column(
        "gaia_source_id", pa.int64(), "Gaia source, as the survey gives it", "meta.id.cross", nullable=True
    ),
    Column(
        "phot_g_mean_mag",
        pa.float32(),
        "Gaia G magnitude",
        "phot.mag;em.opt",
        "mag",
        nullable=True,
        decimals=4,
    ),
)
OBJECT_ID = "Star: gaia-<source>, or J<coordinates> without one"


def measured(
    name: str,
    description: str,
    ucd: str,
    unit: str = "",
    type: pa.DataType | None = None,
    *,
    decimals: int | None = None,
    digits: int | None = None,
) -> Column:
    return Column(name, type or pa.float32(), description, ucd, unit, True, decimals, digits)


def text(name: str, description: str, ucd: str) -> Column:
    return measured(name, description, ucd, type=pa.string())


def with_error(
    name: str, description: str, ucd: str, unit: str = "", *, decimals: int
) -> tuple[Column, Column]:
    return (
        measured(name, description, ucd, unit, decimals=decimals),
        measured(f"{name}_err", f"Error of {name}", f"stat.error;{ucd}", unit, decimals=decimals),
    )


def astrometry(name: str, description: str, ucd: str, unit: str) -> tuple[Column, Column]:
    return (
        measured(name, description, ucd, unit, pa.float64(), decimals=4),
        measured(f"{name}_error", f"Standard error of {name}", f"stat.error;{ucd}", unit, decimals=4),
    )


def code(name: str, description: str, ucd: str = "meta.code;src.class.luminosity") -> Column:
    return measured(name, description, ucd, type=pa.int8())


# What names a spectrum of low resolution, which has no exposures.
LRS = (
    *(replace(column, nullable=column.nullable or column.name == "lmjm") for column in IDENTITY),
    text("designation", "Name after the coordinates", "meta.id;pos.eq"),
    Column("obsdate", pa.string(), "Date of mjd, YYYY-MM-DD", "time.epoch;obs"),
    Column("mjd", pa.int32(), "Modified Julian day (UTC)", "time.epoch;obs", "d"),
    *(replace(column, nullable=True) for column in STAR[:2]),
)
GROUP = (
    Column("group_id", pa.int32(), "Number of the star, shared by its spectra", "meta.id.parent"),
    text("group_name", "Name of the star: designation of its first spectrum", "meta.id.parent"),
    Column("n_exposures", pa.int32(), "Spectra of the star in the catalogue", "meta.number;obs"),
)
LABEL = (
    Column("vetted", pa.bool_(), "Whether a person has vetted it", "meta.code.status"),
    text("vetted_by", "Who vetted it", "meta.curation"),
    text("label", "Label by that person", "meta.code;src.class"),
)
