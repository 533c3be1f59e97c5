"""Encode one bundle of spectra."""

from starsift.logs import log_to
from starsift.searches.mstars.model import Model
from starsift.searches.mstars.predict import encode_bundle

log_to(snakemake.log[0])
encode_bundle(snakemake.input.spectra, Model.load(snakemake.input.model), snakemake.output[0])
