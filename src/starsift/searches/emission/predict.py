"""What a network makes of the windows of a bundle."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from starsift.learning.backend import load_network, namespace
from starsift.searches.emission.active import PASSES, STRATEGIES, bald, select_rows
from starsift.searches.emission.classes import PROBABILITIES
from starsift.searches.emission.dataset import read_usable
from starsift.searches.emission.inference import Forward
from starsift.searches.emission.network import in_precision, predict

PathLike = str | os.PathLike[str]
FEATURES_KEPT = 1000  # of each bundle, for strategies that want them
ROWS = 20_000  # windows at a time: 290 MB of what the convolutions put out


def predict_windows(
    path: PathLike,
    model: PathLike,
    *,
    strategy: str,
    precision: str = "float32",
    seed: int = 0,
    kind: Literal["numpy", "keras"] | None = None,
) -> pa.Table:
    """Predictions for the spectra of a file of `emission.dataset.window_bundle` that have a window.

    Parameters
    ----------
    model : the network's file
    strategy : one of `starsift.searches.emission.active.STRATEGIES`; by it spectra are scored
    precision : float32; bfloat16, which Keras computes
    seed : of dropout
    kind : what computes: see `starsift.learning.backend.namespace`

    Returns
    -------
    Table: spectrum_id, bundle, row, the probabilities, score, and for a diverse strategy features (null but
    for the highest scores).
    """
    table, x = read_usable(path)
    forward, chosen = Forward.load(model), STRATEGIES[strategy]
    own = precision == "float32" and namespace(kind) is np
    network = None if own else in_precision(load_network(model), precision)
    probability = np.zeros((len(x), len(PROBABILITIES)), np.float32)
    score = np.zeros(len(x))
    for start in range(0, len(x), ROWS):
        part = slice(start, start + ROWS)
        if own:
            flat = forward.flat(x[part])
            probability[part] = forward.softmax(forward.connected(flat))
        else:
            probability[part] = predict(network, x[part])
        if chosen.dropout:
            flat = flat if own else forward.flat(x[part])
            score[part] = bald(forward.dropout(flat, PASSES, seed=seed))
        else:
            score[part] = chosen.score(probability[part])
    table = table.add_column(1, "bundle", pa.array([Path(path).stem] * len(x), pa.string()))
    for name, values in zip(PROBABILITIES, probability.T, strict=True):
        table = table.append_column(name, pa.array(values, pa.float32()))
    table = table.append_column("score", pa.array(score, pa.float32()))
    if chosen.diverse:
        rows = select_rows(score, FEATURES_KEPT)
        features: list[np.ndarray | None] = [None] * len(x)
        for row, values in zip(rows, forward.connected(forward.flat(x[rows])), strict=True):
            features[row] = values
        table = table.append_column("features", pa.array(features, pa.list_(pa.float32())))
    return table
