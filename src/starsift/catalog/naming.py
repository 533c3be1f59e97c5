"""Names and dates as the catalogues of surveys write them."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from starsift.sky.dates import obsdate
from starsift.survey.names import SDSS_NAME

# So much of the last digit is added before cutting, so that binary fractions do not turn 10.00 into 9.99.
_TRIFLE = 1e-6


def designation(ra: npt.ArrayLike, dec: npt.ArrayLike) -> pa.Array:
    """Names Jhhmmss.ss+ddmmss.s (n,) of coordinates (n,) in degrees, cut, not rounded, by the IAU's rule.

    Null where the coordinates are not finite.
    """
    ra, dec = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
    good = np.isfinite(ra) & np.isfinite(dec)
    hours = _sexagesimal(np.where(good, ra, 0) % 360 / 15, 100)
    degrees = _sexagesimal(np.abs(np.where(good, dec, 0)), 10)
    sign = np.where(dec < 0, "-", "+")
    text = np.strings.add(np.strings.add("J", hours), np.strings.add(sign, degrees))
    return pa.array(text.astype(object), pa.string(), mask=~good)


def _sexagesimal(values: np.ndarray, parts: int) -> np.ndarray:
    """Texts hhmmss.ss of hours or ddmmss.s of degrees (n,), none negative; `parts` of a second, 10 or 100."""
    number = (values * 3600 * parts + _TRIFLE).astype(np.int64)
    seconds, fraction = np.divmod(number, parts)
    minutes, seconds = np.divmod(seconds, 60)
    wholes, minutes = np.divmod(minutes, 60)
    text = _digits(wholes, 2)
    for more in (_digits(minutes, 2), _digits(seconds, 2), ".", _digits(fraction, len(str(parts)) - 1)):
        text = np.strings.add(text, more)
    return text


def _digits(values: np.ndarray, width: int) -> np.ndarray:
    return np.array([f"{number:0{width}d}" for number in range(10**width)])[values]


def dates(listed: pa.Table) -> dict[str, pa.Array]:
    """Modified Julian day `mjd` of each spectrum of a manifest, and `obsdate`, its date YYYY-MM-DD.

    Without a column `mjd`, it follows from `lmjd`: in LAMOST the day before, in SDSS the same day.
    """
    same = pc.match_substring_regex(listed["spectrum_id"], f"^{SDSS_NAME.pattern}")
    mjd = pc.subtract(listed["lmjd"].cast(pa.int32()), pc.if_else(same, 0, 1).cast(pa.int32()))
    if "mjd" in listed.column_names:
        mjd = pc.coalesce(listed["mjd"].cast(pa.int32()), mjd)
    mjd = mjd.combine_chunks()
    return {"mjd": mjd, "obsdate": pa.array(obsdate(mjd.to_numpy()).astype(object), pa.string())}
