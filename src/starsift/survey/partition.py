"""From a catalogue to jobs: cuts, partitions, bundles, and the packing of one bundle.

A partition is a plan on one spectrograph in one night. A bundle is what one job handles: whole partitions of
one night. Its name holds a digest of its spectra, so it changes when they do and only then.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import SettingsError, SpectrumError
from starsift.io.files import atomic_path
from starsift.spectra.batches import (
    IDENTITY,
    IDENTITY_NAMES,
    ROWS,
    Spectrum,
    SpectrumBatch,
    write_bundle,
    write_index,
)
from starsift.survey.catalog import FILE_COLUMNS, is_index, survey_kind
from starsift.survey.fitsfile import DUPLICATE, OTHER_FILES, Exposure, file_stem
from starsift.survey.lamost import read_lrs, read_mrs
from starsift.survey.sdss import read_sdss

LEVELS = ("night", "spectrograph")

MANIFEST_SCHEMA = pa.schema(
    [
        *IDENTITY,
        pa.field("ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg"}),
        pa.field("snr", pa.float32()),
        pa.field("gaia_source_id", pa.int64()),
        pa.field("gaia_g_mean_mag", pa.float32(), metadata={"unit": "mag"}),
        pa.field("exptime", pa.float32(), metadata={"unit": "s"}),
        pa.field("file", pa.string()),
        pa.field("partition", pa.string()),
        pa.field("bundle", pa.string()),
    ]
)

_COMPARE = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
OPERATORS = (*_COMPARE, "in", "not in")
_IN_NAMES = ("lmjd", "planid", "spid", "fiberid")  # what the names of a survey's files are made of
FLAGS = ("fibermask", "bad_b", "bad_r")  # 0 means that nothing is known against a spectrum

log = logging.getLogger(__name__)


class Selected(NamedTuple):
    """One line of the selection table."""

    cut: str
    before: int
    removed: int
    after: int


def apply_cuts(table: pa.Table, cuts: Sequence[Mapping[str, Any]]) -> tuple[pa.Table, list[Selected]]:
    """Keep the rows that pass every cut, and each spectrum once.

    Parameters
    ----------
    table : pyarrow.Table
        A catalogue of `read_catalog` or `index_folder`.
    cuts : sequence of {column, op, value}
        In the order of the selection table. A null value does not pass, with two exceptions in an index of
        `index_folder`: a row whose file could not be read, so that it stays in sight with its status; and a
        flag (`FLAGS`) that the header of the file does not have, because the first releases have none and
        nothing is known against their spectra. The line of the cut says how many of these it kept.

    Returns
    -------
    table : pyarrow.Table
    selection : list of Selected
        A line for the files of an index that are no spectra of a survey, if any; a line a cut; and one for
        duplicated rows.

    Raises
    ------
    SettingsError
        A cut is malformed, names a column that is not there, or nothing is left (with the count of each cut).
    """
    if not table.num_rows:
        raise SettingsError("the catalogue has no rows: there is nothing to select")
    missing = sorted({str(cut.get("column")) for cut in cuts} - set(table.column_names))
    if missing:
        raise SettingsError(
            f"cuts use columns that the catalogue lacks: {', '.join(missing)}; "
            f"it has: {', '.join(table.column_names)}"
        )
    selection: list[Selected] = []
    indexed = is_index(table)
    if indexed:
        kept = table.filter(pc.invert(pc.is_in(table["status"], pa.array(OTHER_FILES))))
        if kept.num_rows < table.num_rows:
            selection.append(_line("files of other kinds", table, kept))
        table = kept
    for cut in cuts:
        column, name = table[cut["column"]], _cut_name(cut)
        passed = _passes(column, cut)
        if indexed:
            unread = _unread(table)
            unknown = pc.and_(pc.is_null(column), pc.or_(unread, cut["column"] in FLAGS))
            without = pc.sum(pc.and_(unknown, pc.invert(unread))).as_py()
            name += f" ({without} without this flag kept)" if without else ""
            passed = pc.or_(passed, unknown)
        kept = table.filter(passed)
        selection.append(_line(name, table, kept))
        table = kept
    kept = _drop_duplicates(table)
    selection.append(_line("duplicated rows", table, kept))
    if not kept.num_rows:
        lines = "; ".join(f"{s.cut}: {s.before} -> {s.after}" for s in selection)
        raise SettingsError(f"no spectrum is left after the cuts ({lines}); loosen the cut that removed them")
    return kept, selection


def _unread(table: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.invert(pc.is_in(table["status"], pa.array(["ok", DUPLICATE]))), False)


def _line(name: str, before: pa.Table, after: pa.Table) -> Selected:
    return Selected(name, before.num_rows, before.num_rows - after.num_rows, after.num_rows)


def _cut_name(cut: Mapping[str, Any]) -> str:
    return f"{cut['column']} {cut['op']} {cut['value']}"


def _passes(column: pa.ChunkedArray, cut: Mapping[str, Any]) -> pa.ChunkedArray:
    operator, value = cut.get("op"), cut.get("value")
    if operator not in OPERATORS or "value" not in cut:
        raise SettingsError(
            f"cut {dict(cut)}: expected column, op and value, op one of {', '.join(OPERATORS)}"
        )
    values = value if operator in ("in", "not in") else [value]
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise SettingsError(f"cut {_cut_name(cut)}: `{operator}` needs a list of values")
    text = pa.types.is_string(column.type)
    for one in values:
        if text != isinstance(one, str) or one is None:
            kind = "text" if text else "numbers"
            raise SettingsError(f"cut {_cut_name(cut)}: the column holds {kind}, not {one!r}")
    try:
        return _compared(column, operator, value)
    except (pa.ArrowException, OverflowError) as error:
        raise SettingsError(f"cut {_cut_name(cut)}: {value!r} is no value of the column ({error})") from error


def _compared(column: pa.ChunkedArray, operator: str, value: Any) -> pa.ChunkedArray:
    if operator in _COMPARE:
        # In the column's own precision: a catalogue's float32 0.7 is not less than a config's 0.7.
        same = isinstance(value, str | int) or pa.types.is_floating(column.type)
        wide = column if same else column.cast(pa.float64())
        passed = _COMPARE[operator](wide, pa.scalar(value, wide.type))
    else:
        passed = pc.is_in(column, pa.array(value).cast(column.type))
        passed = pc.if_else(pc.is_null(column), False, pc.invert(passed) if operator == "not in" else passed)
    return pc.fill_null(passed, False)


def _drop_duplicates(table: pa.Table) -> pa.Table:
    """The first row of each spectrum.

    A spectrum is an exposure of a file name and of what the survey's file names are made of, wherever the
    file lies: files of one name that differ in the latter are different spectra. An index knows copies by
    what is in the files; there only they are left out, and what could not be read of a file that could be
    read elsewhere.
    """
    stems = pa.chunked_array([pa.array(_stems(table), pa.string())])
    if is_index(table):
        unread = _unread(table)
        again = pc.and_(unread, pc.is_in(stems, stems.filter(pc.invert(unread)).unique()))
        table = table.filter(pc.invert(pc.or_(again, pc.is_in(table["status"], pa.array([DUPLICATE])))))
        stems = table["path"]
    keys = table.select([name for name in ("lmjm", "band", *_IN_NAMES) if _has(table, name)])
    if not stems.null_count:
        keys = keys.append_column("stem", stems)
    elif _has(table, "coadd"):
        keys = keys.append_column("coadd", table["coadd"])
    if not keys.num_columns:
        return table
    if _has(keys, "band"):
        keys = keys.set_column(keys.column_names.index("band"), "band", pc.fill_null(keys["band"], ""))
    keys = keys.append_column("position", pa.array(np.arange(table.num_rows)))
    first = keys.group_by(keys.column_names[:-1]).aggregate([("position", "min")])["position_min"].to_numpy()
    return table if len(first) == table.num_rows else table.take(pa.array(np.sort(first)))


def _stems(table: pa.Table) -> list[str | None]:
    """Name of each row's file without its folder and ending, null where there is none."""
    if not _has(table, "path"):
        return [None] * table.num_rows
    return [file_stem(path) if path else None for path in _values(table["path"])]


