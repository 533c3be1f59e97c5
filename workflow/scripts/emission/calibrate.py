"""Calibrate the probabilities of the final network."""

from starsift.io.files import read_json, write_json
from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.emission.classes import EMISSION_CLASSES
from starsift.searches.emission.evaluation import fit_calibration, held_out_labels
from starsift.searches.emission.labels import read_round_labels

log_to(snakemake.log[0])
source = snakemake.input
rounds = [read_json(path) for path in source.rounds]
n_predicted = {one["round"]: sum(one["predicted"][name] for name in EMISSION_CLASSES) for one in rounds}
held_out = held_out_labels(read_round_labels(source.labels), source.predictions, n_predicted)
write_parquet(held_out, snakemake.output.held_out)
write_json(fit_calibration(held_out), snakemake.output.calibration)
