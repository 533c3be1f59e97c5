"""What the networks see: spectra of 3 522 pixels and images in five bands (Wei et al. 2023, section 5)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import isqrt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.parallel import map_chunks
from starsift.spectra.batches import MASK_PAD, OK, SpectrumBatch
from starsift.spectra.resample import SNAP, LogGrid, interpolate_gaps, min_max, resample

PathLike = str | os.PathLike[str]

CLASSES = ("not BHB", "BHB")  # class numbers 0 and 1
BANDS = "ugriz"
GRID = LogGrid(3.6021, 1e-4, 3522)  # 4000-9000 Angstrom, vacuum
PIXELS = GRID.pixels
SEGMENTS, SEGMENT = 7, 503  # the last pixel is dropped
SPLITS = ("train", "validation", "test")
MIN_GOOD = 0.9  # of a window's pixels
# Mean and standard deviation of ImageNet's pixels, averaged over its channels (0.485, 0.456, 0.406; 0.229,
# 0.224, 0.225): the paper gives all bands the same.
MEAN, STD = 0.449, 0.226

_CHUNK = 256  # spectra or images that a thread takes at a time


class DatasetError(ValueError):
    """Labels, spectra or images that make no data set; the message names what is wrong and what to do."""


@dataclass(frozen=True)
class Windows:
    """n windows: `flux` float32 (n, 3522) from 0 to 1, all 0 where `status` (n,) of str is not ok."""

    flux: np.ndarray
    status: np.ndarray

    @property
    def ok(self) -> np.ndarray:
        """bool (n,): the windows that can be used."""
        return np.asarray(self.status == OK, dtype=bool)


def windows(batch: SpectrumBatch, *, min_good: float = MIN_GOOD) -> Windows:
    """Cut the windows of a batch of n spectra and scale each to [0, 1].

    Spectra of SDSS and LAMOST are sampled as `GRID`, so their pixels stay as they are; others are
    interpolated linearly. Bad pixels are interpolated between the good ones around them.

    Parameters
    ----------
    min_good : share of the window's pixels that must be good

    Returns
    -------
    Windows. A spectrum without one says so in its status: the batch's own, ``not_covered`` (it does not reach
    from the first to the last pixel of `GRID`), ``too_few_pixels``, ``constant``.

    Source: Wei et al. 2023, section 5.2 and equation 16.
    """
    flux = np.empty((batch.n, PIXELS), np.float32)
    status = np.array(batch.identity["status"].to_pylist(), dtype=object)

    def work(part: slice) -> None:
        wavelength, mask = batch.wavelength[part], batch.mask[part]
        cut, ivar = resample(wavelength, batch.flux[part], batch.ivar[part], GRID)
        good = (ivar > 0).mean(axis=1)
        cut = interpolate_gaps(cut, ivar)
        span = np.ptp(cut, axis=1)
        flux[part] = min_max(cut)
        for bad, reason in (
            (~_covers(wavelength, mask), "not_covered"),
            (good < min_good, "too_few_pixels"),
            (~((span > 0) & np.isfinite(span)), "constant"),
        ):
            status[part] = np.where((status[part] == OK) & bad, reason, status[part])

    map_chunks(work, batch.n, _CHUNK)
    flux[status != OK] = 0.0
    return Windows(flux, status)


def _covers(wavelength: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Which spectra (n, pixel) reach from the first to the last pixel of `GRID`, bool (n,)."""
    last = np.maximum(((mask & MASK_PAD) == 0).sum(axis=1) - 1, 0)
    here = np.arange(len(last))
    blue, red = wavelength[:, 0], wavelength[here, last]
    # As much as `resample` forgives: a fraction of the spectrum's own first and last pixel.
    blue = blue - SNAP * (wavelength[:, 1] - blue)
    red = red + SNAP * (red - wavelength[here, np.maximum(last - 1, 0)])
    ends = GRID.wavelength[[0, -1]]
    return np.asarray((blue <= ends[0]) & (red >= ends[1]))


