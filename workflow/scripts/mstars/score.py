"""Compare the M stars that were found with the truth of the simulated survey."""

import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.demo.score_mstars import score_mstars
from starsift.demo.scorecard import write_card
from starsift.logs import log_to

log_to(snakemake.log[0])
pool = pq.read_table(snakemake.input.pool)
union = pool.filter(pc.is_valid(pool["n_queries"]))
card = score_mstars(snakemake.input.truth, union, pq.read_table(snakemake.input.catalog))
write_card(card, snakemake.output.card, snakemake.output.text)
