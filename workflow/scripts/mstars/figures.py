"""Draw the figures of the M-star report from tables."""

import pyarrow.parquet as pq

from starsift.logs import log_to
from starsift.report.plots import save
from starsift.searches.mstars.figures import FIGURES, INPUTS

log_to(snakemake.log[0])
tables = {name: pq.read_table(path) for name, path in snakemake.input.items()}
for name, path in snakemake.output.items():
    inputs = {argument: tables[table] for argument, table in INPUTS[name].items()}
    save(FIGURES[name](**inputs, **snakemake.params.settings.get(name, {})), path)
