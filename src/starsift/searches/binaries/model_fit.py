"""One, two and three stars fitted to a spectrum: least squares over templates and velocities.

A two-dimensional correlation (TODCOR, Zucker & Mazeh 1994, ApJ 420, 806) with the inverse variances of the
pixels as weights. All pairs of a few templates at all velocities are compared with the best single star.
Where a pair is better, the template and the velocity of each star are refined in turn, given the other, and a
third star is looked for. A last Gauss-Newton step gives velocities between the nodes, depths and errors.

An observation is spread onto the bank's grid, uniform in ln(wavelength), once (`spectra.ccf.spread`). There a
Doppler shift is a whole number of pixels, and the products with all templates are those with a few principal
components.
"""

from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import spline_filter1d

from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.searches.binaries.model_bank import ModelBank, block_edges
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.ccf import grid_position, spread
from starsift.spectra.continuum import normalize_rows

STARS = 3
RESULTS = ("chi2", "rv", "rv_err", "depth", "depth_err")  # of `ModelFits`, for each number of stars
CHUNK = 32  # spectra at a time: their maps over velocity and template stay in the cache
# Above the continuum, where no photosphere reaches: cosmic rays. The fitted continuum is below the true one.
SPIKE_SIGMAS, SPIKE_HEIGHT = 5.0, 0.2
HIGHEST_IVAR = 10.0  # in units of the spectrum's median
PARTS = 32  # of a spectrum, in which all good pixels have one weight
ROUNDS = 3  # times that each star is refined, given the others
WINDOW = 3  # pixels on either side of a star's velocity, within which it is refined
FREE = 0.05  # share of a template's variance that the other stars must leave, to add it
STEPS = 4  # of Gauss-Newton
EDGE = 2.0  # pixels of a template beyond the farthest shift, for its interpolation
RIDGE = 1e-6  # on normal matrices: two equal stars at one velocity
# Pairs are fitted where the scan promises a gain in chi-square of so much, in units of the single star's
# reduced chi-square, and of so much of what the single star gained; triples where the pair then has it.
LEAST_GAIN, LEAST_SHARE = 10.0, 0.006
LEAST_LINES = 50.0  # what the single star must gain, in the same units: noise alone gains up to 30
SLOW_VSINI = 60.0  # km/s, of that single star


@dataclass(frozen=True)
class ModelFits:
    """Fits of one, two and three stars to n spectra. What was not fitted is NaN, or -1 for templates.

    Attributes
    ----------
    usable : (n,) bool; False where too few pixels were good
    pixels : (n,) int64, good pixels in the range
    lines : (n,) float64
        Chi-square that the single star gains over a flat spectrum.
    scan : (n,) float64
        Chi-square that the best pair of the scan gains over the best slow single star; may be negative.
    chi2 : (n, 3) float64, of the models with 1, 2, 3 stars
    rv, rv_err : (n, 3, 3) float64, km/s
        [spectrum, number of stars - 1, star], ascending. The errors follow from the curvature of chi-square,
        scaled with the root of the reduced chi-square where that is above 1.
    depth, depth_err : (n, 3, 3) float64
        Depth of each star's lines in units of its template's: its share of the light.
    template : (n, 3, 3) int16, rows of the bank's `params`
    """

    usable: np.ndarray
    pixels: np.ndarray
    lines: np.ndarray
    scan: np.ndarray
    chi2: np.ndarray
    rv: np.ndarray
    rv_err: np.ndarray
    depth: np.ndarray
    depth_err: np.ndarray
    template: np.ndarray


class _Templates(NamedTuple):
    depth: np.ndarray
    slope: np.ndarray
    basis: np.ndarray
    weights: np.ndarray
    nodes: int
    closest: float


class _Data(NamedTuple):
    """One spectrum on the bank's grid, or n of them with one more axis in front.

    `flux` (pixel,) are inverse variance times line depth, `weight` (pixel,) inverse variances, both as
    coefficients with which sums over observed pixels are products with a curve on the grid. `total`,
    `square`, `count` are the sums of weight times depth, of weight times its square and of weight. `top`,
    `bottom` (velocity, template): products of a template, its weighted mean taken off, with the depth and
    with itself; `mean`: its weighted sum.
    """

    flux: np.ndarray
    weight: np.ndarray
    total: Any
    square: Any
    count: Any
    top: np.ndarray
    bottom: np.ndarray
    mean: np.ndarray


