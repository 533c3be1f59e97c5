"""The public interface: the names that `starsift` offers, and what only the interface needs.

`import starsift` imports none of them; each is imported from its module when it is first used.
"""

from __future__ import annotations

import os
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    from astropy.table import Table

    from starsift.searches.binaries.peaks import Components
    from starsift.spectra.ccf import TemplateBank
    from starsift.spectra.templates import TemplateGrid

MODULES = {
    "read_spectra": "starsift.spectra.reading",
    "SpectrumBatch": "starsift.spectra.batches",
    "read_table": "starsift.api",
    "to_astropy": "starsift.catalog.publish",
    "load_grid": "starsift.spectra.templates",
    "build_bank": "starsift.api",
    "correlate": "starsift.spectra.ccf",
    "find_components": "starsift.api",
    "measure_indices": "starsift.searches.mstars.indices",
    "StarsiftError": "starsift.errors",
    "InputError": "starsift.errors",
    "SettingsError": "starsift.errors",
    "ResultsError": "starsift.errors",
    "TrainingError": "starsift.errors",
}
PUBLIC = ["__version__", *MODULES]


def find_public(name: str) -> Any:
    """The object of a public name; AttributeError where there is no such name."""
    if name == "__all__":
        return PUBLIC
    if name == "__version__":
        return metadata.version("starsift")
    if name not in MODULES:
        raise AttributeError(f"module 'starsift' has no attribute {name!r}")
    return getattr(import_module(MODULES[name]), name)


def build_bank(grid: TemplateGrid, **settings: Any) -> TemplateBank:
    """Templates shifted to every velocity: `starsift.spectra.ccf.build_bank`.

    Its parameters have the defaults and limits of the settings `binaries.ccf`; SettingsError beyond these.
    """
    from starsift.searches.binaries.settings import Ccf
    from starsift.settings import complete_group
    from starsift.spectra import ccf

    return ccf.build_bank(grid, **complete_group(Ccf, ("binaries", "ccf"), settings))


def find_components(
    ccf: np.ndarray, velocities: np.ndarray, *, xp: ModuleType | None = None, **settings: Any
) -> Components:
    """Radial velocities of the components of CCFs: `starsift.searches.binaries.peaks.find_components`.

    Its parameters have the defaults and limits of the settings `binaries.peaks`; SettingsError beyond these.
    One CCF (velocity,) is taken for several (1, velocity); InputError for other shapes.
    """
    import numpy as np

    from starsift.errors import InputError
    from starsift.searches.binaries import peaks
    from starsift.searches.binaries.settings import Peaks
    from starsift.settings import complete_group

    curves, grid = np.atleast_2d(ccf), np.asarray(velocities)
    if grid.ndim != 1 or curves.shape[1:] != grid.shape:
        raise InputError(
            f"CCFs are {curves.shape}, velocities {grid.shape}: expected (n, velocity), (velocity,)"
        )
    complete = complete_group(Peaks, ("binaries", "peaks"), settings)
    return peaks.find_components(curves, grid, xp=xp or np, **complete)


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a table in FITS, Parquet, VOTable, ECSV or CSV, also compressed, as an astropy table.

    Missing values are masked, also in columns of integers; units, where the file has them, are on the
    columns. Columns of vectors are left out, except of Parquet. Raises InputError if there is no such file,
    or the table cannot be used, as when identifiers have lost digits.
    """
    import pyarrow as pa

    from starsift.catalog.publish import to_astropy
    from starsift.io import tables

    table = tables.read_table(path)
    fields = [
        field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in table.schema
    ]
    return to_astropy(table.cast(pa.schema(fields)))
