"""Publish the catalogue of emission-line spectra, what people took out of it, and the funnel."""

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.catalog.columns import conform
from starsift.catalog.listing import plain_text
from starsift.catalog.provenance import provenance
from starsift.catalog.publish import publish
from starsift.io.parquet import write_csv, write_parquet
from starsift.learning.labels import load_labels, warn_unmatched
from starsift.logs import log_to
from starsift.searches.emission.catalog import (
    assemble,
    candidate_labels,
    gather_candidates,
    measure_candidates,
    read_answers,
    read_temperature,
    with_windows,
)
from starsift.searches.emission.columns import EMISSION

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
warn_unmatched(settings.store, "emission", "results")
answers = read_answers(source.rounds)
labels = candidate_labels(load_labels(settings.store, search="emission", missing_ok=True))
found, funnel = gather_candidates(source.windows, source.predictions, answers)
known = measure_candidates(found, source.spectra), pq.read_table(source.manifest), answers, labels
chosen = dict(settings.catalog) | {"temperature": read_temperature(source.calibration)}
catalog, rejected, more = assemble(found, *known, **chosen)
origin = provenance(settings.settings, {"catalog": source.catalog})
publish(catalog, EMISSION, "results/catalogs/emission", origin)
write_csv(plain_text(conform(catalog, EMISSION)), output.csv)
write_parquet(conform(rejected, EMISSION), output.rejected)
write_parquet(with_windows(pa.concat_tables([catalog, rejected]), found), output.candidates)
write_parquet(answers, output.queries)
steps = funnel | more
write_csv(pa.table({"step": list(steps), "spectra": list(steps.values())}), output.funnel)
