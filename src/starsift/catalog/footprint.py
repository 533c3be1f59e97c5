"""The part of the sky in which a search looked, as a multi-order coverage map (MOC)."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
import pyarrow.parquet as pq
from astropy import units as u
from mocpy import MOC

from starsift.io.columns import floats
from starsift.io.files import atomic_path

# Cells of 6.9 arcmin, about as far apart as the fibres of a field of LAMOST (4000 in 20 square degrees) or of
# SDSS (640 in 7).
ORDER = 9


def footprint(manifests: Iterable[str | os.PathLike[str]], order: int = ORDER) -> MOC:
    """The HEALPix cells that contain a spectrum of the manifests.

    A cell between spectra is not part of it, though its stars could have been observed: a survey does not say
    which. Spectra without coordinates are left out; without any, the map is empty.

    Parameters
    ----------
    manifests : Parquet files with ra and dec in degrees
    order : of the cells, 0 to 29
    """
    result = MOC.new_empty(order)
    for path in manifests:
        table = pq.ParquetFile(path).read(columns=["ra", "dec"])
        ra, dec = floats(table, "ra"), floats(table, "dec")
        known = np.isfinite(ra) & np.isfinite(dec)
        result = result.union(MOC.from_lonlat(ra[known] * u.deg, dec[known] * u.deg, max_norder=order))
    return result


def write_footprint(moc: MOC, path: str | os.PathLike[str]) -> None:
    """Write a map as FITS, which has no date: the same map makes the same bytes."""
    with atomic_path(path) as temporary:
        moc.save(temporary, format="fits", overwrite=True)
