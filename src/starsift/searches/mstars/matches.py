"""The spectra that the report shows beside a query (Guo et al. 2019, figures 9 and 10)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.searches.mstars.dataset import Sample
from starsift.searches.mstars.hamming import nearest_codes
from starsift.searches.mstars.hashing import codes_of
from starsift.spectra.batches import read_rows
from starsift.spectra.resample import LAMOST_LRS

MATCHES = pa.schema(
    [
        pa.field("panel", pa.string()),  # top or ranks
        pa.field("is_query", pa.bool_()),
        pa.field("rank", pa.int64()),
        pa.field("spectrum_id", pa.string()),
        pa.field("hamming_distance", pa.int16()),
        pa.field("wavelength", pa.list_(pa.float64())),
        pa.field("flux", pa.list_(pa.float32())),
    ]
)
RANKS = tuple(10**k for k in range(8))


def collect_matches(
    sample: Sample, reference: pa.Table, codes: Sequence[str], spectra: Sequence[str], *, top: int = 10
) -> pa.Table:
    """The nearest spectra of a late M star, and those at growing ranks of an early one; schema `MATCHES`.

    `sample` and `reference` are of one training, `codes` and `spectra` files of the pool's bundles, each pair
    in one order; `top` is how many of the nearest are shown.
    """
    tables = [pq.read_table(path, columns=["spectrum_id", "code"]) for path in codes]
    pool = pa.concat_tables(tables)
    sizes = [len(table) for table in tables]
    # Of each usable spectrum the bundle, and the row in it.
    usable = np.flatnonzero(pc.is_valid(pool["code"]).to_numpy())
    bundle = np.repeat(np.arange(len(sizes)), sizes)[usable]
    place = usable - (np.cumsum(sizes) - sizes)[bundle]
    pool = pool.take(pa.array(usable))
    known = codes_of(reference["code"])
    unclassified = codes_of(pool["code"], known.shape[1])
    late, early = _queries(sample)
    rows: list[tuple[Any, ...]] = []
    for panel, query in (("top", late), ("ranks", early)):
        distance = nearest_codes(unclassified, known[query : query + 1], 1)[0][:, 0]
        order = np.argsort(distance, kind="stable")
        ranks = range(1, top + 1) if panel == "top" else RANKS
        rows.append((panel, True, 0, str(sample.ids[query]), 0, LAMOST_LRS.wavelength, sample.flux[query]))
        for rank in (rank for rank in ranks if rank <= len(order)):
            at = int(order[rank - 1])
            spectrum = read_rows(spectra[bundle[at]], [place[at]])
            apart = int(distance[at])
            name = pool["spectrum_id"][at].as_py()
            good = spectrum.ivar[0] > 0
            rows.append(
                (panel, False, rank, name, apart, spectrum.wavelength[0][good], spectrum.flux[0][good])
            )
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=MATCHES)


def _queries(sample: Sample) -> tuple[int, int]:
    """Positions of a late and an early M star: of the latest and the earliest tenth those of the best S/N."""
    m = np.flatnonzero(sample.is_m)
    digit = np.array([int((text or "M5").split("M")[-1][:1] or 5) for text in sample.subclass[m]])
    late = m[digit >= np.quantile(digit, 0.9)]
    early = m[digit <= np.quantile(digit, 0.1)]
    best = np.nan_to_num(sample.snr)
    return int(late[best[late].argmax()]), int(early[best[early].argmax()])
