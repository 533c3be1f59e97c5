"""Classify the spectra of one bundle, with their images or without."""

import json
from pathlib import Path

from starsift.io.parquet import write_parquet
from starsift.learning.backend import load_network
from starsift.logs import log_to
from starsift.searches.bhb.predict import predict_bundle

log_to(snakemake.log[0])
source = snakemake.input
run = json.loads(Path(source.calibration).read_text())["run"]
networks = load_network(source.fused[run]), load_network(source.single[run])
table = predict_bundle(source.spectra, source.cutouts, *networks, **snakemake.params.spectrum)
write_parquet(table, snakemake.output[0])
