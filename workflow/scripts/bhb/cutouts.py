"""Read the five-band images of one bundle."""

from starsift.logs import log_to
from starsift.survey.cutouts import pack_cutouts

log_to(snakemake.log[0])
settings = snakemake.params
cutouts = settings.cutouts or {"root": None, "path_template": None}
counts = pack_cutouts(
    snakemake.input.manifest,
    cutouts["root"],
    cutouts["path_template"],
    snakemake.output[0],
    **settings.image,
)
print(*(f"{status}: {count}" for status, count in counts.items()), sep="\n")
