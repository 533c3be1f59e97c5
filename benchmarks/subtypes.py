"""Line indices and subtypes of M stars: against published relations, and how often subtypes are right.

    OMP_NUM_THREADS=2 python benchmarks/subtypes.py TEMPLATES.npz [SDSS FOLDER] [--write]

The templates are mean SDSS spectra of Kesseli et al. 2017 (`names`, `log10_wavelength`, `flux`; vacuum).
With --write the table resources/mstars/subtypes.csv is made anew from those of [Fe/H] -0.5 to +0.5. Accuracy
is always measured with tables that have not seen the metallicity under test. Test spectra get noise as in
LAMOST-LRS, with residuals of the sky, and a smooth error of flux calibration.
"""

import sys
import time
from pathlib import Path

import numpy as np

from starsift.searches.mstars.indices import ZETA_RELATIONS, load_indices, measure_indices, measure_windows
from starsift.searches.mstars.subtypes import (
    NAMES,
    SHIPPED,
    SubtypeTable,
    make_table,
    measure_subtypes,
    save_subtypes,
)
from starsift.survey.readers.registry import read_spectrum
from starsift.synthesis.degrade import add_noise, miscalibrate

NUMBERS = {name: number for number, name in NAMES.items()}
NEAR_SOLAR = ("+0.0", "+0.5", "-0.5", "")  # no metallicity is given for M9 and L0
RATIOS = (3, 5, 10, 30)
COPIES = 100


def polynomial(*coefficients: float) -> np.ndarray:
    """Indices 1.1 to 0.1 (1001,) and the subtypes there, from coefficients, highest power first."""
    index = np.linspace(1.1, 0.1, 1001)
    subtype = np.polyval(coefficients, index)
    rising = np.append(True, np.diff(np.maximum.accumulate(subtype)) > 0)  # the branch of M stars
    return np.stack([subtype[rising], index[rising]])


# Subtype as a polynomial of an index, with the range of subtypes for which it was published.
RELATIONS = {
    ("tio5", "Reid+ 1995"): (polynomial(-10.775, 8.2), (-1, 6)),
    ("tio5", "Gizis 1997"): (polynomial(-9.64, 7.76), (-1, 6)),
    ("cah2", "Gizis 1997"): (polynomial(7.91, -20.63, 10.71), (-1, 6)),
    ("cah3", "Gizis 1997"): (polynomial(-18.0, 15.8), (-1, 6)),
    ("tio5", "Lepine+ 2013"): (polynomial(-9.55, 7.83), (-1, 6)),
    ("cah2", "Lepine+ 2013"): (polynomial(7.99, -21.71, 11.50), (-1, 6)),
    ("cah3", "Lepine+ 2013"): (polynomial(-21.68, 18.80), (-1, 6)),
    ("tio6", "Lepine+ 2013"): (polynomial(-16.65, 21.23, -15.68, 9.92), (-1, 6)),
    ("vo_7434", "Lepine+ 2003"): (polynomial(-30.5, 32.2), (2, 8)),
    ("vo2", "Lepine+ 2003"): (polynomial(-10.5, 12.4), (3, 9)),
    ("tio_8440", "Lepine+ 2003"): (polynomial(-11.0, 13.7), (3, 9)),
}


