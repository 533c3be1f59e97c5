"""The positive and the negative sample: what the hash network learns from, drawn from a labelled survey.

Guo et al. 2019, sections 3.3 and 3.4. All M spectra are shifted to rest and reduced by PCA; dwarfs fall into
50 groups by BIRCH and each group into 20 by K-means, giants into 80 by K-means. Clusters of defective spectra
go, and every other one gives about as many spectra, so that rare kinds are not lost among common ones.
Templates of the user join the positive sample; spectra of other classes, and of unknown class but seen not to
be M, make the negative one.

What the paper leaves open, and what was chosen:

- **Size.** The survey is read four times, a batch after the other, and memory holds only the PCA features of
  its M spectra. The principal components are those of at most `pca_spectra` of them.
- **BIRCH's threshold** is found, not set: the widest of a falling series that gives 20 leaves a group, and
  wider again where the whole sample makes more than `MAX_LEAVES`, as BIRCH does when memory is short.
- **Equal spectra** are in one cluster: distances up to `SAME` are those of arithmetic, not of stars.
- **Defective** is a cluster whose mean spectrum has a flux gap (`mstars.preprocess`), or most of
  whose members have. Single defective spectra in other clusters are not drawn.
- **Draws.** Members are sorted by S/N and taken at equal distances from a random start: each is as likely as
  any other, and the S/N of a cluster keep their spread.
- **Giants** are a fifth of the positive sample, as in the paper's Table 1 (80 of 1 080 clusters alone would
  make them a fourteenth).
- **Velocity.** `rv` of the catalogue, or c z of a star where that is missing; none beyond `MAX_VELOCITY`.
  Spectra without one, and all of class UNKNOWN, stay as observed.

Same input and seed: same bytes, whatever the number of threads.
"""

import logging
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from sklearn.cluster import Birch, KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from starsift.errors import InputError
from starsift.io.parquet import write_parquet
from starsift.io.tables import read_table
from starsift.searches.mstars.preprocess import Prepared, is_defective, prepare
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import (
    IDENTITY_NAMES,
    MASK_IVAR,
    OK,
    ROW_SCHEMA,
    ROWS,
    SpectrumBatch,
    read_bundle,
    read_identity,
    write_bundle,
)
from starsift.spectra.resample import LAMOST_LRS

MAX_VELOCITY = 3000.0  # km/s: no star of the Galaxy is faster, and releases write -9999 for unknown
MAX_LEAVES = 5000  # of BIRCH's tree: the last step needs the distances between all of them
LEAVES_PER_GROUP = 20  # fewer leave groups of one odd spectrum
THRESHOLD_SPECTRA = 5000  # of which BIRCH's threshold is found
# Spectra scaled to [0, 1] that are no further apart are the same. Arithmetic, whose last bits differ with the
# place in an array and with the processor, errs by a hundredth of it; noise parts spectra by hundreds of it.
SAME = 1e-4
DWARF = re.compile(r"d?M\d")
GIANT = re.compile(r"gM\d")

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
CLUSTERS = pa.schema(
    [
        pa.field("cluster", pa.int32()),
        pa.field("kind", pa.string()),  # dwarf or giant
        pa.field("members", pa.int32()),
        pa.field("drawn", pa.int32()),
        pa.field("defective", pa.bool_()),
        pa.field("mean_snr", pa.float32()),
    ]
)

TEMPLATE_COLUMNS = ["name", "subclass", "log10_lambda0", "dlog10_lambda", "flux"]

PathLike = str | os.PathLike[str]
log = logging.getLogger(__name__)


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

    @property
    def is_m(self) -> np.ndarray:
        """bool (n,): the positive sample."""
        return np.asarray(pc.not_equal(self.table["role"], "negative").to_numpy(), dtype=bool)

    @property
    def role(self) -> np.ndarray:
        """object (n,): dwarf, giant or negative."""
        return np.asarray(self.table["role"].to_numpy(), dtype=object)

    @property
    def subclass(self) -> np.ndarray:
        """object (n,), None where the catalogue has none."""
        return np.asarray(self.table["subclass"].to_numpy(), dtype=object)

    @property
    def ids(self) -> np.ndarray:
        """object (n,): spectrum_id, or the name of a template."""
        return np.asarray(self.table["spectrum_id"].to_numpy(), dtype=object)

    @property
    def class_(self) -> np.ndarray:
        """object (n,): STAR, GALAXY, QSO or UNKNOWN."""
        return np.asarray(self.table["class"].to_numpy(), dtype=object)

    @property
    def zero(self) -> np.ndarray:
        """float32 (n,): where zero flux lies on the scale of `flux`."""
        return np.asarray(self.table["zero"].to_numpy(), dtype=np.float32)

    @property
    def snr(self) -> np.ndarray:
        """float32 (n,), NaN where the survey gives none."""
        return np.asarray(self.table["snr"].to_numpy(), dtype=np.float32)


