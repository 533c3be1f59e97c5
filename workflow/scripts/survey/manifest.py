"""Select spectra from a catalogue and group them into bundles."""

from pathlib import Path

from starsift.errors import InputError
from starsift.logs import log_to
from starsift.survey.catalog import read_catalog
from starsift.survey.partition import make_manifest, write_manifest
from starsift.survey.paths import template_columns
from starsift.survey.selection import apply_cuts

log_to(snakemake.log[0])
settings = snakemake.params
if not Path(settings.root).is_dir():
    raise InputError(f"{settings.root}: no such folder")
used = [cut["column"] for cut in settings.selection]
used += template_columns(settings.path_template) if settings.path_template is not None else []
used += settings.columns
catalog = read_catalog(settings.catalog or snakemake.input[0], settings.kind, columns=used)
selected, selection = apply_cuts(catalog, settings.selection)
manifest = make_manifest(
    selected,
    survey=settings.kind,
    path_template=settings.path_template,
    root=settings.root,
    columns=settings.columns,
    **settings.partition,
)
write_manifest(Path(snakemake.output.manifest).parent, snakemake.wildcards.survey, manifest, selection)
