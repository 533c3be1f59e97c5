"""The probabilities of emission-line candidates in the review app."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from starsift.searches.base import BALMER, Brief, Panels, View, measured
from starsift.searches.emission.classes import CLASSES
from starsift.searches.emission.columns import EMISSION
from starsift.searches.emission.window import WAVELENGTH
from starsift.spectra.batches import OK
from starsift.spectra.rows import Place

_PROBABILITIES = dict(zip(CLASSES, ("p_single", "p_double", "p_uninteresting"), strict=True))


def make_panels(folder: Path, settings: Mapping[str, Any]) -> Panels:
    """A function that gives the probability of each class."""

    def panels(row: Mapping[str, Any], place: Place) -> dict[str, Any]:
        found = {label: row.get(name) for label, name in _PROBABILITIES.items()}
        return {"probabilities": {label: p for label, p in found.items() if p is not None}}

    return panels


def brief(row: Mapping[str, Any]) -> Brief:
    """An emission-line spectrum in a line."""
    shown = [f"EW(Hα) {width}, emission positive" if (width := measured(row, "ewha", 1, "Å")) else ""]
    shown += [f"peak at {speed}" if (speed := measured(row, "peak_velocity", 0, "km/s")) else ""]
    shown += [f"peaks {gap} apart" if (gap := measured(row, "peak_separation", 0, "km/s")) else ""]
    shown += [f"{row['class']} {row.get('subclass') or ''}".strip() if row.get("class") else ""]
    why = f"H alpha in emission, {row['profile']}: by {'a person' if row.get('vetted') else 'the network'}"
    return Brief(f"emission, {row['profile']}", row.get("p_emission"), "; ".join(filter(None, shown)), why)


def story(folder: Path, stages: Mapping[str, dict[str, Any]], settings: Mapping[str, Any]) -> Iterator[str]:
    """What the network says of a spectrum."""
    window, final = stages.get("windows", {}), stages.get("final/predictions")
    if window.get("status", OK) != OK:
        yield f"no window around H alpha: {window['status']}"
    if final:
        p = {label: final[name] for label, name in _PROBABILITIES.items()}
        shown = ", ".join(f"{label} {value:.3f}" for label, value in p.items())
        best = max(p, key=p.__getitem__)
        yield f"the network, not calibrated: {shown}; the largest decides: {best}"


VIEW = View(
    lines=BALMER
    | {"[N II] 6548": 6548.05, "[N II] 6583": 6583.45, "He I 6678": 6678.15, "He I 5876": 5875.62}
    | {"[O III] 4959": 4958.91, "[O III] 5007": 5006.84, "[S II] 6716": 6716.44, "[S II] 6731": 6730.82}
    | {"Fe II 5018": 5018.44, "Fe II 5169": 5169.03, "Fe II 5317": 5316.61},
    window=(float(WAVELENGTH[0]), float(WAVELENGTH[-1])),
    table=EMISSION,
    panels=make_panels,
    brief=brief,
    story=story,
)
