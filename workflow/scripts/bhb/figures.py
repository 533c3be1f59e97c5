"""Draw the figures of the BHB report."""

import pyarrow.parquet as pq

from starsift.io.files import read_json
from starsift.logs import log_to
from starsift.report.plots import draw_figures
from starsift.searches.bhb import figures
from starsift.searches.bhb.evaluation import read_runs

log_to(snakemake.log[0])
source = snakemake.input
tables = {name: pq.read_table(source[name]) for name in ("catalog", "metrics", "examples") if source[name]}
tables["runs"] = read_runs(source.predictions)
tables["calibration"] = read_json(source.calibration)
tables["trainings"] = [read_json(path) for path in source.trainings]
draw_figures(figures, tables, snakemake.output.items())
