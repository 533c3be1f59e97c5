"""The images of BHB candidates in the review app."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from starsift.errors import ResultsError
from starsift.searches.base import BALMER, Panels, View
from starsift.searches.bhb.columns import BHB
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


VIEW = View(
    lines=BALMER
    | {"Hε": 3970.08, "H8": 3889.06, "Ca II K": 3933.66, "Mg II": 4481.13, "He I 4471": 4471.48}
    | {"He I 5876": 5875.62, "Mg b": 5183.60},
    window=(3830.0, 4960.0),
    table=BHB,
    panels=make_panels,
)
