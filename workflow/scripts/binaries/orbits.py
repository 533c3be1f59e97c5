"""Find and publish orbits."""

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.catalog.provenance import provenance
from starsift.catalog.publish import publish
from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.binaries.columns import BINARIES_ORBITS, BINARIES_VARIABLES
from starsift.searches.binaries.orbit_catalog import find_orbits

log_to(snakemake.log[0])
source, settings = snakemake.input, snakemake.params
star = BINARIES_VARIABLES.names[:5]
stars = pa.concat_tables(pq.read_table(path, columns=star) for path in (source.objects, source.variables))
seed = settings.settings["seed"]
orbits, samples = find_orbits(pq.read_table(source.velocities), stars, **settings.orbits, seed=seed)
inputs = {"catalog": source.catalog, "template_grid": source.grid, "models": source.models}
origin = provenance(settings.settings, inputs)
publish(orbits, BINARIES_ORBITS, "results/catalogs/binaries_orbits", origin)
write_parquet(samples, snakemake.output.samples)