@njit(nogil=True, cache=True)
def _row(data: _Data, s: int) -> _Data:
    """Spectrum s alone."""
    return _Data(
        data.flux[s],
        data.weight[s],
        data.total[s],
        data.square[s],
        data.count[s],
        data.top[s],
        data.bottom[s],
        data.mean[s],
    )


@njit(nogil=True, cache=True, fastmath=True)
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total  # type: ignore[return-value]


@njit(nogil=True, cache=True)
def _inside(shift: float, nodes: int) -> float:
    """The shift, or the farthest one at which a template can still be interpolated."""
    return max(EDGE - nodes, min(nodes - EDGE, shift))


@njit(nogil=True, cache=True)
def _shift(curve: np.ndarray, shift: float, nodes: int, out: np.ndarray) -> None:
    """A curve moved red by a number of pixels, interpolated with four-point Lagrange polynomials."""
    whole = int(np.ceil(shift))
    t = np.float32(whole - shift)
    first = nodes - whole
    a = -t * (t - 1) * (t - 2) / 6
    b = (t + 1) * (t - 1) * (t - 2) / 2
    c = -(t + 1) * t * (t - 2) / 2
    d = (t + 1) * t * (t - 1) / 6
    for i in range(out.size):
        j = first + i
        out[i] = a * curve[j - 1] + b * curve[j] + c * curve[j + 1] + d * curve[j + 2]


@njit(nogil=True, cache=True, fastmath=True)
def _scan_pairs(
    rho: np.ndarray, correlation: np.ndarray, closest: int, gain: np.ndarray, found: np.ndarray
) -> None:
    """Best pair of each spectrum, the first one bluer.

    `rho` (n, template, velocity) are normalised products with the data, `correlation` (n, template, template,
    shift) those of two templates; found (n, 4) receives templates and velocities.
    """
    n, templates, size = rho.shape
    for s in range(n):
        best = np.float32(0.0)
        for a in range(templates):
            for b in range(templates):
                for lag in range(closest, size):
                    r = correlation[s, a, b, lag]
                    blue, red = rho[s, a, : size - lag], rho[s, b, lag:]
                    # Written so that the compiler takes several velocities at a time.
                    top = np.float32(0.0)
                    for i in range(size - lag):
                        x, y = blue[i], red[i]
                        u, v = x - r * y, y - r * x
                        # Both stars absorb.
                        pair = x * u + y * v if min(u, v) > 0 else np.float32(0.0)
                        top = pair if pair > top else top
                    top /= np.float32(1.0) - r * r
                    if top > best:
                        best = top
                        found[s, 0], found[s, 1] = a, b
                        highest = np.float32(0.0)
                        for i in range(size - lag):
                            x, y = blue[i], red[i]
                            u, v = x - r * y, y - r * x
                            pair = x * u + y * v
                            if pair > highest and u > 0 and v > 0:
                                highest = pair
                                found[s, 2], found[s, 3] = i, i + lag
        gain[s] = best


