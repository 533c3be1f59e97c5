"""The packing of one bundle: survey files in, one Arrow file of spectra out."""

import logging
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.errors import SettingsError, SpectrumError
from starsift.spectra.batches import ROWS, Spectrum, SpectrumBatch, write_bundle, write_index
from starsift.survey.catalog import survey_kind
from starsift.survey.identity import IDENTITY_NAMES
from starsift.survey.partition import MANIFEST_SCHEMA
from starsift.survey.readers.registry import read_exposures, read_spectrum

log = logging.getLogger(__name__)


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
    manifest : the bundle's part of the manifest
    root : folder that the manifest's files are relative to
    survey : mrs, lrs or sdss
    out : the Arrow file to write
    index : by default beside ``out``, ending in .parquet
    rows : int
        Approximate number of spectra in a record batch, which sets the memory needed, not the bundle's size.

    Returns
    -------
    dict : how many spectra have each status. What cannot be read is logged and keeps its row.
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
    """Batches of complete files of one partition, of at most ``rows`` spectra unless one file has more."""
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
        spectra += _read_file(root, file, kind, _extensions(part))
        position += size
    if spectra:
        yield _batch(table.slice(start, len(spectra)), spectra)


def _extensions(part: pa.Table) -> list[str]:
    """MRS extension of each row of a manifest."""
    return [
        f"{band}-{identifier.rsplit('/', 1)[1]}" if "/" in identifier else f"COADD_{band}"
        for identifier, band in zip(part["spectrum_id"].to_pylist(), part["band"].to_pylist(), strict=True)
    ]


def _read_file(
    root: Path, file: str | None, kind: str, extensions: Sequence[str]
) -> list[tuple[Spectrum | None, str, float]]:
    """Arrays, status and header S/N of spectra of one file."""
    try:
        if file is None:
            raise SpectrumError(
                "missing_file", "a catalogue row has nulls where the path template has columns"
            )
        path = root / file
        if kind == "mrs":
            found = {one.extname: one for one in read_exposures(path, kind, set(extensions))}
            exposures = [found.get(name) for name in extensions]
        else:
            exposures = [read_spectrum(path, kind)] * len(extensions)
    except SpectrumError as error:
        log.warning("%s: %s", error.status, error)
        return [(None, error.status, np.nan)] * len(extensions)
    results: list[tuple[Spectrum | None, str, float]] = []
    for name, exposure in zip(extensions, exposures, strict=True):
        if exposure is None:
            log.warning("missing_extension: %s has no extension %s", path, name)
            results.append((None, "missing_extension", np.nan))
        else:
            results.append((exposure.usable(), exposure.status, exposure.snr))
    return results


def _batch(part: pa.Table, spectra: Sequence[tuple[Spectrum | None, str, float]]) -> SpectrumBatch:
    snr = part["snr"].to_numpy(zero_copy_only=False).astype(np.float32)
    snr = np.where(np.isnan(snr), [s for _, _, s in spectra], snr)
    identity = part.select([*IDENTITY_NAMES, "ra", "dec"])
    identity = identity.append_column("snr", pa.array(snr, pa.float32(), from_pandas=True))
    identity = identity.append_column("status", pa.array([status for _, status, _ in spectra]))
    return SpectrumBatch.from_ragged(identity, [arrays for arrays, _, _ in spectra])
