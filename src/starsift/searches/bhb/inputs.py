"""Inputs of the networks: spectra of 3 522 pixels and images in five bands (Wei et al. 2023, section 5)."""

import numpy as np

from starsift.errors import InputError
from starsift.parallel import map_chunks
from starsift.spectra.batches import MASK_PAD, OK, SpectrumBatch
from starsift.spectra.resample import SNAP, LogGrid, interpolate_gaps, min_max, resample
from starsift.spectra.windows import Windows, give_reasons

CLASSES = NOT_BHB, BHB = "not BHB", "BHB"  # class numbers 0 and 1
BANDS = "ugriz"
GRID = LogGrid(3.6021, 1e-4, 3522)  # 4000-9000 Angstrom, vacuum
PIXELS = GRID.pixels
SEGMENTS, SEGMENT = 7, 503  # the last pixel is dropped
FUSED, SINGLE = "spectrum+image", "spectrum"  # modalities: the inputs of a probability
# Mean and standard deviation of ImageNet's pixels, averaged over its channels (0.485, 0.456, 0.406; 0.229,
# 0.224, 0.225): the paper gives all bands the same.
MEAN, STD = 0.449, 0.226

_CHUNK = 256  # spectra or images that a thread takes at a time


def windows(batch: SpectrumBatch, *, min_good: float) -> Windows:
    """Cut the windows of a batch of n spectra and scale each to [0, 1].

    SDSS and LAMOST sample spectra as `GRID`, so that their pixels do not change; other spectra are
    interpolated linearly. Bad pixels are interpolated between the good ones around them.

    Parameters
    ----------
    min_good : share of the window's pixels that must be good

    Returns Windows. The status of a spectrum without a window gives the reason: the batch's own,
    ``not_covered`` (it does not reach from the first to the last pixel of `GRID`), ``too_few_pixels``, or
    ``constant``.

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
        reasons = (
            (~_covers(wavelength, mask), "not_covered"),
            (good < min_good, "too_few_pixels"),
            (~((span > 0) & np.isfinite(span)), "constant"),
        )
        give_reasons(status[part], reasons)

    map_chunks(work, batch.n, _CHUNK)
    flux[status != OK] = 0.0
    return Windows(flux, status)


def _covers(wavelength: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Which spectra (n, pixel) reach from the first to the last pixel of `GRID`, bool (n,)."""
    last = np.maximum(((mask & MASK_PAD) == 0).sum(axis=1) - 1, 0)
    here = np.arange(len(last))
    blue, red = wavelength[:, 0], wavelength[here, last]
    # The tolerance of `resample`: a fraction of the spectrum's own first and last pixel.
    blue = blue - SNAP * (wavelength[:, 1] - blue)
    red = red + SNAP * (red - wavelength[here, np.maximum(last - 1, 0)])
    ends = GRID.wavelength[[0, -1]]
    return np.asarray((blue <= ends[0]) & (red >= ends[1]))


def scale_images(images: np.ndarray) -> np.ndarray:
    """Scale images for the network.

    The lowest and highest pixel of all bands of one object become 0 and 1, which keeps its colours. Then all
    bands are standardised with ImageNet's `MEAN` and `STD`.

    Parameters
    ----------
    images : (n, 5, h, w), nanomaggies

    Returns (n, h, w, 5) float32. Raises InputError: the shape is wrong, or an image is constant or not finite
    (`read_cutout` refuses these).

    Source: Wei et al. 2023, section 5.1, equations 14 and 15.
    """
    if images.ndim != 4 or images.shape[1] != len(BANDS) or not all(images.shape[2:]):
        raise InputError(
            f"images have shape {images.shape}, expected (n, {len(BANDS)}, h, w), in the bands {BANDS}"
        )
    least = images.min(axis=(1, 2, 3))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        span = images.max(axis=(1, 2, 3)) - least
    for bad, what in ((~np.isfinite(span), "not finite"), (span <= 0, "constant")):
        if bad.any():
            raise InputError(
                f"image {np.flatnonzero(bad)[0]} of {len(images)} is {what} ({bad.sum()} in total); leave "
                "out images whose status is not ok"
            )
    factor, start = 1 / (span * STD), least + span * MEAN
    out = np.empty((len(images), *images.shape[2:], len(BANDS)), np.float32)

    def work(part: slice) -> None:
        values = np.moveaxis(images[part], 1, -1)
        np.subtract(values, start[part, None, None, None], out=out[part])
        out[part] *= factor[part, None, None, None]

    map_chunks(work, len(images), _CHUNK)
    return out
