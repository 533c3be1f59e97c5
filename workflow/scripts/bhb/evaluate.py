"""Score all models on the held-out stars, and compare them."""

from starsift.io.files import read_json
from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.bhb.comparison import model_gaps, score_runs
from starsift.searches.bhb.evaluation import read_examples, read_runs

log_to(snakemake.log[0])
source, output = snakemake.input, snakemake.output
runs = read_runs(source.predictions)
metrics = score_runs(runs)
write_parquet(metrics, output.metrics)
write_parquet(model_gaps(metrics, runs), output.gaps)
calibration = read_json(source.calibration)
write_parquet(read_examples(source.dataset, runs, calibration), output.examples)