def _has(table: pa.Table, name: str) -> bool:
    return name in table.column_names


def make_manifest(
    table: pa.Table,
    *,
    survey: str,
    path_template: str | None = None,
    root: str | os.PathLike[str] = "",
    columns: Sequence[str] = (),
    spectra_per_bundle: int = 20_000,
    level: str = "night",
) -> pa.Table:
    """One row for each selected spectrum: where its file is, its partition and its bundle.

    Parameters
    ----------
    table : pyarrow.Table
        What `apply_cuts` kept.
    survey : str
        mrs, lrs or sdss.
    path_template : str, optional
        Path of a file from the catalogue's columns, e.g. ``{lmjd}/{planid}/med-{lmjd}-{planid}_sp{spid:02d}-
        {fiberid:03d}.fits.gz``; ``{date}`` is the night as YYYYMMDD. A column ``path`` goes first.
    root : path
        Folder of the files; paths in the manifest are relative to it.
    columns : sequence of str
        Further columns of the catalogue that later stages want.
    spectra_per_bundle : int
        Whole partitions of a night are put together up to so many spectra.
    level : str
        ``night``, or ``spectrograph``: each partition is a bundle.

    Raises
    ------
    SettingsError
        The template or a setting is wrong, or two rows are the same spectrum.
    """
    kind = survey_kind(survey)
    if level not in LEVELS:
        raise SettingsError(f"partition level is {level!r}, expected one of: {', '.join(LEVELS)}")
    if spectra_per_bundle < 1:
        raise SettingsError(f"spectra_per_bundle is {spectra_per_bundle}, expected at least 1")
    if not table.num_rows:
        raise SettingsError("the selection is empty: there is nothing to make a manifest of")
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise SettingsError(
            f"columns to carry along are not in the catalogue: {', '.join(missing)}; "
            f"it has: {', '.join(table.column_names)}"
        )
    # What only a file's name could tell, and did not, still needs a place.
    filled = {"planid": "unknown", "spid": 0, "fiberid": 0, "lmjd": 0, "band": ""}
    made: dict[str, Any] = {}
    for field in MANIFEST_SCHEMA:
        if field.name in table.column_names:
            column = table[field.name].cast(field.type)
            made[field.name] = column.fill_null(filled[field.name]) if field.name in filled else column
        elif field.name in filled:
            made[field.name] = pa.array([filled[field.name]] * table.num_rows, field.type)
        else:
            made[field.name] = pa.nulls(table.num_rows, field.type)
    files = _files(table, path_template, str(root))
    made["file"] = pa.array(files, pa.string())
    ids = pa.array(_spectrum_ids(table, made, files, kind), pa.string())
    made["spectrum_id"] = _tell_apart(ids, made["band"], files)
    made["partition"] = pc.binary_join_element_wise(
        made["planid"], pc.utf8_lpad(made["spid"].cast(pa.string()), 2, "0"), "-sp"
    )
    manifest = pa.table([made[name] for name in MANIFEST_SCHEMA.names], schema=MANIFEST_SCHEMA)
    for name in columns:
        if name not in manifest.column_names:
            manifest = manifest.append_column(table.schema.field(name), table[name])
    order = ["lmjd", "partition", "fiberid", "file", "lmjm", "spectrum_id", "band"]
    manifest = manifest.sort_by([(name, "ascending") for name in order]).combine_chunks()
    twice = manifest.group_by(["spectrum_id", "band"]).aggregate([([], "count_all")])
    again = twice.filter(pc.greater(twice["count_all"], 1))
    if again.num_rows:
        raise SettingsError(
            f"{again.num_rows} spectra are listed more than once, the first is {again['spectrum_id'][0]}; "
            "the path template must give each spectrum its own file"
        )
    at = MANIFEST_SCHEMA.get_field_index("bundle")
    names = _bundles(manifest, spectra_per_bundle if level == "night" else 1)
    return manifest.set_column(at, MANIFEST_SCHEMA.field("bundle"), names)


