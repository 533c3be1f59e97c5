"""Which bundles of a survey hold labelled spectra: only these make the data set."""

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.searches.bhb.dataset import read_labelled, spectrum_keys

PathLike = str | os.PathLike[str]


def labelled_bundles(catalog: PathLike, manifests: Iterable[PathLike]) -> list[str]:
    """Names of the bundles with a labelled spectrum; of all if none has one, for `build_dataset` to say so.

    Parameters
    ----------
    catalog : see `read_labelled`
    manifests : of the bundles, in whose order their names are

    Raises
    ------
    InputError : see `read_labelled`.
    """
    labelled = read_labelled(catalog)
    wanted = spectrum_keys(labelled, labelled)
    found: dict[str, bool] = {}
    for path in manifests:
        file = pq.ParquetFile(path)
        columns = {"spectrum_id", "planid", "mjd", "lmjd", "fiberid"} & set(file.schema_arrow.names)
        here = pc.is_in(spectrum_keys(file.read(columns=sorted(columns)), labelled), value_set=wanted)
        found[Path(path).stem] = pc.any(here, min_count=0).as_py()
    return [name for name, any_here in found.items() if any_here] or list(found)
