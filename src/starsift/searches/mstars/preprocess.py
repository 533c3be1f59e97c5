"""Spectra on one grid, scaled to fluxes from 0 to 1, with gaps filled and defects flagged.

Guo et al. 2019, section 2.2: every spectrum is rebinned to one sampling and scaled by its least and greatest
flux. The paper drops "defective spectra with flux gaps" (section 3.3, figure 6) by eye; here a spectrum is
defective where

- a run of pixels longer than `MAX_GAP` has no flux (masked, not covered) or repeats one value, such as zero:
  the survey masks 57 pixels at the telluric A band and up to 110 at the ends of good spectra, SDSS begins 117
  pixels late; or
- the flux jumps where the two arms of the spectrograph join: at one place, the means on both sides differ by
  more than `STEP` of the greater and by `STEP_SIGMAS` of their errors, and this both over 40 pixels (a slope
  or a wide band does not get there) and over 200 (a line does not). The deepest steps of nature there, at the
  TiO band head of 5847 Angstrom and at Na D, reach 0.24 in mean spectra of types O to M9.

The errors come from the scatter in the windows, so ivar matters only as a mask, and noise hides a step rather
than making one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.spectra.batches import OK, SpectrumBatch
from starsift.spectra.resample import CHUNK, LAMOST_LRS, interpolate_gaps, min_max, resample

R_BAND = (5600.0, 6950.0)  # Angstrom: where signal-to-noise ratios are quoted
MAX_GAP = 150  # pixels: 3.5 per cent in wavelength, 200 Angstrom where the arms join
MIN_GOOD = 0.5  # of the grid's pixels; with fewer good ones a spectrum cannot be used
JOINT = (5700.0, 6000.0)  # Angstrom: where the blue and the red arm of LAMOST-LRS are joined
STEP = 0.3
STEP_SIGMAS = 6.0
NEAR, FAR = 40, 200  # pixels on either side of a step
APART = 3  # pixels between a step and its windows: no joint is sharper
# Equal values stay equal within this fraction when they are interpolated and averaged in single precision.
EQUAL = 4e-7


@dataclass(frozen=True)
class Prepared:
    """n spectra on a grid of p pixels.

    Attributes
    ----------
    flux : float32 (n, p)
        From 0 to 1, bad pixels interpolated; all 0 where the spectrum cannot be used.
    ivar : float32 (n, p)
        Inverse variance of that scaled flux, 0 in bad pixels. A flux of exactly 0 is no observation.
    n_bad, longest_gap : int32 (n,)
        Bad pixels, and those of the longest run without flux or of one repeated flux.
    status : object (n,) of str
        ok, ``too_few_pixels``, ``constant``, or the batch's own.
    defective : bool (n,)
        A flux gap (see the module); False where status is not ok.
    zero : float32 (n,)
        Where zero flux lies on the scale of `flux`.
    """

    flux: np.ndarray
    ivar: np.ndarray
    n_bad: np.ndarray
    longest_gap: np.ndarray
    status: np.ndarray
    defective: np.ndarray
    zero: np.ndarray

    @property
    def ok(self) -> np.ndarray:
        """bool (n,): the spectra that can be used."""
        return np.asarray(self.status == OK, dtype=bool)


def prepare(batch: SpectrumBatch, rv: npt.ArrayLike | None = None) -> Prepared:
    """Rebin spectra to `LAMOST_LRS`, fill their gaps, scale them to [0, 1] and flag the defective ones.

    Parameters
    ----------
    batch : SpectrumBatch of n spectra
    rv : (n,) km/s, optional; spectra are shifted to rest, those whose velocity is NaN stay as observed

    Returns Prepared. Why a spectrum cannot be used is in its status; nothing is raised.

    Source: Guo et al. 2019, section 2.2 and equation 1.
    """
    velocity = np.full(batch.n, np.nan) if rv is None else np.array(np.broadcast_to(rv, (batch.n,)), float)
    batch_status = np.asarray(batch.identity["status"].to_numpy(zero_copy_only=False), dtype=object)

    def work(part: slice) -> Prepared:
        # LAMOST pads most spectra of DR7 to DR10 at the red end: fluxes of 0 whose ivar claims good pixels.
        observed = np.where(batch.flux[part] != 0, batch.ivar[part], np.float32(0.0))
        flux, ivar = resample(batch.wavelength[part], batch.flux[part], observed, LAMOST_LRS, velocity[part])
        n_bad = (ivar <= 0).sum(axis=1, dtype=np.int32)
        gap = longest_gap(flux, ivar)
        defective = (gap > MAX_GAP) | _has_step(flux, ivar)
        flux = interpolate_gaps(flux, ivar)
        span = np.ptp(flux, axis=1)
        status = batch_status[part].copy()
        few = LAMOST_LRS.pixels - n_bad < MIN_GOOD * LAMOST_LRS.pixels
        status[(status == OK) & few] = "too_few_pixels"
        status[(status == OK) & ~((span > 0) & np.isfinite(span))] = "constant"
        usable = status == OK
        zero = np.where(usable, -flux.min(axis=1) / np.where(usable, span, 1.0), 0.0).astype(np.float32)
        flux = np.where(usable[:, None], min_max(flux), np.float32(0.0))
        with np.errstate(over="ignore"):  # what overflows is no error that anybody measured
            ivar = np.where(usable[:, None], ivar * np.square(span)[:, None], np.float32(0.0))
        ivar[~np.isfinite(ivar)] = 0.0
        return Prepared(flux, ivar, n_bad, gap, status, defective & usable, zero)

    none = np.zeros((0, LAMOST_LRS.pixels), np.float32)
    empty = np.zeros(0, np.int32)
    parts = [
        Prepared(none, none, empty, empty, np.zeros(0, object), np.zeros(0, bool), none[:, 0]),
        *map_chunks(work, batch.n, CHUNK),
    ]
    names = Prepared.__dataclass_fields__
    return Prepared(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def is_defective(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Which spectra, bool (n,), have a flux gap: a long run without flux, or a step where the arms join.

    `flux` (n, p) is on `LAMOST_LRS` in any unit whose zero is no flux; pixels whose `ivar` (n, p) is not
    positive are bad. Of mean spectra, ivar may be the number of spectra that are good in each pixel.
    """
    return np.asarray((longest_gap(flux, ivar) > MAX_GAP) | _has_step(flux, ivar))


