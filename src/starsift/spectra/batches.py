"""Batches of spectra in memory, and bundles of them in Arrow files on disk.

A batch holds n spectra as rectangular arrays. A bundle is an Arrow IPC file of batches, compressed with lz4;
no record batch of it crosses a partition (plan x spectrograph). Spectra that could not be used stay as rows
without pixels, and their ``status`` says why. Wavelengths are vacuum, heliocentric, in Angstrom.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError, ResultsError
from starsift.io.files import atomic_path
from starsift.survey.identity import IDENTITY, IDENTITY_NAMES, OK, described

MASK_SURVEY = 1  # the survey's own pixel mask
MASK_IVAR = 2  # inverse variance not positive or not finite
MASK_FLUX = 4  # flux not finite
MASK_PAD = 8  # no pixel here: padding of a shorter spectrum, or a spectrum without pixels

ROWS = 1024  # spectra in one record batch: 70 MB of MRS pixels, large enough for efficient matrix products

# Two numbers replace a wavelength array only where they rebuild it to this (dex; 1e-10 dex is 0.07 m/s).
_UNIFORM_TOLERANCE = 1e-10

ROW_SCHEMA = pa.schema(
    [
        *IDENTITY,
        described("snr", pa.float32(), "signal-to-noise ratio a pixel, as the survey gives it"),
        described("status", pa.string(), "ok, or what was wrong with the spectrum"),
        described("ra", pa.float64(), "right ascension, ICRS", "deg"),
        described("dec", pa.float64(), "declination, ICRS", "deg"),
    ]
)

BUNDLE_SCHEMA = pa.schema(
    [
        *ROW_SCHEMA,
        described("log10_lambda0", pa.float64(), "log10 of the first wavelength, where the grid is uniform"),
        described(
            "dlog10_lambda", pa.float64(), "step of log10 wavelength, where the grid is uniform", "dex"
        ),
        described("wavelength", pa.list_(pa.float64()), "vacuum wavelength where not uniform", "Angstrom"),
        described("flux", pa.list_(pa.float32()), "flux, 0 in masked pixels"),
        described("ivar", pa.list_(pa.float32()), "inverse variance of the flux, 0 in masked pixels"),
        described("mask", pa.list_(pa.uint8()), "bits: 1 survey's mask, 2 bad ivar, 4 bad flux, 8 padding"),
    ],
    metadata={"starsift": "bundle 1"},
)

INDEX_SCHEMA = pa.schema(
    [
        *IDENTITY,
        described("status", pa.string(), "ok, or what was wrong with the spectrum"),
        described("batch", pa.int32(), "record batch in the bundle"),
        described("row", pa.int32(), "row in the record batch"),
    ]
)

Spectrum = tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]


@dataclass(frozen=True)
class SpectrumBatch:
    """n spectra as rectangular arrays.

    Attributes
    ----------
    identity : pyarrow.Table
        One row a spectrum, schema `ROW_SCHEMA`.
    wavelength : float64 (n, pixel)
        Vacuum Angstrom, strictly ascending, also in padding.
    flux, ivar : float32 (n, pixel)
        Never NaN. ivar is 0 in masked pixels, and flux is but where the survey only gave no weight
        (`MASK_IVAR` alone).
    mask : uint8 (n, pixel)
        Bits `MASK_SURVEY`, `MASK_IVAR`, `MASK_FLUX`, `MASK_PAD`; 0 is a good pixel.
    """

    identity: pa.Table
    wavelength: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    mask: np.ndarray

    @property
    def n(self) -> int:
        """Number of spectra."""
        return int(self.identity.num_rows)

    @property
    def ok(self) -> np.ndarray:
        """bool (n,): the spectra that can be used."""
        return np.asarray(pc.equal(self.identity["status"], OK).to_numpy(zero_copy_only=False), dtype=bool)

    def take(self, index: npt.ArrayLike | slice) -> SpectrumBatch:
        """The spectra at ``index``: positions (m,) from 0, a boolean mask (n,), or a slice.

        Raises InputError for a mask of another shape, and for positions that are not in the batch.
        """
        if isinstance(index, slice):
            start, stop, step = index.indices(self.n)
            if step == 1:
                identity = self.identity.slice(start, max(0, stop - start))
                return SpectrumBatch(
                    identity, self.wavelength[index], self.flux[index], self.ivar[index], self.mask[index]
                )
            index = np.arange(start, stop, step)
        at = np.asarray(index)
        if at.dtype == bool and at.shape == (self.n,):
            at = np.flatnonzero(at)
        if at.dtype == bool or at.ndim != 1 or ((at < 0) | (at >= self.n)).any():
            raise InputError(
                f"index {at!r} of {self.n} spectra: expected a slice, a mask ({self.n},) or positions (m,) "
                f"from 0 to {self.n - 1}"
            )
        at = at.astype(np.int64)
        return SpectrumBatch(
            self.identity.take(pa.array(at)), self.wavelength[at], self.flux[at], self.ivar[at], self.mask[at]
        )

    @classmethod
    def from_arrays(
        cls,
        identity: pa.Table | Mapping[str, Any],
        wavelength: npt.ArrayLike,
        flux: npt.ArrayLike,
        ivar: npt.ArrayLike,
        mask: npt.ArrayLike | None = None,
    ) -> SpectrumBatch:
        """Make a batch of arrays as they come, masking what cannot be used.

        Parameters
        ----------
        identity : pyarrow.Table or mapping
            The `IDENTITY` columns; ``snr``, ``ra``, ``dec`` are null and ``status`` is ok where absent.
            Further columns are dropped.
        wavelength : (n, pixel) or (pixel,)
            Vacuum Angstrom, strictly ascending.
        flux, ivar : (n, pixel)
            NaN flux and ivar that is negative, zero or NaN mask the pixel.
        mask : (n, pixel), optional
            uint8: bits as above. Any other type: not zero is bad (`MASK_SURVEY`).

        Raises ResultsError: shapes do not agree, an identity column is missing, or wavelengths do not ascend.
        """
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is masked below
            flux_ = np.array(flux, dtype=np.float32, ndmin=2)
            ivar_ = np.array(ivar, dtype=np.float32, ndmin=2)
        shape = flux_.shape
        wave = np.array(wavelength, dtype=np.float64)
        if wave.shape not in (shape, shape[1:]) or ivar_.shape != shape:
            raise ResultsError(
                "arrays of a batch must all be (n, pixel): "
                f"wavelength {wave.shape}, flux {shape}, ivar {ivar_.shape}"
            )
        bits = np.zeros(shape, dtype=np.uint8)
        if mask is not None:
            survey = np.atleast_2d(np.asarray(mask))
            if survey.shape != shape:
                raise ResultsError(f"mask has shape {survey.shape}, flux has {shape}")
            bits |= (
                survey if survey.dtype == np.uint8 else (survey != 0).view(np.uint8) * np.uint8(MASK_SURVEY)
            )
        return _sanitized(identity, wave, flux_, ivar_, bits)

    @classmethod
    def from_ragged(
        cls, identity: pa.Table | Mapping[str, Any], spectra: Sequence[Spectrum | None]
    ) -> SpectrumBatch:
        """Make a batch of spectra of different lengths; None is a spectrum without pixels.

        Each spectrum is (wavelength, flux, ivar, mask), as in `from_arrays`; shorter ones are padded.
        A row without pixels must carry its status in ``identity``.
        """
        lengths = np.array([0 if s is None else len(np.asarray(s[0])) for s in spectra], dtype=np.int64)
        shape = (len(spectra), _width(lengths))
        wave = np.empty(shape)
        flux = np.zeros(shape, dtype=np.float32)
        ivar = np.zeros(shape, dtype=np.float32)
        bits = np.full(shape, MASK_PAD, dtype=np.uint8)
        for i, spectrum in enumerate(spectra):
            if spectrum is None:
                continue
            k = lengths[i]
            wave[i, :k] = spectrum[0]
            with np.errstate(over="ignore"):
                flux[i, :k] = spectrum[1]
                ivar[i, :k] = spectrum[2]
            mask = np.asarray(spectrum[3])
            bits[i, :k] = mask if mask.dtype == np.uint8 else mask != 0
        _fill_wavelength(wave, lengths)
        return _sanitized(identity, wave, flux, ivar, bits)


def _sanitized(
    identity: pa.Table | Mapping[str, Any],
    wavelength: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    bits: np.ndarray,
) -> SpectrumBatch:
    """The batch of these arrays; flux, ivar and bits are changed in place."""
    wave = np.atleast_2d(wavelength)
    # Comparisons, not differences: no temporary array of doubles. A NaN anywhere fails them too.
    rises = (wave[:, 1:] > wave[:, :-1]).all(axis=1)
    if wave.shape[1]:
        rises &= np.isfinite(wave[:, 0]) & np.isfinite(wave[:, -1])
    if len(flux) and not rises.all():
        raise ResultsError(f"wavelengths of spectrum {np.argmin(rises)} do not ascend strictly")
    data = (bits & MASK_PAD) == 0
    with np.errstate(invalid="ignore"):
        bad_ivar = ~((ivar > 0) & (ivar < np.inf)) & data
    bits |= bad_ivar.view(np.uint8) * np.uint8(MASK_IVAR)
    bits |= (~np.isfinite(flux) & data).view(np.uint8) * np.uint8(MASK_FLUX)
    ivar[bits != 0] = 0.0
    # LAMOST gives strong emission lines no weight, as if they were cosmic rays: such a flux is kept.
    flux[(bits & ~np.uint8(MASK_IVAR)) != 0] = 0.0
    rows = _identity_rows(identity, len(flux))
    empty = (bits != 0).all(axis=1)
    if empty.any():
        status = rows["status"].to_numpy(zero_copy_only=False).astype(object)
        status[empty & (status == OK)] = "all_masked"
        rows = _with_status(rows, status)
    full = wavelength if wavelength.ndim == 2 else np.tile(wavelength, (len(flux), 1))
    return SpectrumBatch(rows, full, flux, ivar, bits)


def _identity_rows(identity: pa.Table | Mapping[str, Any], n: int) -> pa.Table:
    """``identity`` in the order and types of `ROW_SCHEMA`."""
    table = identity if isinstance(identity, pa.Table) else pa.table(dict(identity))
    missing = [name for name in IDENTITY_NAMES if name not in table.column_names]
    if missing:
        raise ResultsError(f"identity of a batch lacks the columns: {', '.join(missing)}")
    if table.num_rows != n:
        raise ResultsError(f"identity has {table.num_rows} rows, flux has {n}")
    columns = []
    for field in ROW_SCHEMA:
        if field.name in table.column_names:
            columns.append(table[field.name].cast(field.type))
        elif field.name == "status":
            columns.append(pa.array([OK] * n, field.type))
        else:
            columns.append(pa.nulls(n, field.type))
    return pa.table(columns, schema=ROW_SCHEMA)


def _with_status(rows: pa.Table, status: Iterable[str]) -> pa.Table:
    at = rows.column_names.index("status")
    return rows.set_column(at, ROW_SCHEMA.field("status"), pa.array(list(status), pa.string()))


def _width(lengths: np.ndarray) -> int:
    # Two pixels at least, so that a batch of unreadable spectra still has a wavelength range.
    return int(max(2, lengths.max(initial=0)))


def _fill_wavelength(wave: np.ndarray, lengths: np.ndarray) -> None:
    """Continue each row past its length with its last step; rows of length 0 copy the first full row."""
    full = np.flatnonzero(lengths > 0)
    for i in full[lengths[full] < wave.shape[1]]:
        k = lengths[i]
        step = wave[i, k - 1] - wave[i, k - 2] if k > 1 else 1.0
        wave[i, k:] = wave[i, k - 1] + step * np.arange(1, wave.shape[1] - k + 1)
    if full.size < len(wave):
        wave[lengths == 0] = wave[full[0]] if full.size else np.arange(1.0, wave.shape[1] + 1.0)


def _partition_starts(identity: pa.Table) -> np.ndarray:
    """Positions where (planid, spid) changes, and 0."""
    planid = np.asarray(identity["planid"].to_numpy(zero_copy_only=False), dtype=object)
    spid = identity["spid"].fill_null(-1).to_numpy(zero_copy_only=False)
    changed = np.flatnonzero((planid[1:] != planid[:-1]) | (spid[1:] != spid[:-1])) + 1
    return np.concatenate([[0], changed])


def _lists(values: np.ndarray, lengths: np.ndarray, present: np.ndarray, kind: pa.ListType) -> pa.ListArray:
    """An Arrow list for each row: its first ``lengths`` values, null where not ``present``."""
    counts = np.where(present, lengths, 0)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    if (counts == values.shape[1]).all():
        flat = np.ascontiguousarray(values).ravel()
    else:
        flat = values[np.arange(values.shape[1]) < counts[:, None]]
    mask = None if present.all() else pa.array(~present)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, kind.value_type), type=kind, mask=mask)


def _uniform(
    wave: np.ndarray, lengths: np.ndarray, ok: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log10 of the first wavelength, the step, and which rows these two rebuild."""
    n, pixel = wave.shape
    last = np.maximum(lengths - 1, 1)
    start = np.log10(wave[:, 0])
    step = (np.log10(wave[np.arange(n), last]) - start) / last
    # One pixel in the middle rules out most uneven grids without a logarithm of every pixel.
    middle = last // 2
    probe = np.abs(np.log10(wave[np.arange(n), middle]) - start - step * middle)
    uniform = ok & (lengths > 1) & (probe < _UNIFORM_TOLERANCE)
    at = np.flatnonzero(uniform)
    if at.size:
        pixels = np.arange(pixel)
        residual = np.abs(np.log10(wave[at]) - start[at, None] - step[at, None] * pixels)
        residual[pixels >= lengths[at, None]] = 0.0
        uniform[at] = residual.max(axis=1) < _UNIFORM_TOLERANCE
    return start, step, uniform