def _files(table: pa.Table, template: str | None, root: str) -> list[str | None]:
    """Path of each row's file, relative to ``root`` where it lies in it."""
    names = ("path",) if template else ("path", *FILE_COLUMNS)
    given = next((table[name] for name in names if name in table.column_names), None)
    if template is None:
        if given is None:
            raise SettingsError(
                f"the catalogue has no column {', '.join(names)}: set `path_template` to say where files are"
            )
        made: Iterable[str | None] = [None] * table.num_rows
    else:
        made = format_paths(table, template)
    prefix = root.rstrip("/") + "/" if root else ""
    paths = made if given is None else (p or m for p, m in zip(_values(given), made, strict=True))
    return [None if path is None else path.removeprefix(prefix) for path in paths]


def _values(column: pa.ChunkedArray) -> Iterator[Any]:
    # Python objects of one chunk at a time: a survey has millions of rows.
    for start in range(0, len(column), 65_536):
        yield from column.slice(start, 65_536).to_pylist()


def template_columns(template: str) -> set[str]:
    """The columns that a path template is made of, and ``date``, which follows from lmjd.

    Raises
    ------
    SettingsError : the braces of the template do not match, or it has none.
    """
    try:
        parts = string.Formatter().parse(template)
        fields = {re.split(r"[.\[]", name)[0] for _, name, _, _ in parts if name}
    except ValueError as error:
        raise SettingsError(f"path_template {template!r}: {error}") from error
    if not fields:
        raise SettingsError(
            f"path_template {template!r} gives all spectra one file; name columns of the catalogue in "
            "braces, such as {fiberid:03d}"
        )
    return fields