@njit(nogil=True, cache=True)
def _solve_others(
    data: _Data, depth: np.ndarray, template: np.ndarray, shift: np.ndarray, nodes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A constant and the given stars fitted to a spectrum.

    Returns their weighted columns (star, pixel), the inverse of the normal matrix (star + 1, star + 1), the
    constant first, and the solution.
    """
    stars = template.size
    columns = np.empty((stars, data.flux.size), np.float32)
    weighted = np.empty_like(columns)
    normal = np.empty((stars + 1, stars + 1))
    right = np.empty(stars + 1)
    normal[0, 0], right[0] = data.count, data.total
    for j in range(stars):
        _shift(depth[template[j]], shift[j], nodes, columns[j])
        weighted[j] = data.weight * columns[j]
        normal[0, j + 1] = normal[j + 1, 0] = _dot(data.weight, columns[j])
        right[j + 1] = _dot(data.flux, columns[j])
        for k in range(j + 1):
            normal[j + 1, k + 1] = normal[k + 1, j + 1] = _dot(weighted[j], columns[k])
        normal[j + 1, j + 1] *= 1.0 + RIDGE
    inverse = np.linalg.inv(normal)
    return weighted, inverse, inverse @ right


@njit(nogil=True, cache=True)
def _refine(
    data: _Data, bank: _Templates, template: np.ndarray, shift: np.ndarray, j: int, stars: int
) -> None:
    """The best template and velocity of star j near its velocity, given the other stars; changed in place."""
    others = np.array([k for k in range(stars) if k != j])
    weighted, inverse, solution = _solve_others(data, bank.depth, template[others], shift[others], bank.nodes)
    size, pixels = 2 * bank.nodes + 1, data.flux.size
    low = min(max(int(np.round(shift[j])) + bank.nodes - WINDOW, 0), size - 1)
    high = min(low + 2 * WINDOW + 1, size)
    components, templates = bank.weights.shape
    cross = np.zeros((others.size, high - low, templates), np.float32)
    for a in range(others.size):
        for v in range(high - low):
            first = 2 * bank.nodes - (low + v)
            for p in range(components):
                product = _dot(weighted[a], bank.basis[p, first : first + pixels])
                for k in range(templates):
                    cross[a, v, k] += product * bank.weights[p, k]
    gain = np.zeros((high - low, templates), np.float32)
    best, at, which = 0.0, -1, -1
    h = np.empty(others.size + 1)
    for v in range(high - low):
        apart = True
        for b in others:
            apart &= abs(low + v - bank.nodes - shift[b]) >= bank.closest
        for k in range(templates):
            h[0] = data.mean[low + v, k]
            # `top` and `bottom` have the constant taken off already: put it back.
            top = data.top[low + v, k] + h[0] * data.total / data.count
            bottom = data.bottom[low + v, k] + h[0] * h[0] / data.count
            for a in range(others.size):
                h[a + 1] = cross[a, v, k]
            for a in range(h.size):
                top -= h[a] * solution[a]
                for b in range(h.size):
                    bottom -= h[a] * inverse[a, b] * h[b]
            if top > 0 and bottom > FREE * data.bottom[low + v, k]:
                gain[v, k] = top * top / bottom
                if apart and gain[v, k] > best:
                    best, at, which = gain[v, k], v, k
    if at < 0:
        return
    template[j], shift[j] = which, low + at - bank.nodes
    if 0 < at < high - low - 1:
        left, right = gain[at - 1, which], gain[at + 1, which]
        bend = left - 2 * gain[at, which] + right
        if left > 0 and right > 0 and bend < 0:
            shift[j] += max(-0.5, min(0.5, 0.5 * (left - right) / bend))
    shift[j] = _inside(shift[j], bank.nodes)


@njit(nogil=True, cache=True)
def _polish(
    data: _Data,
    bank: _Templates,
    template: np.ndarray,
    shift: np.ndarray,
    shift_err: np.ndarray,
    depth: np.ndarray,
    depth_err: np.ndarray,
) -> float:
    """Gauss-Newton of velocities and depths; fills the last four arrays and returns chi-square."""
    stars = template.size
    size = 2 * stars + 1
    columns = np.empty((size, data.flux.size), np.float32)
    columns[0] = 1.0
    normal = np.empty((size, size))
    right = np.empty(size)
    best = np.inf
    trial = shift.copy()
    for _ in range(STEPS + 1):
        for j in range(stars):
            _shift(bank.depth[template[j]], trial[j], bank.nodes, columns[1 + j])
            _shift(bank.slope[template[j]], trial[j], bank.nodes, columns[1 + stars + j])
        for a in range(size):
            weighted = data.weight * columns[a]
            right[a] = _dot(data.flux, columns[a])
            for b in range(size):
                normal[a, b] = _dot(weighted, columns[b])
            normal[a, a] *= 1.0 + RIDGE
        linear = np.linalg.solve(normal[: stars + 1, : stars + 1], right[: stars + 1])
        chi2 = data.square - np.dot(linear, right[: stars + 1])
        if chi2 >= best:
            break
        best = chi2
        shift[:], depth[:] = trial, linear[1:]
        # The derivative with respect to a velocity is minus the slope times the depth.
        scale = np.ones(size)
        for j in range(stars):
            scale[1 + stars + j] = -max(depth[j], 1e-3)
        rest = (right - np.ascontiguousarray(normal[:, : stars + 1]) @ linear) * scale
        inverse = np.linalg.inv(normal * scale * scale.reshape(-1, 1))
        for j in range(stars):
            depth_err[j] = np.sqrt(max(inverse[1 + j, 1 + j], 0.0))
            shift_err[j] = np.sqrt(max(inverse[1 + stars + j, 1 + stars + j], 0.0))
        change = (inverse @ rest)[1 + stars :]
        for j in range(stars):
            trial[j] = _inside(shift[j] + max(-0.5, min(0.5, change[j])), bank.nodes)
    return best


@njit(nogil=True, cache=True)
def _fit_rows(
    data: _Data,
    bank: _Templates,
    rows: np.ndarray,
    template: np.ndarray,
    shift: np.ndarray,
    stars: int,
    chi2: np.ndarray,
    rv: np.ndarray,
    rv_err: np.ndarray,
    depth: np.ndarray,
    depth_err: np.ndarray,
) -> None:
    """Refine and polish models of `stars` stars; `template`, `shift` (n, 3) are starts and become results."""
    for s in rows:
        one = _row(data, s)
        for j in range(stars):
            shift[s, j] = _inside(shift[s, j], bank.nodes)
        if stars > 1:
            for _ in range(ROUNDS):
                for j in range(stars):
                    _refine(one, bank, template[s], shift[s], j, stars)
        rv[s, :stars] = shift[s, :stars]
        chi2[s] = _polish(
            one,
            bank,
            template[s, :stars],
            rv[s, :stars],
            rv_err[s, :stars],
            depth[s, :stars],
            depth_err[s, :stars],
        )


@njit(nogil=True, cache=True)
def _others_of_rows(
    data: _Data, bank: _Templates, rows: np.ndarray, template: np.ndarray, shift: np.ndarray, stars: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_solve_others` of several rows: (star, row, pixel), (row, star + 1, star + 1), (row, star + 1)."""
    weighted = np.empty((stars, rows.size, data.flux.shape[1]), np.float32)
    inverse = np.empty((rows.size, stars + 1, stars + 1))
    solution = np.empty((rows.size, stars + 1))
    for r in range(rows.size):
        s = rows[r]
        one = _row(data, s)
        found = _solve_others(one, bank.depth, template[s, :stars], shift[s, :stars], bank.nodes)
        weighted[:, r], inverse[r], solution[r] = found
    return weighted, inverse, solution


def _products(curves: Any, shifted: np.ndarray, weights: np.ndarray, xp: ModuleType) -> Any:
    """Products of (n, pixel) with every template at every velocity: (n, velocity, template)."""
    by_component = xp.reshape(xp.matmul(curves, shifted), (-1, weights.shape[0]))
    return np.asarray(xp.reshape(xp.matmul(by_component, weights), (curves.shape[0], -1, weights.shape[1])))


def _level(ivar: np.ndarray) -> np.ndarray:
    """Inverse variances (n, pixel) averaged over parts of the spectrum, where they are not far below.

    The photon noise of the lines themselves would make weights that follow the lines, and the noise.
    """
    parts = np.linspace(0, ivar.shape[1], min(PARTS, ivar.shape[1]) + 1).astype(int)
    total, count = (np.add.reduceat(a, parts[:-1], axis=1) for a in (ivar, (ivar > 0).astype(np.float32)))
    mean = np.repeat(total / np.maximum(count, 1.0), np.diff(parts), axis=1)
    return np.where(ivar > 0.5 * mean, mean, ivar)


def _prepare(batch: SpectrumBatch, bank: ModelBank, xp: ModuleType) -> tuple[_Data, np.ndarray]:
    """The data of a batch, and the number of good pixels (n,) in the range."""
    flux, ivar = normalize_rows(batch.wavelength, batch.flux, batch.ivar, degree=bank.continuum_degree)
    above = flux - 1.0
    spike = (above * np.sqrt(ivar) > SPIKE_SIGMAS) & (above > SPIKE_HEIGHT)
    # A flux of 0 is that of a dead pixel; an ivar far above the others is no photon noise.
    bad = spike | (flux == 0)
    middle = ivar.shape[1] - 1 - (ivar > 0).sum(axis=1, keepdims=True) // 2
    typical = np.take_along_axis(np.sort(ivar, axis=1), middle, axis=1)  # median of the good pixels
    good = np.where(bad, np.float32(0.0), _level(np.minimum(ivar, HIGHEST_IVAR * typical)))
    position = grid_position(batch.wavelength, bank)
    pixels = ((position >= 2) & (position <= bank.last) & (good > 0)).sum(axis=1)
    spread_flux, spread_weight, sums = spread(position, flux, good, bank)
    # Spread with the weights of a B-spline: filtered, products with samples of a curve are sums over pixels.
    depth = -spline_filter1d(spread_flux, axis=1, mode="mirror").astype(np.float32)
    weight = spline_filter1d(spread_weight, axis=1, mode="mirror").astype(np.float32)
    total, square, count = -sums[:, 0], sums[:, 1], np.maximum(sums[:, 2], 1e-30)
    cross = _products(depth, bank.shifted, bank.weights, xp)
    mean = _products(weight, bank.shifted, bank.weights, xp)
    squares = np.tensordot(_block_means(weight), bank.squares, axes=1)
    top = cross - mean * (total / count).astype(np.float32)[:, None, None]
    bottom = squares - mean**2 / count.astype(np.float32)[:, None, None]
    return _Data(
        depth, weight, total, square, count, top, np.maximum(bottom, 1e-6 * squares + 1e-30), mean
    ), pixels


def fit_models(batch: SpectrumBatch, bank: ModelBank, *, xp: ModuleType = np) -> ModelFits:
    """Fit one, two and three stars to each spectrum.

    Pairs and triples are fitted only where the scan shows that a pair may be there; see `LEAST_GAIN`.

    Parameters
    ----------
    batch : SpectrumBatch of n spectra of one arm
    bank : from `build_models`
    xp : numpy, or keras.ops for the large matrix products on the Keras backend
    """

    def work(part: slice) -> ModelFits:
        return _fit_chunk(batch.take(part), bank, xp)

    parts = map_chunks(work, batch.n, CHUNK, serial=xp is not np) or [_empty(0)]
    return ModelFits(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(ModelFits)))


