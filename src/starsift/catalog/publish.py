"""Catalogues as Parquet, FITS, VOTable, CSV and text of fixed width with a ReadMe, all from one schema.

The same table makes the same bytes: no file holds a date.

Missing values are null in Parquet and VOTable. In FITS they are TNULL among integers, NaN among floats, blank
among strings, and the null byte among logicals (which astropy shows as False, with a warning). In CSV and in
the table of fixed width (`starsift.catalog.cds`) they are empty. Catalogues do better without logicals that
may be missing: astropy's reader `parquet.votable` fails on them.
"""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.io.votable.tree import Field, Info, Resource, TableElement, VOTableFile
from astropy.table import Column, MaskedColumn, Table
from astropy.table.meta import get_yaml_from_table
from astropy.units import Unit

from starsift.catalog import columns
from starsift.catalog.cds import fixed_width
from starsift.catalog.columns import PRODUCTS, TableSchema, conform
from starsift.catalog.listing import plain_text
from starsift.errors import ResultsError
from starsift.io.files import atomic_path
from starsift.io.parquet import write_csv, write_parquet

PROVENANCE_KEY = "starsift.provenance"
FITS_NULL = -9999  # TNULL of every column of integers: what LAMOST's own catalogues use

_FITS_FILL = {"A": "", "L": False, "E": np.nan, "D": np.nan}

# Arrow type: NumPy type, FITS format, VOTable datatype. FITS and VOTable have no signed bytes.
_TYPES: dict[pa.DataType, tuple[str, str, str]] = {
    pa.bool_(): ("bool", "L", "boolean"),
    pa.int8(): ("int16", "I", "short"),
    pa.int16(): ("int16", "I", "short"),
    pa.int32(): ("int32", "J", "int"),
    pa.int64(): ("int64", "K", "long"),
    pa.float32(): ("float32", "E", "float"),
    pa.float64(): ("float64", "D", "double"),
    pa.string(): ("str", "A", "char"),
}


def publish(
    table: pa.Table, schema: TableSchema, stem: str | os.PathLike[str], provenance: Mapping[str, Any]
) -> list[Path]:
    """Write a catalogue as Parquet, FITS, VOTable, CSV, and as text of fixed width with a ReadMe.

    All but CSV have units, UCDs and descriptions; Parquet, FITS and VOTable also have the provenance.

    Parameters
    ----------
    table : holds at least the columns that `schema` declares; others are left out
    stem : path of the files without the endings of `starsift.catalog.columns.PRODUCTS`; its name is that of
        the schema, by which the ReadMe names the file of the table
    provenance : anything that JSON can hold, such as `starsift.catalog.provenance.provenance` gives

    Returns the paths, in the order of `PRODUCTS`. Raises ResultsError if the table is not what the schema
    declares, a text is not ASCII, an integer is the number that means null in FITS, or a type has no
    counterpart in FITS.
    """
    table = conform(table, schema)
    _check_values(table, schema)
    origin = json.dumps(provenance, sort_keys=True, allow_nan=False)
    paths = [Path(f"{os.fspath(stem)}{ending}") for ending in PRODUCTS]
    write_parquet(table, paths[0], metadata=_footer(table, schema, origin))
    with atomic_path(paths[1]) as temporary:
        _fits(table, schema, origin).writeto(temporary, overwrite=True)
    with atomic_path(paths[2]) as temporary:
        _votable(table, schema, origin).to_xml(str(temporary))
    write_csv(plain_text(table), paths[3])
    for path, text in zip(paths[4:], fixed_width(table, schema), strict=True):
        with atomic_path(path) as temporary:
            temporary.write_text(text)
    return paths


def to_astropy(table: pa.Table) -> Table:
    """An astropy table with units, descriptions and UCDs (`column.meta["ucd"]`) from the Arrow fields.

    Columns with nulls are masked and keep their type: unlike astropy's own Parquet reader, which turns
    integers with nulls into float64, so that Gaia identifiers are rounded, and null strings into "None".
    """
    result = Table(meta={key: value for key, value in _words(table.schema.metadata).items() if key in _META})
    for field in table.schema:
        words = _words(field.metadata)
        values, null = _values(table[field.name], "" if pa.types.is_string(field.type) else 0)
        kind: Any = {"data": values} if not null.any() else {"data": values, "mask": null}
        result[field.name] = (MaskedColumn if null.any() else Column)(
            **kind,
            unit=words.get("unit"),
            description=words.get("description"),
            meta={"ucd": words["ucd"]} if "ucd" in words else None,
        )
    return result


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a published Parquet file as an astropy table with units and exact masks; see `to_astropy`."""
    return to_astropy(pq.read_table(path))


_META = ("name", "description")


def _words(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (metadata or {}).items()}


def _values(column: pa.ChunkedArray, fill: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) with `fill` where there is none, and where that is (n,) bool."""
    null = np.asarray(column.is_null().to_numpy(), dtype=bool)
    filled = column.fill_null(pa.scalar(fill).cast(column.type)) if null.any() else column
    values = filled.to_numpy()
    return (values.astype(str) if pa.types.is_string(column.type) else values), null


