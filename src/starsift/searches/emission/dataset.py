"""Training examples: labelled Ondrejov spectra and queried spectra; windows of the pool."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError, SpectrumError
from starsift.io.columns import cast_column, whole_numbers
from starsift.io.tables import read_table
from starsift.parallel import map_chunks
from starsift.resources import resource
from starsift.searches.emission.classes import CLASSES, PIXELS
from starsift.searches.emission.window import transfer, window
from starsift.spectra.batches import IDENTITY_NAMES, OK, ROW_SCHEMA, SpectrumBatch, read_bundle
from starsift.survey.names import file_stem, is_fits_name
from starsift.survey.readers.registry import read_spectrum

PathLike = str | os.PathLike[str]
SHIPPED = resource("emission/labels.csv")
WINDOW = pa.list_(pa.float32(), PIXELS)


def _window_column(flux: np.ndarray, ok: np.ndarray) -> pa.Array:
    values = pa.array(np.ascontiguousarray(flux, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(values, type=WINDOW, mask=pa.array(~ok))


def read_label_codes(path: PathLike) -> dict[str, str | None]:
    """Class of each labelled spectrum by the stem of its file, None where the spectrum is unusable.

    Parameters
    ----------
    path : table with the columns id and label. The stem is the last part of an id such as
        ``ivo://asu.cas.cz/stel/ccd700/uc050029``. A label is a code of resources/emission/labels.csv, or a
        class.

    Raises
    ------
    InputError : the file cannot be read.
    InputError : the table lacks a column, or has an unknown label or a spectrum twice.
    """
    table, codes = (read_table(file, text=("id", "label", "code")) for file in (path, SHIPPED))
    present = {name.lower(): name for name in table.column_names}
    missing = [name for name in ("id", "label") if name not in present]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; expected id and label; it has: "
            f"{', '.join(table.column_names)}"
        )
    ids, labels = (
        cast_column(path, present[name], table[present[name]], pa.string()) for name in ("id", "label")
    )
    meaning = dict(zip(codes["code"].to_pylist(), codes["class"].to_pylist(), strict=True))
    meaning |= {name: name for name in CLASSES}
    found: dict[str, str | None] = {}
    for row, (name, label) in enumerate(
        zip(ids.to_pylist(), whole_numbers(path, "label", labels).to_pylist(), strict=True), 1
    ):
        stem = file_stem(name or "")
        if label not in meaning:
            raise InputError(f"{path}: row {row}: label {label!r} is not one of {', '.join(meaning)}")
        if not stem or stem in found:
            raise InputError(f"{path}: row {row}: {stem or 'no id'}: expected one row a spectrum")
        found[stem] = meaning[label] or None
    return found


def initial_set(
    root: PathLike, labels: PathLike, *, blur: float, min_good: float
) -> tuple[pa.Table, dict[str, int]]:
    """The first training set: labelled Ondrejov spectra, transferred to the domain of LAMOST.

    Parameters
    ----------
    root : folder of ``{stem}.fits`` files, which may be compressed (``.fits.gz``, ...)
    labels : see `read_label_codes`
    blur : pixels, standard deviation
    min_good : of `window`

    Returns
    -------
    table : spectrum_id, label, window; sorted by spectrum_id
    counts : number of spectra by status: ``ok``, ``unlabelled``, or the defect of the file or its window

    Raises InputError: no spectrum can be used.

    Source: Skoda et al. 2020, section 3.2.
    """
    classes = read_label_codes(labels)
    stems = sorted(stem for stem, label in classes.items() if label)
    counts = {OK: 0, "unlabelled": len(classes) - len(stems)}
    parts = []
    for at in range(0, len(stems), 500):
        names = stems[at : at + 500]
        spectra, status = _read_all(Path(root), names, blur)
        identity = {name: [None] * len(names) for name in IDENTITY_NAMES}
        ready = window(
            SpectrumBatch.from_ragged(identity | {"spectrum_id": names, "status": status}, spectra),
            min_good=min_good,
        )
        for name in ready.status:
            counts[name] = counts.get(name, 0) + 1
        kept = np.flatnonzero(ready.ok)
        columns = {
            "spectrum_id": pa.array([names[i] for i in kept], pa.string()),
            "label": pa.array([classes[names[i]] for i in kept], pa.string()),
            "window": _window_column(ready.flux[kept], np.ones(len(kept), bool)),
        }
        parts.append(pa.table(columns))
    if not counts[OK]:
        raise InputError(
            f"{root}: none of the {len(stems)} labelled spectra of {labels} can be used "
            f"({', '.join(f'{name} {n}' for name, n in counts.items() if n)}); expected files such as "
            f"{stems[0] if stems else 'uc050029'}.fits there"
        )
    return pa.concat_tables(parts), counts


def _read_all(root: Path, names: Sequence[str], blur: float) -> tuple[list[Any], list[str]]:
    files = {file_stem(path.name): path for path in sorted(root.glob("*")) if is_fits_name(path.name)}

    def work(part: slice) -> list[tuple[Any, str]]:
        read: list[tuple[Any, str]] = []
        for name in names[part]:
            try:
                exposure = read_spectrum(files.get(name, root / f"{name}.fits"), "ondrejov")
            except SpectrumError as error:
                read.append((None, error.status))
                continue
            flux = transfer(exposure.flux, sigma=blur)
            read.append(((exposure.wavelength, flux, exposure.ivar, exposure.mask), OK))
        return read

    both = [one for part in map_chunks(work, len(names), 64) for one in part]
    return [spectrum for spectrum, _ in both], [status for _, status in both]


def window_bundle(path: PathLike, *, min_good: float) -> pa.Table:
    """Windows of a packed bundle: identity, snr, ra, dec, row, status, and window, null unless that is ok."""
    parts, row = [], 0
    for batch in read_bundle(path):
        ready = window(batch, min_good=min_good)
        table = batch.identity.drop_columns("status")
        table = table.append_column("row", pa.array(np.arange(row, row + batch.n), pa.int64()))
        table = table.append_column("status", pa.array(ready.status.tolist(), pa.string()))
        parts.append(table.append_column("window", _window_column(ready.flux, ready.ok)))
        row += batch.n
    schema = pa.schema([field for field in ROW_SCHEMA if field.name != "status"])
    for name, kind in (("row", pa.int64()), ("status", pa.string()), ("window", WINDOW)):
        schema = schema.append(pa.field(name, kind))
    return pa.concat_tables(parts).cast(schema) if parts else schema.empty_table()


def read_windows(column: pa.ChunkedArray) -> np.ndarray:
    """A column of windows without nulls, as float32 (n, 140)."""
    parts = [chunk.flatten().to_numpy().reshape(-1, PIXELS) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.zeros((0, PIXELS), np.float32)


def read_usable(path: PathLike) -> tuple[pa.Table, np.ndarray]:
    """Spectra of a file of `window_bundle` that have a window: spectrum_id and row; windows (n, 140)."""
    table = pq.read_table(path, columns=["spectrum_id", "row", "status", "window"])
    table = table.filter(pc.equal(table["status"], OK))
    return table.select(["spectrum_id", "row"]), read_windows(table["window"])


def add_windows(rows: pa.Table, paths: Sequence[PathLike]) -> pa.Table:
    """Append the column window to rows with bundle and spectrum_id, from files named after the bundles.

    Raises InputError if a spectrum is not in the file of its bundle.
    """
    ids, bundles = rows["spectrum_id"].combine_chunks(), rows["bundle"]
    found = []
    for path in paths:
        members = ids.filter(pc.equal(bundles, Path(path).stem).combine_chunks())
        if len(members):
            table = pq.read_table(path, columns=["spectrum_id", "window"])
            found.append(table.filter(pc.is_in(table["spectrum_id"], value_set=members)))
    nothing = pa.table({"spectrum_id": ids[:0], "window": pa.array([], WINDOW)})
    table = pa.concat_tables(found) if found else nothing
    at = pc.index_in(ids, value_set=table["spectrum_id"].combine_chunks())
    if at.null_count:
        name = ids[pc.index(pc.is_null(at), True).as_py()]
        raise InputError(f"no window of spectrum {name}; delete results/emission/windows and run again")
    return rows.append_column("window", table["window"].combine_chunks().take(at))


def training_set(initial: PathLike, rounds: Sequence[PathLike]) -> tuple[np.ndarray, np.ndarray]:
    """Windows (n, 140) and class numbers (n,) of the first training set and of the queries of rounds.

    `initial` is the file of `initial_set`, `rounds` are files `round-NN/labels.parquet`.
    """
    tables = [pq.read_table(initial, columns=["label", "window"])]
    for path in rounds:
        table = pq.read_table(path, columns=["label", "window"], filters=[("purpose", "==", "query")])
        tables.append(table.cast(tables[0].schema))
    table = pa.concat_tables(tables)
    number = {name: i for i, name in enumerate(CLASSES)}
    return read_windows(table["window"]), np.array([number[name] for name in table["label"].to_pylist()])
