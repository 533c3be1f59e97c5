"""Large catalogues as HATS: Parquet files partitioned by HEALPix, which LSDB reads piece by piece.

Written with the functions of the library `hats` rather than with LSDB's own writer: files keep the metadata
of the columns (units, UCDs), and none holds a date. See https://www.ivoa.net/documents/Notes/HATS/.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.io.columns import floats
from starsift.io.parquet import write_parquet

PARTITION_ROWS = 1_000_000  # at most in one file
_ORDER = 7  # of the smallest partitions, 27 arcmin
_INDEX, _INDEX_ORDER = "_healpix_29", 29  # the column by which LSDB finds rows, and its order


def write_hats(
    table: pa.Table, name: str, folder: str | os.PathLike[str], partition_rows: int = PARTITION_ROWS
) -> None:
    """Write a table as a HATS catalogue: the same table makes the same bytes; the folder appears complete.

    Parameters
    ----------
    table : with ra and dec in degrees; rows without them are left out, for they are in no cell of the sky
    name : of the catalogue, in its properties
    folder : is replaced if it exists
    partition_rows : most rows in one file

    Raises ValueError if more rows than that are in one cell of order 7 (27 arcmin).
    """
    # Imported here: LSDB's libraries take seconds.
    from hats.catalog import PartitionInfo, TableProperties
    from hats.io.parquet_metadata import write_parquet_metadata
    from hats.io.paths import new_pixel_catalog_file
    from hats.pixel_math import HealpixPixel, generate_alignment
    from hats.pixel_math.spatial_index import compute_spatial_index

    ra, dec = floats(table, "ra"), floats(table, "dec")
    known = np.isfinite(ra) & np.isfinite(dec)
    table = table.filter(pa.array(known))
    index = compute_spatial_index(ra[known], dec[known], _INDEX_ORDER)
    order = np.argsort(index, kind="stable")
    table = table.take(pa.array(order)).add_column(0, _INDEX, pa.array(index[order], pa.int64()))
    cell = index[order] >> 2 * (_INDEX_ORDER - _ORDER)
    alignment = generate_alignment(
        np.bincount(cell, minlength=12 * 4**_ORDER), highest_order=_ORDER, threshold=partition_rows
    )
    pixels = np.array([alignment[number][:2] for number in cell])  # rows of one pixel follow each other
    starts = np.flatnonzero(np.any(np.diff(pixels, axis=0, prepend=-1) != 0, axis=1))

    target = Path(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
        draft = Path(temporary) / target.name
        parts = [HealpixPixel(*map(int, pixels[start])) for start in starts]
        for start, stop, pixel in zip(starts, [*starts[1:], len(pixels)], parts, strict=True):
            path = new_pixel_catalog_file(draft, pixel)
            write_parquet(table.slice(start, stop - start), str(path))
        write_parquet_metadata(draft)
        PartitionInfo.from_healpix(parts).write_to_file(catalog_path=draft)
        properties = {
            "catalog_name": name,
            "catalog_type": "object",
            "total_rows": table.num_rows,
            "ra_column": "ra",
            "dec_column": "dec",
            "healpix_column": _INDEX,
            "healpix_order": _INDEX_ORDER,
        }
        TableProperties.model_validate(properties).to_properties_file(draft)
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)


def write_large(
    catalogs: Iterable[str | os.PathLike[str]], folder: str | os.PathLike[str], least: int
) -> list[Path]:
    """Write each catalogue that has coordinates and `least` rows or more as HATS, into a folder of its name.

    `catalogs` are published Parquet files. Returns the folders; without any, `folder` is empty.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    written = []
    for path in map(Path, catalogs):
        file = pq.ParquetFile(path)
        if file.metadata.num_rows >= max(least, 1) and "ra" in file.schema_arrow.names:
            written.append(Path(folder) / path.stem)
            write_hats(file.read(), path.stem, written[-1])
    return written
