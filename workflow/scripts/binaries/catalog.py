"""Publish the catalogues of binaries, and the funnel."""

from starsift.catalog.provenance import provenance
from starsift.catalog.publish import publish
from starsift.io.parquet import write_csv, write_parquet
from starsift.learning.labels import read_labels, warn_unmatched, with_labels
from starsift.logs import log_to
from starsift.searches.binaries.catalog import (
    collect_velocities,
    find_variables,
    gather_catalog,
    group_exposures,
    make_objects,
    weigh_exposures,
)
from starsift.searches.binaries.columns import BINARIES_OBJECTS, BINARIES_SPECTRA, BINARIES_VARIABLES
from starsift.searches.binaries.decision import Decision
from starsift.searches.binaries.voting import funnel
from starsift.searches.binaries.words import VOCABULARY

log_to(snakemake.log[0])
source, settings = snakemake.input, snakemake.params
warn_unmatched(settings.store, "binaries", "results")
stages = {name: source[name] for name in ("classes", "components", "errors", "suspects", "manifests")}
spectra, exposures, candidates, called = gather_catalog(stages)
objects = settings.objects
exposures = group_exposures(exposures, objects["match_radius"])
spectra = weigh_exposures(
    spectra,
    exposures,
    threshold=Decision.load(source.decision).thresholds[0],
    binaries=sum(settings.proportions[1:]) / sum(settings.proportions),
)
spectra, stars = make_objects(spectra, exposures)
varying = {key: objects[key] for key in ("stability", "p_value")}
variables = find_variables(exposures, stars["object_id"], **varying)
velocities = collect_velocities(spectra, exposures, stars, variables)
spectra = with_labels(spectra, read_labels(settings.store, VOCABULARY, missing_ok=True))
inputs = {"catalog": source.catalog, "template_grid": source.grid, "models": source.models}
origin = provenance(settings.settings, inputs)
publish(spectra, BINARIES_SPECTRA, "results/catalogs/binaries_spectra", origin)
publish(stars, BINARIES_OBJECTS, "results/catalogs/binaries_objects", origin)
publish(variables, BINARIES_VARIABLES, "results/catalogs/binaries_variables", origin)
write_csv(funnel(candidates), snakemake.output.funnel)
write_parquet(called, snakemake.output.methods)
write_parquet(velocities, snakemake.output.velocities)
