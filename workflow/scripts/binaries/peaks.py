"""Find the velocity components of one bundle of CCFs."""

from starsift.learning.backend import namespace
from starsift.logs import log_to
from starsift.searches.binaries.curves import read_curves
from starsift.searches.binaries.peaks import find_components, write_components

log_to(snakemake.log[0])
xp = namespace("keras" if snakemake.resources.get("gpu") else None)
components = (
    (curves, find_components(curves.ccf, curves.velocities, **snakemake.params.peaks, xp=xp))
    for curves in read_curves(snakemake.input.curves)
)
write_components(snakemake.output[0], components)
