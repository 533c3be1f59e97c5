"""Record the settings, code, packages and inputs of this run, and how many rows each stage made."""

import csv
from pathlib import Path

from starsift.catalog.provenance import write_provenance
from starsift.logs import log_to

log_to(snakemake.log[0])
source = snakemake.input


def rows(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


status = {
    Path(path).name.removesuffix("-status.csv"): {row["status"]: int(row["spectra"]) for row in rows(path)}
    for path in source.status
}
funnels = {Path(path).name.removesuffix("_funnel.csv"): rows(path) for path in source.funnels}
inputs = {name: source[name] for name in snakemake.params.inputs}
counts = {"status": status, "funnel": funnels}
write_provenance(
    snakemake.output[0],
    snakemake.params.config,
    inputs,
    [*source.catalogs, *source.footprints, *source.get("hats", ())],
    counts,
)