@njit(nogil=True, cache=True)
def _longest_gap(flux: np.ndarray, ivar: np.ndarray, out: np.ndarray) -> None:
    n, pixels = flux.shape
    for s in range(n):
        longest = 0
        run = 0
        for i in range(pixels):
            bad = not ivar[s, i] > 0.0
            if not bad and i > 0 and ivar[s, i - 1] > 0.0:
                bad = abs(flux[s, i] - flux[s, i - 1]) <= EQUAL * abs(flux[s, i])
            run = run + 1 if bad else 0
            longest = max(longest, run)
        out[s] = longest


def longest_gap(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """The longest run of pixels that are bad (ivar not positive) or repeat the flux before, int32 (n,)."""
    out = np.empty(len(flux), np.int32)
    map_chunks(lambda part: _longest_gap(flux[part], ivar[part], out[part]), len(flux), CHUNK)
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _steps(flux: np.ndarray, ivar: np.ndarray, first: int, last: int, out: np.ndarray) -> None:
    """Whether there is a step before one of the pixels from `first` to `last`."""
    reach = FAR + APART
    start = first - reach
    size = last + reach - start
    count = np.zeros(size + 1)  # sums over the pixels before each
    total = np.zeros(size + 1)
    square = np.zeros(size + 1)
    for s in range(flux.shape[0]):
        out[s] = False
        for i in range(size):
            good = ivar[s, start + i] > 0.0
            value = float(flux[s, start + i]) if good else 0.0
            count[i + 1] = count[i] + good
            total[i + 1] = total[i] + value
            square[i + 1] = square[i] + value * value
        for b in range(reach, size - reach + 1):
            sign = 0.0
            for width in (NEAR, FAR):
                a, c = b - APART - width, b + APART + width
                left, right = count[b - APART] - count[a], count[c] - count[b + APART]
                if 2 * left < width or 2 * right < width:
                    break
                blue = (total[b - APART] - total[a]) / left
                red = (total[c] - total[b + APART]) / right
                variance = max(0.0, (square[b - APART] - square[a]) / left - blue * blue) / (left - 1)
                variance += max(0.0, (square[c] - square[b + APART]) / right - red * red) / (right - 1)
                step = red - blue
                if abs(step) <= STEP * max(abs(blue), abs(red)) or step * step <= STEP_SIGMAS**2 * variance:
                    break
                if width == NEAR:
                    sign = step
                elif step * sign > 0.0:
                    out[s] = True
            if out[s]:
                break


def _has_step(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Which spectra (n, p) jump where the arms join."""
    out = np.zeros(len(flux), bool)
    first, last = np.searchsorted(LAMOST_LRS.wavelength, JOINT)
    map_chunks(lambda part: _steps(flux[part], ivar[part], first, last, out[part]), len(flux), CHUNK)
    return out


def median_snr(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, window: tuple[float, float] = R_BAND
) -> np.ndarray:
    """Median signal-to-noise ratio a pixel (n,) in a window, NaN where no pixel of it is good.

    `wavelength` is (n, p) or (p,) Angstrom like the window; `flux` above its zero and `ivar` are (n, p).
    """
    good = (wavelength >= window[0]) & (wavelength <= window[1]) & (ivar > 0)
    ratio = np.where(good, flux * np.sqrt(ivar), np.nan)
    empty = ~good.any(axis=1)
    ratio[empty] = 0.0
    return np.where(empty, np.nan, np.nanmedian(ratio, axis=1))
