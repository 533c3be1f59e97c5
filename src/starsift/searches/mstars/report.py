"""The small tables of the M-star report, as HTML pages. Table numbers are from Guo et al. 2019."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.io.columns import floats
from starsift.report.pages import Row, mean_scatter, page, rounded

LUMINOSITY = {1: "giant", 0: "dwarf", None: ""}
SNR_EDGES = (5.0, 10.0, 30.0)  # the bins of Table 1


class AveragePrecision(NamedTuple):
    """Average precision over splits; `bits` is 0 without codes, `scatter` None for one split."""

    method: str
    bits: int
    splits: int
    mean: float
    scatter: float | None


def positive_sample_page(sample: pa.Table, clusters: pa.Table) -> str:
    """The positive sample by type, luminosity class and S/N (Table 1), and the clusters that it came from.

    `sample` has `role` (dwarf, giant, negative), `subclass` (M3, dM3, gM3) and `snr` in r; `clusters` has
    `kind` (dwarf, giant), `members`, `drawn` and `defective`.
    """
    bins = ["< 5", "5-10", "10-30", "> 30", "unknown"]
    positive = sample.filter(pc.not_equal(sample["role"], "negative"))
    digit = pc.struct_field(pc.extract_regex(positive["subclass"], r"M(?P<digit>\d)"), "digit").to_pylist()
    snr = floats(positive, "snr")
    place = np.where(np.isfinite(snr), np.digitize(snr, SNR_EDGES), len(bins) - 1).tolist()
    roles = positive["role"].to_pylist()
    count = Counter(zip(digit, roles, place, strict=True))
    columns = range(len(bins))
    types: list[Row] = [("spectral type", "luminosity class", *bins, "all")]
    for name in sorted({name for name, _, _ in count if name}):
        for role in ("giant", "dwarf"):
            numbers = [count[name, role, i] for i in columns]
            types.append((f"M{name}", role, *numbers, sum(numbers)))
    types.append(("all", "both", *(place.count(i) for i in columns), len(place)))
    kept: list[Row] = [("luminosity class", "clusters", "defective, dropped", "members", "drawn")]
    for role in ("giant", "dwarf"):
        rows = clusters.filter(pc.equal(clusters["kind"], role))
        sums = [
            pc.sum(rows[name].cast(pa.int64()), min_count=0).as_py()
            for name in ("defective", "members", "drawn")
        ]
        kept.append((role, rows.num_rows, *sums))
    tables = [("M-type spectra by type, luminosity class and S/N in r", types), ("Clusters", kept)]
    return page("Positive sample", tables)


def average_precisions(evaluation: pa.Table) -> list[AveragePrecision]:
    """Mean and sample standard deviation over the splits of each method and code length, the best first.

    Reads `method`, `bits` (0 or null where a method has no codes), `split`, `average_precision`, the same in
    all rows of one split.
    """
    bits = pc.fill_null(evaluation["bits"], 0).to_pylist()
    keys = zip(evaluation["method"].to_pylist(), bits, evaluation["split"].to_pylist(), strict=True)
    once = dict(zip(keys, evaluation["average_precision"].to_pylist(), strict=True))
    groups: dict[tuple[str, int], list[float]] = {}
    for (method, length, _), value in once.items():
        groups.setdefault((method, length), []).append(value)
    result = [
        AveragePrecision(
            *key, len(found), float(np.mean(found)), float(np.std(found, ddof=1)) if len(found) > 1 else None
        )
        for key, found in groups.items()
    ]
    return sorted(result, key=lambda row: (-row.mean, row.method, row.bits))


def evaluation_page(evaluation: pa.Table) -> str:
    """Average precision of every method at every code length, the best first, as in `average_precisions`."""
    results = average_precisions(evaluation)
    lengths = sorted({row.bits for row in results})
    cells = {(row.method, row.bits): mean_scatter(row.mean, row.scatter, digits=4) for row in results}
    rows: list[Row] = [("method", *(f"{length} bits" if length else "no codes" for length in lengths))]
    for method in dict.fromkeys(row.method for row in results):
        rows.append((method.replace("_", " "), *(cells.get((method, length), "") for length in lengths)))
    splits = max((row.splits for row in results), default=0)
    caption = f"Average precision: mean and standard deviation over {splits} random splits"
    return page("Evaluation", [(caption, rows)])


def vetting_page(candidates: pa.Table, number: int = 200) -> str:
    """The candidates to vet first: `number` of them, those of the highest score.

    Reads `spectrum_id`, `designation`, `score`, `p_m`, `subclass`, `snrr`, `giant`, `best_rank`,
    `nearest_query`.
    """
    order = [("score", "descending"), ("spectrum_id", "ascending")]
    indices = pc.sort_indices(candidates, sort_keys=order)[:number]
    header = ("spectrum", "designation", "score", "P(M)", "subtype", "S/N in r", "luminosity class")
    rows: list[Row] = [("", *header, "best rank", "nearest query")]
    for place, row in enumerate(candidates.take(indices).to_pylist(), start=1):
        rows.append(
            (
                place,
                row["spectrum_id"],
                row["designation"] or "",
                rounded(row["score"], 3),
                rounded(row["p_m"], 3),
                row["subclass"] or "",
                rounded(row["snrr"], 1),
                LUMINOSITY[row["giant"]],
                "" if row["best_rank"] is None else row["best_rank"],
                row["nearest_query"] or "",
            )
        )
    caption = f"The first {len(rows) - 1} of {candidates.num_rows:,} candidates"
    return page("Candidates to vet", [(caption, rows)])
