"""Score all models on the stars that none has learned from, and compare them."""

import json
from pathlib import Path

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.bhb.evaluation import collect, ladder, read_examples, read_runs

log_to(snakemake.log[0])
source, output = snakemake.input, snakemake.output
runs = read_runs(source.predictions)
metrics = collect(runs)
write_parquet(metrics, output.metrics)
write_parquet(ladder(metrics, runs), output.gaps)
fitted = json.loads(Path(source.calibration).read_text())
write_parquet(read_examples(source.dataset, runs, fitted), output.examples)