def load_templates(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength (p,), flux (m, p), number of the subtype (m,) and metallicity (m,) of the late templates."""
    with np.load(path) as file:
        parts = [(*name.split("_"), "")[:2] for name in file["names"]]
        late = np.array([kind in NUMBERS for kind, _ in parts])
        kinds = np.array([NUMBERS.get(kind, 99) for kind, _ in parts])[late]
        metals = np.array([metal for _, metal in parts])[late]
        return 10.0 ** file["log10_wavelength"], file["flux"][late], kinds, metals


def table_of(wavelength: np.ndarray, flux: np.ndarray, kinds: np.ndarray) -> SubtypeTable:
    definitions = {name: d for name, d in load_indices().items() if d.method == "ratio"}
    fluxes = measure_windows(wavelength, flux, np.full(flux.shape, 1e8, np.float32), definitions)
    return make_table(kinds, fluxes.names, fluxes.values())


def print_relations(wavelength: np.ndarray, flux: np.ndarray, kinds: np.ndarray, metals: np.ndarray) -> None:
    """Index of each M template minus that of a published relation at its subtype."""
    measured = measure_indices(wavelength, flux, np.full(flux.shape, 1e8, np.float32))
    order = [i for i in np.argsort(kinds, kind="stable") if 0 <= kinds[i] <= 9]
    for offset in (0.0, 0.9):
        print(f"\nIndex minus published relation at the template's subtype - {offset:g}\n")
        print("| template | " + " | ".join(f"{index} {who}" for index, who in RELATIONS) + " |")
        print("|---|" + "---|" * len(RELATIONS))
        for i in order:
            cells = []
            for (index, _), ((subtypes, indices), limits) in RELATIONS.items():
                inside = limits[0] <= kinds[i] <= limits[1]
                expected = np.interp(kinds[i] - offset, subtypes, indices)
                cells.append(f"{measured[index][0][i] - expected:+.3f}" if inside else "")
            print(f"| {NAMES[kinds[i]]} {metals[i]} | " + " | ".join(cells) + " |")
    print(
        "\nTiO5 minus the relation to CaH2 + CaH3 at solar metallicity, which needs no subtype; zeta (2013)\n"
    )
    print("| template | " + " | ".join(ZETA_RELATIONS) + " | zeta |\n|---|" + "---|" * 4)
    strength = measured["cah2"][0] + measured["cah3"][0]
    for i in order:
        apart = [measured["tio5"][0][i] - np.polyval(c, strength[i]) for c in ZETA_RELATIONS.values()]
        print(
            f"| {NAMES[kinds[i]]} {metals[i]} | "
            + " | ".join(f"{a:+.3f}" for a in apart)
            + f" | {measured['zeta'][0][i]:.2f} |"
        )


def print_accuracy(
    title: str,
    wavelength: np.ndarray,
    tests: list[tuple[SubtypeTable, np.ndarray, np.ndarray]],
    calibration: float = 0.05,
) -> None:
    """Accuracy over sets of (table, flux (m, p), subtypes (m,))."""
    rng = np.random.default_rng(7)
    print(f"\n{title}; {100 * calibration:g} % error of flux calibration\n")
    print("| S/N | within 1 | the same | mean error | rms error | rms of error / its estimate | worst type |")
    print("|---|---|---|---|---|---|---|")
    for ratio in RATIOS:
        found, error, truth = [], [], []
        for table, flux, kinds in tests:
            copies = miscalibrate(np.repeat(flux, COPIES, axis=0), calibration, rng)
            noisy, ivar = add_noise(copies, ratio, rng, wavelength)
            result = measure_subtypes(wavelength, noisy, ivar, table=table)
            found.append(result.subtype)
            error.append(result.error)
            truth.append(np.repeat(kinds, COPIES))
        subtype, estimate, true = (np.concatenate(a) for a in (found, error, truth))
        apart = subtype - true
        near = np.abs(np.round(subtype) - true) <= 1
        worst = min(np.unique(true), key=lambda kind: near[true == kind].mean())
        print(
            f"| {ratio} | {near.mean():.1%} | {(np.round(subtype) == true).mean():.1%} | {apart.mean():+.2f} "
            f"| {np.sqrt((apart**2).mean()):.2f} | {np.sqrt(((apart / estimate) ** 2).mean()):.2f} "
            f"| {NAMES[worst]} {near[true == worst].mean():.0%} |"
        )


def main() -> None:
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    wavelength, flux, kinds, metals = load_templates(arguments[0])
    solar = np.isin(metals, NEAR_SOLAR)
    if "--write" in sys.argv:
        save_subtypes(table_of(wavelength, flux[solar], kinds[solar]), SHIPPED)
        print(f"wrote {SHIPPED}")
    print_relations(wavelength, flux, kinds, metals)

    m_stars = (kinds >= 0) & (kinds <= 9)
    only = np.isin(metals, ("+0.0", ""))
    held = [(table_of(wavelength, flux[only], kinds[only]), flux[m_stars & ~only], kinds[m_stars & ~only])]
    left_out = []
    for metal in ("+0.0", "+0.5", "-0.5"):
        seen, test = solar & (metals != metal), m_stars & (metals == metal)
        left_out.append((table_of(wavelength, flux[seen], kinds[seen]), flux[test], kinds[test]))
    # There are no odd templates: geometric means of neighbours of one metallicity stand for them.
    halfway, odd = [], []
    for kind in (1, 3, 5, 7):
        for metal in ("+0.5", "-0.5"):
            pair = [(kinds == k) & (metals == metal) for k in (kind - 1, kind + 1)]
            if all(p.any() for p in pair):
                low, high = (np.maximum(flux[p][0] / flux[p][0].mean(), 1e-3) for p in pair)
                halfway.append(np.sqrt(low * high))
                odd.append(kind)
    between = [(held[0][0], np.array(halfway), np.array(odd))]
    for calibration in (0.05, 0.2):
        print_accuracy("Table of [Fe/H] = 0, tests of all others", wavelength, held, calibration)
        print_accuracy("One metallicity left out, and tested", wavelength, left_out, calibration)
    print_accuracy("Odd subtypes, mixed from templates; table of [Fe/H] = 0", wavelength, between)

    for path in sorted(Path(arguments[1]).glob("*.fits")) if len(arguments) > 1 else []:
        spectrum = read_spectrum(path, "sdss")
        ivar = np.where(spectrum.mask != 0, 0, spectrum.ivar)[None]
        found = measure_subtypes(spectrum.wavelength, spectrum.flux[None], ivar)
        print(
            f"\n{path.name}: {found.label[0]}, {found.subtype[0]:.2f} +- {found.error[0]:.2f}, "
            f"chi2 {found.chi2[0]:.2f} an index"
        )

    many = np.tile(flux, (5000 // len(flux) + 1, 1))
    ivar = np.full(many.shape, 100, np.float32)
    for name, work in (("indices", measure_indices), ("subtypes", measure_subtypes)):
        work(wavelength, many[:9], ivar[:9])
        start = time.perf_counter()
        work(wavelength, many, ivar)
        print(f"\n{name}: {len(many) / (time.perf_counter() - start):,.0f} spectra/s")


if __name__ == "__main__":
    main()