def _empty(n: int) -> ModelFits:
    cube = (n, STARS, STARS)
    numbers = {name: np.full(cube, np.nan) for name in ("rv", "rv_err", "depth", "depth_err")}
    return ModelFits(
        usable=np.zeros(n, bool),
        pixels=np.zeros(n, np.int64),
        lines=np.full(n, np.nan),
        scan=np.full(n, np.nan),
        chi2=np.full((n, STARS), np.nan),
        **numbers,
        template=np.full(cube, -1, np.int16),
    )


def _fit_chunk(batch: SpectrumBatch, bank: ModelBank, xp: ModuleType) -> ModelFits:
    out = _empty(batch.n)
    data, out.pixels[:] = _prepare(batch, bank, xp)
    out.usable[:] = out.pixels >= bank.minimum_pixels
    rows = np.flatnonzero(out.usable)
    templates = _Templates(bank.depth, bank.slope, bank.basis, bank.weights, bank.nodes, bank.closest)
    template, shift = np.zeros((batch.n, STARS), np.int64), np.zeros((batch.n, STARS))

    def fit(rows: np.ndarray, stars: int) -> None:
        """Fit from the present start; kept where it is better than what was found from another one."""
        trial, model = _empty(batch.n), stars - 1
        results = (getattr(trial, name)[:, model] for name in RESULTS)
        _fit_rows(data, templates, rows, template, shift, stars, *results)
        better = rows[~(trial.chi2[rows, model] >= out.chi2[rows, model])]
        for name in RESULTS:
            getattr(out, name)[better, model] = getattr(trial, name)[better, model]
        out.template[better, model, :stars] = template[better, :stars]

    def add_star(rows: np.ndarray, stars: int) -> None:
        """Fit with the star that gains most beside those of the present start."""
        if rows.size:
            weighted, inverse, solution = _others_of_rows(data, templates, rows, template, shift, stars)
            near = shift[rows, :stars]
            gain = _gain_of_another(data, bank, rows, near, weighted, inverse, solution, xp)
            template[rows, stars], shift[rows, stars], _ = _highest(gain, bank)
            fit(rows, stars + 1)

    gain = np.maximum(data.top, 0.0) ** 2 / data.bottom
    template[:, 0], shift[:, 0], out.lines[:] = _highest(gain, bank)
    fit(rows, 1)

    best, found = np.zeros(batch.n, np.float32), np.zeros((batch.n, 4), np.int64)
    _scan_pairs(*_scan_inputs(data, bank), int(np.ceil(bank.closest)), best, found)
    # Three stars look like one that rotates fast, and no two of them look better.
    slow = bank.params[:, 3] <= SLOW_VSINI
    out.scan[:] = best - gain[:, :, slow].max(axis=(1, 2))
    misfit = np.maximum(out.chi2[rows, 0] / out.pixels[rows], 1.0)
    least = np.maximum(LEAST_GAIN * misfit, LEAST_SHARE * out.lines[rows])
    promised = (out.scan[rows] > least) & (out.lines[rows] > LEAST_LINES * misfit)
    rows, least = rows[promised], least[promised]

    def start_from_scan() -> None:
        template[rows, :2] = bank.scan[found[rows, :2]]
        farthest = bank.nodes - EDGE
        shift[rows, :2] = np.clip(found[rows, 2:] - bank.nodes, -farthest, farthest)

    single = template[:, 0].copy(), shift[:, 0].copy()
    start_from_scan()
    fit(rows, 2)
    rows = rows[out.chi2[rows, 0] - out.chi2[rows, 1] > least]
    # From several starts: a broad template may take the place of two stars, or of three.
    add_star(rows, 2)
    start_from_scan()
    add_star(rows, 2)
    template[rows, 0], shift[rows, 0] = single[0][rows], single[1][rows]
    add_star(rows, 1)

    order = np.argsort(out.rv, axis=2)
    for name in (*RESULTS[1:], "template"):
        getattr(out, name)[:] = np.take_along_axis(getattr(out, name), order, axis=2)
    scale = np.sqrt(np.maximum(out.chi2 / out.pixels[:, None], 1.0))[..., None]
    out.rv[:] = bank.velocity(out.rv)
    out.rv_err[:] *= bank.step_kms * scale
    out.depth_err[:] *= scale
    return out


