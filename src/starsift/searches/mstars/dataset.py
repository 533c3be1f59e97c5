"""The positive and the negative sample for the training of the hasher, drawn from a labelled survey.

Guo et al. 2019, sections 3.3 and 3.4. M spectra are drawn from clusters (module `clusters`), and the
user's templates join them. Spectra of other classes, and of class UNKNOWN that are not M, make the negative
sample. Giants are a fifth of the positive sample, as in the paper's Table 1 (80 of 1 080 clusters alone would
make them a fourteenth).

Same input and seed: same bytes, whatever the number of threads.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError
from starsift.io.parquet import write_parquet
from starsift.io.tables import read_table
from starsift.searches.mstars.clusters import cluster_m_stars, draw_positives
from starsift.searches.mstars.labelled import LabelledSurvey, PathLike, read_labelled, role_of
from starsift.searches.mstars.preprocess import Prepared, prepare
from starsift.spectra.batches import (
    IDENTITY_NAMES,
    MASK_IVAR,
    ROW_SCHEMA,
    ROWS,
    SpectrumBatch,
    read_bundle,
    read_identity,
    write_bundle,
)
from starsift.spectra.resample import LAMOST_LRS

SAMPLE = pa.schema(
    [
        pa.field("spectrum_id", pa.string()),
        pa.field("role", pa.string()),  # dwarf, giant or negative
        pa.field("subclass", pa.string()),
        pa.field("class", pa.string()),
        pa.field("snr", pa.float32()),
        pa.field("rv", pa.float32(), metadata={"unit": "km/s"}),  # that was shifted by; null: as observed
        pa.field("cluster", pa.int32()),  # -1: negative, or a template
        pa.field("n_bad", pa.int32()),
        pa.field("defective", pa.bool_()),
        pa.field("zero", pa.float32()),  # where zero flux lies on the scale from 0 to 1
    ]
)
TEMPLATE_COLUMNS = ["name", "subclass", "log10_lambda0", "dlog10_lambda", "flux"]

log = logging.getLogger(__name__)


def _column(name: str, kind: Any, text: str) -> Any:
    """A property: the column of a sample's table as an array."""
    return property(lambda sample: np.asarray(sample.table[name].to_numpy(), dtype=kind), doc=text)


@dataclass(frozen=True)
class Sample:
    """n spectra at rest on `LAMOST_LRS`, scaled to [0, 1].

    `flux` (n, p) float32 with bad pixels interpolated, `ivar` (n, p) float32 with 0 there; `identity` of
    schema `ROW_SCHEMA`; `table` of schema `SAMPLE`.
    """

    flux: np.ndarray
    ivar: np.ndarray
    identity: pa.Table
    table: pa.Table

    ids = _column("spectrum_id", object, "object (n,): spectrum_id, or the name of a template.")
    role = _column("role", object, "object (n,): dwarf, giant or negative.")
    class_ = _column("class", object, "object (n,): STAR, GALAXY, QSO or UNKNOWN.")
    subclass = _column("subclass", object, "object (n,), None where the catalogue has none.")
    snr = _column("snr", np.float32, "float32 (n,), NaN where the survey gives none.")
    zero = _column("zero", np.float32, "float32 (n,): where zero flux lies on the scale of `flux`.")

    @property
    def is_m(self) -> np.ndarray:
        """bool (n,): the positive sample."""
        return np.asarray(pc.not_equal(self.table["role"], "negative").to_numpy(), dtype=bool)

    @property
    def labels(self) -> np.ndarray:
        """str (n,), the classes that a hasher separates: M stars by luminosity class and subtype (dM3),
        other stars by letter (K), all else by the catalogue's class (GALAXY, UNKNOWN)."""
        labels = []
        for role, class_, subclass in zip(self.role, self.class_, self.subclass, strict=True):
            if role in ("dwarf", "giant"):
                digit = (subclass or "").split("M", 1)[-1][:1]
                labels.append(f"{role[0]}M{digit}")
            elif (class_ or "").upper() == "STAR":
                labels.append((subclass or "?").lstrip("dg")[:1].upper() or "?")
            else:
                labels.append((class_ or "UNKNOWN").upper())
        return np.array(labels)


