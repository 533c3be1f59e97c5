"""The training set: labelled CCFs of simulated spectra.

The spectra go through the survey's own CCF and peak finding (Li et al. 2023, section 3.2.1). Two things
differ from the paper, and both can be switched off: triples are hierarchical (an inner pair and an outer star
with their orbits), and a share of the classes L1 and L2 are spectra in which the CCF step sees more
components than there are stars, since the vote must reject such spectra.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import TrainingError
from starsift.searches.binaries.peaks import Components, find_components
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.ccf import CCFs, TemplateBank, build_bank, correlate
from starsift.spectra.templates import TemplateGrid
from starsift.synthesis.exposures import anonymous_batch, draw_snr
from starsift.synthesis.mrs import observe
from starsift.synthesis.stars import Synthesizer, Systems, draw_binaries, draw_singles, draw_triples

CHUNK = 1024  # spectra simulated at a time
ROUNDS = 60  # chunks drawn for one class before giving up
HARD_ROUNDS = 8  # chunks drawn for its hard cases, which are rare
TOLERANCE_KMS = 20.0  # a detection counts if every velocity is this near the truth
NOISE_RULE = 3.0  # L0: maximum of the CCF below this many of its standard deviations (section 3.2.1)


@dataclass(frozen=True)
class Laboratory:
    """Everything between a drawn system and its CCF: synthesis, observation, templates, peak finding.

    `peaks` are keyword arguments of `find_components`.
    """

    synthesizer: Synthesizer
    bank: TemplateBank
    peaks: Mapping[str, Any]

    @classmethod
    def build(
        cls, grid: TemplateGrid, *, peaks: Mapping[str, Any], resolution: float, **bank: Any
    ) -> "Laboratory":
        """From a template grid; `bank` are keyword arguments of `build_bank`."""
        templates = build_bank(grid, resolution=resolution, **bank)
        return cls(Synthesizer(grid, resolution), templates, peaks)

    def observe(self, systems: Systems, snr: np.ndarray, rng: np.random.Generator) -> SpectrumBatch:
        """Blue-arm exposures (n spectra) of systems at their velocities of the draw, at S/N `snr` (n,)."""
        flux = self.synthesizer.system_flux(systems)
        return anonymous_batch(*observe(self.synthesizer.wavelength, flux, snr=snr, rng=rng), snr)

    def measure(self, batch: SpectrumBatch) -> tuple[CCFs, Components]:
        """The survey's CCF and peak finding."""
        curves = correlate(batch, self.bank)
        return curves, find_components(curves.ccf, self.bank.velocities, **self.peaks)


def recovered(components: Components, rv: np.ndarray) -> np.ndarray:
    """Whether spectra (n,) show exactly the components `rv` (n, k), km/s: a successful detection."""
    k = rv.shape[1]
    near = np.abs(components.rv[:, :k] - np.sort(rv, axis=1)) < TOLERANCE_KMS
    return (components.count == k) & near.all(axis=1)


