"""Compare the blue horizontal branch stars that were found with the truth of the simulated survey."""

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.demo.score_bhb import score_bhb
from starsift.demo.scorecard import write_card
from starsift.io.files import read_json
from starsift.logs import log_to

log_to(snakemake.log[0])
source = snakemake.input
predictions = pa.concat_tables(pq.read_table(path) for path in source.predictions)
calibration = read_json(source.calibration)
card = score_bhb(source.truth, pq.read_table(source.catalog), predictions, calibration=calibration)
write_card(card, snakemake.output.card, snakemake.output.text)
