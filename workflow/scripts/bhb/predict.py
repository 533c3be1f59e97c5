"""Classify the spectra of one bundle, with their images or without."""

from starsift.io.files import read_json
from starsift.io.parquet import write_parquet
from starsift.learning.backend import load_network
from starsift.logs import log_to
from starsift.searches.bhb.predict import network_of, predict_bundle

log_to(snakemake.log[0])
source = snakemake.input
calibration = read_json(source.calibration)
networks = [load_network(network_of(source[name], calibration)) for name in ("fused", "single")]
table = predict_bundle(source.spectra, source.cutouts, *networks, **snakemake.params.spectrum)
write_parquet(table, snakemake.output[0])
