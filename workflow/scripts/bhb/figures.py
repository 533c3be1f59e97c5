"""Draw the figures of the BHB report."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from starsift.logs import log_to
from starsift.report.plots import save
from starsift.searches.bhb.evaluation import read_runs
from starsift.searches.bhb.figures import FIGURES, INPUTS


def told(path):
    return json.loads(Path(path).read_text())


log_to(snakemake.log[0])
source = snakemake.input
data = {name: pq.read_table(source[name]) for name in ("catalog", "metrics", "examples")}
data |= {"runs": read_runs(source.predictions), "calibration": told(source.calibration)}
data |= {"trainings": [told(path) for path in source.told]}
for name, path in snakemake.output.items():
    save(FIGURES[name](**{argument: data[table] for argument, table in INPUTS[name].items()}), path)
