"""Clusters of M spectra, and the positive sample drawn from them (Guo et al. 2019, sections 3.3 and 3.4).

Spectra at rest are reduced by PCA; BIRCH parts the dwarfs into groups and K-means each group into clusters,
K-means alone the giants. Clusters of defective spectra are dropped, and the others give about as many spectra
each, so that rare kinds are not lost among common ones. What the paper leaves open:

- **BIRCH's threshold** is found, not set: the widest of a falling series that gives 20 leaves a group, and
  wider again where all spectra make more than `MAX_LEAVES`, as BIRCH does when memory is short.
- **Equal spectra** are in one cluster: distances up to `SAME` are those of arithmetic, not of stars.
- **Defective** is a cluster whose mean spectrum has a flux gap (module `preprocess`), or most of whose
  members have. Single defective spectra in other clusters are not drawn.
- **Draws.** Members are sorted by S/N and taken at equal distances from a random start: each is as likely as
  any other, and the S/N of a cluster keep their spread.

The survey is read batch by batch, three times: memory holds only the PCA features.
"""

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from sklearn.cluster import Birch, KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from starsift.searches.mstars.labelled import LabelledSurvey
from starsift.searches.mstars.preprocess import is_defective
from starsift.spectra.resample import LAMOST_LRS

PCA_SPECTRA = 10_000  # of which the principal components are made
MAX_LEAVES = 5000  # of BIRCH's tree: the last step needs the distances between all of them
LEAVES_PER_GROUP = 20  # fewer leave groups of one odd spectrum
THRESHOLD_SPECTRA = 5000  # of which BIRCH's threshold is found
# Spectra scaled to [0, 1] that are no further apart are the same. Arithmetic, whose last bits differ with the
# place in an array and with the processor, errs by a hundredth of it; noise parts spectra by hundreds of it.
SAME = 1e-4

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

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clusters:
    """The m usable M spectra of a labelled survey, in `len(dropped)` clusters, those of dwarfs first.

    Arrays are (m,): `rows` in the survey, `is_dwarf`, `snr`, `defective`, `cluster`; and `dropped`
    (cluster,): the defective clusters.
    """

    rows: np.ndarray
    is_dwarf: np.ndarray
    snr: np.ndarray
    defective: np.ndarray
    cluster: np.ndarray
    dropped: np.ndarray

    def describe(self, drawn: np.ndarray) -> pa.Table:
        """Table of schema `CLUSTERS`; `drawn` are positions of spectra, as from `draw_positives`."""
        number = len(self.dropped)
        known = np.isfinite(self.snr)
        counted = np.bincount(self.cluster[known], minlength=number)
        mean = np.bincount(self.cluster[known], self.snr[known], number) / np.maximum(counted, 1)
        columns = [
            pa.array(np.arange(number), pa.int32()),
            pa.array(np.where(np.bincount(self.cluster, self.is_dwarf, number) > 0, "dwarf", "giant")),
            pa.array(np.bincount(self.cluster, minlength=number), pa.int32()),
            pa.array(np.bincount(self.cluster[drawn], minlength=number), pa.int32()),
            pa.array(self.dropped),
            pa.array(mean.astype(np.float32), mask=counted == 0),
        ]
        return pa.table(columns, schema=CLUSTERS)


