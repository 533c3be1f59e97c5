"""Parts of spectra as networks see them, and why some spectra have none."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from starsift.spectra.batches import OK


@dataclass(frozen=True)
class Windows:
    """n windows of p pixels: scaled `flux` float32 (n, p), the least where `status` (n,) is not ok."""

    flux: np.ndarray
    status: np.ndarray

    @property
    def ok(self) -> np.ndarray:
        """bool (n,): the windows that can be used."""
        return np.asarray(self.status == OK, dtype=bool)


def give_reasons(status: np.ndarray, reasons: Iterable[tuple[np.ndarray, str]]) -> None:
    """Write into statuses (n,) that are ok, in place, the first reason whose bool (n,) holds."""
    for bad, reason in reasons:
        status[(status == OK) & bad] = reason
