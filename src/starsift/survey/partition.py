"""The manifest of a survey: its selected spectra, their partitions and bundles.

A partition is a plan on one spectrograph in one night. A bundle is the input of one job: complete partitions
of one night. The name of a bundle has a digest of its spectra, so it changes only when they do.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import SettingsError
from starsift.io.files import atomic_path
from starsift.survey.catalog import FILE_COLUMNS, survey_kind
from starsift.survey.identity import IDENTITY
from starsift.survey.names import file_stem
from starsift.survey.paths import format_paths, iter_values
from starsift.survey.selection import Selected

LEVELS = ("night", "spectrograph", "survey")

MANIFEST_SCHEMA = pa.schema(
    [
        *IDENTITY,
        pa.field("ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg"}),
        pa.field("snr", pa.float32()),
        pa.field("gaia_source_id", pa.int64()),
        pa.field("phot_g_mean_mag", pa.float32(), metadata={"unit": "mag"}),
        pa.field("exptime", pa.float32(), metadata={"unit": "s"}),
        pa.field("file", pa.string()),
        pa.field("partition", pa.string()),
        pa.field("bundle", pa.string()),
    ]
)


def make_manifest(
    table: pa.Table,
    *,
    survey: str,
    path_template: str | None = None,
    root: str | os.PathLike[str] = "",
    columns: Sequence[str] = (),
    spectra_per_bundle: int,
    level: str,
) -> pa.Table:
    """One row for each selected spectrum: where its file is, its partition and its bundle.

    Parameters
    ----------
    table : what `apply_cuts` kept
    survey : mrs, lrs or sdss
    path_template : str, optional
        Path of a file from the catalogue's columns, e.g. ``{lmjd}/{planid}/med-{lmjd}-{planid}_sp{spid:02d}-
        {fiberid:03d}.fits.gz``; ``{date}`` is the night as YYYYMMDD. A column ``path`` goes first.
    root : folder of the files; paths in the manifest are relative to it
    columns : further columns of the catalogue that later stages use
    spectra_per_bundle : whole partitions of a night are joined up to this number of spectra
    level : ``night``; ``spectrograph``: each partition is a bundle; ``survey``: also those of several nights

    Raises SettingsError: the template or a setting is wrong, or two rows are the same spectrum.
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
    # Values that a file's name lacks, too, need a column.
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
    limit = 1 if level == "spectrograph" else spectra_per_bundle
    names = _bundles(manifest, limit, across_nights=level == "survey")
    return manifest.set_column(at, MANIFEST_SCHEMA.field("bundle"), names)


def _files(table: pa.Table, template: str | None, root: str) -> list[str | None]:
    """Path of each row's file, relative to ``root`` where it lies in it."""
    names = ("path",) if template else ("path", *FILE_COLUMNS)
    listed = next((table[name] for name in names if name in table.column_names), None)
    if template is None:
        if listed is None:
            raise SettingsError(
                f"the catalogue has no column {', '.join(names)}: set `path_template` to say where files are"
            )
        made: Iterable[str | None] = [None] * table.num_rows
    else:
        made = format_paths(table, template)
    prefix = root.rstrip("/") + "/" if root else ""
    paths = made if listed is None else (p or m for p, m in zip(iter_values(listed), made, strict=True))
    return [None if path is None else path.removeprefix(prefix) for path in paths]


def _spectrum_ids(
    table: pa.Table, columns: Mapping[str, Any], files: Sequence[str | None], kind: str
) -> Iterator[str]:
    lmjms = iter_values(table["lmjm"]) if "lmjm" in table.column_names else iter([None] * len(files))
    coadds = iter_values(table["coadd"]) if "coadd" in table.column_names else iter([0] * len(files))
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
    told = pc.if_else(pc.is_in(ids, names.combine_chunks()), pa.array(longer, pa.string()), ids)
    again = pa.table({"id": told, "band": bands, "file": pa.array(files, pa.string())})
    shared = again.group_by(["id", "band"]).aggregate([("file", "count_distinct")])
    names = shared.filter(pc.greater(shared["file_count_distinct"], 1))["id"]
    # Files of one folder whose names differ in the ending alone: a.fits and a.fits.gz.
    whole = [
        ":".join((file or "").split("/")) + (f"/{name.rpartition('/')[2]}" if "/" in name else "")
        for file, name in zip(files, ids.to_pylist(), strict=True)
    ]
    return pc.if_else(pc.is_in(told, names.combine_chunks()), pa.array(whole, pa.string()), told)


def _bundles(manifest: pa.Table, limit: int, *, across_nights: bool) -> pa.Array:
    """Name of the bundle of each row; ``manifest`` is sorted by night and partition."""
    nights = manifest["lmjd"].to_numpy()
    parts = manifest["partition"].combine_chunks().dictionary_encode()
    codes = parts.indices.to_numpy()
    cuts = np.flatnonzero((np.diff(nights) != 0) | (np.diff(codes) != 0)) + 1
    starts = [0, *cuts.tolist()]
    ends = [*cuts.tolist(), len(nights)]
    first: list[int] = []  # first row of each bundle
    for start, end in zip(starts, ends, strict=True):
        other_night = bool(first) and nights[start] != nights[first[-1]] and not across_nights
        if not first or other_night or end - first[-1] > limit:
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
    are left alone, so that results made from them stay up to date; bundles that are gone are removed. Returns
    the names of the bundles, sorted.
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
