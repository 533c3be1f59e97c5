"""Draw the figures of the binaries' report from tables."""

import pyarrow.parquet as pq

from starsift.logs import log_to
from starsift.report.plots import save
from starsift.searches.binaries.figures import COLUMNS, FIGURES, INPUTS

log_to(snakemake.log[0])
tables = {name: pq.read_table(path, columns=COLUMNS.get(name)) for name, path in snakemake.input.items()}
for name, path in snakemake.output.items():
    inputs = {argument: tables[table] for argument, table in INPUTS[name].items()}
    save(FIGURES[name](**inputs, **snakemake.params.settings.get(name, {})), path)
