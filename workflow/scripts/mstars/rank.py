"""Rank the pool against all queries."""

import pyarrow.parquet as pq

from starsift.io.parquet import write_counts, write_parquet
from starsift.learning.backend import namespace
from starsift.logs import log_to
from starsift.searches.mstars.calibration import read_calibration
from starsift.searches.mstars.model import METHODS
from starsift.searches.mstars.predict import rank_pool

log_to(snakemake.log[0])
source, settings = snakemake.input, snakemake.params
pool, candidates, funnel = rank_pool(
    list(source.codes),
    pq.read_table(source.reference),
    read_calibration(source.calibration),
    ranking=METHODS[settings.method].ranking,
    xp=namespace("keras" if snakemake.resources.get("gpu") else None),
    **settings.search,
)
write_parquet(pool, snakemake.output.pool)
write_parquet(candidates, snakemake.output.candidates)
write_counts(funnel, snakemake.output.funnel)
