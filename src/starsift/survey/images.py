"""Five-band cutouts around the stars of a survey: FITS planes u, g, r, i, z that show the same piece of sky.

A cutout comes as one file of five image extensions, named by EXTNAME or FILTER, or as five files. Pixels are
nanomaggies, with the star in the middle. Images whose bands are not aligned, or that have gaps, are left out
and say so: Wei et al. 2023, section 5.1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from starsift.errors import SpectrumError
from starsift.kernels import njit
from starsift.robust import MAD_TO_SIGMA
from starsift.survey.fitsfile import Hdu, Header, number, open_fits

PathLike = str | os.PathLike[str]

BANDS = "ugriz"
# Equal pixels that are no sky: as many in a row or column, or a square of this side. Two or three are common.
_RUN, _SIDE = 8, 3
_CORE = 3  # pixels around the middle, where nothing may be missing
# Peaks: standard deviation in pixels of the Gaussian window (SDSS's PSF has 1.4), and of a sharper one that
# tells neighbours apart; where windows end in these units; how often they are moved, and the last move.
_WINDOW, _SHARP, _REACH, _STEPS, _STILL = 1.3, 0.9, 3.0, 20, 0.01
_MIN_SNR, _MIN_SAME = 8.0, 4.0  # of a peak in the window, and of the same one in another band

_WCS = tuple(
    key
    for i in "12"
    for key in (
        f"CTYPE{i}",
        f"CRPIX{i}",
        f"CRVAL{i}",
        f"CDELT{i}",
        f"CD{i}_1",
        f"CD{i}_2",
        f"PC{i}_1",
        f"PC{i}_2",
    )
)

_EQUATORIAL = ("RA--", "DEC-")


class CutoutError(SpectrumError):
    """An image that cannot be used; ``status`` is one word for tables and counts."""


def read_cutout(
    path: PathLike | Sequence[PathLike],
    size: int,
    *,
    max_offset: float,
    max_bad: float,
    position: tuple[float, float] | None = None,
    fast: bool = True,
) -> np.ndarray:
    """Read the middle of a five-band cutout.

    Parameters
    ----------
    path : one FITS file with an image extension a band, or five files in the order ugriz with one image each
    size : pixels a side
    max_offset : pixels that bands may lie apart, by their coordinates or by the star where it is bright
    max_bad : share of the pixels that may be missing; they take the median of their band
    position : right ascension and declination of the star, degrees; where the image tells its coordinates,
        the star must be in the part that is read
    fast : False reads with astropy, for comparison

    Returns (5, size, size) float32, in the order ugriz. Raises CutoutError: status missing_file,
    corrupt_file, missing_band, wrong_shape, too_small, wrong_place (the star is not in it), gaps (too many
    pixels, or one near the middle, are not finite or in a stretch of equal values) or misaligned.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    if len(paths) not in (1, len(BANDS)):
        raise ValueError(f"{len(paths)} files of one cutout, expected one, or five in the order {BANDS}")
    where = str(paths[0])
    try:
        planes = _planes(paths[0], fast) if len(paths) == 1 else _single_planes(paths, fast)
        images = [_plane(where, band, hdu) for band, hdu in zip(BANDS, planes, strict=True)]
    except CutoutError:
        raise
    except SpectrumError as error:
        status = "missing_file" if error.status == "missing_file" else "corrupt_file"
        raise CutoutError(status, str(error)) from error
    except Exception as error:  # a damaged header can break numpy and astropy in any way
        raise CutoutError("corrupt_file", f"{where}: a plane cannot be read ({error})") from error
    shape = images[0].shape
    for band, image in zip(BANDS, images, strict=True):
        if image.ndim != 2 or image.shape != shape:
            raise CutoutError(
                "wrong_shape",
                f"{where}: band {band} has shape {image.shape}, expected an image of the shape of band "
                f"{BANDS[0]}, {shape}",
            )
    if min(shape) < size:
        raise CutoutError(
            "too_small", f"{where}: planes are {shape[0]} x {shape[1]} pixels, expected {size} or more a side"
        )
    top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
    cut = np.array([image[top : top + size, left : left + size] for image in images], dtype=np.float32)
    middle = np.array([left, top]) + (size - 1) / 2
    if position is not None:
        _check_position(where, [hdu.header for hdu in planes], middle, size, position)
    apart = _widest(np.array(_places([hdu.header for hdu in planes], middle)))
    if apart > max_offset:
        raise CutoutError(
            "misaligned",
            f"{where}: coordinates of the bands are {apart:.2f} pixels apart, at most {max_offset} expected",
        )
    sky = _fill_gaps(where, cut, max_bad)
    some = np.abs(cut[:, ::2, ::2] - sky[:, None, None])  # a quarter of the pixels is plenty
    noise = MAD_TO_SIGMA * np.median(some.reshape(len(cut), -1), axis=1)
    apart = _apart(cut, sky, noise, max_offset)
    if apart > max_offset:
        raise CutoutError(
            "misaligned",
            f"{where}: the star is in places {apart:.2f} pixels apart, at most {max_offset} expected",
        )
    return cut


