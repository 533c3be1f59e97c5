"""Draw the figures of the M-star report from tables."""

import pyarrow.parquet as pq

from starsift.logs import log_to
from starsift.report.plots import draw_figures
from starsift.searches.mstars import figures

log_to(snakemake.log[0])
tables = {name: pq.read_table(path) for name, path in snakemake.input.items() if path}
draw_figures(figures, tables, snakemake.output.items(), snakemake.params.settings)
