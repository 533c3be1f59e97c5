"""Estimate the precision of a round, and decide whether another one follows."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from starsift.io.files import atomic_path
from starsift.logs import log_to
from starsift.searches.emission.active import judge_round

log_to(snakemake.log[0])
source = snakemake.input
state, before = {}, []
for path in source.labels:
    state = judge_round(pq.read_table(path), before, **snakemake.params.stop)
    before.append(state)
for path in (source.told, source.counts):
    state |= json.loads(Path(path).read_text())
with atomic_path(snakemake.output[0]) as draft:
    draft.write_text(json.dumps(state, sort_keys=True) + "\n")
