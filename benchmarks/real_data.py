"""What networks and hashes that learned from simulated surveys do on real spectra.

    snakemake --cores 2 --configfile config/models.yaml
    python benchmarks/real_data.py FOLDER ... [--templates TEMPLATES.npz] [--results results] [--stage final]

Each folder holds spectra of one release, LAMOST-LRS or SDSS. Known M stars are those that the headers call so
and `--m-stars`; known emission is `--emission`. The templates are mean SDSS spectra of Kesseli et al. 2017
(`names`, `log10_wavelength`, `flux`; vacuum): they get noise and are searched, too. Simulated emission lines
are added to the real spectra of types O to F, to see which are found.
"""

import argparse
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _arguments import existing_path

from starsift.demo.emission import EMITTER_KINDS, add_lines, line_noise, reject_peaks
from starsift.io.parquet import write_parquet
from starsift.searches.emission.classes import TARGETS
from starsift.searches.emission.inference import NumpyNetwork
from starsift.searches.emission.window import window
from starsift.searches.mstars.calibration import Calibration, read_calibration
from starsift.searches.mstars.hamming import rank_codes
from starsift.searches.mstars.hashing import codes_of
from starsift.searches.mstars.labelled import role_of
from starsift.searches.mstars.model import METHODS, Model
from starsift.searches.mstars.predict import encode_batch, rank_pool
from starsift.settings import default_settings
from starsift.spectra.batches import IDENTITY_NAMES, SpectrumBatch, read_bundle
from starsift.spectra.packing import pack_bundle
from starsift.spectra.resample import LAMOST_LRS
from starsift.survey.catalog import read_catalog
from starsift.survey.index import index_folder
from starsift.survey.partition import make_manifest
from starsift.synthesis.degrade import add_noise, miscalibrate, shift
from starsift.synthesis.emission_lines import draw_emitters, look

SETTINGS = default_settings()
METHOD, SEARCH = METHODS[SETTINGS["mstars"]["hash"]["method"]], SETTINGS["mstars"]["search"]
PROBABILITY = SETTINGS["mstars"]["catalog"]["probability"]
WAVELENGTH = LAMOST_LRS.wavelength
RATIOS, COPIES, INJECTED = (3, 5, 10, 20, 50), 5, 40
POOL_SHARE = 0.1  # of M stars among the templates, as if in a pool
MARGINS = (0, 0.67, 1, 1.5, 3, 10, np.inf)


