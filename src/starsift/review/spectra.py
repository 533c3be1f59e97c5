"""Packed spectra as they are shown, and arrays as the page gets them."""

import base64
from pathlib import Path
from typing import Any

import numpy as np

from starsift.errors import ResultsError
from starsift.spectra.batches import MASK_IVAR, OK
from starsift.spectra.rows import Place, RowReader, read_grid

_COLUMNS = ("status", "log10_lambda0", "dlog10_lambda", "wavelength", "flux", "ivar", "mask")


class Spectra:
    """Reads packed spectra of a folder of results, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._reader = RowReader()

    def file(self, place: Place) -> Path:
        """The bundle that a spectrum is in."""
        return self.folder / "spectra" / place.survey / f"{place.bundle}.arrow"

    def read(self, place: Place) -> tuple[np.ndarray, dict[str, Any]]:
        """Wavelength (n,), and the spectrum as the page gets it: `spectrum` (`read_grid`), flux, error, good.

        `good` says which pixels are shown, also fluxes that the survey gave no weight, such as LAMOST's
        strong emission lines; their error is 0. Raises ResultsError if the spectrum cannot be read or used.
        """
        record = self._reader.row(self.file(place), place, _COLUMNS, keep=True)
        status = record["status"][0].as_py()
        if status != OK:
            raise ResultsError(f"{place.spectrum_id} could not be used: {status}")
        flux, ivar, mask = (record[name].flatten().to_numpy() for name in ("flux", "ivar", "mask"))
        weighed = ivar > 0
        error = np.zeros_like(flux)
        error[weighed] = 1.0 / np.sqrt(ivar[weighed])
        good = ((mask & ~np.uint8(MASK_IVAR)) == 0) & (weighed | (flux != 0))
        ends = np.flatnonzero(weighed)[[0, -1]]
        good[: ends[0]] = good[ends[1] + 1 :] = False  # padding of the file
        wavelength, grid = read_grid(record)
        spectrum = {"flux": flux, "error": error if error.any() else None, "good": good}
        return wavelength, {"spectrum": grid, **spectrum}

    def coordinates(self, place: Place) -> tuple[float | None, float | None]:
        """Right ascension and declination in degrees."""
        record = self._reader.row(self.file(place), place, ("ra", "dec"))
        return record["ra"][0].as_py(), record["dec"][0].as_py()


def encode(value: Any) -> Any:
    """Arrays, in lists and dictionaries or not, as base64: logical values as bytes, others as float32."""
    if isinstance(value, np.ndarray):
        kind = "u1" if value.dtype == bool else "<f4"
        return base64.b64encode(np.ascontiguousarray(value, kind).tobytes()).decode("ascii")
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    return value
