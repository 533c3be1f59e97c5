"""Flag moonlight and cross-talk among the spectra of one bundle."""

import numpy as np

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.binaries.bundles import join_stages
from starsift.searches.binaries.curves import read_curves
from starsift.searches.binaries.peaks import rectangle
from starsift.searches.binaries.suspects import find_suspects

log_to(snakemake.log[0])
stages = {name: [snakemake.input[name]] for name in ("classes", "components", "manifest")}
rows = join_stages(stages)
rv = rectangle(rows["rv"])
flags = find_suspects(
    rows,
    np.concatenate([curves.ccf for curves in read_curves(snakemake.input.curves)]),
    rv,
    rectangle(rows["rv_err"], rv.shape[1]),
    rows["exptime"].fill_null(np.nan).to_numpy(),
    rows["gaia_source_id"].fill_null(0).to_numpy(),
    **snakemake.params.suspects,
)
write_parquet(flags, snakemake.output[0])
