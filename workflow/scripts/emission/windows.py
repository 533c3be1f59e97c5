"""Cut the windows around H alpha out of one bundle."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.emission.dataset import window_bundle

log_to(snakemake.log[0])
write_parquet(window_bundle(snakemake.input[0], **snakemake.params.window), snakemake.output[0])
