"""Read the spectra of one bundle and pack them."""

from starsift.logs import log_to
from starsift.spectra.packing import pack_bundle

log_to(snakemake.log[0])
settings, output = snakemake.params, snakemake.output
counts = pack_bundle(
    snakemake.input.manifest, settings.root, settings.kind, output.spectra, index=output.index
)
print(*(f"{status}: {count}" for status, count in counts.items()), sep="\n")