@dataclass(frozen=True)
class Models:
    """The trained hash with its reference and calibration, and the network."""

    model: Model
    reference: pa.Table
    calibration: Calibration
    network: NumpyNetwork

    @classmethod
    def load(cls, results: Path, stage: str) -> "Models":
        """Read the results of a run."""
        folder = results / "mstars"
        return cls(
            Model.load(folder / "model.npz"),
            pq.read_table(folder / "reference.parquet"),
            read_calibration(folder / "calibration.json"),
            NumpyNetwork.load(results / "emission" / stage / "model.keras"),
        )

    def classify(self, batch: SpectrumBatch) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (n, 3) of emission, NaN without a window, and which spectra (n,) are in emission."""
        made = window(batch, **SETTINGS["emission"]["window"])
        p = np.full((batch.n, 3), np.nan)
        p[made.ok] = self.network.predict(made.flux[made.ok])
        return p, np.nan_to_num(p, nan=-1.0).argmax(axis=1) < TARGETS * made.ok


def pack(folder: Path, scratch: Path) -> tuple[Path, pa.Table]:
    """The packed spectra of a folder, and their manifest with class and subclass."""
    index = scratch / f"{folder.name}-index.parquet"
    write_parquet(index_folder(folder), index)
    kinds = pq.read_table(index, columns=["survey"])["survey"].drop_null().unique().to_pylist()
    kind = "sdss" if kinds == ["sdss"] else "lrs"
    catalog = read_catalog(index, kind, columns=["class", "subclass"])
    manifest = make_manifest(
        catalog,
        survey=kind,
        root=folder,
        columns=["class", "subclass"],
        spectra_per_bundle=10**6,
        level="night",
    )
    write_parquet(manifest, scratch / f"{folder.name}-manifest.parquet")
    bundle = scratch / f"{folder.name}.arrow"
    pack_bundle(scratch / f"{folder.name}-manifest.parquet", folder, kind, bundle)
    return bundle, manifest


def search_folder(
    bundle: Path, manifest: pa.Table, models: Models, known: tuple[list[str], list[str]]
) -> list[str]:
    """Print the row of a folder; returns a line for each missed or false spectrum."""
    names = manifest["spectrum_id"].to_pylist()
    kinds = list(zip(manifest["class"].to_pylist(), manifest["subclass"].to_pylist(), strict=True))
    is_m = np.array([role_of(*kind) != "negative" for kind in kinds]) | np.isin(names, known[0])
    emission = np.isin(names, known[1])
    batches = list(read_bundle(bundle))
    codes = bundle.with_name(f"{bundle.stem}.parquet")
    write_parquet(pa.concat_tables([encode_batch(batch, models.model) for batch in batches]), codes)
    pool, _, _ = rank_pool([codes], models.reference, models.calibration, ranking=METHOD.ranking, **SEARCH)
    rows = pool.to_pylist()
    p_m = np.array([row["p_m"] if row["n_queries"] and row["p_m"] else 0.0 for row in rows])
    snr = np.array([row["measured_snr"] or np.nan for row in rows])
    parts = [models.classify(batch) for batch in batches]
    p, lines = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    found = p_m >= PROBABILITY
    print(
        f"| {bundle.stem} | {len(names)} | {is_m.sum()} | {(found & is_m).sum()} | {(found & ~is_m).sum()} | "
        f"{emission.sum()} | {(lines & emission).sum()} | {(lines & ~emission).sum()} |"
    )
    wrong = np.flatnonzero((found != is_m) | (lines != emission) | is_m | emission)
    return [
        f"| {names[i]} | {' '.join(filter(None, kinds[i]))} | {snr[i]:.0f} | {p_m[i]:.3f} | "
        f"{p[i, :TARGETS].sum():.3f} | {verdict(is_m[i], found[i], 'M star')} | "
        f"{verdict(emission[i], lines[i], 'emission')} |"
        for i in wrong
    ]


def header(*names: str) -> None:
    """Print the head of a Markdown table."""
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")


def verdict(true: bool, found: bool, what: str) -> str:
    """One word of the table."""
    return f"{what}: {'found' if found else 'missed'}" if true else f"{what}: false" if found else ""


def as_batch(flux: np.ndarray, ivar: np.ndarray) -> SpectrumBatch:
    """Spectra (n, p) on the LRS grid."""
    identity = {name: [None] * len(flux) for name in IDENTITY_NAMES}
    identity["spectrum_id"] = [str(i) for i in range(len(flux))]
    return SpectrumBatch.from_arrays(identity, WAVELENGTH, flux, ivar)


def search_templates(path: Path, models: Models) -> None:
    """Noisy mean spectra: the share called M stars and in emission, by type."""
    content = np.load(path)
    good = np.isfinite(content["flux"]) & (content["flux"] != 0)
    flux = np.where(good, content["flux"], 0.0)
    types = np.array([str(name)[:2] for name in content["names"]])
    groups = {letter: np.char.startswith(types, letter) for letter in "OBAFG"}
    groups["K0 to K4"] = np.isin(types, ["K0", "K1", "K2", "K3", "K4"])
    groups |= {name: types == name for name in ("K7", "M0", "M2", "M4", "M6", "M8", "M9")}
    role = models.reference["role"].to_numpy(zero_copy_only=False)
    codes = codes_of(models.reference["code"])
    for search in ("M stars", "emission"):
        print()
        header(f"{search}: S/N", *groups)
        for ratio in RATIOS:
            rng = np.random.default_rng(1)
            stars = np.tile(flux, (COPIES, 1))
            stars = shift(LAMOST_LRS, stars, rng.normal(0, 50, len(stars)))
            level = np.median(stars[:, (WAVELENGTH > 5600) & (WAVELENGTH < 6950)], axis=1)[:, None]
            noisy, ivar = add_noise(
                miscalibrate(stars / level, 0.06, rng), np.full(len(stars), ratio), rng, WAVELENGTH
            )
            batch = as_batch(100 * noisy, ivar * np.tile(good, (COPIES, 1)) / 1e4)
            if search == "emission":
                called = models.classify(batch)[1]
            else:
                table = encode_batch(batch, models.model)
                score = rank_codes(
                    codes_of(table["code"]),
                    codes[role != "negative"],
                    codes[role == "negative"],
                    METHOD.ranking,
                )
                snr = table["measured_snr"].to_numpy()
                odds = models.calibration.log_odds(score, POOL_SHARE, snr)
                called = odds >= np.log(PROBABILITY / (1 - PROBABILITY))
            shares = [f"{called[np.tile(rows, COPIES)].mean():.0%}" for rows in groups.values()]
            print(f"| {ratio} | {' | '.join(shares)} |")


def inject_emission(bundles: list[tuple[Path, pa.Table]], known: list[str], models: Models) -> None:
    """Simulated emission lines on real spectra of types O to F: the share that is found."""
    fluxes, weights = [], []
    for bundle, manifest in bundles:
        host = [(name or "?")[0] in "OBAF" for name in manifest["subclass"].to_pylist()]
        host = np.array(host) & ~np.isin(manifest["spectrum_id"].to_pylist(), known)
        at = 0
        for batch in read_bundle(bundle):
            for i in np.flatnonzero(host[at : at + batch.n]):
                spectrum = (batch.flux[i], np.where(batch.ivar[i] > 0, batch.ivar[i], 0))
                flux, ivar = (np.interp(WAVELENGTH, batch.wavelength[i], values) for values in spectrum)
                level = np.median(flux[(WAVELENGTH > 6400) & (WAVELENGTH < 6800)])
                fluxes.append(flux / level)
                weights.append(ivar * level**2)
            at += batch.n
    rng = np.random.default_rng(3)
    hosts, margins, doubles, calls = np.array(fluxes, np.float32), [], [], []
    for _ in range(INJECTED):
        stars = draw_emitters(rng, len(hosts), EMITTER_KINDS)
        flux, ivar, rv = hosts.copy(), np.array(weights, np.float32), rng.normal(0, 40, len(hosts))
        add_lines(flux, stars, rv)
        sight = look(stars, line_noise(flux, ivar, rv))
        reject_peaks(rng, ivar, np.arange(len(hosts)), stars, rv)
        p, called = models.classify(as_batch(100 * flux, ivar / 1e4))
        margins.append(sight.margin)
        doubles.append(sight.double_margin)
        calls.append(np.where(called, p.argmax(axis=1), TARGETS))
    margin, double, call = (np.concatenate(each) for each in (margins, doubles, calls))
    print()
    header(f"emission on {len(hosts)} real spectra: strength", "number", "found")
    for low, high in pairwise(MARGINS):
        part = (margin >= low) & (margin < high)
        print(f"| {low:g} to {high:g} | {part.sum()} | {(call[part] < TARGETS).mean():.0%} |")
    for name, chosen in (("single", double < 0.67), ("double", double > 1.5)):
        part = chosen & (margin > 1.5) & (call < TARGETS)
        print(
            f"Clear {name} peaks that are found: {(call[part] == (name == 'double')).mean():.0%} so called."
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=existing_path, nargs="+", metavar="FOLDER")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--stage", default="final", help="network: final, round-00, ...")
    parser.add_argument("--m-stars", nargs="*", default=[], help="spectrum_ids, besides those of the headers")
    parser.add_argument("--emission", nargs="*", default=[], help="spectrum_ids")
    parser.add_argument("--templates", type=existing_path)
    options = parser.parse_args()
    models, known = Models.load(options.results, options.stage), (options.m_stars, options.emission)
    header("release", "spectra", "M stars", "found", "false", "emission", "found", "false")
    with tempfile.TemporaryDirectory() as scratch:
        bundles = [pack(folder, Path(scratch)) for folder in options.folders]
        lines = [line for bundle in bundles for line in search_folder(*bundle, models, known)]
        print()
        header("spectrum", "class", "S/N in r", "p_m", "P(emission)", "M star", "emission")
        print("\n".join(lines))
        if options.templates:
            search_templates(options.templates, models)
        inject_emission(bundles, options.emission, models)


if __name__ == "__main__":
    main()