def cluster_m_stars(
    survey: LabelledSurvey,
    *,
    groups: int,
    subclusters: int,
    giant_clusters: int,
    n_components: int,
    seed: int,
) -> Clusters:
    """Cluster the dwarfs, then the giants of a labelled survey.

    Parameters
    ----------
    groups, subclusters, giant_clusters : of BIRCH (dwarfs), of K-means in each group, of K-means (giants)
    n_components : principal components
    seed : same input and seed, same clusters, whatever the number of threads
    """
    rng = np.random.default_rng([seed, 3])
    # One thread for each product and sum: how threads share one changes the last bit.
    with threadpool_limits(1):
        rows = np.flatnonzero((survey.role != "negative") & survey.ok)
        rows, features, defective = _pca_features(survey, rows, n_components, rng)
        is_dwarf = survey.role[rows] == "dwarf"
        cluster = np.empty(len(rows), np.int32)
        cluster[is_dwarf] = _cluster_dwarfs(features[is_dwarf], groups, subclusters, seed, rng)
        dwarf_clusters = int(cluster[is_dwarf].max(initial=-1)) + 1
        cluster[~is_dwarf] = dwarf_clusters + _kmeans(features[~is_dwarf], giant_clusters, seed)
    found = int(cluster.max(initial=-1)) + 1 - dwarf_clusters
    for kind, number, requested in (
        ("dwarfs", dwarf_clusters, groups * subclusters),
        ("giants", found, giant_clusters),
    ):
        if number < requested:
            log.warning("the labelled M %s make %d clusters, %d were requested", kind, number, requested)
    dropped = _defective_clusters(survey, rows, cluster, defective)
    return Clusters(rows, is_dwarf, survey.snr[rows], defective, cluster, dropped)


def _pca_features(
    survey: LabelledSurvey, rows: np.ndarray, n_components: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The usable ones of `rows`: these (m,), their PCA features (m, component) float32, defective (m,)."""
    chosen = np.sort(rng.choice(rows, min(len(rows), PCA_SPECTRA), replace=False))
    flux = np.empty((len(chosen), LAMOST_LRS.pixels), np.float32)
    filled = 0
    for _, ready, _ in survey.spectra(chosen):
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
    for found, ready, _ in survey.spectra(rows):
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
    for _ in range(
        20
    ):  # down to a thousandth of the spread: spectra that are not separated then are the same
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
    survey: LabelledSurvey, rows: np.ndarray, cluster: np.ndarray, defective: np.ndarray
) -> np.ndarray:
    """bool (cluster,): those whose mean spectrum is defective, or most of whose members (m,) are."""
    members = np.bincount(cluster)
    total = np.zeros((len(members), LAMOST_LRS.pixels))
    zero = np.zeros(len(members))
    good = np.zeros(total.shape, np.int32)
    for found, ready, _ in survey.spectra(rows):
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


def draw_positives(
    clusters: Clusters, size: int, giant_fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Positions in `clusters.rows` of a positive sample, ascending; fewer than `size` where spectra run out.

    Where giants or dwarfs run out, the others fill up.
    """
    m = clusters
    good = ~m.defective & ~m.dropped[m.cluster]
    dwarfs, giants = np.flatnonzero(good & m.is_dwarf), np.flatnonzero(good & ~m.is_dwarf)
    if good.sum() < size:
        log.warning("the labelled survey has %d good M spectra, %d were requested", good.sum(), size)
    n_giants = min(round(giant_fraction * size), len(giants))
    n_dwarfs = min(size - n_giants, len(dwarfs))
    n_giants = min(size - n_dwarfs, len(giants))
    drawn = [np.zeros(0, np.intp)]
    for at, number in ((dwarfs, n_dwarfs), (giants, n_giants)):
        at = at[np.lexsort((m.snr[at], m.cluster[at]))]
        _, first, members = np.unique(m.cluster[at], return_index=True, return_counts=True)
        share = _allocate(members, number, rng)
        start = rng.random(len(members))
        drawn += [
            at[f + ((np.arange(k) + u) * n / k).astype(np.intp)]
            for f, n, k, u in zip(first, members, share, start, strict=True)
            if k
        ]
    return np.sort(np.concatenate(drawn))


def _allocate(size: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """How many to draw of clusters with `size` (k,) members: `total` in all, as equal as can be."""
    low, high = 0, int(size.max(initial=0))
    while low < high:  # the highest number that every cluster, or all of a smaller one, can give
        middle = (low + high + 1) // 2
        if np.minimum(size, middle).sum() <= total:
            low = middle
        else:
            high = middle - 1
    share = np.minimum(size, low)
    rest = total - int(share.sum())
    share[rng.choice(np.flatnonzero(size > low), rest, replace=False)] += 1
    return np.asarray(share)
