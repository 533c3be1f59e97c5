"""Calendar dates of modified Julian days."""

import numpy as np
import numpy.typing as npt

MJD_EPOCH = np.datetime64("1858-11-17")


def obsdate(mjd: npt.ArrayLike) -> np.ndarray:
    """Dates (n,) YYYY-MM-DD of modified Julian days (n,) int.

    LAMOST's obsdate is the date of its `mjd`, which is that of universal time and one less than `lmjd`, the
    local day on which the night ends.
    """
    return (MJD_EPOCH + np.asarray(mjd).astype("timedelta64[D]")).astype(str)
