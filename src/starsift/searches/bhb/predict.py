"""What trained networks say of the spectra of a bundle, with their images or without."""

import os
from collections.abc import Sequence
from itertools import tee
from typing import Any

import numpy as np
import pyarrow as pa

from starsift.learning.backend import predict_batches
from starsift.searches.bhb.inputs import FUSED, MIN_GOOD, SINGLE, scale_images, windows
from starsift.searches.bhb.training import BATCH
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


def predict_bundle(
    spectra: PathLike, cutouts: PathLike, fusion: Any, single: Any, *, min_good: float = MIN_GOOD
) -> pa.Table:
    """Probability of each spectrum of a packed bundle to be of a BHB star, not calibrated.

    Parameters
    ----------
    spectra : packed spectra
    cutouts : of the same spectra (`starsift.survey.cutouts.pack_cutouts`)
    fusion : network of spectra and images; single : network of spectra, for those without an image
    min_good : see `starsift.searches.bhb.dataset.windows`

    Returns
    -------
    Table of `SCHEMA`, a row a spectrum in the bundle's order; `modality` and `p_bhb` are null where a
    spectrum has no window, which its status explains
    """
    parts, row = [SCHEMA.empty_table()], 0
    # Each batch is read once, and tells how many images belong to it.
    batches, counted = tee(read_bundle(spectra, rows=ROWS))
    pairs = zip(batches, iter_cutouts(cutouts, (batch.n for batch in counted)), strict=True)
    for batch, (image_status, images) in pairs:
        ready = windows(batch, min_good=min_good)
        imaged = ready.ok & (image_status == OK)
        p = np.full(batch.n, np.nan, np.float32)
        p[imaged] = _probability(fusion, [ready.flux[imaged], scale_images(images[imaged])])
        alone = ready.ok & ~imaged
        p[alone] = _probability(single, [ready.flux[alone]])
        modality = np.full(batch.n, None, dtype=object)
        modality[imaged], modality[alone] = FUSED, SINGLE
        columns = [
            batch.identity["spectrum_id"],
            pa.array(np.arange(row, row + batch.n)),
            pa.array(ready.status, pa.string()),
            pa.array(image_status, pa.string()),
            pa.array(modality, pa.string()),
            pa.array(p, from_pandas=True),
        ]
        parts.append(pa.table(columns, schema=SCHEMA))
        row += batch.n
    return pa.concat_tables(parts)


def _probability(model: Any, inputs: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(predict_batches(model, inputs, BATCH))[:, 1]
