"""The catalogue of labelled spectra, and the bundles that hold them."""

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError
from starsift.io.columns import cast_column, whole_numbers
from starsift.io.tables import read_table
from starsift.searches.bhb.inputs import CLASSES
from starsift.searches.bhb.words import VOCABULARY
from starsift.survey.names import without_endings

PathLike = str | os.PathLike[str]

# Names of plate, night and fibre, in lower case; SDSS counts nights by mjd, LAMOST also by lmjd.
_PLATE, _NIGHT, _FIBRE = ("plate", "plateid", "planid"), ("mjd", "lmjd"), ("fiberid", "fiber", "fiber_id")


def read_labelled(path: PathLike) -> pa.Table:
    """Read a catalogue of labelled spectra.

    Parameters
    ----------
    path : a table with `label`, and `spectrum_id` or plate, mjd (or lmjd) and fiberid.
        Labels are the words of the search.

    Returns a Table in the order of the file: `spectrum_id`, or `planid` (without leading zeros), `mjd` or
    `lmjd`, `fiberid`; `label`, `class`. Raises InputError: the file cannot be read; a column or a value is
    missing; a plate, night or fibre is not a whole number; a label is unknown; or a spectrum is listed twice.
    """
    kinds = {word.label: word.label_class for word in VOCABULARY.words}
    result = _read_columns(path)
    for row, label in enumerate(result["label"].to_pylist(), 1):
        if label not in kinds or kinds[label] not in CLASSES:
            raise InputError(f"{path}: row {row}: label {label!r} is not one of {', '.join(kinds)}")
    seen: dict[str, int] = {}
    for row, name in enumerate(spectrum_keys(result, result).to_pylist(), 1):
        if seen.setdefault(name, row) != row:
            raise InputError(
                f"{path}: spectrum {name} is in row {seen[name]} and in row {row}; keep one label of it"
            )
    classes = [kinds[label] for label in result["label"].to_pylist()]
    return result.append_column("class", pa.array(classes, pa.string()))


def _read_columns(path: PathLike) -> pa.Table:
    """The identifiers and labels of a catalogue, under the names of `read_labelled`; no value is missing."""
    columns = ("spectrum_id", "label", *_PLATE, *_NIGHT, *_FIBRE)
    table = read_table(path, columns, ("spectrum_id", "label", *_PLATE))
    present = {name.lower(): table[name] for name in table.column_names}
    keys = {"spectrum_id": "spectrum_id"}
    if "spectrum_id" not in present:
        keys = {}
        for name, aliases in (("planid", _PLATE), ("", _NIGHT), ("fiberid", _FIBRE)):
            found = next((alias for alias in aliases if alias in present), "")
            keys[name or found] = found
    missing = [name or "mjd" for name, found in keys.items() if not found]
    missing += ["label"] if "label" not in present else []
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; expected label, and spectrum_id or plate, mjd and "
            f"fiberid; it has: {', '.join(table.column_names)}"
        )
    result = {
        name: cast_column(
            path, found, present[found], pa.int64() if name in (*_NIGHT, "fiberid") else pa.string()
        )
        for name, found in (keys | {"label": "label"}).items()
    }
    if "planid" in result:
        result["planid"] = pc.utf8_ltrim(whole_numbers(path, keys["planid"], result["planid"]), "0")
    else:
        result["spectrum_id"] = without_endings(result["spectrum_id"])
    for name, values in result.items():
        empty = pc.indices_nonzero(pc.or_kleene(pc.is_null(values), pc.equal(values.cast(pa.string()), "")))
        if len(empty):
            raise InputError(f"{path}: row {empty[0].as_py() + 1}: no {name}; fill it in, or delete the row")
    return pa.table(result)


def spectrum_keys(table: pa.Table, labelled: pa.Table) -> pa.Array:
    """Identifier (n,) of each spectrum of a manifest or of `labelled`, made of the columns of `labelled`."""
    if "spectrum_id" in labelled.column_names:
        return table["spectrum_id"].combine_chunks()
    # In manifests of SDSS the night is lmjd; others may also have the mjd of their catalogue.
    night = "mjd" if "mjd" in labelled.column_names and "mjd" in table.column_names else "lmjd"
    parts = [pc.utf8_ltrim(table["planid"].cast(pa.string()), "0")]
    parts += [table[name].cast(pa.string()) for name in (night, "fiberid")]
    return pc.binary_join_element_wise(*parts, "-").combine_chunks()


def labelled_bundles(catalog: PathLike, manifests: Iterable[PathLike]) -> list[str]:
    """Names of the bundles with a labelled spectrum, or of all if none has one: `build_dataset` reports that.

    `manifests` are those of the bundles, in the order of the result. Raises what `read_labelled` raises.
    """
    labelled = read_labelled(catalog)
    wanted = spectrum_keys(labelled, labelled)
    found: dict[str, bool] = {}
    for path in manifests:
        file = pq.ParquetFile(path)
        columns = {"spectrum_id", "planid", "mjd", "lmjd", "fiberid"} & set(file.schema_arrow.names)
        here = pc.is_in(spectrum_keys(file.read(columns=sorted(columns)), labelled), value_set=wanted)
        found[Path(path).stem] = pc.any(here, min_count=0).as_py()
    return [name for name, any_here in found.items() if any_here] or list(found)