def _planes(path: PathLike, fast: bool) -> list[Hdu]:
    """The planes of one file in the order of `BANDS`."""
    found: dict[str, Hdu] = {}
    for hdu in open_fits(path, fast=fast):
        for name in (hdu.name, hdu.header.get("FILTER")):
            found.setdefault(str(name).strip().lower(), hdu)
    missing = [band for band in BANDS if band not in found]
    if missing:
        raise CutoutError(
            "missing_band",
            f"{path}: no image of band {', '.join(missing)}; expected extensions with EXTNAME or FILTER "
            f"{', '.join(BANDS)}",
        )
    return [found[band] for band in BANDS]


def _single_planes(paths: Sequence[PathLike], fast: bool) -> list[Hdu]:
    """The first image of each of five files."""
    found: list[Hdu] = []
    for band, path in zip(BANDS, paths, strict=True):
        hdu = next(
            (h for h in open_fits(path, fast=fast) if h.header.get("NAXIS") and h.header.get("NAXIS1")), None
        )
        if hdu is None:
            raise CutoutError("missing_band", f"{path}: no image of band {band} in this file")
        found.append(hdu)
    return found


def _plane(where: str, band: str, hdu: Hdu) -> np.ndarray:
    image = hdu.image()
    if image.dtype.kind not in "fiu" or image.ndim == 0:
        raise CutoutError("wrong_shape", f"{where}: the extension of band {band} holds no image")
    return image


def _widest(places: np.ndarray) -> float:
    """Greatest distance between any two places (n, 2); rows that are not finite do not count."""
    known = places[np.isfinite(places).all(axis=1)]
    return float(np.linalg.norm(known[:, None] - known, axis=-1).max(initial=0.0))


def _places(headers: Sequence[Mapping[str, Any]], pixel: np.ndarray) -> np.ndarray:
    """Where the bands (n, 2) have what the first has at a pixel (x, y) from 0; NaN where they do not say.

    All projections are taken for TAN: bands are compared with each other, fractions of a degree from CRVAL,
    and what others differ by is the same in all.
    """
    cards = [tuple(_card(h, key) for key in _WCS) for h in headers]
    if all(one == cards[0] for one in cards):
        return np.zeros((len(headers), 2))
    found = [_coordinates(header) for header in headers]
    known = [one for one in found if one is not None]
    if not known:
        return np.full((len(headers), 2), np.nan)
    reference, frame, matrix = known[0]
    xi, eta = np.radians(matrix @ (pixel + 1 - reference))
    towards = frame[0] + xi * frame[1] + eta * frame[2]
    places = np.full((len(headers), 2), np.nan)
    for i, one in enumerate(found):
        if one is not None:
            reference, frame, matrix = one
            along = frame @ towards
            places[i] = reference - 1 + np.linalg.solve(matrix, np.degrees(along[1:] / along[0]))
    return places


