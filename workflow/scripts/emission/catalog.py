"""Publish the catalogue of emission-line spectra, the rejected candidates and the funnel."""

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.catalog.columns import conform
from starsift.catalog.provenance import provenance
from starsift.catalog.publish import publish
from starsift.io.files import read_json
from starsift.io.parquet import write_counts, write_parquet
from starsift.learning.labels import load_labels, warn_unmatched
from starsift.logs import log_to
from starsift.searches.emission.catalog import assemble, gather_candidates, measure_candidates, with_windows
from starsift.searches.emission.columns import EMISSION
from starsift.searches.emission.labels import candidate_labels, read_round_labels

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
warn_unmatched(settings.store, "emission", "results")
round_labels = read_round_labels(source.labels)
people = load_labels(settings.store, search="emission", missing_ok=True)
candidates, funnel = gather_candidates(source.windows, source.predictions, round_labels)
catalog, rejected, end = assemble(
    candidates,
    measure_candidates(candidates, source.spectra),
    pq.read_table(source.manifest),
    round_labels,
    candidate_labels(people),
    temperature=read_json(source.calibration)["temperature"],
    **settings.catalog,
)
origin = provenance(settings.settings, {"catalog": source.catalog, "models": source.models})
publish(catalog, EMISSION, "results/catalogs/emission", origin)
write_parquet(conform(rejected, EMISSION), output.rejected)
write_parquet(with_windows(pa.concat_tables([catalog, rejected]), candidates), output.candidates)
write_parquet(round_labels, output.queries)
write_counts(funnel | end, output.funnel)