def role_of(class_: str | None, subclass: str | None) -> str:
    """What a spectrum is to the sample: "dwarf" (M0, dM0 ...), "giant" (gM0 ...) or "negative"."""
    if (class_ or "").strip().upper() != "STAR":
        return "negative"
    name = (subclass or "").strip()
    return "dwarf" if DWARF.match(name) else "giant" if GIANT.match(name) else "negative"


@dataclass(frozen=True)
class _Labels:
    """All spectra of the labelled survey, in the order of its bundles.

    `table` has spectrum_id, class, subclass; arrays are (n,): `role` object, `unknown` and `ok` bool, `snr`
    float32, `rv` float64 (km/s, NaN where there is none). Bundle i holds `starts[i]` to `starts[i + 1]`.
    """

    table: pa.Table
    role: np.ndarray
    unknown: np.ndarray
    ok: np.ndarray
    snr: np.ndarray
    rv: np.ndarray
    starts: np.ndarray


def build_sample(
    bundles: Sequence[PathLike],
    manifests: Sequence[PathLike],
    *,
    templates: PathLike | None = None,
    positives: int = 6699,
    giant_fraction: float = 0.2,
    negatives: int = 5000,
    unknown_negatives: int = 10_000,
    groups: int = 50,
    subclusters: int = 20,
    giant_clusters: int = 80,
    n_components: int = 30,
    pca_spectra: int = 10_000,
    seed: int = 0,
) -> tuple[Sample, pa.Table]:
    """Draw the positive and the negative sample from a labelled survey.

    Parameters
    ----------
    bundles : the survey's packed spectra
    manifests : of each bundle, the same spectra in the same order: spectrum_id, class (STAR, GALAXY, QSO,
        UNKNOWN), subclass, and rv (km/s) or z or both. Spectra of class UNKNOWN are ones seen not to be M.
    templates : Parquet table with name, subclass, log10_lambda0, dlog10_lambda and flux (a list, vacuum, at
        rest) of further M spectra
    positives, giant_fraction : how many M spectra to draw, and the share of giants; where one kind runs out,
        the other fills up
    negatives, unknown_negatives : how many spectra to draw of other classes, and of class UNKNOWN
    groups, subclusters, giant_clusters : of BIRCH (dwarfs), of K-means in each group, of K-means (giants)
    n_components, pca_spectra : principal components, and the number of M spectra that they are made of
    seed : same input and seed, same sample

    Returns
    -------
    Sample : positives and negatives in the order of the survey, then the templates
    Table of schema `CLUSTERS` : dwarfs first; `members` counts the usable spectra

    Raises
    ------
    InputError
        Bundles and manifests do not fit, a column is missing, an identifier is there twice, a template is no
        M star, or there is no positive or no negative spectrum.

    Source: Guo et al. 2019, sections 3.3 and 3.4, Table 1.
    """
    labels = _read_labels(bundles, manifests)
    extra = [] if templates is None else [_read_templates(templates)]
    _check_ids([labels.table, *(part.table for part in extra)])
    m = _cluster_m_stars(
        bundles, labels, groups, subclusters, giant_clusters, n_components, pca_spectra, seed
    )
    rngs = [np.random.default_rng([seed, stage]) for stage in range(3)]
    drawn = _draw_positives(m, positives, giant_fraction, rngs[0])
    negative = labels.ok & (labels.role == "negative")
    known = _draw(np.flatnonzero(negative & ~labels.unknown), negatives, "of other classes than M", rngs[1])
    unknown = _draw(np.flatnonzero(negative & labels.unknown), unknown_negatives, "of class UNKNOWN", rngs[2])
    rows = np.concatenate([m.rows[drawn], known, unknown])
    cluster = np.concatenate([m.cluster[drawn], np.full(len(known) + len(unknown), -1)])
    order = np.argsort(rows)
    parts = chain(_gather(bundles, labels, rows[order], cluster[order]), extra)
    sample = _assemble(parts, len(rows) + sum(len(part.flux) for part in extra))
    if not sample.is_m.any():
        raise InputError(
            f"no positive sample: of {(labels.role != 'negative').sum()} labelled M stars {len(m.rows)} are "
            f"usable, and {m.dropped.sum()} of {len(m.dropped)} clusters are defective; label M stars as "
            "class STAR and subclass M0, dM0, gM0 and so on, or add templates"
        )
    if sample.is_m.all():
        raise InputError(
            "no negative sample: no usable spectrum of the labelled survey is of anything but an M star, or "
            "none was asked for; add other classes, or spectra of class UNKNOWN that are not M"
        )
    return sample, _describe(m, drawn)