def _check_position(
    where: str,
    headers: Sequence[Mapping[str, Any]],
    middle: np.ndarray,
    size: int,
    position: tuple[float, float],
) -> None:
    """Raise `CutoutError` wrong_place where a star is not in the `size` pixels around `middle` (x, y) from 0.

    The first band with coordinates decides: that bands agree is another test. Distances are those
    of the tangential projection, exact enough to tell a star from another.
    """
    known = (_coordinates(h) for h in headers if sorted(_axes(h)) == sorted(_EQUATORIAL))
    found = next((one for one in known if one is not None), None)
    if found is None or not np.isfinite(position).all():
        return
    reference, frame, matrix = found
    ra, dec = np.radians(position)
    along = frame @ np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    xi, eta = np.radians(matrix @ (middle + 1 - reference))
    towards = frame.T @ np.array([1.0, xi, eta])
    star = frame.T @ along
    away = np.degrees(np.arctan2(np.linalg.norm(np.cross(towards, star)), towards @ star))
    inside = along[0] > 0  # on this side of the sky
    if inside:
        pixel = reference - 1 + np.linalg.solve(matrix, np.degrees(along[1:] / along[0]))
        inside = bool((np.abs(pixel - middle) <= size / 2).all())
    if not inside:
        raise CutoutError(
            "wrong_place",
            f"{where}: its middle is {_angle(away)} from the star at {position[0]:.5f} {position[1]:+.5f}, "
            f"which is not in the {size} x {size} pixels; is this the image of another star?",
        )


def _angle(degrees: float) -> str:
    return f"{degrees:.2f} deg" if degrees > 1 else f"{3600 * degrees:.1f} arcsec"


def _card(header: Mapping[str, Any], key: str) -> Any:
    """A card as it is written, or its value: to compare headers read in one way."""
    return header.cards.get(key.ljust(8).encode()) if isinstance(header, Header) else header.get(key)


def _axes(header: Mapping[str, Any]) -> tuple[str, ...]:
    """What the two axes are; right ascension and declination where the header does not say."""
    return tuple(str(header.get(f"CTYPE{i}") or kind)[:4] for i, kind in enumerate(_EQUATORIAL, 1))


def _coordinates(header: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """CRPIX (2,); unit vectors (3, 3) to CRVAL, and east and north of it; degrees a pixel (2, 2)."""
    reference = np.array([number(header, "CRPIX1"), number(header, "CRPIX2")])
    ra, dec = np.radians([number(header, "CRVAL1"), number(header, "CRVAL2")])
    turned = _axes(header) == _EQUATORIAL[::-1]
    if turned:
        ra, dec = dec, ra
    if "CD1_1" in header:
        matrix = np.array([[number(header, f"CD{i}_{j}") for j in (1, 2)] for i in (1, 2)])
        # A card that is not there is 0.
        matrix = np.nan_to_num(matrix)
    else:
        matrix = np.array([[number(header, f"PC{i}_{j}") for j in (1, 2)] for i in (1, 2)])
        matrix = np.where(np.isnan(matrix), np.eye(2), matrix)
        matrix = matrix * np.array([[number(header, "CDELT1")], [number(header, "CDELT2")]])
    if not np.isfinite([*reference, ra, dec, *matrix.ravel()]).all() or not np.linalg.det(matrix):
        return None
    if turned:
        matrix = matrix[::-1]
    frame = np.array(
        [
            [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)],
            [-np.sin(ra), np.cos(ra), 0.0],
            [-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)],
        ]
    )
    return reference, frame, matrix


