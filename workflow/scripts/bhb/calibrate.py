"""Choose the run that classifies, and fit the temperature and threshold of each modality."""

import pyarrow.parquet as pq

from starsift.io.files import read_json, write_json
from starsift.logs import log_to
from starsift.searches.bhb.evaluation import choose_run, fit_calibration
from starsift.searches.bhb.inputs import FUSED, SINGLE

log_to(snakemake.log[0])
source = snakemake.input
run = choose_run([read_json(path) for path in source.trainings])
predictions = {FUSED: pq.read_table(source.fused[run]), SINGLE: pq.read_table(source.single[run])}
calibration = fit_calibration(predictions, snakemake.params.purity, run=run)
# The models of these predictions, for figures.
calibration["models"] = {FUSED: snakemake.params.model, SINGLE: "spectrum"}
write_json(calibration, snakemake.output[0])