def format_paths(table: pa.Table, template: str) -> Iterator[str | None]:
    """The path of each row from a template over the table's columns; None where one of them is null.

    Raises
    ------
    SettingsError : the template names a column that there is not, or does not fit a row.
    """
    fields = template_columns(template)
    unknown = sorted(fields - {"date"} - set(table.column_names))
    if unknown:
        raise SettingsError(
            f"path_template {template!r} uses {', '.join(unknown)}; "
            f"the catalogue has: {', '.join(table.column_names)}"
        )
    source = sorted((fields - {"date"}) | ({"lmjd"} if "date" in fields else set()))
    for values in zip(*(_values(table[name]) for name in source), strict=True):
        row = dict(zip(source, values, strict=True))
        if None in values:
            yield None  # becomes a row with status missing_file
            continue
        if "date" in fields:
            row["date"] = f"{date(1858, 11, 17) + timedelta(days=row['lmjd']):%Y%m%d}"
        try:
            yield template.format_map(row)
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            raise SettingsError(f"path_template {template!r} does not fit the row {row}: {error}") from error


def _spectrum_ids(
    table: pa.Table, columns: Mapping[str, Any], files: Sequence[str | None], kind: str
) -> Iterator[str]:
    lmjms = _values(table["lmjm"]) if "lmjm" in table.column_names else iter([None] * len(files))
    coadds = _values(table["coadd"]) if "coadd" in table.column_names else iter([0] * len(files))
    for i, (path, lmjm, coadd) in enumerate(zip(files, lmjms, coadds, strict=True)):
        if path:
            stem = file_stem(path)
        else:  # no file to name it after
            stem = "-".join(str(columns[name][i].as_py()) for name in ("lmjd", "planid", "spid", "fiberid"))
        yield f"{stem}/{lmjm}" if kind == "mrs" and lmjm is not None and not coadd else stem


