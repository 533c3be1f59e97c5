"""Draw one figure of the report from tables."""

import pyarrow.parquet as pq

from starsift.logs import log_to
from starsift.report.plots import save
from starsift.searches.binaries.figures import FIGURES

log_to(snakemake.log[0])
columns = snakemake.params.get("columns", {})
tables = {name: pq.read_table(path, columns=columns.get(name)) for name, path in snakemake.input.items()}
figure = FIGURES[snakemake.params.figure](**tables, **snakemake.params.get("settings", {}))
save(figure, snakemake.output[0])
