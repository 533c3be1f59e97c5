"""Small five-band cutouts for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from starsift.simulate import fitswriter

FLUX = {"u": 20.0, "g": 30.0, "r": 30.0, "i": 25.0, "z": 20.0}  # nanomaggies
SKY = 0.05  # noise of a pixel
SCALE = 1.1e-4  # degrees a pixel


def wcs(size: int, dx: float = 0.0, dy: float = 0.0) -> dict[str, Any]:
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": (size + 1) / 2 + dx,
        "CRPIX2": (size + 1) / 2 + dy,
        "CRVAL1": 150.0,
        "CRVAL2": 20.0,
        "CD1_1": -SCALE,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": SCALE,
    }


def star(
    size: int, flux: float, dx: float = 0.0, dy: float = 0.0, *, seed: int = 0, sigma: float = 1.4
) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    light = flux * np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / 2 / sigma**2) / (2 * np.pi * sigma**2)
    return (light + np.random.default_rng(seed).normal(0, SKY, light.shape)).astype(np.float32)


def planes(size: int = 40, *, seed: int = 0) -> dict[str, np.ndarray]:
    return {band: star(size, flux, seed=10 * seed + k) for k, (band, flux) in enumerate(FLUX.items())}


def extension(image: np.ndarray, cards: Mapping[str, Any]) -> bytes:
    made = fitswriter.image(image, [(key, value, "") for key, value in cards.items()])
    return b"XTENSION= 'IMAGE   '".ljust(80) + made[80:]


def write_cutout(
    path: Path,
    images: Mapping[str, np.ndarray] | None = None,
    cards: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    seed: int = 0,
    name: str = "EXTNAME",
) -> Path:
    """One file of images by band; ``cards`` replace or, if None, drop those of a band."""
    parts = [fitswriter.primary([])]
    for band, image in (images or planes(seed=seed)).items():
        header = {name: band, **wcs(image.shape[-1]), **(cards or {}).get(band, {})}
        parts.append(extension(image, {key: value for key, value in header.items() if value is not None}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(parts))
    return path