def known_m_stars(manifest: PathLike, bundle: PathLike) -> np.ndarray:
    """Rows (m,) of the usable M stars of a labelled bundle, as its catalogue calls them."""
    table = pq.ParquetFile(manifest).read(["class", "subclass"])
    status = read_identity(bundle)["status"].to_pylist()
    kinds = zip(table["class"].to_pylist(), table["subclass"].to_pylist(), status, strict=True)
    return np.flatnonzero([state == OK and role_of(*names) != "negative" for *names, state in kinds])


def write_sample(sample: Sample, bundle: PathLike, table: PathLike) -> None:
    """Write the spectra of a sample as a bundle and what is known of them as a Parquet table, in one order.

    In the bundle bad pixels keep their interpolated flux: ivar 0 and the mask tell them.
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
    """Read what `write_sample` wrote.

    Raises
    ------
    InputError : the two files are not of one sample.
    """
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


def _read_labels(bundles: Sequence[PathLike], manifests: Sequence[PathLike]) -> _Labels:
    if not bundles or len(bundles) != len(manifests):
        raise InputError(
            f"{len(bundles)} bundles and {len(manifests)} manifests of the labelled survey: expected one "
            "manifest a bundle, and at least one"
        )
    tables, rows = [], []
    for bundle, path in zip(bundles, manifests, strict=True):
        manifest, identity = pq.ParquetFile(path).read(), read_identity(bundle)
        velocities = [name for name in ("rv", "z") if name in manifest.column_names]
        wanted = ["spectrum_id", "class", "subclass"]
        missing = [name for name in wanted if name not in manifest.column_names]
        missing += [] if velocities else ["rv or z"]
        if missing:
            raise InputError(
                f"{path}: the labelled survey's manifest lacks {', '.join(missing)}; name the catalogue "
                "columns to carry along in the config"
            )
        if not manifest["spectrum_id"].cast(pa.string()).equals(identity["spectrum_id"]):
            raise InputError(f"{bundle} and {path} hold different spectra; delete both and run again")
        kinds = dict.fromkeys(wanted, pa.string()) | dict.fromkeys(velocities, pa.float64())
        columns = {name: manifest[name].cast(kind) for name, kind in kinds.items()}
        for name in {"rv", "z"} - set(velocities):
            columns[name] = pa.nulls(manifest.num_rows, pa.float64())
        tables.append(pa.table({name: columns[name] for name in [*wanted, "rv", "z"]}))
        rows.append(identity.select(["snr", "status"]))
    table, state = pa.concat_tables(tables), pa.concat_tables(rows)
    # A survey has a few hundred classes: look at each once.
    names = pa.table({"class": table["class"].fill_null(""), "subclass": table["subclass"].fill_null("")})
    pairs = pc.binary_join_element_wise(names["class"], names["subclass"], "\t").combine_chunks()
    pairs = (pairs.chunk(0) if isinstance(pairs, pa.ChunkedArray) else pairs).dictionary_encode()
    known = [pair.split("\t", 1) for pair in pairs.dictionary.to_pylist()]
    which = pairs.indices.to_numpy()
    role = np.array([role_of(*pair) for pair in known], dtype=object)[which]
    unknown = np.array([name.strip().upper() == "UNKNOWN" for name, _ in known], dtype=bool)[which]
    star = np.array([name.strip().upper() == "STAR" for name, _ in known], dtype=bool)[which]
    rv, z = (_floats(table[name]) for name in ("rv", "z"))
    redshift = np.where(star, C_KMS * z, np.nan)
    rv = np.where(np.abs(rv) <= MAX_VELOCITY, rv, redshift)
    rv[unknown | ~(np.abs(rv) <= MAX_VELOCITY)] = np.nan
    ok = pc.equal(state["status"], OK).to_numpy()
    lengths = [part.num_rows for part in tables]
    return _Labels(
        table, role, unknown, ok, _floats(state["snr"]), rv, np.concatenate([[0], np.cumsum(lengths)])
    )


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """A column of floating numbers as an array of its own, NaN in place of null."""
    return np.array(column.to_numpy(), copy=True)


def _check_ids(tables: Sequence[pa.Table]) -> None:
    counts = pc.value_counts(pa.chunked_array([chunk for t in tables for chunk in t["spectrum_id"].chunks]))
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist()
    if twice:
        raise InputError(
            f"{len(twice)} spectra are in the labelled survey or the templates more than once, the first is "
            f"{twice[0]}: leave one row of each in the catalogue"
        )


def _stream(
    bundles: Sequence[PathLike], labels: _Labels, wanted: np.ndarray
) -> Iterator[tuple[np.ndarray, Prepared, pa.Table]]:
    """The spectra at `wanted` (positions, ascending), batch by batch: positions, spectra, identity."""
    for bundle, (start, end) in zip(bundles, pairwise(labels.starts), strict=True):
        if np.searchsorted(wanted, start) == np.searchsorted(wanted, end):
            continue
        at = start
        for batch in read_bundle(bundle):
            low, high = np.searchsorted(wanted, [at, at + batch.n])
            if high > low:
                rows = wanted[low:high]
                part = batch if len(rows) == batch.n else batch.take(rows - at)
                yield rows, prepare(part, labels.rv[rows]), part.identity
            at += batch.n


@dataclass(frozen=True)
class _MStars:
    """The usable M spectra of the labelled survey, in `len(dropped)` clusters.

    Arrays are (m,): `rows` positions in the survey, `is_dwarf`, `snr`, `defective`, `cluster`; and `dropped`
    (cluster,): the defective clusters.
    """

    rows: np.ndarray
    is_dwarf: np.ndarray
    snr: np.ndarray
    defective: np.ndarray
    cluster: np.ndarray
    dropped: np.ndarray


def _cluster_m_stars(
    bundles: Sequence[PathLike],
    labels: _Labels,
    groups: int,
    subclusters: int,
    giant_clusters: int,
    n_components: int,
    pca_spectra: int,
    seed: int,
) -> _MStars:
    """Find the clusters of dwarfs, then of giants; parameters as of `build_sample`."""
    rng = np.random.default_rng([seed, 3])
    # One thread for each product and sum: how threads share one changes the last bit.
    with threadpool_limits(1):
        rows = np.flatnonzero((labels.role != "negative") & labels.ok)
        rows, features, defective = _m_features(bundles, labels, rows, n_components, pca_spectra, rng)
        is_dwarf = labels.role[rows] == "dwarf"
        cluster = np.empty(len(rows), np.int32)
        cluster[is_dwarf] = _cluster_dwarfs(features[is_dwarf], groups, subclusters, seed, rng)
        dwarf_clusters = int(cluster[is_dwarf].max(initial=-1)) + 1
        cluster[~is_dwarf] = dwarf_clusters + _kmeans(features[~is_dwarf], giant_clusters, seed)
    found = int(cluster.max(initial=-1)) + 1 - dwarf_clusters
    for kind, number, asked in (
        ("dwarfs", dwarf_clusters, groups * subclusters),
        ("giants", found, giant_clusters),
    ):
        if number < asked:
            log.warning("the labelled M %s make %d clusters, %d were asked for", kind, number, asked)
    dropped = _defective_clusters(bundles, labels, rows, cluster, defective)
    return _MStars(rows, is_dwarf, labels.snr[rows], defective, cluster, dropped)


def _m_features(
    bundles: Sequence[PathLike],
    labels: _Labels,
    rows: np.ndarray,
    n_components: int,
    pca_spectra: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The usable ones of `rows`: these (m,), their PCA features (m, component) float32, defective (m,)."""
    chosen = np.sort(rng.choice(rows, min(len(rows), pca_spectra), replace=False))
    flux = np.empty((len(chosen), LAMOST_LRS.pixels), np.float32)
    filled = 0
    for _, ready, _ in _stream(bundles, labels, chosen):
        good = ready.flux[ready.ok]
        flux[filled : filled + len(good)] = good
        filled += len(good)
    if not filled:
        return rows[:0], np.zeros((0, 1), np.float32), np.zeros(0, bool)
    with np.errstate(invalid="ignore", divide="ignore"):  # a single spectrum has no variance
        pca = PCA(min(n_components, filled), random_state=int(rng.integers(2**31))).fit(flux[:filled])
    del flux
    mean, axes = (np.asarray(array, np.float64) for array in (pca.mean_, pca.components_))
    usable = np.zeros(len(rows), bool)
    defective = np.zeros(len(rows), bool)
    features = np.empty((len(rows), len(axes)), np.float32)
    for found, ready, _ in _stream(bundles, labels, rows):
        at = np.searchsorted(rows, found)
        usable[at], defective[at], features[at] = ready.ok, ready.defective, (ready.flux - mean) @ axes.T
    return rows[usable], features[usable], defective[usable]


