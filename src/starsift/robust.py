"""The scatter of numbers with outliers."""

import numpy as np

MAD_TO_SIGMA = 1.4826  # standard deviation of a Gaussian over its median absolute deviation


def robust_scatter(values: np.ndarray, center: float | None = None) -> float:
    """Standard deviation of values (n,), from their median distance to a center (None: their median)."""
    middle = np.median(values) if center is None else center
    return float(MAD_TO_SIGMA * np.median(np.abs(values - middle)))
