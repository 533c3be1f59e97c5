"""What a network makes of the windows of a bundle."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from starsift.emission.active import PASSES, PROBABILITIES, STRATEGIES, bald, choose
from starsift.emission.cnn import dropout_passes, in_precision, penultimate, predict
from starsift.emission.dataset import read_usable
from starsift.learning.backend import load_network

PathLike = str | os.PathLike[str]
FEATURES_KEPT = 1000  # of each bundle, for strategies that want them
ROWS = 20_000  # windows at a time: 290 MB of what the convolutions put out


def predict_windows(path: PathLike, model: PathLike, *, strategy: str, precision: str, seed: int) -> pa.Table:
    """Predictions for the spectra of a file of `window_bundle` that have a window.

    Parameters
    ----------
    model : the network's file
    strategy : one of `starsift.emission.active.STRATEGIES`; by it spectra are scored
    precision : float32 or bfloat16
    seed : of dropout

    Returns
    -------
    Table: spectrum_id, bundle, row, the probabilities, score, and for a diverse strategy features (null but
    for the highest scores).
    """
    table, x = read_usable(path)
    network = load_network(model)
    probability = predict(in_precision(network, precision), x)
    chosen = STRATEGIES[strategy]
    if chosen.dropout:
        score = np.concatenate(
            [
                bald(dropout_passes(network, x[at : at + ROWS], PASSES, seed=seed))
                for at in range(0, len(x), ROWS)
            ]
            or [np.zeros(0)]
        )
    else:
        score = chosen.score(probability)
    table = table.add_column(1, "bundle", pa.array([Path(path).stem] * len(x), pa.string()))
    for name, values in zip(PROBABILITIES, probability.T, strict=True):
        table = table.append_column(name, pa.array(values, pa.float32()))
    table = table.append_column("score", pa.array(score, pa.float32()))
    if chosen.diverse:
        rows = choose(score, FEATURES_KEPT)
        features: list[np.ndarray | None] = [None] * len(x)
        for row, values in zip(rows, penultimate(network, x[rows]), strict=True):
            features[row] = values
        table = table.append_column("features", pa.array(features, pa.list_(pa.float32())))
    return table
