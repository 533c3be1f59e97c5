"""Measure the candidates of one bundle, or its known M stars: velocities, indices, subtypes, activity."""

import pyarrow.parquet as pq

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.mstars.labelled import known_m_stars
from starsift.searches.mstars.measurements import measure_rows, velocity_bank

log_to(snakemake.log[0])
source, settings = snakemake.input, dict(snakemake.params.measure)
bank = velocity_bank(pq.read_table(source.templates), settings.pop("velocity_max"))
if source.get("candidates"):
    filters = [("bundle", "==", snakemake.wildcards.bundle)]
    rows = pq.read_table(source.candidates, columns=["row"], filters=filters)["row"].to_numpy()
else:
    rows = known_m_stars(source.manifest, source.spectra)
write_parquet(measure_rows(source.spectra, rows, bank, **settings), snakemake.output[0])
