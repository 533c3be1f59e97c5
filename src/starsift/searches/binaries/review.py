"""The CCFs of candidates for binaries in the review app, smoothed as for the peak finding; their models."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from starsift.errors import ResultsError
from starsift.searches.base import BALMER, Brief, Models, Panels, View, measured
from starsift.searches.binaries.columns import BINARIES_SPECTRA
from starsift.searches.binaries.curves import VELOCITY_KEYS
from starsift.searches.binaries.decision import Decision
from starsift.searches.binaries.peaks import CosineBasis, cosine_basis, smoothed_derivatives
from starsift.spectra.batches import OK, SpectrumBatch
from starsift.spectra.rows import Place, RowReader

_PEAKS = {"sigma_start": 13.0, "ccf_threshold": 0.60, "d2_threshold": 0.40}


def make_panels(folder: Path, settings: Mapping[str, Any]) -> Panels:
    """A function that gives the CCF of a candidate, its derivatives, thresholds and velocities."""
    reader = RowReader()
    peaks = {name: settings.get("peaks", {}).get(name, value) for name, value in _PEAKS.items()}

    def panels(row: Mapping[str, Any], place: Place) -> dict[str, Any]:
        file = folder / "binaries/ccf" / f"{place.bundle}.arrow"
        if row.get("sigma") is None or not file.is_file():
            return {}
        ccf = reader.row(file, place, ("ccf",))["ccf"].flatten().to_numpy()
        metadata = reader.open(file, ("ccf",)).schema.metadata
        first, step, count = (float(metadata[key]) for key in VELOCITY_KEYS)
        velocity = first + step * np.arange(int(count))
        basis = _basis(first, step, int(count), peaks["sigma_start"])
        smooth, d2, d3 = (a[0] for a in smoothed_derivatives(ccf[None] @ basis.analysis, basis, row["sigma"]))
        middle = 0.5 * (velocity[1:] + velocity[:-1])
        curves = {
            "velocity": velocity,
            "ccf": ccf,
            "smooth": smooth,
            "d1": np.gradient(smooth, velocity),
            "d2": d2,
            "d3": np.interp(velocity, middle, d3),
            "ccf_threshold": _height(smooth, peaks["ccf_threshold"]),
            "d2_threshold": _height(d2, peaks["d2_threshold"]),
            "rv": [rv for i in (1, 2, 3) if (rv := row.get(f"rv_{i}")) is not None],
            "sigma": row["sigma"],
        }
        return {"ccf": curves}

    return panels


def make_models(folder: Path, settings: Mapping[str, Any]) -> Models:
    """A function that fits a candidate again and gives its model, and each star of it.

    Raises ResultsError if the run's settings are not known.
    """
    # Imported here: the app starts without them.
    from starsift.searches.binaries.model_bank import build_models
    from starsift.searches.binaries.model_curves import model_curves
    from starsift.searches.binaries.settings import model_settings
    from starsift.spectra.templates import SHIPPED, load_grid

    if "binaries" not in settings:
        raise ResultsError(f"{folder}/provenance.json is missing: models need the settings of a finished run")
    own = settings.get("template_grid")
    bank = build_models(
        load_grid(folder.parent / own if own else SHIPPED), **model_settings(settings["binaries"])
    )

    def models(row: Mapping[str, Any], batch: SpectrumBatch) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return model_curves(batch, bank, 3 if row.get("multiplicity") == "SB3" else 2)

    return models


@lru_cache(4)
def _basis(first: float, step: float, count: int, sigma_start: float) -> CosineBasis:
    return cosine_basis(first + step * np.arange(count), sigma_start)


def _height(curve: np.ndarray, fraction: float) -> float:
    """The height at a fraction of a curve's range."""
    low, high = float(curve.min()), float(curve.max())
    return low + fraction * (high - low)


