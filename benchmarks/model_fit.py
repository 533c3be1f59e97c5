"""Models of one, two and three stars on exposures whose velocities are known, and how fast they are fitted.

    python benchmarks/model_fit.py FOLDER TRUTH.csv --decision results/binaries/decision/decision.json

FOLDER has MRS files, TRUTH.csv one row a file: file, kind (single, SB2, SB3), snr, dv (largest velocity
difference, km/s), q (smallest light ratio), rv (velocities, km/s, separated by spaces) and, for the shares of
the light, light (of the stars of rv, in any unit). The decision is that of a run, such as the demo.
"""

import argparse
import csv
import time

import numpy as np
from _arguments import existing_path

from starsift.errors import InputError
from starsift.searches.binaries.decision import Decision, features
from starsift.searches.binaries.fits import Fits, summarise
from starsift.searches.binaries.model_bank import build_models
from starsift.searches.binaries.model_fit import ModelFits, fit_models
from starsift.searches.binaries.settings import model_settings
from starsift.settings import default_settings
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.reading import read_spectra
from starsift.spectra.templates import load_grid

BINARIES = default_settings()["binaries"]
NEAR_KMS = 10.0
COLUMNS = ("file", "kind", "snr", "dv", "q", "rv")  # of the truth
KINDS = ("single", "SB2", "SB3")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=existing_path)
    parser.add_argument("truth", type=existing_path)
    parser.add_argument("--decision", type=existing_path, required=True)
    options = parser.parse_args()
    with options.truth.open() as stream:
        table = csv.DictReader(stream)
        if missing := set(COLUMNS).difference(table.fieldnames or ()):
            parser.error(f"{options.truth}: no column {', '.join(sorted(missing))}")
        truth = {row["file"].removesuffix(".fits.gz"): row for row in table}
    try:
        batch = read_spectra(options.folder)
    except InputError as error:
        parser.error(str(error))
    blue = [i for i, r in enumerate(batch.identity.to_pylist()) if r["band"] == "B" and r["lmjm"]]
    if not blue:
        parser.error(f"{options.folder}: no exposure of the blue arm is in this folder")
    batch = batch.take(np.array(blue))
    names = [name.split("/")[0] for name in batch.identity["spectrum_id"].to_pylist()]
    if strangers := set(names) - truth.keys():
        parser.error(f"{options.truth}: no row has the file {min(strangers)}.fits.gz")
    rows = [truth[name] for name in names]
    bank = build_models(load_grid(), **model_settings(BINARIES))
    fits, decision = fit_models(batch, bank), Decision.load(options.decision)
    report(fits, rows, decision)
    if "light" in rows[0]:
        report_light(summarise(fits, bank), rows, decision)
    report_calls(decision.multiplicity(features(fits, bank)), fits, rows)
    for kind in KINDS:
        some = batch.take(np.flatnonzero([row["kind"] == kind for row in rows]))
        if some.n:
            print(f"{kind}: {speed(some, bank):.0f} spectra a second")


def report(fits: ModelFits, rows: list[dict[str, str]], decision: Decision) -> None:
    """Print how near the models with the true number of stars come, by velocity difference."""
    true = [np.sort([float(v) for v in row["rv"].split()]) for row in rows]
    models = [fits.rv[i, len(rv) - 1, : len(rv)] for i, rv in enumerate(true)]
    order = [np.argsort(found) for found in models]
    away = [np.sort(found) - rv for found, rv in zip(models, true, strict=True)]
    near = np.array([np.abs(a).max() < NEAR_KMS for a in away])
    share = np.nan_to_num(fits.chi2[:, 0] - fits.chi2[:, 1]) / fits.lines
    kind, dv = np.array([row["kind"] for row in rows]), np.array([float(row["dv"]) for row in rows])
    print("| kind | dv km/s | spectra | velocities within 10 km/s | separation - true km/s | least share |")
    print("|---|---|---|---|---|---|")
    for one in KINDS:
        for value in np.unique(dv[kind == one]):
            use = np.flatnonzero((kind == one) & (dv == value))
            good = use[near[use]]
            wide = np.array([away[i][-1] - away[i][0] for i in good])
            separation = f"{wide.mean():+.2f} +- {wide.std():.2f}" if one != "single" and len(good) else ""
            print(
                f"| {one} | {value:g} | {len(use)} | {near[use].mean():.2f} | {separation} | "
                f"{share[use].max() if one == 'single' else share[use].min():.4f} |"
            )
    print("(share: chi-square that a second star gains over what the first gains; of singles the largest)")
    for number, one in enumerate(KINDS, 1):
        good = np.flatnonzero((kind == one) & near & ((dv >= 60) | (number == 1)))
        if not good.size:
            continue
        model = (good, number - 1, slice(number))
        complete = decision.velocity_errors(fits.rv[model], fits.rv_err[model])
        errors = [row[order[i]] for i, row in zip(good, complete, strict=True)]
        pull = np.concatenate([away[i] / e for i, e in zip(good, errors, strict=True)])
        offset = np.concatenate([away[i] for i in good])
        print(
            f"{one}: bias {offset.mean():+.2f} km/s, scatter {offset.std():.2f} km/s, "
            f"median error {np.median(np.concatenate(errors)):.2f} km/s, pull {pull.std():.2f}, "
            f"robust {1.4826 * np.median(np.abs(pull)):.2f}"
        )


