"""A grid of synthetic spectra, from one compact Parquet file (format: docs/templates.md).

``python -m starsift.spectra.templates grid.npz grid.parquet`` converts NumPy arrays ``params`` (n, 4),
``wave`` (pixel,), ``normalized`` and ``flux`` (n, pixel) into that format.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.errors import InputError
from starsift.io.files import atomic_path
from starsift.resources import resource
from starsift.sky.air import air_to_vacuum

SHIPPED = resource("templates/grid.parquet")
FOOTER_KEY = b"starsift.template_grid"
FORMAT_VERSION = 1
PARAMETERS = ("teff", "logg", "feh", "vmicro")
CONTINUUM_DEGREE = 4  # ln(continuum) over 500 Angstrom is smooth: median error 5e-4
QUANTISED_MAX = 65535

PROVENANCE = (
    "LTE spectra computed with Turbospectrum v20 (plane parallel), Kurucz-type ATLAS12 atmospheres (the C3K "
    "grid through the atmosnet emulator, [alpha/Fe] = -0.4 [Fe/H] capped at 0.4), the Gaia-ESO atomic line "
    "list with hyperfine structure and isotopes, and hydrogen lines; no molecules; smoothed to R = 20 000."
)


@dataclass(frozen=True)
class TemplateGrid:
    """Synthetic spectra of single stars.

    Attributes
    ----------
    params : (n, 4) float64
        Teff (K), log g (dex, cgs), [Fe/H] (dex), microturbulence (km/s).
    wavelength : (pixel,) float64
        Vacuum wavelength in Angstrom, strictly ascending.
    normalized : (n, pixel) float32
        Flux over continuum.
    continuum : (n, pixel) float32
        Continuum surface flux, erg/s/cm2/A.
    resolution : float
        Resolving power (wavelength over full width at half maximum) of the spectra.
    provenance : str
        Where the spectra come from.
    """

    params: np.ndarray
    wavelength: np.ndarray
    normalized: np.ndarray
    continuum: np.ndarray
    resolution: float
    provenance: str = ""

    @property
    def n(self) -> int:
        """Number of spectra."""
        return len(self.params)

    @property
    def flux(self) -> np.ndarray:
        """Emergent surface flux (n, pixel) float32, erg/s/cm2/A."""
        return self.normalized * self.continuum

    def nearest(self, teff: float, logg: float, feh: float = 0.0) -> int:
        """Row of the spectrum nearest to the parameters; 250 K, 0.5 dex and 0.5 dex count the same."""
        distance = (np.asarray([teff, logg, feh]) - self.params[:, :3]) / (250.0, 0.5, 0.5)
        return int(np.argmin((distance**2).sum(axis=1)))


def _check(
    source: str,
    params: np.ndarray,
    wavelength: np.ndarray,
    normalized: np.ndarray,
    continuum: np.ndarray,
    resolution: float,
) -> None:
    """Raise InputError at the first thing that would make synthetic spectra wrong."""
    n, pixels = len(params), len(wavelength)
    if n == 0 or pixels < 2:
        raise InputError(
            f"{source}: {n} spectra of {pixels} pixels; a grid needs at least 1 spectrum of 2 pixels"
        )
    if params.shape != (n, 4):
        raise InputError(
            f"{source}: params have shape {params.shape}, expected ({n}, 4): {', '.join(PARAMETERS)}"
        )
    for name, array in (("normalized", normalized), ("continuum", continuum)):
        if array.shape != (n, pixels):
            raise InputError(f"{source}: {name} has shape {array.shape}, expected ({n}, {pixels})")
        bad = ~np.isfinite(array).all(axis=1) | (array < 0).any(axis=1)
        if bad.any():
            raise InputError(
                f"{source}: {name} of spectrum {int(np.argmax(bad))} is negative or not finite: drop it"
            )
    if not np.isfinite(params).all() or (params[:, 0] <= 0).any():
        raise InputError(f"{source}: every teff must be positive and every parameter finite")
    if not (np.isfinite(wavelength).all() and wavelength[0] > 0 and (np.diff(wavelength) > 0).all()):
        raise InputError(f"{source}: wavelengths must be positive and strictly ascending, in Angstrom")
    if not resolution > 0:
        raise InputError(
            f"{source}: resolution is {resolution}, expected a positive resolving power such as 20000"
        )
    stars, counts = np.unique(params[:, :3], axis=0, return_counts=True)
    if counts.max() > 1:
        teff, logg, feh = stars[np.argmax(counts)]
        raise InputError(
            f"{source}: teff {teff:g}, logg {logg:g}, feh {feh:g} occurs {counts.max()} times; keep one"
        )


def write_grid(
    path: str | Path,
    params: np.ndarray,
    wavelength: np.ndarray,
    normalized: np.ndarray,
    continuum: np.ndarray,
    *,
    resolution: float,
    medium: str = "vacuum",
    provenance: str,
) -> None:
    """Write a grid in the compact format: 16-bit normalised flux, polynomial continuum.

    Parameters
    ----------
    path : Parquet file to write
    params : (n, 4) Teff (K), log g, [Fe/H], microturbulence (km/s)
    wavelength : (pixel,) Angstrom, uniform step, in `medium`
    normalized, continuum : (n, pixel) flux over continuum, and continuum surface flux in erg/s/cm2/A
    resolution : resolving power of the spectra
    medium : "air" or "vacuum", what the wavelengths are measured in
    provenance : code, atmospheres, line list: what a reader needs to cite

    Raises InputError if the arrays do not make a valid grid.
    """
    params = np.asarray(params, dtype=np.float64)
    wavelength = np.asarray(wavelength, dtype=np.float64)
    normalized = np.asarray(normalized, dtype=np.float64)
    continuum = np.asarray(continuum, dtype=np.float64)
    source = str(path)
    _check(source, params, wavelength, normalized, continuum, resolution)
    if medium not in ("air", "vacuum"):
        raise InputError(f"{source}: medium is {medium!r}, expected 'air' or 'vacuum'")
    if (continuum <= 0).any():
        raise InputError(f"{source}: the continuum must be positive everywhere")
    step = (wavelength[-1] - wavelength[0]) / (len(wavelength) - 1)
    if np.abs(np.diff(wavelength) - step).max() > 1e-3 * step:
        raise InputError(
            f"{source}: wavelengths are not uniformly spaced; resample the spectra to a uniform step"
        )
    order = np.lexsort(params[:, ::-1].T)  # by teff, then logg, feh, vmicro
    params, normalized, continuum = params[order], normalized[order], continuum[order]
    scale = QUANTISED_MAX / max(1.0, normalized.max())
    x = np.linspace(-1.0, 1.0, len(wavelength))
    coefficients = np.polynomial.legendre.legfit(x, np.log(continuum).T, CONTINUUM_DEGREE).T
    columns: dict[str, pa.Array] = {
        name: pa.array(params[:, i].astype(np.float32)) for i, name in enumerate(PARAMETERS)
    }
    columns["normalized"] = pa.array(
        list(np.rint(normalized * scale).astype(np.uint16)), pa.list_(pa.uint16())
    )
    columns["continuum"] = pa.array(list(coefficients), pa.list_(pa.float64()))
    footer = {
        "version": FORMAT_VERSION,
        "wavelength_start": wavelength[0],
        "wavelength_step": step,
        "wavelength_medium": medium,
        "pixels": len(wavelength),
        "normalized_scale": scale,
        "resolution": float(resolution),
        "provenance": provenance,
    }
    table = pa.table(columns).replace_schema_metadata({FOOTER_KEY: json.dumps(footer)})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=15, use_dictionary=False)


def _footer(source: str, metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """The grid's description from the Parquet footer, checked for its keys."""
    if not metadata or FOOTER_KEY not in metadata:
        raise InputError(
            f"{source}: no '{FOOTER_KEY.decode()}' in the Parquet footer; write the grid with "
            "starsift.spectra.templates.write_grid (docs/templates.md)"
        )
    footer = json.loads(metadata[FOOTER_KEY])
    numbers = ("wavelength_start", "wavelength_step", "pixels", "normalized_scale", "resolution")
    missing = [key for key in (*numbers, "version", "wavelength_medium") if key not in footer]
    if missing:
        raise InputError(f"{source}: the footer lacks {', '.join(missing)} (docs/templates.md)")
    if footer["version"] != FORMAT_VERSION:
        raise InputError(f"{source}: format version {footer['version']}, this program reads {FORMAT_VERSION}")
    if footer["wavelength_medium"] not in ("air", "vacuum"):
        raise InputError(
            f"{source}: wavelength_medium is {footer['wavelength_medium']!r}, expected air or vacuum"
        )
    for key in numbers:
        if not isinstance(footer[key], int | float) or not footer[key] > 0:
            raise InputError(f"{source}: {key} in the footer is {footer[key]!r}, expected a positive number")
    return footer


