"""Classifiers of spectra that are not networks (Wei et al. 2023, section 7.4.2 and Table 8).

They have the same inputs as the networks. Their settings are those of the lowest loss on the validation set,
as is the best epoch of a network.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.svm import SVC

from starsift.errors import TrainingError
from starsift.searches.bhb.dataset import Dataset, held_out_predictions
from starsift.searches.bhb.models import BASELINES

PENALTIES = (1.0, 10.0, 100.0)  # of the support vector machine
LEAVES = (7, 15)  # of each tree
RATE, ROUNDS = 0.1, 150  # learning rate and number of the trees

Probability = Callable[[np.ndarray], np.ndarray]


def train_baseline(name: str, dataset: Dataset, *, seed: int) -> tuple[dict[str, Any], pa.Table]:
    """Train a support vector machine or boosted trees on spectra.

    Parameters
    ----------
    name : `svm` (support vector machine of radial basis functions) or `trees` (gradient boosting)
    seed : of the trees

    Returns
    -------
    record, predictions : as of `starsift.searches.bhb.training.train`; the record has the chosen settings

    Raises TrainingError: there is no such model.

    Source: Smith et al. 2010 and Vickers et al. 2021, as Wei et al. 2023 use them.
    """
    if name not in BASELINES:
        raise TrainingError(f"model {name!r} is not one of {', '.join(BASELINES)}")
    training, validation = dataset.part("train"), dataset.part("validation")
    loss, chosen, probability = np.inf, {}, None
    for settings, found in _fit_models(name, training, validation, seed):
        one = float(log_loss(validation.label, found(validation.spectrum), labels=[0, 1]))
        if one < loss:
            loss, chosen, probability = one, settings, found
    assert probability is not None
    record = {"model": name, "seed": seed, "settings": chosen, "validation_loss": [loss], "epochs": None}
    return record, held_out_predictions(dataset, lambda part: probability(part.spectrum).astype(np.float32))


def _fit_models(
    name: str, training: Dataset, validation: Dataset, seed: int
) -> Iterator[tuple[dict[str, float], Probability]]:
    """Settings and model of each fit: probabilities (n,) of BHB from spectra (n, 3522)."""
    if name == "svm":
        for penalty in PENALTIES:
            machine = SVC(C=penalty).fit(training.spectrum, training.label)
            # Probabilities from distances to the boundary, fitted on the validation set.
            scale = LogisticRegression().fit(
                machine.decision_function(validation.spectrum)[:, None], validation.label
            )
            yield {"C": penalty}, partial(_scaled, scale, machine)
        return
    for leaves in LEAVES:
        trees = HistGradientBoostingClassifier(
            learning_rate=RATE,
            max_iter=ROUNDS,
            max_leaf_nodes=leaves,
            early_stopping=False,
            random_state=seed,
        ).fit(training.spectrum, training.label)
        yield {"leaves": leaves}, partial(_positive, trees)


def _positive(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict_proba(x)[:, 1])


def _scaled(scale: Any, machine: Any, x: np.ndarray) -> np.ndarray:
    return _positive(scale, machine.decision_function(x)[:, None])