def _record_batch(batch: SpectrumBatch) -> pa.RecordBatch:
    ok = batch.ok
    # The trailing padding of a row is not stored.
    data = (batch.mask & MASK_PAD) == 0
    lengths = np.where(data.any(axis=1), data.shape[1] - np.argmax(data[:, ::-1], axis=1), 0)
    start, step, uniform = _uniform(batch.wavelength, lengths, ok)
    columns = [column.combine_chunks() for column in batch.identity.columns]
    columns += [
        pa.array(start, mask=~uniform),
        pa.array(step, mask=~uniform),
        _lists(batch.wavelength, lengths, ok & ~uniform, pa.list_(pa.float64())),
        _lists(batch.flux, lengths, ok, pa.list_(pa.float32())),
        _lists(batch.ivar, lengths, ok, pa.list_(pa.float32())),
        _lists(batch.mask, lengths, ok, pa.list_(pa.uint8())),
    ]
    arrays = [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=BUNDLE_SCHEMA)


def write_bundle(
    path: str | os.PathLike[str], batches: Iterable[SpectrumBatch], *, rows: int = ROWS
) -> dict[str, int]:
    """Write batches to an Arrow file, one at a time: memory does not grow with the bundle.

    Each batch is cut where the partition changes and after ``rows`` spectra. Spectra whose status is not ok
    are kept as rows without pixels. Returns how many spectra have each status, sorted by name.
    """
    counts: dict[str, int] = {}
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        atomic_path(path) as temporary,
        pa.ipc.new_file(str(temporary), BUNDLE_SCHEMA, options=options) as sink,
    ):
        for batch in batches:
            if not batch.n:
                continue
            bounds = [*_partition_starts(batch.identity).tolist(), batch.n]
            for begin, end in pairwise(bounds):
                for at in range(begin, end, rows):
                    sink.write_batch(_record_batch(batch.take(slice(at, min(end, at + rows)))))
            for status in batch.identity["status"].to_pylist():
                counts[status] = counts.get(status, 0) + 1
    return dict(sorted(counts.items()))


