"""The cutouts of a bundle in one Parquet file: an image a spectrum, or why there is none."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.io.files import atomic_path
from starsift.parallel import map_chunks
from starsift.survey.identity import OK
from starsift.survey.images import BANDS, CutoutError, PathLike, read_cutout
from starsift.survey.paths import format_paths

ROWS = 256  # in a row group
NO_CUTOUTS = "no_cutouts"  # the survey has no images at all

_SCHEMA = pa.schema(
    [
        pa.field("spectrum_id", pa.string()),
        pa.field("status", pa.string(), metadata={"description": "ok, or why there is no image"}),
        pa.field("shape", pa.list_(pa.int32()), metadata={"description": "bands, rows, columns"}),
        pa.field("image", pa.list_(pa.float32()), metadata={"unit": "nmgy", "description": "bands ugriz"}),
    ]
)
# Fixed, so that a later pyarrow with other defaults does not change the bytes. Noise has no repeated values.
_WRITER: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "data_page_version": "1.0",
    "use_dictionary": ["status"],
    "column_encoding": {"image.list.element": "BYTE_STREAM_SPLIT"},
    "write_statistics": ["spectrum_id", "status"],
}
log = logging.getLogger(__name__)


def pack_cutouts(
    manifest: PathLike,
    root: PathLike | None,
    path_template: str | None,
    out: PathLike,
    *,
    size: int,
    max_offset: float,
    max_bad: float,
) -> dict[str, int]:
    """Read the cutouts of one bundle and write them, a row for each spectrum, in the bundle's order.

    Columns `spectrum_id`, `status` ("ok", or why there is no image), `shape` [5, size, size], `image`
    (nanomaggies, band by band), both null unless ok. Memory does not grow with the bundle.

    Parameters
    ----------
    manifest : the bundle's part of the manifest; images of other places than its `ra` and `dec` are refused
    root : folder of the cutouts; None if the survey has none, then all rows say ``no_cutouts``
    path_template : path in `root` from the manifest's columns; with ``{band}`` in it there are five files
    out : Parquet file to write
    size, max_offset, max_bad : of `read_cutout`

    Returns
    -------
    dict : how many spectra have each status, sorted by name. What cannot be used is logged.

    Raises SettingsError: the template does not fit the manifest.
    """
    table = pq.ParquetFile(manifest).read()
    n = table.num_rows
    paths = None if root is None or path_template is None else _paths(table, Path(root), path_template)
    ra, dec = (
        table[name].cast(pa.float64()).fill_null(np.nan).to_numpy()
        if name in table.column_names
        else np.full(n, np.nan)
        for name in ("ra", "dec")
    )
    counts: dict[str, int] = {}
    schema = _SCHEMA.with_metadata({"starsift": "cutouts 1", "size": str(size)})
    with atomic_path(out) as temporary, pq.ParquetWriter(temporary, schema, **_WRITER) as sink:
        for start in range(0, n, ROWS):
            stop = min(n, start + ROWS)

            def work(part: slice, start: int = start) -> list[np.ndarray | str]:
                if paths is None:
                    return [NO_CUTOUTS] * (part.stop - part.start)
                rows = range(start + part.start, start + part.stop)
                return [_read(paths[i], size, max_offset, max_bad, (ra[i], dec[i])) for i in rows]

            found = [one for part in map_chunks(work, stop - start, 32) for one in part]
            status = [one if isinstance(one, str) else OK for one in found]
            for name in status:
                counts[name] = counts.get(name, 0) + 1
            ids = table["spectrum_id"].slice(start, stop - start).combine_chunks()
            sink.write_table(_rows(ids, status, found, size, schema), row_group_size=ROWS)
    return dict(sorted(counts.items()))


def _paths(table: pa.Table, root: Path, template: str) -> list[Path | list[Path] | None]:
    """File, or five files, of each row; None where the template's columns have no value."""
    if "{band" not in template:
        return [None if path is None else root / path for path in format_paths(table, template)]
    # A spectrum's `band` is its arm; in a path of images it is that of the image.
    at = table.column_names.index("band")
    columns = [
        list(format_paths(table.set_column(at, "band", pa.array([band] * table.num_rows)), template))
        for band in BANDS
    ]
    return [None if None in row else [root / path for path in row] for row in zip(*columns, strict=True)]


def _read(
    path: Path | list[Path] | None,
    size: int,
    max_offset: float,
    max_bad: float,
    position: tuple[float, float],
) -> np.ndarray | str:
    """An image, or the status where there is none."""
    try:
        if path is None:
            raise CutoutError(
                "missing_file", "a catalogue row has nulls where the path template of cutouts has columns"
            )
        return read_cutout(path, size, max_offset=max_offset, max_bad=max_bad, position=position)
    except CutoutError as error:
        log.warning("%s: %s", error.status, error)
        return error.status


