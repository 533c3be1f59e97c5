"""Select spectra from a catalogue and group them into bundles."""

from starsift.survey.catalog import read_catalog
from starsift.survey.partition import apply_cuts, make_manifest, write_manifest

from starsift.logs import log_to

log_to(snakemake.log[0])
settings = snakemake.params
catalog = read_catalog(settings.catalog or snakemake.input[0])
selected, selection = apply_cuts(catalog, settings.selection)
manifest = make_manifest(
    selected,
    survey=settings.kind,
    path_template=settings.path_template,
    root=settings.root,
    **settings.partition,
)
write_manifest(manifest, selection, **snakemake.output)