def _fill_gaps(where: str, cut: np.ndarray, max_bad: float) -> np.ndarray:
    """Replace each bad pixel of ``cut`` (5, size, size) by the median of its band; returns the medians."""
    bad = _bad(cut)
    if not bad.any():
        return np.asarray(np.median(cut.reshape(len(cut), -1), axis=1))
    share = bad.mean(axis=(1, 2))
    middle = slice(max(0, (cut.shape[1] - 1) // 2 - _CORE), cut.shape[1] // 2 + _CORE + 1)
    core = bad[:, middle, middle].any(axis=(1, 2))
    for wrong, what in (
        (share > max_bad, f"more than {max_bad:.1%} of the pixels"),
        (core, f"pixels within {_CORE} of the middle"),
    ):
        if wrong.any():
            band = BANDS[int(np.argmax(wrong))]
            raise CutoutError(
                "gaps",
                f"{where}: band {band}: {what} are missing: not finite, or all the same value "
                f"({share[BANDS.index(band)]:.1%} of the band)",
            )
    sky = np.array([np.median(image[~gone]) for image, gone in zip(cut, bad, strict=True)], cut.dtype)
    np.copyto(cut, sky[:, None, None], where=bad)
    return sky


@njit(nogil=True, cache=True)
def _bad(cut: np.ndarray) -> np.ndarray:
    """Pixels (5, size, size) that are not finite, or in a run or square of equal values."""
    bands, size, _ = cut.shape
    bad = ~np.isfinite(cut)
    for k in range(bands):
        for i in range(size):
            across, down = 1, 1  # equal values up to here in row i, and in column i
            for j in range(1, size):
                across = across + 1 if cut[k, i, j] == cut[k, i, j - 1] else 1
                if across >= _RUN:
                    bad[k, i, j + 1 - _RUN : j + 1] = True
                down = down + 1 if cut[k, j, i] == cut[k, j - 1, i] else 1
                if down >= _RUN:
                    bad[k, j + 1 - _RUN : j + 1, i] = True
                if across >= _SIDE and i >= _SIDE - 1:
                    corner = cut[k, i + 1 - _SIDE : i + 1, j + 1 - _SIDE : j + 1]
                    if (corner == cut[k, i, j]).all():
                        bad[k, i + 1 - _SIDE : i + 1, j + 1 - _SIDE : j + 1] = True
    return bad


@njit(nogil=True, cache=True, error_model="numpy")
def _climb(
    image: np.ndarray, sky: float, noise: float, x: float, y: float, width: float
) -> tuple[float, float, float]:
    """The peak (x, y) that is uphill from a place, as a Gaussian window sees it, and its S/N; 0: none."""
    size = image.shape[0]
    reach = _REACH * width
    total = 0.0
    for _ in range(_STEPS):
        total, along, up = 0.0, 0.0, 0.0
        for i in range(max(0, int(y - reach)), min(size, int(y + reach) + 2)):
            for j in range(max(0, int(x - reach)), min(size, int(x + reach) + 2)):
                weight = np.exp(-0.5 * ((j - x) ** 2 + (i - y) ** 2) / width**2) * (image[i, j] - sky)
                total += weight
                along += weight * (j - x)
                up += weight * (i - y)
        along, up = along / total, up / total
        x, y = x + along, y + up
        if not (total > 0 and 0 <= x < size and 0 <= y < size):
            return x, y, 0.0
        if abs(along) + abs(up) < _STILL:
            break
    return x, y, total / (noise * np.sqrt(np.pi) * width)


@njit(nogil=True, cache=True)
def _find(image: np.ndarray, sky: float, noise: float) -> tuple[float, float, float]:
    """The peak in the middle, or if there is none the brightest one: (x, y) and S/N, 0 where too faint."""
    size = image.shape[0]
    middle = (size - 1) / 2
    x, y, snr = _climb(image, sky, noise, middle, middle, _WINDOW)
    if snr < _MIN_SNR:
        most = -np.inf
        for i in range(1, size - 1):
            for j in range(1, size - 1):
                light = image[i - 1 : i + 2, j - 1 : j + 2].sum()
                if light > most:
                    most, x, y = light, float(j), float(i)
        x, y, snr = _climb(image, sky, noise, x, y, _WINDOW)
    return x, y, snr if snr >= _MIN_SNR else 0.0


@njit(nogil=True, cache=True)
def _apart(cut: np.ndarray, sky: np.ndarray, noise: np.ndarray, max_offset: float) -> float:
    """Greatest distance in pixels between the star in one band and in the next where it is bright enough.

    The peak may be a neighbour of other colours. So where two bands differ, the peak of one may be in the
    other too, beside what is brighter there: then both show the same sky. That is why bands are compared
    with those next to them, where sources differ least.
    """
    apart, last = 0.0, -1
    last_x, last_y = 0.0, 0.0
    for k in range(len(cut)):
        x, y, snr = _find(cut[k], sky[k], noise[k])
        if snr == 0:
            continue
        if last >= 0:
            away = np.hypot(x - last_x, y - last_y)
            for other, at_x, at_y in ((last, x, y), (k, last_x, last_y)):
                if away > max_offset:
                    there = _climb(cut[other], sky[other], noise[other], at_x, at_y, _SHARP)
                    if there[2] >= _MIN_SAME:
                        away = min(away, np.hypot(there[0] - at_x, there[1] - at_y))
            apart = max(apart, away)
        last, last_x, last_y = k, x, y
    return apart
