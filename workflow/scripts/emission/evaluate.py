"""Estimate the precision of a round, and decide whether another one follows."""

import pyarrow.parquet as pq

from starsift.io.files import read_json, write_json
from starsift.logs import log_to
from starsift.searches.emission.evaluation import evaluate_round

log_to(snakemake.log[0])
source = snakemake.input
rounds = []
for path in source.labels:
    rounds.append(evaluate_round(pq.read_table(path), rounds, **snakemake.params.stop))
write_json(rounds[-1] | read_json(source.training) | read_json(source.counts), snakemake.output[0])
