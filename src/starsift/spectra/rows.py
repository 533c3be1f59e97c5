"""Single rows of Arrow files that have the record batches of a bundle, read by place and compared by name."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from starsift.errors import ResultsError

FILES = 8  # open bundles
BATCHES = 2  # decoded record batches, 72 MB each at most: catalogues are sorted, the next one is often there


@dataclass(frozen=True)
class Place:
    """Where a spectrum is: `position` is counted through the bundle, `row` in its record batch."""

    spectrum_id: str
    survey: str
    bundle: str
    position: int
    batch: int
    row: int


class RowReader:
    """Reads single rows; a few files stay open, and the last record batches decoded. Not safe for threads."""

    def __init__(self) -> None:
        self.open = lru_cache(FILES)(_open_file)
        self._batch = lru_cache(BATCHES)(self._read_batch)

    def _read_batch(self, file: Path, columns: tuple[str, ...], number: int) -> pa.RecordBatch:
        return self.open(file, columns).get_batch(number)

    def row(
        self, file: Path, place: Place, columns: tuple[str, ...], *, keep: bool = False
    ) -> pa.RecordBatch:
        """One row with some columns and `spectrum_id`. With `keep`, its record batch stays decoded.

        Raises ResultsError if the file cannot be read, or another spectrum is in this place.
        """
        try:
            read = self._batch if keep else self._read_batch
            record = read(file, columns, place.batch).slice(place.row, 1)
            found = record["spectrum_id"][0].as_py() if record.num_rows else None
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ResultsError(f"{file}: cannot be read; make it again ({error})") from error
        if found != place.spectrum_id:
            raise ResultsError(
                f"{file}: where {place.spectrum_id} was is {found}; the results were made again, restart "
                "the review app"
            )
        return record


def _open_file(file: Path, columns: tuple[str, ...]) -> pa.RecordBatchFileReader:
    """A reader of some columns and `spectrum_id`."""
    source = pa.memory_map(str(file))
    schema = pa.ipc.open_file(source).schema
    fields = [schema.get_field_index(name) for name in ("spectrum_id", *columns)]
    # One thread: two are no faster, and slower where both cores are busy.
    options = pa.ipc.IpcReadOptions(included_fields=sorted(fields), use_threads=False)
    return pa.ipc.open_file(source, options=options)


def read_grid(record: pa.RecordBatch) -> tuple[np.ndarray, dict[str, Any]]:
    """Vacuum wavelengths (n,) of the one spectrum of a record, in Angstrom, and the least that says them.

    The latter is `n` and either `log10_lambda0` and `dlog10_lambda`, or `wavelength`.
    """
    n = len(record["flux"].flatten())
    start, step = record["log10_lambda0"][0].as_py(), record["dlog10_lambda"][0].as_py()
    if start is None:
        wavelength = record["wavelength"].flatten().to_numpy()
        return wavelength, {"n": n, "wavelength": wavelength}
    return 10.0 ** (start + step * np.arange(n)), {"n": n, "log10_lambda0": start, "dlog10_lambda": step}