def report_light(fits: Fits, rows: list[dict[str, str]], decision: Decision) -> None:
    """Print how near the shares of the light come, of models whose velocities are right."""
    print("| kind | star | spectra | share - true | scatter | median error | pull | robust | pull of noise |")
    print("|---" * 9 + "|")
    for stars, kind in ((2, "SB2"), (3, "SB3")):
        some = [i for i, row in enumerate(rows) if row["kind"] == kind and float(row["dv"]) >= 60]
        if not some:
            continue
        rv, light = (np.array([rows[i][name].split() for i in some], float) for name in ("rv", "light"))
        order = np.argsort(rv, axis=1)
        rv, true = (np.take_along_axis(a, order, axis=1) for a in (rv, light / light.sum(axis=1)[:, None]))
        model = (some, stars - 1, slice(stars))
        near = (np.abs(fits.rv[model] - rv) < NEAR_KMS).all(axis=1)
        if not near.any():
            continue
        away, noise = (fits.light[model] - true)[near], fits.light_err[model][near]
        error = decision.light_errors(fits.rv[model], fits.light_err[model])[near]
        # By decreasing light.
        order = np.argsort(-true[near], axis=1, kind="stable")
        away, noise, error = (np.take_along_axis(a, order, axis=1) for a in (away, noise, error))
        pull, short = away / error, away / noise
        robust = 1.4826 * np.median(np.abs(pull), axis=0)
        columns = (away.mean(0), away.std(0), np.median(error, 0), pull.std(0), robust, short.std(0))
        for star, numbers in enumerate(zip(*columns, strict=True), 1):
            print(f"| {kind} | {star} | {len(away)} | {' | '.join(f'{x:.3f}' for x in numbers)} |")


def report_calls(called: np.ndarray, fits: ModelFits, rows: list[dict[str, str]]) -> None:
    """Print what the decision makes of the spectra."""
    kind, dv = np.array([row["kind"] for row in rows]), np.array([float(row["dv"]) for row in rows])
    print("| kind | dv km/s | spectra | called single | SB2 | SB3 |")
    print("|---|---|---|---|---|---|")
    for one in KINDS:
        for value in np.unique(dv[kind == one]):
            use = (kind == one) & (dv == value)
            counts = [int((called[use] == name).sum()) for name in ("", "SB2", "SB3")]
            print(f"| {one} | {value:g} | {use.sum()} | {' | '.join(map(str, counts))} |")
    promised = np.flatnonzero(
        (kind == "SB2")
        & (dv >= 60)
        & np.array([float(row["q"]) >= 0.24 and float(row["snr"]) >= 10 for row in rows])
    )
    if not promised.size:
        return
    true = np.array([np.sort([float(v) for v in rows[i]["rv"].split()]) for i in promised])
    near = (np.abs(np.sort(fits.rv[promised, 1, :2], axis=1) - true) < NEAR_KMS).all(axis=1)
    found = called[promised] == "SB2"
    right = f"{near[found].mean():.3f}" if found.any() else "none"
    print(
        f"SB2, dv >= 60 km/s, light ratio >= 1/4, S/N >= 10: {found.mean():.3f} found, of them "
        f"{right} with both velocities within {NEAR_KMS:g} km/s"
    )


def speed(batch: SpectrumBatch, bank) -> float:
    """Spectra a second, on all threads."""
    many = batch.take(np.resize(np.arange(batch.n), 512))
    start = time.perf_counter()
    fit_models(many, bank)
    return many.n / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