def _rows(
    ids: pa.Array, status: list[str], found: list[np.ndarray | str], size: int, schema: pa.Schema
) -> pa.Table:
    images = [one.ravel() for one in found if not isinstance(one, str)]
    lists = []
    for length, values, kind in (
        (3, np.tile(np.array([len(BANDS), size, size], np.int32), len(images)), pa.int32()),
        (len(BANDS) * size * size, np.concatenate(images) if images else np.empty(0), pa.float32()),
    ):
        ok = np.array([name == OK for name in status])
        offsets = pa.array(np.concatenate([[0], np.cumsum(ok * length)]), pa.int32())
        lists.append(pa.ListArray.from_arrays(offsets, pa.array(values, kind), mask=pa.array(~ok)))
    return pa.table([ids, pa.array(status, pa.string()), *lists], schema=schema)


def cutout_status(path: PathLike) -> pa.Table:
    """`spectrum_id` and `status` of all rows of a file of `pack_cutouts`; ValueError for another file."""
    with _open(path) as file:
        return file.read(columns=["spectrum_id", "status"])


def read_cutouts(path: PathLike, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images of rows of a file of `pack_cutouts`, in the order of ``rows``.

    Returns
    -------
    status : (m,) of str
    images : (m, 5, size, size) float32, all 0 where the status is not ok

    Raises
    ------
    ValueError : the file is no file of cutouts.
    IndexError : there is no such row.
    """
    positions = np.asarray(rows, dtype=np.int64)
    with _open(path) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        ends = np.cumsum([0, *sizes])
        if positions.size and (positions.min() < 0 or positions.max() >= ends[-1]):
            raise IndexError(
                f"{path}: it has rows 0 to {ends[-1] - 1}, asked for {positions.min()} to {positions.max()}"
            )
        status = np.empty(len(positions), dtype=object)
        images = np.zeros((len(positions), *_shape(file)), np.float32)
        home = np.searchsorted(ends, positions, side="right") - 1
        for group in np.unique(home):
            here = np.flatnonzero(home == group)
            table = file.read_row_group(int(group), columns=["status", "image"])
            _unpack(table.take(pa.array(positions[here] - ends[group])), status, images, here)
    return status, images


def iter_cutouts(path: PathLike, sizes: int | Iterable[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images of a file of `pack_cutouts` in runs of rows, from the first on; one row group is in memory.

    Parameters
    ----------
    sizes : of the runs, e.g. of the batches of a packed bundle; a number means runs of that length

    Yields
    ------
    status, images : as in `read_cutouts`

    Raises ValueError: the file is no file of cutouts, or has fewer rows than `sizes` asks for.
    """
    with _open(path) as file:
        n, shape = file.metadata.num_rows, _shape(file)
        if isinstance(sizes, int):
            sizes = [min(sizes, n - at) for at in range(0, n, sizes)]
        groups = file.iter_batches(ROWS, columns=["status", "image"])
        rest = pa.table(
            {"status": pa.array([], pa.string()), "image": pa.array([], _SCHEMA.field("image").type)}
        )
        for size in sizes:
            status = np.empty(size, dtype=object)
            images = np.zeros((size, *shape), np.float32)
            at = 0
            while at < size:
                if not rest.num_rows:
                    batch = next(groups, None)
                    if batch is None:
                        raise ValueError(f"{path}: it has {n} rows, fewer than asked for; make it again")
                    rest = pa.Table.from_batches([batch])
                part, rest = rest.slice(0, size - at), rest.slice(size - at)
                _unpack(part, status, images, np.arange(at, at + part.num_rows))
                at += part.num_rows
            yield status, images


def _open(path: PathLike) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file, or cut short; make it again ({error})") from error
    if (file.schema_arrow.metadata or {}).get(b"starsift") != b"cutouts 1":
        file.close()
        raise ValueError(f"{path}: not a file of cutouts; make it again")
    return file


def _shape(file: pq.ParquetFile) -> tuple[int, int, int]:
    size = int(file.schema_arrow.metadata[b"size"])
    return len(BANDS), size, size


def _unpack(table: pa.Table, status: np.ndarray, images: np.ndarray, at: np.ndarray) -> None:
    """Put statuses and images of rows to their places ``at``."""
    status[at] = table["status"].to_pylist()
    there = at[status[at] == OK]
    if len(there):
        images[there] = (
            table["image"].combine_chunks().drop_null().flatten().to_numpy().reshape(-1, *images.shape[1:])
        )
