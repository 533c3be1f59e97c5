"""Classifiers that see spectra only, and are no networks (Wei et al. 2023, section 7.4.2 and Table 8).

Their settings are chosen by their loss on the validation part, as the best epoch of a network is.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from starsift.bhb.dataset import Dataset
from starsift.bhb.training import TrainingError, judged

BASELINES = ("svm", "trees")
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)  # of the support vector machine
COMPONENTS = (20, 60)  # principal components that it sees
RATES = (0.05, 0.1)  # learning rates of the trees
ROUNDS = 200  # of boosting
LEAVES = 15


def train_baseline(name: str, dataset: Dataset, *, seed: int) -> tuple[dict[str, Any], pa.Table]:
    """Train a support vector machine or boosted trees on spectra.

    Parameters
    ----------
    name : `svm` (radial basis functions, of principal components) or `trees` (gradient boosting)
    seed : of the trees, and of the folds by which decision values become probabilities

    Returns
    -------
    told, predictions : as of `starsift.bhb.training.train`; told names the settings chosen

    Raises
    ------
    TrainingError : there is no such model.

    Source: Smith et al. 2010 and Vickers et al. 2021, as Wei et al. 2023 use them.
    """
    if name not in BASELINES:
        raise TrainingError(f"model {name!r} is none of {', '.join(BASELINES)}")
    learn, judge = dataset.part("train"), dataset.part("validation")
    best: tuple[float, dict[str, float], Any] | None = None
    for chosen, model in _candidates(name, seed):
        model.fit(learn.spectrum, learn.label)
        loss = float(log_loss(judge.label, model.predict_proba(judge.spectrum)[:, 1], labels=[0, 1]))
        if best is None or loss < best[0]:
            best = loss, chosen, model
    assert best is not None
    loss, chosen, model = best
    told = {"model": name, "seed": seed, "settings": chosen, "validation_loss": [loss], "epochs": None}
    return told, judged(dataset, lambda part: model.predict_proba(part.spectrum)[:, 1].astype(np.float32))


def _candidates(name: str, seed: int) -> list[tuple[dict[str, float], Any]]:
    if name == "trees":
        return [
            (
                {"learning_rate": rate},
                HistGradientBoostingClassifier(
                    learning_rate=rate,
                    max_iter=ROUNDS,
                    max_leaf_nodes=LEAVES,
                    early_stopping=False,
                    random_state=seed,
                ),
            )
            for rate in RATES
        ]
    return [
        (
            {"C": penalty, "components": number},
            make_pipeline(
                PCA(number, random_state=seed),
                StandardScaler(),
                SVC(C=penalty, probability=True, random_state=seed),
            ),
        )
        for number in COMPONENTS
        for penalty in PENALTIES
    ]
