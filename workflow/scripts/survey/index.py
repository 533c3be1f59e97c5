"""Make a catalogue from the headers of a folder of FITS files."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.survey.index import index_folder

log_to(snakemake.log[0])
write_parquet(index_folder(snakemake.params.root), snakemake.output[0])
