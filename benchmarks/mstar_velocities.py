"""Accuracy and speed of M-star radial velocities on real mean spectra of SDSS.

    python benchmarks/mstar_velocities.py /path/to/data [--spectra 1000] [--results results]

Templates are one half of the mean M spectra in `sdss-templates/templates.npz`, stars the other half, and the
other way round: redshifted within +-200 km/s, with 5 % smooth errors of flux calibration, photon and sky
noise. Also: what stays without noise, what junk gets, and spectra of SDSS and LAMOST against their pipelines.
With the results of `make demo`: dwarfs and giants of the simulator that the demo has not seen, against
templates that are means of the demo's sample.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from starsift.demo.lrs import observe as expose
from starsift.demo.lrs_sky import draw_sources, make_plans
from starsift.robust import robust_scatter as robust
from starsift.searches.mstars.dataset import read_sample
from starsift.searches.mstars.velocity import (
    ENOUGH,
    Velocities,
    build_velocity_bank,
    mean_templates,
    measure_velocities,
)
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.ccf import TemplateBank
from starsift.spectra.resample import LAMOST_LRS
from starsift.survey.fitsfile import open_fits
from starsift.survey.readers.registry import read_spectrum
from starsift.survey.readers.sdss import CLASSIFICATIONS
from starsift.synthesis.degrade import add_noise, featureless, miscalibrate, shift
from starsift.synthesis.exposures import anonymous_batch

WAVELENGTH = LAMOST_LRS.wavelength
# Of LAMOST DR1 and DR7 at hand: what their pipeline calls M.
LAMOST_M = (
    *(f"lamost-lrs-dr1/spec-55862-B6212_sp06-{fiber}.fits" for fiber in ("005", "025", "099", "112")),
    *(f"lamost-lrs-dr7/spec-58575-HD103621N361936B01_sp03-{fiber}.fits" for fiber in ("011", "030")),
)


def observe(
    stars: np.ndarray, bank: TemplateBank, rv: np.ndarray, snr: float, rng: np.random.Generator
) -> Velocities:
    """Velocities of stars (n, pixel) seen at rv (n,) km/s."""
    flux, ivar = add_noise(miscalibrate(shift(LAMOST_LRS, stars, rv), 0.05, rng), snr, rng, WAVELENGTH)
    return measure(WAVELENGTH, flux, ivar, bank)


def make_batch(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray) -> SpectrumBatch:
    """A batch of arrays (n, pixel) on one grid (pixel,)."""
    n = len(flux)
    return anonymous_batch(np.tile(wavelength, (n, 1)), flux, ivar, (ivar <= 0).astype(np.uint8), np.ones(n))


def measure(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, bank: TemplateBank) -> Velocities:
    """Velocities of arrays (n, pixel)."""
    return measure_velocities(make_batch(wavelength, flux, ivar), bank, floor=3.0)


def summary(delta: np.ndarray, error: np.ndarray) -> str:
    """Cells of a table: share with a velocity, bias, scatter, pull; of all stars (n,), NaN without."""
    has = np.isfinite(delta)
    d, pull = delta[has], delta[has] / error[has]
    cells = (
        np.median(d),
        robust(d),
        d.std(),
        np.median(error[has]),
        robust(pull),
        pull.std(),
    )
    return f"{has.mean():.1%} | " + " | ".join(f"{cell:.2f}" for cell in cells)


def simulated(results: Path, spectra: int) -> None:
    """Unseen dwarfs and giants against templates of the demo's sample, with and without their neighbours."""
    sample = read_sample(results / "mstars/sample.arrow", results / "mstars/sample.parquet")
    m = sample.is_m
    members = sample.flux[m] - sample.zero[m, None], sample.ivar[m], sample.subclass[m]
    rng = np.random.default_rng(99)
    fields = make_plans(rng, 6)[1]
    sky = draw_sources(rng, fields, list(range(1, 17)), 10 * spectra, 10)
    print("| M stars | S/N | members | with velocity | bias | scatter | std | error | pull | pull, std |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for enough in (0, ENOUGH):
        bank = build_velocity_bank(*mean_templates(*members, enough=enough, minimum=3), velocity_max=800.0)
        for kind in ("dwarf", "giant"):
            rows = np.flatnonzero(sky.kind == kind)[:spectra]
            for snr in (1, 2, 3, 5, 10, 30):
                noise = np.random.default_rng(snr)
                seen = expose(noise, sky, rows, np.full(rows.size, float(snr)), np.zeros(rows.size, bool))
                found = measure(WAVELENGTH, seen.flux, seen.ivar, bank)
                cells = summary(found.rv - sky.rv[rows], found.rv_err)
                print(f"| {kind}s | {snr} | {'own' if not enough else f'at least {enough}'} | {cells} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with sdss-templates and sdss-spec")
    parser.add_argument("--spectra", type=int, default=1000, help="a signal-to-noise ratio and half")
    parser.add_argument("--results", type=Path, help="of `make demo`: measure unseen simulated stars too")
    options = parser.parse_args()
    with np.load(options.data / "sdss-templates/templates.npz") as arrays:
        is_m = np.char.startswith(arrays["names"], "M")
        names, stars = arrays["names"][is_m], arrays["flux"][is_m]
    half = np.arange(len(names)) % 2 == 0
    banks = [build_velocity_bank(list(names[h]), stars[h], velocity_max=800.0) for h in (half, ~half)]

    print("| S/N | with velocity | bias | scatter | std | beyond 5 sigma | median error | pull | pull, std |")
    print("|---|---|---|---|---|---|---|---|---|")
    for snr in (1, 3, 5, 10, 30, 300):
        rng = np.random.default_rng(snr)
        given, delta, error = [], [], []
        for bank, others in zip(banks, (stars[~half], stars[half]), strict=True):
            rv = rng.uniform(-200, 200, options.spectra)
            found = observe(others[rng.integers(0, len(others), rv.size)], bank, rv, snr, rng)
            has = np.isfinite(found.rv)
            given.append(has)
            delta.append((found.rv - rv)[has])
            error.append(found.rv_err[has])
        d, e = np.concatenate(delta), np.concatenate(error)
        pull = d / e
        print(
            f"| {snr} | {np.mean(given):.1%} | {np.median(d):.2f} | {robust(d):.2f} | {d.std():.2f} | "
            f"{np.mean(np.abs(pull) > 5):.2%} | {np.median(e):.2f} | {robust(pull):.2f} | {pull.std():.2f} |"
        )

    offsets = []
    for bank, others in zip(banks, (stars[~half], stars[half]), strict=True):
        for rv in (-150.0, -70.0, 10.0, 90.0, 170.0):
            flux = shift(LAMOST_LRS, others, rv)
            offsets.append(measure(WAVELENGTH, flux, np.full_like(flux, 1e8), bank).rv - rv)
    offset = np.concatenate([np.mean(offsets[:5], axis=0), np.mean(offsets[5:], axis=0)])
    print(
        f"\nwithout noise, km/s: mean spectra against the other half's have rms {offset.std():.1f}, "
        f"robust {robust(offset):.1f}, largest {np.abs(offset).max():.1f}"
    )

    bank = build_velocity_bank(list(names), stars, velocity_max=800.0)
    rng = np.random.default_rng(0)
    for snr in (3, 10, 30):
        flux, ivar = add_noise(featureless(rng, 1000, WAVELENGTH), snr, rng, WAVELENGTH)
        share = np.isfinite(measure(WAVELENGTH, flux, ivar, bank).rv).mean()
        print(f"junk at S/N {snr}: {share:.1%} get a velocity")

    for path in sorted((options.data / "sdss-spec").glob("*.fits")):
        spectrum = read_spectrum(path, "sdss")
        found = measure(spectrum.wavelength, spectrum.flux[None], spectrum.ivar[None], bank)
        row = next(hdu for hdu in open_fits(path) if hdu.name in CLASSIFICATIONS)
        pipeline = row.columns(["SUBCLASS", "Z", "Z_ERR"])
        kind, z, z_err = (pipeline[name][0] for name in ("SUBCLASS", "Z", "Z_ERR"))
        print(
            f"{path.name} {kind.decode().strip()}: {found.rv[0]:.1f} +- {found.rv_err[0]:.1f} km/s, "
            f"SDSS {C_KMS * z:.1f} +- {C_KMS * z_err:.1f}, r {found.ccf_max[0]:.3f}"
        )

    for name in LAMOST_M:
        spectrum = read_spectrum(options.data / name, "lrs")
        found = measure(spectrum.wavelength, spectrum.flux[None], spectrum.ivar[None], bank)
        header = open_fits(options.data / name)[0].header
        print(
            f"{name} {header['SUBCLASS']}: {found.rv[0]:.1f} +- {found.rv_err[0]:.1f} km/s, "
            f"LAMOST {C_KMS * float(header['Z']):.1f}, r {found.ccf_max[0]:.3f}"
        )

    if options.results:
        simulated(options.results, options.spectra)

    n = 4 * options.spectra
    flux = shift(LAMOST_LRS, stars[rng.integers(0, len(stars), n)], rng.uniform(-200, 200, n))
    flux, ivar = add_noise(flux, 10, rng, WAVELENGTH)
    batch = make_batch(WAVELENGTH, flux, ivar)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        measure_velocities(batch, bank, floor=3.0)
        seconds.append(time.perf_counter() - start)
    print(f"{n / min(seconds):,.0f} spectra a second, {len(names)} templates, {bank.profiles.shape} bank")


if __name__ == "__main__":
    main()
