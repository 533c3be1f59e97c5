"""The images of BHB candidates in the review app."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from starsift.errors import ResultsError
from starsift.io.files import read_json
from starsift.searches.base import BALMER, Brief, Panels, View, measured
from starsift.searches.bhb.columns import BHB
from starsift.searches.bhb.evaluation import calibrate
from starsift.spectra.rows import Place

_BANDS = "ugriz"


def make_panels(folder: Path, settings: Mapping[str, Any]) -> Panels:
    """A function that gives the cutouts of a candidate, (height, width) in each band."""

    def panels(row: Mapping[str, Any], place: Place) -> dict[str, Any]:
        file = folder / "bhb/cutouts" / place.survey / f"{place.bundle}.parquet"
        if not file.is_file():
            return {}
        chosen = [("spectrum_id", "=", place.spectrum_id)]
        table = pq.read_table(file, columns=["shape", "image"], filters=chosen, partitioning=None)
        if not table.num_rows or not table["image"][0].is_valid:  # its status says why
            return {}
        shape = table["shape"][0].as_py()
        image = table["image"][0].values.to_numpy(zero_copy_only=False).astype(np.float32)
        if len(shape) != 3 or shape[0] != len(_BANDS) or math.prod(shape) != image.size:
            raise ResultsError(
                f"{file}: the image of {place.spectrum_id} has {image.size} pixels and shape {shape}; "
                "expected five bands, height, width"
            )
        return {"images": {"bands": list(_BANDS), "shape": shape[1:], "pixels": list(image.reshape(shape))}}

    return panels


def brief(row: Mapping[str, Any]) -> Brief:
    """A blue horizontal branch star in a line."""
    shown = [f"distance {kpc}" if (kpc := measured(row, "distance", 1, "kpc")) else ""]
    shown += [f"g-r {colour}" if (colour := measured(row, "g_r_0", 2)) else "", row.get("subclass") or ""]
    source = {"spectrum": "the spectrum alone", "spectrum+image": "spectrum and image"}.get(
        row["modality"], "labels"
    )
    return Brief("BHB", row.get("p_bhb"), "; ".join(filter(None, shown)), f"by {source}")


def story(folder: Path, stages: Mapping[str, dict[str, Any]], settings: Mapping[str, Any]) -> Iterator[str]:
    """What the networks say of a spectrum."""
    row = next((row for name, row in stages.items() if name.startswith("predictions")), None)
    if row is None:
        return
    yield f"image: {row['image_status']}"
    if row["p_bhb"] is None:
        yield f"no probability: {row['status']}"
        return
    p, needed = row["p_bhb"], "its threshold is not known"
    file = folder / "bhb/model_set/calibration.json"
    if file.is_file():
        fitted = read_json(file)["modalities"][row["modality"]]
        p = float(calibrate(np.array([p]), fitted["temperature"])[0])
        needed = (
            "no threshold reaches the purity"
            if fitted["threshold"] is None
            else f"from {fitted['threshold']:.3f} on"
        )
    yield f"by {row['modality']}: p(BHB) = {p:.3f}; in the catalogue {needed}"


VIEW = View(
    lines=BALMER
    | {"Hε": 3970.08, "H8": 3889.06, "Ca II K": 3933.66, "Mg II": 4481.13, "He I 4471": 4471.48}
    | {"He I 5876": 5875.62, "Mg b": 5183.60},
    window=(3830.0, 4960.0),
    table=BHB,
    panels=make_panels,
    brief=brief,
    story=story,
)