def build_sample(
    bundles: Sequence[PathLike],
    manifests: Sequence[PathLike],
    *,
    templates: PathLike | None,
    positives: int,
    giant_fraction: float,
    negatives: int,
    unknown_negatives: int,
    groups: int,
    subclusters: int,
    giant_clusters: int,
    n_components: int,
    seed: int,
) -> tuple[Sample, pa.Table]:
    """Draw the positive and the negative sample from a labelled survey.

    Parameters
    ----------
    bundles, manifests : as in `starsift.searches.mstars.labelled.read_labelled`
    templates : Parquet table with name, subclass, log10_lambda0, dlog10_lambda and flux (a list, vacuum, at
        rest) of further M spectra
    positives, giant_fraction : how many M spectra to draw, and the share of giants; where one kind runs out,
        the other fills up
    negatives, unknown_negatives : how many spectra to draw of other classes, and of class UNKNOWN
    groups, subclusters, giant_clusters, n_components : as in
        `starsift.searches.mstars.clusters.cluster_m_stars`
    seed : same input and seed, same sample

    Returns
    -------
    Sample : positives and negatives in the order of the survey, then the templates
    Table of schema `starsift.searches.mstars.clusters.CLUSTERS`; `members` counts the usable spectra

    Raises InputError: bundles and manifests do not fit, a column is missing, an identifier occurs twice, a
    template is not of an M star, or there is no positive or no negative spectrum.

    Source: Guo et al. 2019, sections 3.3 and 3.4, Table 1.
    """
    survey = read_labelled(bundles, manifests)
    extra = [] if templates is None else [_read_templates(templates)]
    _check_ids([survey.table, *(part.table for part in extra)])
    clusters = cluster_m_stars(
        survey,
        groups=groups,
        subclusters=subclusters,
        giant_clusters=giant_clusters,
        n_components=n_components,
        seed=seed,
    )
    rngs = [np.random.default_rng([seed, stage]) for stage in range(3)]
    drawn = draw_positives(clusters, positives, giant_fraction, rngs[0])
    negative = survey.ok & (survey.role == "negative")
    known = _draw(np.flatnonzero(negative & ~survey.unknown), negatives, "of other classes than M", rngs[1])
    unknown = _draw(np.flatnonzero(negative & survey.unknown), unknown_negatives, "of class UNKNOWN", rngs[2])
    rows = np.concatenate([clusters.rows[drawn], known, unknown])
    cluster = np.concatenate([clusters.cluster[drawn], np.full(len(known) + len(unknown), -1)])
    order = np.argsort(rows)
    parts = chain(_gather(survey, rows[order], cluster[order]), extra)
    sample = _assemble(parts, len(rows) + sum(len(part.flux) for part in extra))
    if not sample.is_m.any():
        raise InputError(
            f"no positive sample: of {(survey.role != 'negative').sum()} labelled M stars "
            f"{len(clusters.rows)} are usable, and {clusters.dropped.sum()} of {len(clusters.dropped)} "
            "clusters are defective; label M stars as class STAR and subclass M0, dM0, gM0 and so on, or "
            "add templates"
        )
    if sample.is_m.all():
        raise InputError(
            "no negative sample: all usable spectra of the labelled survey are of M stars, or no others were "
            "requested; add other classes, or spectra of class UNKNOWN that are not M"
        )
    return sample, clusters.describe(drawn)


def write_sample(sample: Sample, bundle: PathLike, table: PathLike) -> None:
    """Write the spectra of a sample as a bundle and its table as Parquet, in one order.

    Bad pixels of the bundle have their interpolated flux, ivar 0 and a mask bit.
    """
    wavelength = LAMOST_LRS.wavelength

    def batches() -> Iterator[SpectrumBatch]:
        for at in range(0, len(sample.flux), ROWS):
            part = slice(at, at + ROWS)
            flux, ivar = sample.flux[part], sample.ivar[part]
            mask = (ivar <= 0).view(np.uint8) * np.uint8(MASK_IVAR)
            identity = sample.identity.slice(at, ROWS)
            yield SpectrumBatch(identity, np.tile(wavelength, (len(flux), 1)), flux, ivar, mask)

    write_bundle(bundle, batches())
    write_parquet(sample.table, table)


def read_sample(bundle: PathLike, table: PathLike) -> Sample:
    """Read what `write_sample` wrote; InputError if the two files are not of one sample."""
    rows = pq.read_table(table, schema=SAMPLE)
    identity = read_identity(bundle)
    if not rows["spectrum_id"].equals(identity["spectrum_id"]):
        raise InputError(f"{bundle} and {table} hold different spectra; delete both and run again")
    flux = np.empty((rows.num_rows, LAMOST_LRS.pixels), np.float32)
    ivar = np.empty_like(flux)
    at = 0
    for batch in read_bundle(bundle):
        if batch.flux.shape[1] != LAMOST_LRS.pixels:
            raise InputError(
                f"{bundle}: spectra of {batch.flux.shape[1]} pixels, expected {LAMOST_LRS.pixels}; "
                "delete it and run again"
            )
        part = slice(at, at + batch.n)
        flux[part], ivar[part] = batch.flux, batch.ivar
        at += batch.n
    return Sample(flux, ivar, identity, rows)


def _check_ids(tables: Sequence[pa.Table]) -> None:
    counts = pc.value_counts(pa.chunked_array([chunk for t in tables for chunk in t["spectrum_id"].chunks]))
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist()
    if twice:
        raise InputError(
            f"{len(twice)} spectra are in the labelled survey or the templates more than once, the first is "
            f"{twice[0]}: leave one row of each in the catalogue"
        )


