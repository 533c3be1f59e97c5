"""Read the spectra of one bundle and pack them."""

from starsift.survey.partition import pack_bundle

from starsift.logs import log_to
from starsift.spectra.batches import write_index

log_to(snakemake.log[0])
settings = snakemake.params
counts = pack_bundle(snakemake.input.manifest, settings.root, settings.kind, snakemake.output.spectra)
write_index(snakemake.output.spectra, snakemake.output.index)
print(*(f"{status}: {count}" for status, count in counts.items()), sep="\n")
