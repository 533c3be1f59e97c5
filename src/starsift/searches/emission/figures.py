"""The figures of the emission report: tables in, matplotlib figures out. Figure numbers: Skoda et al. 2020.

Windows are lists of 140 fluxes at `emission.window.WAVELENGTH`, scaled from -1 to 1. `candidates` has the
columns of the catalogue and `window`; it includes the rejected rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from starsift.learning.calibration import apply_temperature, wilson
from starsift.report.plots import (
    BLACK,
    BLUE,
    RED,
    empty,
    plain_logarithm,
    plot_reliability,
    report_style,
    values,
)
from starsift.searches.emission.active import entropy
from starsift.searches.emission.classes import CLASSES, EMISSION_CLASSES, TARGETS, probabilities
from starsift.searches.emission.columns import PREDICTED
from starsift.searches.emission.line import HALPHA
from starsift.searches.emission.window import WAVELENGTH

SINGLE, DOUBLE, UNINTERESTING = CLASSES
COLOURS = dict(zip(CLASSES, (BLUE, RED, "0.45"), strict=True))
HATCHES = dict(zip(CLASSES, ("", "///", "..."), strict=True))
NEAR = 45.0  # Angstrom on either side of H alpha, for exposures of a star
MAX_ENTROPY = float(np.log(len(CLASSES)))
COLUMNS = 4  # of a page of windows
EXAMPLES = 12  # spectra of a figure

Rounds = Sequence[Mapping[str, Any]]
Style = dict[str, Any]


def precision(rounds: Rounds, *, threshold: float, passes: int) -> Figure:
    """Estimated precision by round (Figure 5); learning ends when it exceeds the threshold `passes` times.

    Rounds are contents of `round.json`: `round`, `n_precision`, `true_positives`.
    """
    known = sorted((one for one in rounds if one["n_precision"]), key=lambda one: one["round"])
    with report_style():
        figure = Figure(figsize=(6.5, 4), layout="constrained")
        axis = figure.add_subplot()
        if not known:
            return empty(axis, "no round has an estimate of precision")
        number, found, size = (
            np.array([one[name] for one in known]) for name in ("round", "true_positives", "n_precision")
        )
        share = found / size
        low, high = wilson(found, size)
        passed = share > threshold
        axis.plot(number, share, color=BLUE, linewidth=1)
        for which, face in ((passed, BLUE), (~passed, "white")):
            error = [(share - low)[which], (high - share)[which]]
            style: Style = {
                "fmt": "o",
                "color": BLUE,
                "markerfacecolor": face,
                "capsize": 2,
                "elinewidth": 0.8,
            }
            axis.errorbar(number[which], share[which], error, **style)
        axis.axhline(threshold, color=BLACK, linestyle="--", linewidth=0.8)
        # On the left, where the first rounds are below the threshold.
        place: Style = {"transform": axis.get_yaxis_transform(), "va": "bottom", "fontsize": 8}
        axis.text(0.015, threshold, f"threshold, passed {passed.sum()} of {passes} times", **place)
        every = max(1, int(np.ceil((number.max() + 1) / 20)))
        axis.set(
            xlabel="round of active learning",
            xticks=np.arange(0, number.max() + 1, every),
            xlim=(-0.5, number.max() + 0.5),
            ylabel=f"estimated precision ({_range(size)} spectra a round)",
            ylim=(-0.03, 1.03),
        )
        axis.tick_params(axis="x", top=False)
        return figure


def answers(queries: pa.Table) -> Figure:
    """Labels of each round, and the entropy of the queried spectra, of `read_round_labels`."""
    rows = queries.filter(pc.equal(queries["purpose"], "query"))
    with report_style():
        figure = Figure(figsize=(6.5, 5.5), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        if not rows.num_rows:
            bottom.set_axis_off()
            return empty(top, "no spectrum was queried")
        number, labels = values(rows, "round").astype(int), np.array(rows["label"].to_pylist())
        rounds, base = np.unique(number), np.zeros(1)
        for name in CLASSES:
            count = np.array([np.sum((number == k) & (labels == name)) for k in rounds])
            label = f"{name} ({count.sum():,})"
            bars = top.bar(rounds, count, 0.8, bottom=base, color=COLOURS[name], label=label)
            if len(rounds) <= 20:
                text: Style = {"label_type": "center", "fontsize": 7, "color": "white"}
                top.bar_label(bars, [f"{n}" if n else "" for n in count], **text)
            base = base + count
        top.set(ylabel="spectra labelled by the oracle", ylim=(0, 1.22 * np.max(base)))
        top.tick_params(axis="x", length=0)
        top.legend(loc="upper center", ncols=len(CLASSES))
        uncertain = entropy(probabilities(rows))
        low, middle, high = (
            np.array([np.percentile(uncertain[number == k], q) for k in rounds]) for q in (0, 50, 100)
        )
        error = [middle - low, high - middle]
        bottom.errorbar(rounds, middle, error, fmt="o", color=BLACK, markersize=4, capsize=2, elinewidth=0.8)
        bottom.axhline(MAX_ENTROPY, color="0.5", linestyle=":", linewidth=0.8)
        place: Style = {
            "transform": bottom.get_yaxis_transform(),
            "va": "bottom",
            "ha": "right",
            "fontsize": 8,
        }
        bottom.text(0.99, MAX_ENTROPY, "all classes equally likely", color="0.35", **place)
        bottom.set(
            ylabel="entropy of queried spectra",
            ylim=(0, 1.22 * MAX_ENTROPY),
            xlabel="round of active learning",
        )
        bottom.set_xticks(rounds if len(rounds) <= 20 else rounds[:: len(rounds) // 10])
        bottom.tick_params(axis="x", top=False)
        return figure


def queries(queries: pa.Table) -> Figure:
    """The queried spectra of the last round with the highest scores, and their labels, as for `answers`."""
    rows = queries.filter(pc.equal(queries["purpose"], "query"))
    last = pc.max(rows["round"]).as_py()
    rows = (
        rows.filter(pc.equal(rows["round"], pa.scalar(last, pa.int16()))).sort_by("rank").slice(0, EXAMPLES)
    )
    notes = [
        f"{label}; P = {single:.2f}, {double:.2f}, {none:.2f}"
        for label, single, double, none in zip(
            rows["label"].to_pylist(), *(probabilities(rows).T.tolist()), strict=True
        )
    ]
    title = f"round {last}: label by the oracle; P(single), P(double), P(uninteresting)"
    return _page(rows, rows["label"].to_pylist(), notes, title, "no spectrum was queried")


def initial(initial: pa.Table) -> Figure:
    """Examples of each class in the first training set (Figure 3): `spectrum_id`, `label`, `window`."""
    initial = initial.sort_by("spectrum_id")
    rng, number = np.random.default_rng(0), 4
    with report_style():
        figure = Figure(figsize=(2.6 * len(CLASSES), 0.9 + 1.5 * number), layout="constrained")
        if not initial.num_rows:
            return empty(figure.add_subplot(), "the first training set is empty")
        axes = figure.subplots(number, len(CLASSES), sharex=True, sharey=True, squeeze=False)
        for column, name in zip(axes.T, CLASSES, strict=True):
            mine = initial.filter(pc.equal(initial["label"], name))
            drawn = np.sort(rng.permutation(mine.num_rows)[:number])
            _draw_windows(column, mine.take(pa.array(drawn)), [name] * len(drawn), [""] * len(drawn))
            head: Style = {"xytext": (0, 17), "textcoords": "offset points", "ha": "center"}
            column[0].annotate(f"{name} ({mine.num_rows:,})", (0.5, 1), xycoords="axes fraction", **head)
        _label_page(figure)
        return figure


def single_peaks(candidates: pa.Table) -> Figure:
    """Spectra of single peaks: those of the highest probability, and others at random (Figure 6).

    Reads `spectrum_id`, `profile`, `p_single`, `p_double`, `origin`, `window`.
    """
    return _examples(candidates, SINGLE, "p_single")


def double_peaks(candidates: pa.Table) -> Figure:
    """Spectra of double peaks (Figure 7), as `single_peaks`."""
    return _examples(candidates, DOUBLE, "p_double")


def _examples(candidates: pa.Table, name: str, probability: str) -> Figure:
    rows = candidates.filter(pc.equal(candidates["profile"], name))
    rows = rows.sort_by([(probability, "descending"), ("spectrum_id", "ascending")])
    best, total = min(EXAMPLES // 2, rows.num_rows), rows.num_rows
    others = np.random.default_rng(0).permutation(np.arange(best, total))[: EXAMPLES - best]
    rows = rows.take(pa.array(np.r_[:best, np.sort(others)].astype(np.int64)))
    notes = [
        f"P = {p:.3f}" + ("" if origin == PREDICTED else f", {origin}")
        for p, origin in zip(rows[probability].to_pylist(), rows["origin"].to_pylist(), strict=True)
    ]
    title = f"{name}: the {best} most probable of {total:,}" + (
        f", {len(others)} others at random" if len(others) else ""
    )
    return _page(rows, [name] * rows.num_rows, notes, title, f"no {name} in the catalogue")


def calibration(held_out: pa.Table, calibration: Mapping[str, Any]) -> Figure:
    """Reliability of the probability of emission, before and after calibration.

    `held_out` has uncalibrated probabilities and `label` of spectra that were not trained on; `calibration`,
    of `calibration.json`, has `temperature`.
    """
    temperature = calibration["temperature"]
    with report_style():
        figure = Figure(figsize=(5, 6), layout="constrained")
        main, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        if not held_out.num_rows:
            below.set_axis_off()
            return empty(main, "all labels are in the training set")
        true = np.isin(held_out["label"].to_pylist(), EMISSION_CLASSES)
        p = probabilities(held_out)
        both = {
            "not calibrated": p,
            f"calibrated, T = {temperature:.2f}": apply_temperature(p, temperature),
        }
        emission = {name: q[:, :TARGETS].sum(axis=1) for name, q in both.items()}
        plot_reliability(main, below, emission, true)
        main.set_ylabel(f"share in emission ({true.size:,} labels)")
        below.set(xlabel="predicted probability of emission", ylabel="spectra")
        return figure


def snr_magnitude(candidates: pa.Table) -> Figure:
    """Signal-to-noise ratios and magnitudes of the catalogue: `profile`, `snr`, `phot_g_mean_mag`."""
    with report_style():
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        profile = np.array(candidates["profile"].to_pylist(), dtype=object)
        for axis, name, words in ((left, "snr", "S/N per pixel"), (right, "phot_g_mean_mag", "Gaia G (mag)")):
            numbers = values(candidates, name)
            ratio = name == "snr"
            shown = np.isin(profile, EMISSION_CLASSES) & np.isfinite(numbers)
            if ratio:
                shown &= numbers > 0
            if not shown.any():
                empty(axis, f"{words}: no spectrum has it")
                continue
            least, most = numbers[shown].min(), numbers[shown].max()
            edges = (
                np.geomspace(least / 1.02, most * 1.02, 31)
                if ratio
                else np.linspace(least - 0.1, most + 0.1, 31)
            )
            for kind in EMISSION_CLASSES:
                mine = numbers[shown & (profile == kind)]
                label = f"{kind} ({mine.size:,})"
                style: Style = {"histtype": "stepfilled", "alpha": 0.45, "edgecolor": COLOURS[kind]}
                axis.hist(
                    mine, edges.tolist(), color=COLOURS[kind], hatch=HATCHES[kind], label=label, **style
                )
            axis.set(xlabel=words, ylabel="spectra")
            axis.margins(y=0.2)
            if ratio:
                axis.set_xscale("log")
                plain_logarithm(axis.xaxis)
            axis.legend(loc="upper right")
        return figure


def exposures(candidates: pa.Table, number: int = 6, most: int = 6) -> Figure:
    """Stars with several spectra in the catalogue (Appendix B.2).

    Shows `number` stars, those with the most exposures, and among these the highest S/N; of each at most
    `most` exposures, evenly spread in time. Reads `spectrum_id`, `profile`, `group_id`, `group_name`,
    `obsdate`, `snr`, `window`.
    """
    rows = candidates.filter(pc.not_equal(candidates["profile"], UNINTERESTING))
    rows = rows.sort_by([("obsdate", "ascending"), ("spectrum_id", "ascending")])
    group, snr = values(rows, "group_id"), np.nan_to_num(values(rows, "snr"))
    stars, star, count = np.unique(group, return_inverse=True, return_counts=True)
    worst = np.full(stars.size, np.inf)
    np.minimum.at(worst, star, snr)
    order = np.lexsort((stars, -worst, -count))
    chosen = [int(k) for k in order if count[k] > 1][:number]
    with report_style():
        lines = max(1, -(-len(chosen) // 3))
        figure = Figure(figsize=(9, 0.6 + 2.9 * lines), layout="constrained")
        if not chosen:
            return empty(figure.add_subplot(), "no star has two spectra in the catalogue")
        axes = figure.subplots(lines, 3, sharex=True, sharey=True, squeeze=False).ravel()
        for axis, k in zip(axes, chosen, strict=False):
            mine = np.flatnonzero(star == k)
            drawn = mine[np.unique(np.linspace(0, len(mine) - 1, min(most, len(mine))).round().astype(int))]
            colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(drawn)))
            for colour, row in zip(colours, rows.take(pa.array(drawn)).to_pylist(), strict=True):
                label = row["obsdate"] + ("" if row["snr"] is None else f", S/N {row['snr']:.0f}")
                axis.plot(WAVELENGTH, row["window"], color=colour, linewidth=0.9, label=label)
            name = rows["group_name"][int(mine[0])].as_py() or rows["spectrum_id"][int(mine[0])].as_py()
            axis.set_title(f"{name}: {count[k]} spectra", fontsize=8)
            axis.axvline(HALPHA, color="0.7", linestyle=":", linewidth=0.8)
            axis.set(ylim=(-1.08, 1.2 + 0.09 * most), yticks=[], xlim=(HALPHA - NEAR, HALPHA + NEAR))
            axis.legend(loc="upper center", fontsize=6.5, handlelength=1, ncols=2, columnspacing=1)
        for axis in axes[len(chosen) :]:
            axis.set_axis_off()
        _label_page(figure)
        return figure


def _page(rows: pa.Table, kinds: Sequence[str], notes: Sequence[str], title: str, reason: str) -> Figure:
    """Windows in a grid, coloured by `kinds`, each with its note; without windows, `reason`."""
    with report_style():
        lines = max(1, -(-rows.num_rows // COLUMNS))
        figure = Figure(figsize=(2.4 * COLUMNS, 0.8 + 1.75 * lines), layout="constrained")
        if not rows.num_rows:
            return empty(figure.add_subplot(), reason)
        axes = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
        _draw_windows(axes, rows, kinds, notes)
        figure.suptitle(title, fontsize=9)
        _label_page(figure)
        return figure


def _draw_windows(axes: np.ndarray, rows: pa.Table, kinds: Sequence[str], notes: Sequence[str]) -> None:
    """Draw one window on each axis, with its name above and its note inside; hide the other axes."""
    columns = (rows["spectrum_id"].to_pylist(), rows["window"].to_pylist(), kinds, notes)
    for axis, (name, window, kind, note) in zip(axes, zip(*columns, strict=True), strict=False):
        axis.axvline(HALPHA, color="0.7", linestyle=":", linewidth=0.8)
        axis.plot(WAVELENGTH, window, color=COLOURS[kind], linewidth=0.8)
        axis.set_title(name, fontsize=6, pad=3)
        axis.set(xlim=(WAVELENGTH[0], WAVELENGTH[-1]), ylim=(-1.08, 1.5), yticks=[])
        text: Style = {"transform": axis.transAxes, "ha": "right", "va": "top", "fontsize": 6.5}
        axis.text(0.98, 0.97, note, color=COLOURS[kind], **text)
    for axis in axes[rows.num_rows :]:
        axis.set_axis_off()


def _label_page(figure: Figure) -> None:
    figure.supxlabel("vacuum wavelength (Å); dotted: Hα at rest", fontsize=9)
    figure.supylabel("flux, scaled", fontsize=9)


def _range(size: np.ndarray) -> str:
    return f"{size[0]}" if (size == size[0]).all() else f"{size.min()} to {size.max()}"