def _draw(rows: np.ndarray, number: int, what: str, rng: np.random.Generator) -> np.ndarray:
    if len(rows) < number:
        log.warning("the labelled survey has %d spectra %s, %d were requested", len(rows), what, number)
    return np.asarray(rng.choice(rows, min(number, len(rows)), replace=False), np.intp)


def _gather(survey: LabelledSurvey, rows: np.ndarray, cluster: np.ndarray) -> Iterator[Sample]:
    """The usable ones of the spectra at `rows`, which are in `cluster` (m,), batch by batch."""
    lost = 0
    for here, ready, identity in survey.spectra(rows):
        at = np.searchsorted(rows, here)
        classes = survey.table.select(["class", "subclass"]).take(pa.array(here))
        lost += int((~ready.ok).sum())
        yield _part(ready, identity, classes, survey.role[here], survey.rv[here], cluster[at])
    if lost:
        log.warning("%d of the negative spectra drawn cannot be used and are left out", lost)


def _part(
    ready: Prepared,
    identity: pa.Table,
    classes: pa.Table,
    role: np.ndarray,
    rv: np.ndarray,
    cluster: np.ndarray,
) -> Sample:
    """The usable ones of prepared spectra."""
    n = identity.num_rows
    # One partition for all: record batches never cross one, and drawn spectra have each their own.
    for name, value in (("planid", pa.array(["sample"] * n)), ("spid", pa.nulls(n, pa.int8()))):
        identity = identity.set_column(ROW_SCHEMA.get_field_index(name), ROW_SCHEMA.field(name), value)
    columns = {
        "spectrum_id": identity["spectrum_id"],
        "role": pa.array(role, pa.string()),
        "subclass": classes["subclass"],
        "class": classes["class"],
        "snr": identity["snr"],
        "rv": pa.array(rv.astype(np.float32), mask=np.isnan(rv)),
        "cluster": pa.array(cluster, pa.int32()),
        "n_bad": pa.array(ready.n_bad),
        "defective": pa.array(ready.defective),
        "zero": pa.array(ready.zero),
    }
    table, ok = pa.table(columns, schema=SAMPLE), pa.array(ready.ok)
    return Sample(ready.flux[ready.ok], ready.ivar[ready.ok], identity.filter(ok), table.filter(ok))


def _read_templates(path: PathLike) -> Sample:
    """The user's templates as part of the positive sample."""
    table = read_table(path)
    missing = [
        name for name in TEMPLATE_COLUMNS if name not in table.column_names or table[name].null_count > 0
    ]
    if missing:
        raise InputError(
            f"{path}: templates lack {', '.join(missing)}; each needs {', '.join(TEMPLATE_COLUMNS)}"
        )
    rows = table.select(TEMPLATE_COLUMNS).to_pylist()
    role = np.array([role_of("STAR", row["subclass"]) for row in rows], dtype=object)
    for row, kind in zip(rows, role, strict=True):
        if kind == "negative":
            raise InputError(
                f"{path}: template {row['name']} has subclass {row['subclass']}, expected one such as M2, "
                "dM2 or gM2; leave it out"
            )
    spectra = []
    for row in rows:
        flux = np.array(row["flux"], dtype=np.float64)
        wavelength = 10.0 ** (row["log10_lambda0"] + row["dlog10_lambda"] * np.arange(len(flux)))
        spectra.append((wavelength, flux, np.isfinite(flux).astype(float), np.zeros(len(flux), bool)))
    n = len(rows)
    identity = {name: pa.nulls(n, ROW_SCHEMA.field(name).type) for name in IDENTITY_NAMES}
    batch = SpectrumBatch.from_ragged(identity | {"spectrum_id": [row["name"] for row in rows]}, spectra)
    ready = prepare(batch)
    if not ready.ok.all():
        bad = int(np.argmin(ready.ok))
        raise InputError(
            f"{path}: template {rows[bad]['name']} cannot be used ({ready.status[bad]}): it should cover "
            "most of 3700-9100 Angstrom; leave it out"
        )
    classes = pa.table({"subclass": table["subclass"].cast(pa.string()), "class": pa.array(["STAR"] * n)})
    return _part(ready, batch.identity, classes, role, np.full(n, np.nan), np.full(n, -1))


def _assemble(parts: Iterable[Sample], size: int) -> Sample:
    """One sample of all parts, which have `size` spectra at most."""
    flux = np.empty((size, LAMOST_LRS.pixels), np.float32)
    ivar = np.empty_like(flux)
    identity, table = [ROW_SCHEMA.empty_table()], [SAMPLE.empty_table()]
    at = 0
    for part in parts:
        place = slice(at, at + len(part.flux))
        flux[place], ivar[place] = part.flux, part.ivar
        identity.append(part.identity)
        table.append(part.table)
        at += len(part.flux)
    rows, columns = (pa.concat_tables(tables).combine_chunks() for tables in (identity, table))
    return Sample(flux[:at], ivar[:at], rows, columns)