def _matrix(source: str, table: pa.Table, name: str, width: int | None) -> np.ndarray:
    """A list column as an (n, width) array; every list must have the same length."""
    column = table[name].combine_chunks()
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)) or column.null_count:
        raise InputError(f"{source}: column {name} has type {column.type}, expected a list in every row")
    lengths = np.diff(column.offsets.to_numpy())
    expected = int(lengths[0]) if width is None else width
    if (lengths != expected).any():
        row = int(np.argmax(lengths != expected))
        raise InputError(f"{source}: {name} of row {row} has {lengths[row]} values, expected {expected}")
    return column.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, expected)


def load_grid(path: str | Path | None = None) -> TemplateGrid:
    """Load and validate a template grid, by default the one that ships; wavelengths come out in vacuum.

    Raises InputError if there is no such file, or it is not a valid grid; the message says why.
    """
    path = SHIPPED if path is None else path
    source = str(path)
    if not Path(path).is_file():
        raise InputError(f"{source}: no such template grid; set the path of a grid (docs/templates.md)")
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{source}: not a Parquet file ({error})") from error
    footer = _footer(source, table.schema.metadata)
    missing = [name for name in (*PARAMETERS, "normalized", "continuum") if name not in table.column_names]
    if missing:
        raise InputError(
            f"{source}: missing column(s) {', '.join(missing)}; found {', '.join(table.column_names)}"
        )
    if table.num_rows == 0:
        raise InputError(f"{source}: the grid is empty")
    params = np.stack([table[name].to_numpy().astype(np.float64) for name in PARAMETERS], axis=1)
    normalized = _matrix(source, table, "normalized", int(footer["pixels"])).astype(np.float32)
    normalized /= np.float32(footer["normalized_scale"])
    coefficients = _matrix(source, table, "continuum", None).astype(np.float64)
    x = np.linspace(-1.0, 1.0, normalized.shape[1])
    with np.errstate(over="ignore"):  # an overflow is caught below, with the row's number
        logarithm = coefficients @ np.polynomial.legendre.legvander(x, coefficients.shape[1] - 1).T
        continuum = np.exp(logarithm).astype(np.float32)
    wavelength = footer["wavelength_start"] + footer["wavelength_step"] * np.arange(normalized.shape[1])
    if footer["wavelength_medium"] == "air":
        wavelength = air_to_vacuum(wavelength)
    _check(source, params, wavelength, normalized, continuum, footer["resolution"])
    return TemplateGrid(
        params, wavelength, normalized, continuum, float(footer["resolution"]), footer.get("provenance", "")
    )


def main(arguments: list[str] | None = None) -> None:
    """Convert NumPy arrays to the compact format."""
    parser = argparse.ArgumentParser(prog="python -m starsift.spectra.templates", description=main.__doc__)
    parser.add_argument("source", help="npz file with params, wave, normalized, flux")
    parser.add_argument("destination", help="Parquet file to write")
    parser.add_argument("--medium", choices=("air", "vacuum"), default="air", help="of the wavelengths")
    parser.add_argument("--resolution", type=float, default=20_000.0, help="resolving power of the spectra")
    parser.add_argument("--provenance", default=PROVENANCE, help="where the spectra come from")
    options = parser.parse_args(arguments)
    with np.load(options.source) as arrays:
        missing = [name for name in ("params", "wave", "normalized", "flux") if name not in arrays]
        if missing:
            parser.error(f"{options.source} lacks the array(s) {', '.join(missing)}")
        normalized = arrays["normalized"].astype(np.float64)
        write_grid(
            options.destination,
            arrays["params"],
            arrays["wave"],
            normalized,
            arrays["flux"] / normalized,
            resolution=options.resolution,
            medium=options.medium,
            provenance=options.provenance,
        )


if __name__ == "__main__":
    main()
