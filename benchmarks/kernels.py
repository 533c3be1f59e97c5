"""Speed of the kernels of the binaries path on simulated LAMOST-MRS exposures.

    python benchmarks/kernels.py [--spectra 4096]

Prints a Markdown table: items a second on all cores, and the GFLOP/s of the matrix products in them against
the rate of a float32 matrix product measured on the spot. The yardstick is a plain NumPy and SciPy
implementation, one spectrum at a time.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from _arguments import whole_number
from scipy.ndimage import gaussian_filter1d

from starsift.searches.binaries.errors import monte_carlo
from starsift.searches.binaries.peaks import Components, cosine_basis, find_components
from starsift.settings import default_settings
from starsift.sky.constants import C_KMS
from starsift.spectra.ccf import (
    build_bank,
    correlate,
    correlate_normalized,
    grid_position,
    smooth_template,
)
from starsift.spectra.continuum import normalize
from starsift.spectra.templates import load_grid
from starsift.synthesis.exposures import anonymous_batch, draw_snr
from starsift.synthesis.mrs import observe
from starsift.synthesis.stars import Synthesizer, draw_binaries, draw_singles

BINARIES = default_settings()["binaries"]


def best_time(call: Callable[[], object], repeat: int = 5) -> float:
    """The quickest of several runs (s), after one that is not counted: compilation and cold caches."""
    call()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def gemm_rate(rows: int = 2048, inner: int = 3174, columns: int = 405) -> float:
    """GFLOP/s of a float32 matrix product of the CCF's own shape."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, np.float32) for shape in ((rows, inner), (inner, columns)))
    return 2e-9 * rows * inner * columns / best_time(lambda: a @ b, 10)


def plain_ccf(
    wavelength: np.ndarray, flux: np.ndarray, templates: list, velocities: np.ndarray
) -> np.ndarray:
    """Equation 1 for one spectrum: each template interpolated to each velocity."""
    logs = np.log(wavelength)
    observed = (flux - flux.mean()) / flux.std()
    curves = np.empty((len(templates), velocities.size))
    for t, (log_grid, values) in enumerate(templates):
        for v, velocity in enumerate(velocities):
            template = np.interp(logs - np.log1p(velocity / C_KMS), log_grid, values)
            curves[t, v] = (observed * (template - template.mean())).mean() / template.std()
    return curves[curves.max(axis=1).argmax()]


def plain_peaks(curve: np.ndarray) -> list[int]:
    """The components of one CCF by scipy.ndimage.gaussian_filter1d."""
    for sigma in range(13, 101):
        smooth, second, third = (gaussian_filter1d(curve, sigma, order=k) for k in (0, 2, 3))
        deep = second <= second.min() + 0.4 * np.ptp(second)
        tall = smooth >= smooth.min() + 0.6 * np.ptp(smooth)
        rising = np.flatnonzero((third[:-1] < 0) & (third[1:] >= 0))
        valleys = rising[deep[rising]]
        if 0 < valleys.size == tall[valleys].sum():
            break
    return list(valleys[tall[valleys]])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spectra", type=whole_number(32), default=4096)
    n = parser.parse_args().spectra
    rng = np.random.default_rng(1)
    grid = load_grid()
    bank = build_bank(grid, **BINARIES["ccf"])
    synthesizer = Synthesizer(grid)
    pairs = n // 8
    flux = np.concatenate(
        [
            synthesizer.system_flux(draw_singles(rng, n - pairs)),
            synthesizer.system_flux(draw_binaries(rng, pairs)),
        ]
    )
    snr = draw_snr(rng, n, 5, 200)
    batch = anonymous_batch(*observe(synthesizer.wavelength, flux, snr=snr, rng=rng), snr)

    flux, ivar = normalize(batch, degree=5)
    position, good = grid_position(batch.wavelength, bank), ivar > 0
    ccfs = correlate(batch, bank)
    components = find_components(ccfs.ccf, bank.velocities, **BINARIES["peaks"])
    two = np.flatnonzero(components.count == 2)[:64]
    if not two.size:
        parser.error("--spectra: none of them shows two components; give more")
    candidates = Components(
        *(getattr(components, name)[two] for name in ("count", "rv", "sigma", "converged"))
    )
    few = batch.take(two)

    nodes = bank.profiles.shape[1]
    ccf_flop = 2.0 * (3 * bank.pixels * nodes + nodes * bank.velocities.size)
    terms = cosine_basis(bank.velocities, 13.0).wavenumber.size
    rounds = float(np.mean(components.sigma - 12.0))
    peak_flop = 2.0 * bank.velocities.size * terms * (1 + 3 * rounds)
    copy_flop = 2.0 * (bank.pixels * nodes + nodes * bank.velocities.size) + peak_flop

    templates = []
    for parameters in BINARIES["ccf"]["templates"]:
        curve = smooth_template(grid, grid.nearest(*parameters), 7500.0, 5)
        templates.append((curve.x[::3], curve(curve.x[::3])))
    seconds = {
        "continuum and clipping": best_time(lambda: normalize(batch, degree=5)) / n,
        "CCF, 3 templates x 1 001 velocities": best_time(
            lambda: correlate_normalized(position, flux, good, bank)
        )
        / n,
        "both, from packed spectra": best_time(lambda: correlate(batch, bank)) / n,
        "peak finding": best_time(lambda: find_components(ccfs.ccf, bank.velocities, **BINARIES["peaks"]))
        / n,
        "Monte Carlo, 100 copies a candidate": best_time(
            lambda: monte_carlo(
                few,
                bank,
                candidates,
                n_copies=BINARIES["errors"]["n_copies"],
                seed=0,
                systematic=[0.0],
                **BINARIES["peaks"],
            ),
            3,
        )
        / two.size,
    }
    flop = {
        "CCF, 3 templates x 1 001 velocities": ccf_flop,
        "both, from packed spectra": ccf_flop,
        "peak finding": peak_flop,
        "Monte Carlo, 100 copies a candidate": 100 * copy_flop,
    }
    few_rows = range(4)
    plain = {
        "CCF, 3 templates x 1 001 velocities": best_time(
            lambda: [plain_ccf(batch.wavelength[i], flux[i], templates, bank.velocities) for i in few_rows], 2
        )
        / 4,
        "peak finding": best_time(lambda: [plain_peaks(ccfs.ccf[i]) for i in range(32)], 2) / 32,
    }
    plain["Monte Carlo, 100 copies a candidate"] = 100 * sum(plain.values())
    limit = gemm_rate()
    print(
        f"float32 matrix product: {limit:.0f} GFLOP/s; {n} spectra, {few.n} candidates; "
        f"{rounds:.2f} sigmas a CCF\n"
    )
    print("| kernel | a second | matrix products, GFLOP/s | of the limit | one at a time, a second | gain |")
    print("|---|---|---|---|---|---|")
    for name, second in seconds.items():
        rate = flop.get(name, 0) / second / 1e9
        products = f"{rate:.0f} | {rate / limit:.0%}" if name in flop else "- | -"
        yardstick = f"{1 / plain[name]:.3g} | {plain[name] / second:.0f}" if name in plain else "- | -"
        print(f"| {name} | {1 / second:,.0f} | {products} | {yardstick} |")


if __name__ == "__main__":
    main()