def _cluster_dwarfs(
    features: np.ndarray, groups: int, subclusters: int, seed: int, rng: np.random.Generator
) -> np.ndarray:
    """Cluster (n,) of each spectrum, from 0: BIRCH into groups, K-means within each."""
    label = np.zeros(len(features), np.int32)
    if not len(features):
        return label
    group = _birch(features, groups, rng)
    number = 0
    for g in np.unique(group):
        members = np.flatnonzero(group == g)
        label[members] = number + _kmeans(features[members], subclusters, seed)
        number = int(label[members].max()) + 1
    return label


def _birch(features: np.ndarray, groups: int, rng: np.random.Generator) -> np.ndarray:
    """Group (n,) of each spectrum by BIRCH with a threshold that suits the sample."""
    some = features[np.sort(rng.choice(len(features), min(len(features), THRESHOLD_SPECTRA), replace=False))]
    enough = min(LEAVES_PER_GROUP * groups, len(some) // 2)
    threshold = max(float(np.sqrt(features.var(axis=0).sum())), SAME)
    for _ in range(20):  # a thousandth of the whole spread: what is not parted by then is the same spectrum
        if threshold == SAME or len(_leaves(some, threshold).subcluster_centers_) >= enough:
            break
        threshold = max(threshold / np.sqrt(2.0), SAME)
    tree = _leaves(features, threshold)
    while len(tree.subcluster_centers_) > MAX_LEAVES:
        threshold *= np.sqrt(2.0)
        tree = _leaves(features, threshold)
    if len(tree.subcluster_centers_) < 2:
        return np.zeros(len(features), np.int32)
    tree.set_params(n_clusters=min(groups, len(tree.subcluster_centers_)))
    tree.partial_fit()  # without data: clusters the leaves
    return np.asarray(tree.predict(features))


def _leaves(features: np.ndarray, threshold: float) -> Any:
    return Birch(threshold=threshold, n_clusters=None, compute_labels=False).fit(features)


def _kmeans(features: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Cluster (n,) of each spectrum, from 0 without gaps; fewer clusters where spectra are few or equal."""
    if not len(features):
        return np.zeros(0, np.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal spectra make fewer clusters
        found = KMeans(min(clusters, len(features)), n_init=1, random_state=seed).fit(features)
    # Where clusters outnumber different spectra, K-means parts equal ones by their last bits.
    _, same = connected_components(cdist(found.cluster_centers_, found.cluster_centers_) <= SAME)
    return np.unique(same[found.labels_], return_inverse=True)[1].astype(np.int32)


def _defective_clusters(
    bundles: Sequence[PathLike], labels: _Labels, rows: np.ndarray, cluster: np.ndarray, defective: np.ndarray
) -> np.ndarray:
    """bool (cluster,): those whose mean spectrum is defective, or most of whose members (m,) are."""
    members = np.bincount(cluster)
    total = np.zeros((len(members), LAMOST_LRS.pixels))
    zero = np.zeros(len(members))
    good = np.zeros(total.shape, np.int32)
    for found, ready, _ in _stream(bundles, labels, rows):
        label = cluster[np.searchsorted(rows, found)]
        order = np.argsort(label, kind="stable")
        here, first = np.unique(label[order], return_index=True)
        total[here] += np.add.reduceat(ready.flux[order], first, axis=0, dtype=np.float64)
        good[here] += np.add.reduceat(ready.ivar[order] > 0, first, axis=0, dtype=np.int32)
        zero += np.bincount(label, ready.zero, len(members))
    # Steps are measured against the flux, so its zero has to be where it was before scaling.
    mean = ((total - zero[:, None]) / members[:, None]).astype(np.float32)
    # A pixel that most members lack is missing.
    bad_mean = is_defective(mean, (2 * good > members[:, None]).astype(np.float32))
    return np.asarray(bad_mean | (2 * np.bincount(cluster, defective, len(members)) > members))


def _draw_positives(m: _MStars, wanted: int, giant_fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Positions (of `m.rows`) to draw, ascending: `wanted` of them if there are as many good ones."""
    good = ~m.defective & ~m.dropped[m.cluster]
    dwarfs, giants = np.flatnonzero(good & m.is_dwarf), np.flatnonzero(good & ~m.is_dwarf)
    if good.sum() < wanted:
        log.warning("the labelled survey has %d good M spectra, %d were asked for", good.sum(), wanted)
    n_giants = min(round(giant_fraction * wanted), len(giants))
    n_dwarfs = min(wanted - n_giants, len(dwarfs))
    n_giants = min(wanted - n_dwarfs, len(giants))
    drawn = [np.zeros(0, np.intp)]
    for at, number in ((dwarfs, n_dwarfs), (giants, n_giants)):
        at = at[np.lexsort((m.snr[at], m.cluster[at]))]
        _, first, size = np.unique(m.cluster[at], return_index=True, return_counts=True)
        share = _allocate(size, number, rng)
        start = rng.random(len(size))
        drawn += [
            at[f + ((np.arange(k) + u) * n / k).astype(np.intp)]
            for f, n, k, u in zip(first, size, share, start, strict=True)
            if k
        ]
    return np.sort(np.concatenate(drawn))


def _allocate(size: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """How many to draw of clusters with `size` (k,) members: `wanted` in all, as equal as can be."""
    low, high = 0, int(size.max(initial=0))
    while low < high:  # the highest number that every cluster, or all of a smaller one, can give
        middle = (low + high + 1) // 2
        if np.minimum(size, middle).sum() <= wanted:
            low = middle
        else:
            high = middle - 1
    share = np.minimum(size, low)
    rest = wanted - int(share.sum())
    share[rng.choice(np.flatnonzero(size > low), rest, replace=False)] += 1
    return np.asarray(share)


def _draw(candidates: np.ndarray, wanted: int, what: str, rng: np.random.Generator) -> np.ndarray:
    if len(candidates) < wanted:
        log.warning("the labelled survey has %d spectra %s, %d were asked for", len(candidates), what, wanted)
    return np.asarray(rng.choice(candidates, min(wanted, len(candidates)), replace=False), np.intp)


def _gather(
    bundles: Sequence[PathLike], labels: _Labels, rows: np.ndarray, cluster: np.ndarray
) -> Iterator[Sample]:
    """The usable ones of the spectra at `rows`, which are in `cluster` (m,), batch by batch."""
    lost = 0
    for found, ready, identity in _stream(bundles, labels, rows):
        at = np.searchsorted(rows, found)
        classes = labels.table.select(["class", "subclass"]).take(pa.array(found))
        lost += int((~ready.ok).sum())
        yield _part(ready, identity, classes, labels.role[found], labels.rv[found], cluster[at])
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


def _describe(m: _MStars, drawn: np.ndarray) -> pa.Table:
    """The table of clusters."""
    number = len(m.dropped)
    known = np.isfinite(m.snr)
    counted = np.bincount(m.cluster[known], minlength=number)
    mean = np.bincount(m.cluster[known], m.snr[known], number) / np.maximum(counted, 1)
    columns = [
        pa.array(np.arange(number), pa.int32()),
        pa.array(np.where(np.bincount(m.cluster, m.is_dwarf, number) > 0, "dwarf", "giant")),
        pa.array(np.bincount(m.cluster, minlength=number), pa.int32()),
        pa.array(np.bincount(m.cluster[drawn], minlength=number), pa.int32()),
        pa.array(m.dropped),
        pa.array(mean.astype(np.float32), mask=counted == 0),
    ]
    return pa.table(columns, schema=CLUSTERS)
