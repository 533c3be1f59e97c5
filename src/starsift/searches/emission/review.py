"""The probabilities of emission-line candidates in the review app."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starsift.searches.base import BALMER, Panels, View
from starsift.searches.emission.classes import CLASSES
from starsift.searches.emission.columns import EMISSION
from starsift.searches.emission.window import WAVELENGTH
from starsift.spectra.rows import Place

_PROBABILITIES = dict(zip(CLASSES, ("p_single", "p_double", "p_uninteresting"), strict=True))


def make_panels(folder: Path, settings: Mapping[str, Any]) -> Panels:
    """A function that gives the probability of each class."""

    def panels(row: Mapping[str, Any], place: Place) -> dict[str, Any]:
        found = {label: row.get(name) for label, name in _PROBABILITIES.items()}
        return {"probabilities": {label: p for label, p in found.items() if p is not None}}

    return panels


VIEW = View(
    lines=BALMER
    | {"[N II] 6548": 6548.05, "[N II] 6583": 6583.45, "He I 6678": 6678.15, "He I 5876": 5875.62}
    | {"[O III] 4959": 4958.91, "[O III] 5007": 5006.84, "[S II] 6716": 6716.44, "[S II] 6731": 6730.82}
    | {"Fe II 5018": 5018.44, "Fe II 5169": 5169.03, "Fe II 5317": 5316.61},
    window=(float(WAVELENGTH[0]), float(WAVELENGTH[-1])),
    table=EMISSION,
    panels=make_panels,
)
