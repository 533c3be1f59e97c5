"""Predictions of the classifiers and their vote, for the CCFs of one bundle."""

import os
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from starsift.errors import TrainingError
from starsift.searches.binaries.curves import read_curves
from starsift.searches.binaries.peaks import read_components
from starsift.searches.binaries.training import CLASSIFIERS, Classifier
from starsift.searches.binaries.voting import CALLS, COLUMNS, VOTES, vote
from starsift.spectra.batches import IDENTITY, IDENTITY_NAMES

PathLike = str | os.PathLike[str]


def predict_bundle(
    curves: PathLike,
    components: PathLike,
    models: Iterable[PathLike],
    *,
    sb2_threshold: float,
    sb3_threshold: float,
) -> pa.Table:
    """Probabilities and multiplicity of the spectra of a bundle.

    Parameters
    ----------
    curves, components : files of the bundle, from the ccf and peaks stages
    models : files of all networks of `CLASSIFIERS`

    Returns a Table, a row a spectrum: identity and the columns of `classify`. Raises TrainingError: a file is
    no network of `CLASSIFIERS`, or a network is missing.
    """
    classifiers = {one.name: one for one in map(Classifier.load, models)}
    missing = [name for name in CLASSIFIERS if name not in classifiers]
    if missing:
        raise TrainingError(f"models: {', '.join(missing)} missing; run the training again")
    table, found = read_components(components)
    ccf = np.concatenate([part.ccf for part in read_curves(curves)])
    thresholds = {"sb2_threshold": sb2_threshold, "sb3_threshold": sb3_threshold}
    classes = classify(ccf, found.count, classifiers, **thresholds)
    for name in reversed(IDENTITY_NAMES):
        classes = classes.add_column(0, IDENTITY.field(name), table[name])
    return classes


def classify(
    ccf: np.ndarray,
    n_components: np.ndarray,
    classifiers: Mapping[str, Classifier],
    *,
    sb2_threshold: float,
    sb3_threshold: float,
) -> pa.Table:
    """Classify the candidates among many CCFs, and vote.

    Parameters
    ----------
    ccf : (n, velocity) float32; a row that is not finite is no candidate
    n_components : (n,) int, components found in each CCF; C1, C2 and C3 classify those with two, C1, C2 and
        C4 those with three
    classifiers : the networks of `starsift.searches.binaries.training.CLASSIFIERS`
    sb2_threshold, sb3_threshold : see `vote`

    Returns a Table (n rows): p_c1_l0 ... p_c4_l3 float32, null for spectra that a classifier does not
    classify; multiplicity string, null where the vote made it neither SB2 nor SB3.
    """
    n_components = np.asarray(n_components)
    probability = {
        name: np.full((len(ccf), len(labels)), np.nan, np.float32) for name, labels in CALLS.items()
    }
    candidate = np.isin(n_components, [components for _, components, _, _ in VOTES])
    candidate[candidate] = np.isfinite(ccf[candidate]).all(axis=1)
    for name in CALLS:
        counts = [components for _, components, _, names in VOTES if name in names]
        rows = np.flatnonzero(candidate & np.isin(n_components, counts))
        if len(rows):
            probability[name][rows] = class_probabilities(classifiers, name, ccf[rows])
    kind = vote(probability, sb2_threshold=sb2_threshold, sb3_threshold=sb3_threshold)
    columns = {
        column: pa.array(probability[name][:, i], pa.float32(), from_pandas=True)
        for name, names in COLUMNS.items()
        for i, column in enumerate(names)
    }
    columns["multiplicity"] = pa.array(kind, pa.string(), mask=kind == "")
    return pa.table(columns)


def class_probabilities(classifiers: Mapping[str, Classifier], name: str, ccf: np.ndarray) -> np.ndarray:
    """Probabilities (n, class) float32 of the labels `CALLS[name]`, for one of the paper's C1 to C4.

    C2's probability of L2 (L3) is that of LN times that of L2 (L3) among the two.
    """
    if name != "C2":
        return classifiers[name].predict(ccf)
    first, second = classifiers["C2a"].predict(ccf), classifiers["C2b"].predict(ccf)
    return np.concatenate([first[:, :2], first[:, 2:] * second], axis=1)
