"""CCFs on disk: one Arrow file a bundle, a record batch for each batch of spectra."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from starsift.errors import ResultsError
from starsift.io.files import atomic_path
from starsift.spectra.batches import OK, ROW_SCHEMA
from starsift.spectra.ccf import CCFs

FEW_PIXELS = "few_pixels"  # status of a spectrum that could be read, but not correlated
VELOCITY_KEYS = (b"velocity_first", b"velocity_step", b"velocity_count")


@dataclass(frozen=True)
class Curves:
    """The best CCFs of a batch of n spectra.

    Attributes
    ----------
    rows : Table, schema `ROW_SCHEMA`
        Spectra that were not correlated have a status that says why.
    ccf : (n, velocity) float32, zeros where the spectrum was not correlated
    template : (n,) int8, place in the bank, -1 where the spectrum was not correlated
    velocities : (velocity,) float64, km/s
    """

    rows: pa.Table
    ccf: np.ndarray
    template: np.ndarray
    velocities: np.ndarray


def write_curves(
    path: str | os.PathLike[str], batches: Iterable[tuple[pa.Table, CCFs]], velocities: np.ndarray
) -> None:
    """Write the CCFs of a bundle, batch by batch: identity rows, and CCFs as `correlate` gives them.

    `velocities` (velocity,) are uniform, km/s.
    """
    step = (velocities[-1] - velocities[0]) / (velocities.size - 1)
    grid = (velocities[0], step, velocities.size)
    schema = pa.schema(
        [
            *ROW_SCHEMA,
            pa.field("template", pa.int8()),
            pa.field("ccf_max", pa.float32()),
            pa.field("ccf", pa.list_(pa.float32(), velocities.size)),
        ],
        metadata={
            key: repr(value.item() if isinstance(value, np.generic) else value).encode()
            for key, value in zip(VELOCITY_KEYS, grid, strict=True)
        },
    )
    with (
        atomic_path(path) as temporary,
        pa.ipc.new_file(str(temporary), schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as sink,
    ):
        for rows, curves in batches:
            unusable = ~curves.usable
            status = np.asarray(rows["status"].to_numpy(zero_copy_only=False), dtype=object)
            status[unusable & (status == OK)] = FEW_PIXELS
            at = rows.column_names.index("status")
            rows = rows.set_column(at, ROW_SCHEMA.field("status"), pa.array(status, pa.string()))
            arrays = [column.combine_chunks() for column in rows.columns]
            arrays += [
                pa.array(curves.template, pa.int8(), mask=unusable),
                pa.array(curves.ccf.max(axis=1), pa.float32(), mask=unusable),
                pa.FixedSizeListArray.from_arrays(
                    pa.array(curves.ccf.ravel(), pa.float32()), velocities.size
                ),
            ]
            sink.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def read_curves(path: str | os.PathLike[str]) -> Iterator[Curves]:
    """Read the CCFs of a bundle, batch by batch, in the order of its spectra."""
    with pa.OSFile(str(path)) as source:
        reader = pa.ipc.open_file(source)
        metadata = reader.schema.metadata or {}
        if any(key not in metadata for key in VELOCITY_KEYS):
            raise ResultsError(f"{path}: an Arrow file, but not one of CCFs; run the ccf stage again")
        first, step, count = (float(metadata[key]) for key in VELOCITY_KEYS)
        velocities = first + step * np.arange(int(count))
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            ccf = batch["ccf"].flatten().to_numpy().reshape(batch.num_rows, int(count))
            template = batch["template"].fill_null(-1).to_numpy(zero_copy_only=False)
            yield Curves(pa.Table.from_batches([batch]).select(ROW_SCHEMA.names), ccf, template, velocities)