def training_set(
    laboratory: Laboratory,
    *,
    seed: int,
    per_class: int,
    delta_rv: tuple[float, float],
    snr: tuple[float, float],
    hierarchical: bool,
    hard_fraction: float,
) -> pa.Table:
    """Simulate the labelled CCFs L0 to L3.

    Parameters
    ----------
    laboratory : with the survey's settings
    per_class : CCFs of each label
    delta_rv : km/s, the range of velocity differences between neighbouring components
    snr : range of S/N per pixel, log-uniform
    hierarchical : triples as an inner pair and an outer star; False: three unrelated stars, as in the paper
    hard_fraction : share of L1 and L2 in which the CCF step sees more components than there are stars; 0 as
        in the paper

    Returns a Table with `label` int8 (0 to 3), `snr`, `rv` (list, km/s, the truth), `n_components` (what the
    CCF step saw) and `ccf` (fixed-size list of float32). Raises TrainingError: the settings make a class that
    cannot be filled.
    """
    hard = round(hard_fraction * per_class)
    gaps = (float(delta_rv[0]), float(delta_rv[1]))
    wide = (float(snr[0]), float(snr[1]))

    singles = partial(draw_singles, rotator_fraction=0.15)
    binaries = partial(draw_binaries, delta_rv=gaps)
    triples = partial(draw_triples, hierarchical=hierarchical, delta_rv=gaps)

    def is_noise(curves: CCFs, components: Components, rv: np.ndarray) -> np.ndarray:
        return curves.usable & (curves.ccf.max(axis=1) < NOISE_RULE * curves.ccf.std(axis=1))

    def any_single(curves: CCFs, components: Components, rv: np.ndarray) -> np.ndarray:
        return curves.usable & ~is_noise(curves, components, rv)

    def detected(curves: CCFs, components: Components, rv: np.ndarray) -> np.ndarray:
        return curves.usable & recovered(components, rv)

    def excessive(curves: CCFs, components: Components, rv: np.ndarray) -> np.ndarray:
        return curves.usable & (components.count > rv.shape[1]) & ~is_noise(curves, components, rv)

    # Noise: half without any signal, half of faint spectra whose signal does not stand out.
    parts = [
        _collect(laboratory, 0, draw_singles, is_noise, (0.05, 0.3), per_class // 2, seed),
        _collect(laboratory, 0, draw_singles, is_noise, (0.3, 4.0), per_class - per_class // 2, seed + 1),
        _collect(laboratory, 1, singles, any_single, wide, per_class - hard, seed + 2),
        _collect(laboratory, 1, singles, excessive, wide, hard, seed + 3, rounds=HARD_ROUNDS, partial=True),
        _collect(laboratory, 2, binaries, detected, wide, per_class - hard, seed + 4),
        _collect(laboratory, 2, binaries, excessive, wide, hard, seed + 5, rounds=HARD_ROUNDS, partial=True),
        _collect(laboratory, 3, triples, detected, wide, per_class, seed + 6),
    ]
    # Ordinary cases replace the hard ones that were not found: classes stay balanced.
    for label, draw, accept in ((1, singles, any_single), (2, binaries, detected)):
        missing = per_class - sum(pc.sum(pc.equal(part["label"], label)).as_py() or 0 for part in parts)
        parts.append(_collect(laboratory, label, draw, accept, wide, missing, seed + 6 + label))
    return pa.concat_tables(parts).sort_by("label").combine_chunks()


def _collect(
    laboratory: Laboratory,
    label: int,
    draw: Callable[[np.random.Generator, int], Systems],
    accept: Callable[[CCFs, Components, np.ndarray], np.ndarray],
    snr: tuple[float, float],
    number: int,
    seed: int,
    *,
    rounds: int = ROUNDS,
    partial: bool = False,
) -> pa.Table:
    """Draw systems until `number` CCFs are accepted, in at most `rounds` chunks; `partial` allows fewer."""
    rng = np.random.default_rng([seed, label])
    size = laboratory.bank.velocities.size
    parts: list[tuple[np.ndarray, ...]] = []
    found = 0
    for _ in range(rounds):
        if found >= number:
            break
        systems = draw(rng, CHUNK)
        ratio = draw_snr(rng, CHUNK, *snr)
        curves, components = laboratory.measure(laboratory.observe(systems, ratio, rng))
        rows = np.flatnonzero(accept(curves, components, systems.rv))[: number - found]
        parts.append(
            (ratio[rows], np.sort(systems.rv[rows], axis=1), components.count[rows], curves.ccf[rows])
        )
        found += rows.size
    if found < number and not partial:
        raise TrainingError(
            f"training: only {found} of {number} CCFs of class L{label} were found among {rounds * CHUNK} "
            f"simulated spectra at S/N {snr[0]:g}-{snr[1]:g}; raise training.snr or training.delta_rv, or "
            "lower training.per_class"
        )
    ratio, rv, count, ccf = (
        (np.concatenate(column) for column in zip(*parts, strict=True))
        if parts
        else (np.zeros(0), np.zeros((0, 1)), np.zeros(0, np.int16), np.zeros((0, size), np.float32))
    )
    return pa.table(
        {
            "label": pa.array(np.full(found, label, np.int8)),
            "snr": pa.array(ratio.astype(np.float32)),
            "rv": pa.array(list(rv.astype(np.float32)), pa.list_(pa.float32())),
            "n_components": pa.array(count),
            "ccf": pa.FixedSizeListArray.from_arrays(pa.array(ccf.reshape(-1)), size),
        }
    )


def read_training(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read the training set: CCFs (n, velocity) float32 and labels (n,) int, 0 to 3 for L0 to L3."""
    table = pq.read_table(path, columns=["ccf", "label"])
    lists = table["ccf"].combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    return lists.flatten().to_numpy().reshape(table.num_rows, -1), table["label"].to_numpy().astype(np.int64)
