"""What simulated surveys share: size and layout, cards of LAMOST's headers, catalogues, tables of truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.io import fits
from astropy.table import Table

from starsift.demo.fitswriter import Card
from starsift.errors import SettingsError
from starsift.io.files import atomic_path
from starsift.sky.barycentric import XINGLONG

TEXT, BOOL, REAL = pa.string(), pa.bool_(), pa.float32()
INT8, INT32, INT64 = pa.int8(), pa.int32(), pa.int64()

SITE_CARDS: list[Card] = [
    ("ORIGIN", "SIMULATED", "not an observation"),
    ("TELESCOP", "LAMOST", ""),
    ("LONGITUD", XINGLONG.longitude, "[deg] longitude of site"),
    ("LATITUDE", XINGLONG.latitude, "[deg] latitude of site"),
]
FRAME_CARDS: list[Card] = [
    ("OBS_TYPE", "OBJ", "OBJ, FLAT, ARC or BIAS"),
    ("RADECSYS", "ICRS", "coordinate system"),
    ("EQUINOX", 2000.0, "of coordinates"),
]
UNITS = {
    "ra": "deg",
    "dec": "deg",
    "rv": "km/s",
    "gaia_g_mean_mag": "mag",
    "exptime": "s",
    "mjd": "d",
    "lmjd": "d",
    "lmjm": "min",
}


def check_size(layout: str, layouts: Sequence[str], n_spectrographs: int, **counts: int) -> None:
    """Raise `SettingsError` for a layout that there is not, or a survey of an impossible size."""
    if layout not in (*layouts, "both"):
        raise SettingsError(f"layout is {layout!r}, expected {layouts[0]!r}, {layouts[1]!r} or 'both'")
    if min(counts.values()) < 1 or not 1 <= n_spectrographs <= 16:
        raise SettingsError(
            f"a survey needs 1 or more of each of {', '.join(counts)}, and 1 to 16 spectrographs"
        )


def choose_spectrographs(n: int) -> list[int]:
    """Numbers of n spectrographs spread over the 16 of LAMOST."""
    return np.unique(np.linspace(1, 16, n).round().astype(int)).tolist()


def choose_layouts(layout: str, layouts: Sequence[str], n_plans: int) -> np.ndarray:
    """Layout of the files of each plan (n_plans,): the two in turn where it is both."""
    return np.array([layouts[k % 2] if layout == "both" else layout for k in range(n_plans)])


def target_cards(ra: float, dec: float, designation: str, fiberid: int) -> list[Card]:
    """Cards of the star that a fibre looks at."""
    return [
        ("RA", ra, "[deg] right ascension"),
        ("DEC", dec, "[deg] declination"),
        ("RA_OBS", ra, "[deg] right ascension during observing"),
        ("DEC_OBS", dec, "[deg] declination during observing"),
        ("DESIG", f"LAMOST {designation}", "designation"),
        ("FIBERID", fiberid, "fibre"),
    ]


def source_cards(*, old: bool, fibermask: int) -> list[Card]:
    """Cards of the input catalogue and the fibre, by their names in old or new releases."""
    return [
        ("OBJTYPE", "Star", "from the input catalogue"),
        ("TSOURCE", "SIMULATED", "input catalogue"),
        ("FIBERTYP" if old else "FIB_TYPE", "Obj", "fibre type"),
        ("FIBERMAS" if old else "FIB_MASK", fibermask, "0 means good"),
    ]


def write_catalog(path: Path, columns: dict[str, np.ndarray]) -> None:
    """A catalogue as a FITS table, complete or not at all."""
    table = Table(columns)
    for name in UNITS.keys() & columns.keys():
        table[name].unit = UNITS[name]
    with atomic_path(path) as temporary:
        fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(table)]).writeto(temporary, overwrite=True)


def described_table(columns: Mapping[str, tuple[Any, ...]]) -> pa.Table:
    """A table of columns: type, description, unit, values (n,), and where these are known (n,) if not all."""
    arrays, fields = [], []
    for name, (kind, text, unit, values, *rest) in columns.items():
        known = rest[0] if rest else None
        if isinstance(values, np.ndarray) and (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            values = (values if known is None else np.where(known, values, 0)).astype(kind.to_pandas_dtype())
        arrays.append(pa.array(values, kind, mask=None if known is None else ~known))
        fields.append(pa.field(name, kind, metadata={"description": text} | ({"unit": unit} if unit else {})))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))
