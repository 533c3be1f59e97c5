"""Choose the run that classifies, and fit the temperature and threshold of each modality."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from starsift.io.files import atomic_path
from starsift.logs import log_to
from starsift.searches.bhb.evaluation import choose_run, fit_calibration
from starsift.searches.bhb.inputs import FUSED, SINGLE

log_to(snakemake.log[0])
source = snakemake.input
run = choose_run([json.loads(Path(path).read_text()) for path in source.trainings])
predictions = {FUSED: pq.read_table(source.fused[run]), SINGLE: pq.read_table(source.single[run])}
calibration = fit_calibration(predictions, snakemake.params.purity, run=run)
# The models of these predictions, for figures.
calibration["models"] = {FUSED: snakemake.params.model, SINGLE: "spectrum"}
with atomic_path(snakemake.output[0]) as draft:
    draft.write_text(json.dumps(calibration, sort_keys=True) + "\n")
