"""Predictions for the windows of a bundle."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from starsift.learning.backend import load_network, namespace
from starsift.searches.emission.active import PASSES, STRATEGIES, bald, select_rows
from starsift.searches.emission.classes import PROBABILITIES
from starsift.searches.emission.dataset import read_usable
from starsift.searches.emission.inference import NumpyNetwork
from starsift.searches.emission.network import in_precision, predict

PathLike = str | os.PathLike[str]
FEATURES_KEPT = 1000  # of each bundle, for diverse strategies
ROWS = 20_000  # windows at a time: the convolutions return 290 MB


def predict_bundle(
    path: PathLike,
    model: PathLike,
    *,
    strategy: str,
    precision: str,
    seed: int = 0,
    kind: Literal["numpy", "keras"] | None = None,
) -> pa.Table:
    """Predictions for the spectra of a bundle that have a window.

    Parameters
    ----------
    path : of `starsift.searches.emission.dataset.window_bundle`, named after the bundle
    model : file of the network
    strategy : one of `starsift.searches.emission.active.STRATEGIES`, which scores the spectra
    precision : float32; or bfloat16, which Keras computes
    seed : of dropout
    kind : see `starsift.learning.backend.namespace`

    Returns a Table: spectrum_id, bundle, row, the probabilities, score, and for a diverse strategy features
    (null but for the highest scores).
    """
    table, x = read_usable(path)
    numpy_network, chosen = NumpyNetwork.load(model), STRATEGIES[strategy]
    use_numpy = precision == "float32" and namespace(kind) is np
    keras_network = None if use_numpy else in_precision(load_network(model), precision)
    probability = np.zeros((len(x), len(PROBABILITIES)), np.float32)
    score = np.zeros(len(x))
    for start in range(0, len(x), ROWS):
        part = slice(start, start + ROWS)
        if use_numpy or chosen.dropout:
            convolved = numpy_network.convolve(x[part])
        if use_numpy:
            probability[part] = numpy_network.classify(numpy_network.features(convolved))
        else:
            probability[part] = predict(keras_network, x[part])
        if chosen.dropout:
            score[part] = bald(numpy_network.predict_passes(convolved, PASSES, seed=seed))
        else:
            score[part] = chosen.score(probability[part])
    table = table.add_column(1, "bundle", pa.array([Path(path).stem] * len(x), pa.string()))
    for name, values in zip(PROBABILITIES, probability.T, strict=True):
        table = table.append_column(name, pa.array(values, pa.float32()))
    table = table.append_column("score", pa.array(score, pa.float32()))
    if chosen.diverse:
        rows = select_rows(score, FEATURES_KEPT)
        features: list[np.ndarray | None] = [None] * len(x)
        best = numpy_network.features(numpy_network.convolve(x[rows]))
        for row, values in zip(rows, best, strict=True):
            features[row] = values
        table = table.append_column("features", pa.array(features, pa.list_(pa.float32())))
    return table
