"""Label the query of a round, or say how many labels are missing."""

import pyarrow.parquet as pq

from starsift.io.parquet import write_parquet
from starsift.learning.labels import read_labels
from starsift.logs import log_to
from starsift.searches.emission.labels import label_query
from starsift.searches.emission.words import VOCABULARY

log_to(snakemake.log[0])
store, number = snakemake.params.store, snakemake.wildcards.round
advice = (
    f"label them with `starsift review --labels {store} --queue emission-round-{number}`, "
    "then run snakemake again"
)
labels = read_labels(store, VOCABULARY, missing_ok=True)
query = pq.read_table(snakemake.input.query)
write_parquet(label_query(query, labels, advice=advice), snakemake.output[0])