def _scan_inputs(data: _Data, bank: ModelBank) -> tuple[np.ndarray, np.ndarray]:
    """`rho` and `correlation` of `_scan_pairs`.

    Weights are taken as constant within a block, and as moving with the first star.
    """
    mean, bottom = data.mean[:, bank.nodes, bank.scan], data.bottom[:, bank.nodes, bank.scan]
    count = data.count.astype(np.float32)[:, None, None, None]
    products = np.tensordot(_block_means(data.weight), bank.products, axes=1)
    products -= (mean[:, :, None] * mean[:, None, :])[..., None] / count
    products /= np.sqrt(np.maximum(bottom[:, :, None] * bottom[:, None, :], 1e-30))[..., None]
    rho = data.top[:, :, bank.scan] / np.sqrt(data.bottom[:, :, bank.scan])
    return np.ascontiguousarray(rho.transpose(0, 2, 1), np.float32), np.clip(products, -0.98, 0.98)


def _block_means(weight: np.ndarray) -> np.ndarray:
    """Weights (n, pixel) averaged over blocks: (n, block)."""
    edges = block_edges(weight.shape[1])
    return (np.add.reduceat(weight, edges[:-1], axis=1) / np.diff(edges)).astype(np.float32)


def _highest(gain: np.ndarray, bank: ModelBank) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Template, shift and height of the maximum of gains (n, velocity, template)."""
    flat = gain.reshape(len(gain), -1)
    at = flat.argmax(axis=1)
    node, template = np.divmod(at, len(bank.params))
    return template, node - bank.nodes, flat[np.arange(len(flat)), at]


def _gain_of_another(
    data: _Data,
    bank: ModelBank,
    rows: np.ndarray,
    shift: np.ndarray,
    weighted: np.ndarray,
    inverse: np.ndarray,
    solution: np.ndarray,
    xp: ModuleType,
) -> np.ndarray:
    """Chi-square gained by one more star (row, velocity, template), given the others."""
    mean = data.mean[rows]
    total, count = (a[rows, None, None].astype(np.float32) for a in (data.total, data.count))
    top = data.top[rows] + mean * (total / count)
    bottom = data.bottom[rows] + mean**2 / count
    cross = [mean, *(_products(one, bank.shifted, bank.weights, xp) for one in weighted)]
    inverse, solution = inverse.astype(np.float32), solution.astype(np.float32)
    for a, first in enumerate(cross):
        top -= first * solution[:, a, None, None]
        for b, second in enumerate(cross):
            bottom -= first * second * inverse[:, a, b, None, None]
    node = np.arange(-bank.nodes, bank.nodes + 1)
    apart = (np.abs(node - shift[:, :, None]) >= bank.closest).all(axis=1)
    allowed = (top > 0) & (bottom > FREE * data.bottom[rows]) & apart[..., None]
    return np.where(allowed, top**2 / np.where(allowed, bottom, 1.0), 0.0)