def scale_images(images: np.ndarray) -> np.ndarray:
    """Scale images as the network wants them.

    The least and the greatest pixel of all bands of one object become 0 and 1, so that its colours stay; then
    `MEAN` and `STD` of ImageNet are taken off, alike in all bands.

    Parameters
    ----------
    images : (n, 5, h, w), nanomaggies

    Returns
    -------
    (n, h, w, 5) float32

    Raises
    ------
    DatasetError : the shape is another, or an image is not finite or constant (`read_cutout` lets none
        through that is).

    Source: Wei et al. 2023, section 5.1, equations 14 and 15.
    """
    if images.ndim != 4 or images.shape[1] != len(BANDS) or not all(images.shape[2:]):
        raise DatasetError(
            f"images have shape {images.shape}, expected (n, {len(BANDS)}, h, w), in the bands {BANDS}"
        )
    least = images.min(axis=(1, 2, 3))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        span = images.max(axis=(1, 2, 3)) - least
    for bad, what in ((~np.isfinite(span), "not finite"), (span <= 0, "constant")):
        if bad.any():
            raise DatasetError(
                f"image {np.flatnonzero(bad)[0]} of {len(images)} is {what} ({bad.sum()} are); leave out "
                "those whose status is not ok"
            )
    factor, start = 1 / (span * STD), least + span * MEAN
    out = np.empty((len(images), *images.shape[2:], len(BANDS)), np.float32)

    def work(part: slice) -> None:
        values = np.moveaxis(images[part], 1, -1)
        np.subtract(values, start[part, None, None, None], out=out[part])
        out[part] *= factor[part, None, None, None]

    map_chunks(work, len(images), _CHUNK)
    return out


@dataclass(frozen=True)
class Dataset:
    """Labelled spectra with their images, n of them, sorted by `spectrum_id`.

    Attributes
    ----------
    spectrum : float32 (n, 3522), of `windows`
    image : float32 (n, h, w, 5), of `scale_images`
    label : int64 (n,), class number
    spectrum_id, star, split : (n,) of str; `star` is the same for all spectra of one star
    """

    spectrum: np.ndarray
    image: np.ndarray
    label: np.ndarray
    spectrum_id: np.ndarray
    star: np.ndarray
    split: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def part(self, name: str) -> Dataset:
        """One of `SPLITS`."""
        if name not in SPLITS:
            raise DatasetError(f"part {name!r}: expected one of {', '.join(SPLITS)}")
        here = self.split == name
        return Dataset(**{key: values[here] for key, values in vars(self).items()})


def read_dataset(path: PathLike) -> Dataset:
    """Read a data set; memory holds it once.

    Raises
    ------
    DatasetError : the file is no data set.
    """
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{path}: not a Parquet file, or cut short; make it again ({error})") from error
    wanted = ("spectrum_id", "star", "class", "split", "spectrum", "image")
    missing = [name for name in wanted if name not in file.schema_arrow.names]
    if missing:
        raise DatasetError(f"{path}: not a data set, it lacks {', '.join(missing)}; make it again")
    lists = [file.schema_arrow.field(name).type for name in ("spectrum", "image")]
    if not all(pa.types.is_fixed_size_list(kind) for kind in lists) or lists[0].list_size != PIXELS:
        raise DatasetError(f"{path}: not a data set of spectra of {PIXELS} pixels and images; make it again")
    size = isqrt(lists[1].list_size // len(BANDS))
    n = file.metadata.num_rows
    arrays = {
        "spectrum": np.empty((n, PIXELS), np.float32),
        "image": np.empty((n, size, size, len(BANDS)), np.float32),
    }
    at = 0
    for batch in file.iter_batches(_CHUNK, columns=list(arrays)):
        for name, array in arrays.items():
            values = batch[name].flatten().to_numpy()
            array[at : at + batch.num_rows] = values.reshape(batch.num_rows, *array.shape[1:])
        at += batch.num_rows
    rest = file.read(columns=list(wanted[:4]))
    text = {name: np.array(rest[name].to_pylist(), dtype=object) for name in wanted[:4]}
    number = {name: i for i, name in enumerate(CLASSES)}
    label = np.array([number[name] for name in text.pop("class")], dtype=np.int64)
    return Dataset(**arrays, label=label, **text)
