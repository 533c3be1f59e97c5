"""Predictions of trained networks for the spectra of a bundle, with images or without."""

import os
from collections.abc import Mapping, Sequence
from itertools import tee
from typing import Any

import numpy as np
import pyarrow as pa

from starsift.searches.bhb.inputs import FUSED, SINGLE, scale_images, windows
from starsift.searches.bhb.training import bhb_probability
from starsift.spectra.batches import OK, read_bundle
from starsift.survey.cutouts import iter_cutouts

PathLike = str | os.PathLike[str]
ROWS = 2048  # spectra in memory at once
SCHEMA = pa.schema(
    [
        ("spectrum_id", pa.string()),
        ("row", pa.int64()),
        ("status", pa.string()),
        ("image_status", pa.string()),
        ("modality", pa.string()),
        ("p_bhb", pa.float32()),
    ]
)


def network_of(files: str | Sequence[str], calibration: Mapping[str, Any]) -> str:
    """The file of the run that classifies, of a file for each run; a model set has one file."""
    return files if isinstance(files, str) else files[calibration["run"]]


def predict_bundle(
    spectra: PathLike, cutouts: PathLike, fusion: Any, single: Any, *, min_good: float
) -> pa.Table:
    """Probability of each spectrum of a packed bundle that it shows a BHB star, not calibrated.

    Parameters
    ----------
    spectra : packed spectra
    cutouts : of the same spectra (`starsift.survey.cutouts.pack_cutouts`)
    fusion : network of spectra and images
    single : network of spectra, for spectra without an image
    min_good : see `starsift.searches.bhb.inputs.windows`

    Returns a Table of `SCHEMA`, a row per spectrum in the bundle's order. `modality` and `p_bhb` are null for
    spectra without a window, whose status gives the reason.
    """
    parts, row = [SCHEMA.empty_table()], 0
    # Each batch is read once, and gives the number of its images.
    batches, counted = tee(read_bundle(spectra, rows=ROWS))
    pairs = zip(batches, iter_cutouts(cutouts, (batch.n for batch in counted)), strict=True)
    for batch, (image_status, images) in pairs:
        window = windows(batch, min_good=min_good)
        imaged = window.ok & (image_status == OK)
        p = np.full(batch.n, np.nan, np.float32)
        p[imaged] = bhb_probability(fusion, [window.flux[imaged], scale_images(images[imaged])])
        alone = window.ok & ~imaged
        p[alone] = bhb_probability(single, [window.flux[alone]])
        modality = np.full(batch.n, None, dtype=object)
        modality[imaged], modality[alone] = FUSED, SINGLE
        columns = [
            batch.identity["spectrum_id"],
            pa.array(np.arange(row, row + batch.n)),
            pa.array(window.status, pa.string()),
            pa.array(image_status, pa.string()),
            pa.array(modality, pa.string()),
            pa.array(p, from_pandas=True),
        ]
        parts.append(pa.table(columns, schema=SCHEMA))
        row += batch.n
    return pa.concat_tables(parts)
