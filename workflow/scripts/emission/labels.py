"""Collect the labels that people gave to a round's spectra, or say how many are missing."""

import pyarrow.parquet as pq

from starsift.io.parquet import write_parquet
from starsift.learning.labels import read_labels
from starsift.logs import log_to
from starsift.searches.emission.active import answer
from starsift.searches.emission.search import SEARCH

log_to(snakemake.log[0])
store, number = snakemake.params.store, snakemake.wildcards.round
advice = (
    f"label them with `starsift review --labels {store} --queue emission-round-{number}`, "
    "then run snakemake again"
)
labels = read_labels(store, SEARCH, missing_ok=True)
write_parquet(answer(pq.read_table(snakemake.input.query), labels, advice=advice), snakemake.output[0])