def _tell_apart(ids: pa.Array, bands: pa.ChunkedArray, files: Sequence[str | None]) -> pa.Array:
    """Names of spectra (n,), with the folder in front where files in several folders have one name."""
    table = pa.table({"id": ids, "band": bands, "file": pa.array(files, pa.string())})
    shared = table.group_by(["id", "band"]).aggregate([("file", "count_distinct")])
    names = shared.filter(pc.greater(shared["file_count_distinct"], 1))["id"]
    if not len(names):
        return ids
    # A slash would be the minute of an exposure.
    folders = [(file or "").rpartition("/")[0].replace("/", "_") for file in files]
    longer = [f"{folder}_{name}".lstrip("_") for folder, name in zip(folders, ids.to_pylist(), strict=True)]
    return pc.if_else(pc.is_in(ids, names.combine_chunks()), pa.array(longer, pa.string()), ids)


def _bundles(manifest: pa.Table, limit: int) -> pa.Array:
    """Name of the bundle of each row; ``manifest`` is sorted by night and partition."""
    nights = manifest["lmjd"].to_numpy()
    parts = manifest["partition"].combine_chunks().dictionary_encode()
    codes = parts.indices.to_numpy()
    cuts = np.flatnonzero((np.diff(nights) != 0) | (np.diff(codes) != 0)) + 1
    starts = [0, *cuts.tolist()]
    ends = [*cuts.tolist(), len(nights)]
    first: list[int] = []  # first row of each bundle
    for start, end in zip(starts, ends, strict=True):
        if not first or nights[start] != nights[first[-1]] or end - first[-1] > limit:
            first.append(start)
    lengths = np.diff([*first, len(nights)])
    names = []
    for start, length in zip(first, lengths, strict=True):
        rows = manifest.slice(start, length)
        spectra = zip(rows["spectrum_id"].to_pylist(), rows["band"].to_pylist(), strict=True)
        digest = hashlib.sha256("\n".join(sorted(f"{s} {b}" for s, b in spectra)).encode()).hexdigest()[:8]
        label = re.sub(r"[^A-Za-z0-9_-]", "_", rows["partition"][0].as_py())
        names.append(f"{nights[start]}-{label}-{digest}")
    return pa.array(names).take(pa.array(np.repeat(np.arange(len(first)), lengths)))