def _check_values(table: pa.Table, schema: TableSchema) -> None:
    problems = []
    for column in schema.columns:
        values = table[column.name]
        if column.type not in _TYPES:
            problems.append(f"column {column.name} has type {column.type}, which FITS cannot hold")
        elif pa.types.is_string(column.type):
            other = values.filter(pc.invert(pc.string_is_ascii(values)))
            if len(other):
                problems.append(f"column {column.name} holds {other[0].as_py()!r}, which is not ASCII")
        elif _has_null_number(column) and pc.index(values.cast(pa.int64()), FITS_NULL).as_py() >= 0:
            problems.append(f"column {column.name} holds {FITS_NULL}, which means missing; use null")
    if problems:
        raise ResultsError(f"table {schema.name}: {'; '.join(problems)}")


def _has_null_number(column: columns.Column) -> bool:
    """Whether FITS marks missing values of a column with `FITS_NULL`."""
    return column.nullable and pa.types.is_integer(column.type)


def _longest(texts: pa.ChunkedArray) -> int:
    """Length of the longest text, at least 1: a type of zero length is not valid."""
    return max(1, pc.max(pc.binary_length(texts)).as_py() or 0)


def _footer(table: pa.Table, schema: TableSchema, origin: str) -> dict[str, str]:
    """Keys of the Parquet footer: what astropy's two readers look for, and where the table comes from."""
    xml = io.BytesIO()
    _votable(table, schema, origin, rows=False).to_xml(xml)
    lengths = {
        column.name: _longest(table[column.name])
        for column in schema.columns
        if pa.types.is_string(column.type)
    }
    empty = to_astropy(table.slice(0, 0))
    for name, length in lengths.items():
        empty.replace_column(name, empty[name].astype(f"U{length}"))
    empty.meta = {"name": schema.name, "description": schema.description}
    return {
        **empty.meta,
        "IVOA.VOTable-Parquet.version": "1.0",
        "IVOA.VOTable-Parquet.content": xml.getvalue().decode(),
        "table_meta_yaml": "\n".join(get_yaml_from_table(empty)),
        **{f"table::len::{name}": str(length) for name, length in lengths.items()},
        PROVENANCE_KEY: origin,
    }


def _fits(table: pa.Table, schema: TableSchema, origin: str) -> fits.HDUList:
    columns, nulls = [], {}
    for column in schema.columns:
        dtype, code, _ = _TYPES[column.type]
        arrow = table[column.name].cast(pa.int16()) if column.type == pa.int8() else table[column.name]
        values, null = _values(arrow, _FITS_FILL.get(code, FITS_NULL))
        if code == "L" and null.any():
            nulls[column.name] = null
        columns.append(
            fits.Column(
                name=column.name,
                format=f"{max(1, values.dtype.itemsize // 4)}A" if code == "A" else code,
                unit=Unit(column.unit).to_string("fits") if column.unit else None,
                null=FITS_NULL if _has_null_number(column) else None,
                array=values.astype(dtype),
            )
        )
    hdu = fits.BinTableHDU.from_columns(columns, name=schema.name)
    for name, null in nulls.items():  # FITS has a third logical value, which astropy cannot write
        hdu.data.view(np.ndarray)[name][null] = 0
    for i, column in enumerate(schema.columns, 1):
        hdu.header.set(f"TUCD{i}", column.ucd, "UCD of the column", after=f"TFORM{i}")
        hdu.header.set(f"TCOMM{i}", column.description, after=f"TFORM{i}")
    hdu.header["TABDESC"] = schema.description
    primary = fits.PrimaryHDU()
    primary.header["CREATOR"] = "starsift"
    primary.header["PROVENAN"] = origin
    return fits.HDUList([primary, hdu])


def _votable(table: pa.Table, schema: TableSchema, origin: str, *, rows: bool = True) -> VOTableFile:
    """The table as VOTable; without rows it has no DATA element, as the footer of Parquet needs it."""
    file = VOTableFile()
    resource = Resource()
    file.resources.append(resource)
    resource.infos.append(Info(name="provenance", value=origin))
    element = TableElement(file, name=schema.name, ID=schema.name)
    element.description = schema.description
    resource.tables.append(element)
    for column in schema.columns:
        datatype = _TYPES[column.type][2]
        field = Field(
            file,
            ID=column.name,
            name=column.name,
            datatype=datatype,
            # Of fixed length, because astropy cannot join texts of any length to those of Parquet.
            arraysize=str(_longest(table[column.name])) if datatype == "char" else None,
            unit=Unit(column.unit).to_string("vounit") if column.unit else None,
            ucd=column.ucd,
        )
        field.description = column.description
        element.fields.append(field)
    element.create_arrays(table.num_rows if rows else 0)
    for column in schema.columns if rows else ():
        values, null = _values(table[column.name], "" if pa.types.is_string(column.type) else 0)
        element.array[column.name] = values
        element.array.mask[column.name] = null
    return file