@contextmanager
def _open(
    path: str | os.PathLike[str], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatchFileReader]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such bundle of spectra")
    with pa.OSFile(str(path)) as source:
        fields = None if columns is None else [BUNDLE_SCHEMA.get_field_index(name) for name in columns]
        try:
            reader = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=fields))
        except pa.ArrowInvalid as error:
            raise ResultsError(
                f"{path}: not an Arrow file of spectra, or cut short; pack it again ({error})"
            ) from error
        if (reader.schema.metadata or {}).get(b"starsift") != b"bundle 1":
            raise ResultsError(f"{path}: an Arrow file, but not a starsift bundle of spectra; pack it again")
        yield reader


def _rectangle(column: pa.ListArray, lengths: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """List column as (n, pixel); without a copy where every row is full."""
    values = column.flatten().to_numpy(zero_copy_only=True)
    if (lengths == shape[1]).all():
        return np.asarray(values.reshape(shape))
    out = np.zeros(shape, dtype=values.dtype)
    out[np.arange(shape[1]) < lengths[:, None]] = values
    return out


def _lengths(column: pa.ListArray) -> np.ndarray:
    return np.asarray(
        pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64
    )


def _spectrum_batch(record: pa.RecordBatch) -> SpectrumBatch:
    lengths = _lengths(record["flux"])
    shape = (record.num_rows, _width(lengths))
    pad = np.arange(shape[1]) >= lengths[:, None]
    mask = _rectangle(record["mask"], lengths, shape)
    if pad.any():
        mask[pad] = MASK_PAD
    stored = _lengths(record["wavelength"])
    wave = _rectangle(record["wavelength"], stored, shape)
    start = record["log10_lambda0"]
    uniform = np.flatnonzero(pc.is_valid(start).to_numpy(zero_copy_only=False))
    if uniform.size:
        first = start.to_numpy(zero_copy_only=False)[uniform]
        step = record["dlog10_lambda"].to_numpy(zero_copy_only=False)[uniform]
        # Most spectra of a survey share one grid: raise 10 to a power once for each grid, not for each pixel.
        grids, which = np.unique(np.stack([first, step], axis=1), axis=0, return_inverse=True)
        wave[uniform] = (10.0 ** (grids[:, :1] + grids[:, 1:] * np.arange(shape[1])))[which.ravel()]
    if pad.any():
        _fill_wavelength(wave, lengths)
    identity = pa.Table.from_batches([record.select(ROW_SCHEMA.names)]).cast(ROW_SCHEMA)
    flux = _rectangle(record["flux"], lengths, shape)
    ivar = _rectangle(record["ivar"], lengths, shape)
    return SpectrumBatch(identity, wave, flux, ivar, mask)


def read_bundle(path: str | os.PathLike[str], rows: int | None = None) -> Iterator[SpectrumBatch]:
    """Read a bundle batch by batch, in the order written.

    Arrays may be read-only views of the file's own buffers. Spectra whose status is not ok come with all
    pixels masked (`MASK_PAD`), and with wavelengths that still ascend.

    Parameters
    ----------
    rows : largest number of spectra in a batch; by default as they were written

    Raises FileNotFoundError, ResultsError: there is no such file, or it is not a bundle.
    """
    with _open(path) as reader:
        for i in range(reader.num_record_batches):
            record = reader.get_batch(i)
            size = rows or max(1, record.num_rows)
            for at in range(0, record.num_rows, size):
                yield _spectrum_batch(record.slice(at, size))


def read_rows(path: str | os.PathLike[str], positions: npt.ArrayLike) -> SpectrumBatch:
    """Read single spectra of a bundle, in the order of their positions (m,) in it, from 0.

    Raises IndexError if a position is not in the bundle.
    """
    places = np.asarray(positions, dtype=np.int64).ravel()
    with _open(path, ["status"]) as reader:
        sizes = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
    ends = np.cumsum(sizes, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if places.size and (places.min() < 0 or places.max() >= total):
        raise IndexError(
            f"{path}: it holds spectra 0 to {total - 1}, asked for {places.min()} to {places.max()}"
        )
    order = np.argsort(places, kind="stable")
    found: list[pa.RecordBatch] = []
    with _open(path) as reader:
        home = np.searchsorted(ends, places[order], side="right")
        for i in np.unique(home):
            rows = places[order][home == i] - (ends[i] - sizes[i])
            found.append(reader.get_batch(int(i)).take(pa.array(rows)))
    if not found:
        return _spectrum_batch(pa.RecordBatch.from_pylist([], schema=BUNDLE_SCHEMA))
    merged = pa.Table.from_batches(found).combine_chunks().to_batches()[0]
    return _spectrum_batch(merged.take(pa.array(np.argsort(order, kind="stable"))))


def read_identity(path: str | os.PathLike[str]) -> pa.Table:
    """The rows of a bundle without their pixels, schema `ROW_SCHEMA`."""
    with _open(path, ROW_SCHEMA.names) as reader:
        return pa.Table.from_batches(
            [reader.get_batch(i) for i in range(reader.num_record_batches)], schema=reader.schema
        ).cast(ROW_SCHEMA)


def write_index(bundle: str | os.PathLike[str], path: str | os.PathLike[str]) -> pa.Table:
    """Write beside a bundle where each spectrum is in it: identity, status, record batch, row."""
    with _open(bundle, ROW_SCHEMA.names) as reader:
        records = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    tables = [
        pa.Table.from_batches([record])
        .select([*IDENTITY_NAMES, "status"])
        .append_column("batch", pa.array(np.full(record.num_rows, i, dtype=np.int32)))
        .append_column("row", pa.array(np.arange(record.num_rows, dtype=np.int32)))
        .cast(INDEX_SCHEMA)
        for i, record in enumerate(records)
    ]
    index = pa.concat_tables(tables) if tables else INDEX_SCHEMA.empty_table()
    with atomic_path(path) as temporary:
        pq.write_table(index, temporary, compression="zstd")
    return index
