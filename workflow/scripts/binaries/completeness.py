"""Measure and publish which share of double-lined spectra is found."""

import pyarrow as pa

from starsift.catalog.provenance import provenance
from starsift.catalog.publish import publish
from starsift.logs import log_to
from starsift.searches.binaries.columns import BINARIES_COMPLETENESS
from starsift.searches.binaries.completeness import simulated_completeness, survey_completeness
from starsift.searches.binaries.decision import Decision
from starsift.searches.binaries.model_bank import build_models
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
source, settings = snakemake.input, snakemake.params
grid, decision = load_grid(source.grid), Decision.load(source.decision)
bank = build_models(grid, **settings.model)
axes = dict(settings.completeness)
trials, pairs, seed = axes.pop("trials"), axes.pop("survey"), settings.settings["seed"]
resolution = settings.model["resolution"]
tables = [
    simulated_completeness(grid, bank, decision, resolution=resolution, trials=trials, seed=seed, axes=axes),
    survey_completeness(source.spectra, source.classes, bank, decision, pairs=pairs, seed=seed, axes=axes),
]
origin = provenance(settings.settings, {"template_grid": source.grid})
publish(pa.concat_tables(tables), BINARIES_COMPLETENESS, "results/catalogs/binaries_completeness", origin)