def write_manifest(
    directory: str | os.PathLike[str], survey: str, manifest: pa.Table, selection: Sequence[Selected]
) -> list[str]:
    """Write a survey's manifest, its selection table, and the part of the manifest that each bundle needs.

    ``{survey}.parquet``, ``{survey}-selection.csv``, ``{survey}/{bundle}.parquet``. Files that do not change
    are left alone, so that what was made from them stays up to date; bundles that are gone are removed.

    Returns
    -------
    list of str
        Names of the bundles, sorted.
    """
    folder = Path(directory)
    _replace(folder / f"{survey}.parquet", _parquet(manifest))
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(Selected._fields)
    writer.writerows(selection)
    _replace(folder / f"{survey}-selection.csv", lines.getvalue().encode())
    names = manifest["bundle"].combine_chunks().dictionary_encode()
    codes = names.indices.to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    for start, end in pairwise(starts):
        part = manifest.slice(start, end - start)
        _replace(folder / survey / f"{part['bundle'][0].as_py()}.parquet", _parquet(part))
    current = sorted(names.dictionary.to_pylist())
    for path in sorted((folder / survey).glob("*.parquet")):
        if path.stem not in current:
            path.unlink()
    return current


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _replace(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def pack_bundle(
    manifest: str | os.PathLike[str],
    root: str | os.PathLike[str],
    survey: str,
    out: str | os.PathLike[str],
    *,
    index: str | os.PathLike[str] | None = None,
    rows: int = ROWS,
) -> dict[str, int]:
    """Read the files of one bundle, each once, and write its spectra and their index.

    Parameters
    ----------
    manifest : path
        The bundle's part of the manifest.
    root : path
        Folder that the manifest's files are relative to.
    survey : str
        mrs, lrs or sdss.
    out : path
        The Arrow file to write.
    index : path, optional
        By default beside ``out``, ending in .parquet.
    rows : int
        About so many spectra a record batch; this sets the memory needed, not the size of the bundle.

    Returns
    -------
    dict
        How many spectra have each status. What cannot be read is logged and keeps its row.
    """
    kind = survey_kind(survey)
    table = pq.ParquetFile(manifest).read()
    missing = [name for name in MANIFEST_SCHEMA.names if name not in table.column_names]
    if missing:
        raise SettingsError(f"{manifest}: not a manifest, it lacks {', '.join(missing)}")
    target = Path(out)
    counts = write_bundle(target, _batches(table, Path(root), kind, rows), rows=rows)
    write_index(target, target.with_suffix(".parquet") if index is None else index)
    return counts


def _batches(table: pa.Table, root: Path, kind: str, rows: int) -> Iterator[SpectrumBatch]:
    """Batches of whole files of one partition, of at most ``rows`` spectra unless one file has more."""
    files = table["file"].to_pylist()
    partitions = table["partition"].to_pylist()
    start = 0
    spectra: list[tuple[Spectrum | None, str, float]] = []
    position = 0
    for (partition, file), group in groupby(zip(partitions, files, strict=True)):
        size = sum(1 for _ in group)
        if spectra and (partition != partitions[start] or len(spectra) + size > rows):
            yield _batch(table.slice(start, len(spectra)), spectra)
            start, spectra = position, []
        part = table.slice(position, size)
        spectra += _read_file(root, file, kind, _wanted(part))
        position += size
    if spectra:
        yield _batch(table.slice(start, len(spectra)), spectra)


def _wanted(part: pa.Table) -> list[str]:
    """MRS extension of each row of a manifest."""
    return [
        f"{band}-{identifier.rsplit('/', 1)[1]}" if "/" in identifier else f"COADD_{band}"
        for identifier, band in zip(part["spectrum_id"].to_pylist(), part["band"].to_pylist(), strict=True)
    ]


def _read_file(
    root: Path, file: str | None, kind: str, wanted: Sequence[str]
) -> list[tuple[Spectrum | None, str, float]]:
    """Arrays, status and header S/N of the spectra wanted from one file."""
    try:
        if file is None:
            raise SpectrumError(
                "missing_file", "a catalogue row has nulls where the path template has columns"
            )
        path = root / file
        if kind == "mrs":
            found = {exposure.extname: exposure for exposure in read_mrs(path, set(wanted))}
            exposures = [found.get(name) for name in wanted]
        else:
            exposures = [read_lrs(path) if kind == "lrs" else read_sdss(path)] * len(wanted)
    except SpectrumError as error:
        log.warning("%s: %s", error.status, error)
        return [(None, error.status, np.nan)] * len(wanted)
    results: list[tuple[Spectrum | None, str, float]] = []
    for name, exposure in zip(wanted, exposures, strict=True):
        if exposure is None:
            log.warning("missing_extension: %s has no extension %s", path, name)
            results.append((None, "missing_extension", np.nan))
        else:
            results.append(_spectrum(exposure))
    return results


def _spectrum(exposure: Exposure) -> tuple[Spectrum | None, str, float]:
    if exposure.status != "ok":
        log.warning("%s: %s", exposure.status, exposure.message)
        return None, exposure.status, exposure.snr
    return (exposure.wavelength, exposure.flux, exposure.ivar, exposure.mask), "ok", exposure.snr


def _batch(part: pa.Table, spectra: Sequence[tuple[Spectrum | None, str, float]]) -> SpectrumBatch:
    snr = part["snr"].to_numpy(zero_copy_only=False).astype(np.float32)
    snr = np.where(np.isnan(snr), [s for _, _, s in spectra], snr)
    identity = part.select([*IDENTITY_NAMES, "ra", "dec"])
    identity = identity.append_column("snr", pa.array(snr, pa.float32(), from_pandas=True))
    identity = identity.append_column("status", pa.array([status for _, status, _ in spectra]))
    return SpectrumBatch.from_ragged(identity, [arrays for arrays, _, _ in spectra])
