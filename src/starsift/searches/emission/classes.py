"""Input and output of the network: the size of a window, the classes, the columns of their probabilities."""

import numpy as np
import pyarrow as pa

PIXELS = 140  # of a window
CLASSES = ("single peak", "double peak", "uninteresting")
TARGETS = 2  # the first two classes are emission
EMISSION_CLASSES = CLASSES[:TARGETS]
PROBABILITIES = ("p_single", "p_double", "p_uninteresting")


def probabilities(table: pa.Table) -> np.ndarray:
    """Probabilities (n, 3) of a table of predictions."""
    return np.column_stack([table[name].to_numpy() for name in PROBABILITIES])


def predicted_class(probability: np.ndarray) -> np.ndarray:
    """Class numbers (n,) of probabilities (n, 3)."""
    return np.asarray(np.argmax(probability, axis=1))


def count_classes(probability: np.ndarray) -> dict[str, int]:
    """Number of spectra that are predicted to be of each class, from probabilities (n, 3)."""
    counts = np.bincount(predicted_class(probability), minlength=len(CLASSES))
    return dict(zip(CLASSES, counts.tolist(), strict=True))
