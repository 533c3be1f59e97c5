"""Record the settings, code, packages and inputs of this run, and how many rows each stage made."""

import csv
from pathlib import Path

from starsift.catalog.provenance import write_provenance
from starsift.logs import log_to

log_to(snakemake.log[0])
source = snakemake.input
with Path(source.status).open(newline="") as file:
    status = {row["status"]: int(row["spectra"]) for row in csv.DictReader(file)}
with Path(source.funnel).open(newline="") as file:
    funnel = list(csv.DictReader(file))
write_provenance(
    snakemake.output[0],
    snakemake.params.config,
    {"catalog": source.catalog, "template_grid": source.grid},
    [*source.catalogs],
    {"status": status, "funnel": funnel},
)