def brief(row: Mapping[str, Any]) -> Brief:
    """An exposure of a binary in a line."""
    numbers = range(1, 4 if row["multiplicity"] == "SB3" else 3)
    velocities = [text for i in numbers if (text := measured(row, f"rv_{i}"))]
    light = [f"{row[f'light_{i}']:.2f}" for i in numbers if row.get(f"light_{i}") is not None]
    shown = [f"rv {', '.join(velocities)} km/s", f"light {', '.join(light)}" if light else ""]
    stars = {"SB2": "two", "SB3": "three"}[row["multiplicity"]]
    why = [f"the lines of {stars} stars"]
    if row.get("by_star"):
        why = ["too few lines by itself; the star's other exposures are double"]
    if row.get("model") is None:
        why = ["by the vote on the CCF alone"]
    elif row.get("vote") == row["multiplicity"]:
        why.append("the vote on the CCF agrees")
    why += (
        ["suspect: a component at rest for the observer, as moonlight"]
        if row.get("suspect_moonlight")
        else []
    )
    why += ["suspect: the next fibre has the same CCF"] if row.get("suspect_crosstalk") else []
    probability = row.get("p_sb3" if row["multiplicity"] == "SB3" else "p_sb2")
    return Brief(row["multiplicity"], probability, "; ".join(filter(None, shown)), "; ".join(why))


def story(folder: Path, stages: Mapping[str, dict[str, Any]], settings: Mapping[str, Any]) -> Iterator[str]:
    """What CCF, models, vote and checks say of an exposure."""
    ccf, classes, suspects = (stages.get(name, {}) for name in ("components", "classes", "suspects"))
    if ccf:
        if ccf["status"] != OK:
            yield f"no CCF: {ccf['status']}"
        else:
            rv = ", ".join(f"{v:.1f}" for v in ccf["rv"] or [])
            yield f"CCF: components: {ccf['n_components']}, at {rv} km/s, highest value {ccf['ccf_max']:.2f}"
    if classes.get("p_single") is not None:
        p = ", ".join(f"{name} {classes[f'p_{name.lower()}']:.4f}" for name in ("single", "SB2", "SB3"))
        decision = folder / "binaries/model_set/decision.json"
        needed = ""
        if decision.is_file():
            pair, triple = Decision.load(decision).thresholds
            needed = f"; SB2 from p(SB2) + p(SB3) = {pair:.4f} on, SB3 from p(SB3) = {triple:.4f} on"
        yield f"models of one, two and three stars: {p}{needed}"
        rv = ", ".join(f"{v:.1f} ± {e:.1f}" for v, e in zip(classes["rv"], classes["rv_err"], strict=True))
        light = ", ".join(f"{share:.2f}" for share in classes["light"] or [])
        yield f"the model that wins: rv {rv} km/s" + (f", light {light}" if light else "")
    votes = {name: classes[name] for name in classes if name.startswith("p_c") and classes[name] is not None}
    if votes:
        limits = settings.get("vote", {})
        yield (
            f"vote on the CCF: {classes.get('vote') or 'no'} "
            f"(SB2 needs L2 > {limits.get('sb2_threshold', 0.95)} of C1, C2, C3; "
            f"SB3 needs L3 > {limits.get('sb3_threshold', 0.99)} of C1, C2, C4): "
            + ", ".join(f"{name[2:].upper().replace('_', ' ')} {p:.3f}" for name, p in votes.items())
        )
    elif classes:
        yield "no vote: the CCF has neither two nor three components"
    for name, what in (
        ("moonlight", "a component at rest for the observer"),
        ("crosstalk", "the next fibre"),
    ):
        if suspects.get(f"suspect_{name}"):
            yield f"suspect: {name} ({what})"


VIEW = View(
    lines=BALMER
    | {"Mg b1": 5183.60, "Mg b2": 5172.68, "Mg b4": 5167.32, "Fe I 4957": 4957.60, "Fe I 5270": 5269.54}
    | {"Fe I 5328": 5328.04, "Li I": 6707.81, "Ca I": 6162.17},
    window=(5150.0, 5290.0),
    columns=(
        *("object_id", "multiplicity", "p_single", "p_sb2", "p_sb3", "vote", "by_star", "snr"),
        *("rv_1", "rv_2", "rv_3", "light_1", "light_2", "light_3", "reliability", "n_ccf_components"),
        *("sigma", "converged", "ccf_max", "template"),
        *(column.name for column in BINARIES_SPECTRA.columns if column.name.startswith("p_c")),
        *("suspect_moonlight", "suspect_crosstalk", "crosstalk_partner", "barycentric_correction"),
        *("gaia_source_id", "phot_g_mean_mag", "band", "obsid", "lmjd", "file"),
    ),
    table=BINARIES_SPECTRA,
    velocity="rv_1",
    panels=make_panels,
    brief=brief,
    story=story,
    models=make_models,
)
