"""Publish the catalogue of blue horizontal branch stars, the rejected candidates, and the funnel."""

import pyarrow.parquet as pq

from starsift.catalog.columns import conform
from starsift.catalog.provenance import provenance
from starsift.catalog.publish import publish
from starsift.io.files import read_json
from starsift.io.parquet import write_counts, write_parquet
from starsift.learning.labels import read_labels, warn_unmatched
from starsift.logs import log_to
from starsift.searches.bhb.catalog import LEARNT_FROM, build_catalog, gather_candidates, read_manifests
from starsift.searches.bhb.columns import BHB
from starsift.searches.bhb.words import VOCABULARY

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
warn_unmatched(settings.store, "bhb", "results")
labels = read_labels(settings.store, VOCABULARY, missing_ok=True)
calibration = read_json(source.calibration)
dataset = LEARNT_FROM.empty_table()
if source.dataset:
    dataset = pq.read_table(source.dataset, columns=LEARNT_FROM.names)
photometry = {name: settings.catalog[name] for name in ("magnitude", "extinction")}
candidates, funnel = gather_candidates(source.predictions, labels, calibration)
manifest = read_manifests(source.manifests, candidates, dataset, **photometry)
inputs = {"catalog": source.catalog, "models": source.models}
catalog, rejected, more = build_catalog(candidates, manifest, labels, dataset, **settings.catalog)
publish(catalog, BHB, "results/catalogs/bhb", provenance(settings.settings, inputs))
write_parquet(conform(rejected, BHB), output.rejected)
write_counts(funnel | more, output.funnel)
