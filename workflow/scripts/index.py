"""Make a catalogue from the headers of a folder of FITS files."""

from starsift.catalog.publish import write_parquet
from starsift.survey.catalog import index_folder

from starsift.logs import log_to

log_to(snakemake.log[0])
write_parquet(index_folder(snakemake.params.root, kind=snakemake.params.kind), snakemake.output[0])
