"""The figures of the BHB report: tables in, matplotlib figures out. Figure numbers: Wei et al. 2023.

`runs` are those of `bhb.evaluation.read_runs`, `metrics` is the table of `bhb.comparison.score_runs`,
`trainings` are the contents of each `training.json`, and `calibration` is that of `calibration.json`. Models
that were not trained are left out.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from starsift.learning.calibration import wilson
from starsift.report.plots import (
    BLACK,
    BLUE,
    DENSITY,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SERIES,
    empty,
    plain_logarithm,
    plot_reliability,
    report_style,
    values,
)
from starsift.searches.bhb.comparison import ALL, MODELS, REPORTED, Runs, summarize_runs
from starsift.searches.bhb.evaluation import calibrate, one_per_star, select
from starsift.searches.bhb.inputs import BANDS, BHB, FUSED, GRID, NOT_BHB, SEGMENT, SEGMENTS
from starsift.searches.bhb.photometry import load_relations

COLOURS = {BHB: BLUE, NOT_BHB: RED, ALL: BLACK}
DASHES = {BHB: "-", NOT_BHB: "--", ALL: ":"}
RECALLS = np.linspace(0.0, 1.0, 1001)
FUSIONS = ("image", "spectrum", "add", "concat", "vgg1d", "batmm")
WEIGHED = {
    "spectrum": (BLUE, "o"),
    "image": (GREEN, "s"),
    "batmm": (RED, "D"),
    "batmm-end-to-end": (PURPLE, "^"),
}
BALMER = {"Hδ": 4102.9, "Hγ": 4341.7, "Hβ": 4862.7, "Hα": 6564.6}  # vacuum, Angstrom
COLUMNS = 4  # of a page of panels

Trainings = Sequence[Mapping[str, Any]]
Style = dict[str, Any]


def roc_pr(runs: Runs, calibration: Mapping[str, Any]) -> Figure:
    """ROC and precision-recall curves (Figure 8) of the model of the catalogue; other runs are thin."""
    model = calibration["models"][FUSED]
    own = {number: select(predictions) for name, number, predictions in runs if name == model}
    with report_style():
        figure = Figure(figsize=(8, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        if not own:
            right.set_axis_off()
            return empty(left, f"no run of {MODELS[model]}")
        shown = calibration["run"] if calibration["run"] in own else min(own)
        # The highlighted run comes last, on top.
        for number, test in sorted(own.items(), key=lambda item: (item[0] == shown, item[0])):
            thin: Style = {"linewidth": 0.5, "alpha": 0.5}
            style = thin if number != shown else {"linewidth": 1.5}
            area = float(roc_auc_score(test.truth, test.p_bhb))
            false, true, _ = roc_curve(test.truth, test.p_bhb)
            label = f"run {number}: AUC = {area:.4f}" if number == shown else None
            left.plot(false, true, color=BLUE, label=label, **style)
            curves = {BHB: stepped(test.truth, test.p_bhb), NOT_BHB: stepped(1 - test.truth, -test.p_bhb)}
            curves[ALL] = (curves[BHB] + curves[NOT_BHB]) / 2
            for kind in REPORTED:
                area = float(np.mean(curves[kind][1:]))
                label = f"{kind}: {area:.4f}" if number == shown else None
                right.plot(
                    RECALLS, curves[kind], color=COLOURS[kind], linestyle=DASHES[kind], label=label, **style
                )
        left.plot((0, 1), (0, 1), color="0.6", linestyle=":", linewidth=0.8)
        left.set(xlabel="false positive rate", ylabel="true positive rate")
        right.set(xlabel="recall", ylabel="precision")
        left.legend(loc="lower right", title=f"{MODELS[model]}, {len(own)} runs")
        right.legend(loc="lower left", title="average precision")
        for axis in (left, right):
            axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        return figure


def stepped(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Precision (1001,) at each of `RECALLS`, for the highest threshold with that recall.

    Its mean is the average precision, up to the width of the steps.
    """
    precision, recall, _ = precision_recall_curve(truth, score)
    # From the highest threshold down, so that recall ascends.
    place = np.searchsorted(recall[::-1], RECALLS - 1e-12)
    return np.asarray(precision[::-1][np.minimum(place, recall.size - 1)])


def weights(trainings: Trainings) -> Figure:
    """Weights of segments of the spectrum and of bands in the encoders (Figure 9).

    Means over the runs, with standard deviations.
    """
    with report_style():
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(SEGMENTS, len(BANDS)))
        edges = GRID.wavelength[np.minimum(np.arange(SEGMENTS + 1) * SEGMENT, GRID.pixels - 1)]
        ranges = [f"{a:.0f}–\n{b:.0f}" for a, b in pairwise(edges)]
        _draw_weights(left, trainings, "segments", ranges, "vacuum wavelength (Å)")
        _draw_weights(right, trainings, "bands", list(BANDS), "band")
        return figure


def _draw_weights(axis: Axes, trainings: Trainings, part: str, ticks: list[str], label: str) -> None:
    groups: dict[str, list[list[float]]] = {}
    for one in trainings:
        found = (one.get("weights") or {}).get(part)
        if found is not None and one["model"] in WEIGHED:
            groups.setdefault(one["model"], []).append(found)
    if not groups:
        empty(axis, f"no encoder weights {part}")
        return
    place = np.arange(len(ticks))
    models = [model for model in WEIGHED if model in groups]
    for number, model in enumerate(models):
        table = np.array(groups[model])
        colour, marker = WEIGHED[model]
        scatter = table.std(axis=0, ddof=1) if len(table) > 1 else None
        style: Style = {"color": colour, "marker": marker, "linestyle": "none", "capsize": 2}
        shift = 0.12 * (number - (len(models) - 1) / 2)
        axis.errorbar(
            place + shift, table.mean(axis=0), scatter, label=f"{MODELS[model]} ({len(table)})", **style
        )
    axis.axhline(1 / len(ticks), color="0.6", linestyle=":", linewidth=0.8)
    axis.set(xlabel=label, ylabel="weight", xticks=place, xticklabels=ticks)
    axis.tick_params(axis="x", top=False, labelsize=7 if len(ticks) == SEGMENTS else 9)
    axis.set_ylim(0, 1.3 * axis.get_ylim()[1])
    axis.legend(loc="upper right", title="model (runs)")


def fusion(metrics: pa.Table) -> Figure:
    """Precision, recall and F1 (ALL) of methods of fusion and of single inputs, with scatter (Figure 10)."""
    found = {row["model"]: row for row in summarize_runs(metrics).to_pylist() if row["class"] == ALL}
    models = [model for model in FUSIONS if model in found]
    with report_style():
        figure = Figure(figsize=(7, 3.8), layout="constrained")
        axis = figure.add_subplot()
        if not models:
            return empty(axis, "no model has been evaluated")
        for shift, name, words, colour, marker in (
            (-0.22, "precision", "precision", BLUE, "o"),
            (0.0, "recall", "recall", ORANGE, "s"),
            (0.22, "f1", "F1", GREEN, "D"),
        ):
            mean, std = (
                np.array([100 * (found[model][f"{name}_{part}"] or 0.0) for model in models])
                for part in ("mean", "std")
            )
            place = np.arange(len(models)) + shift
            style: Style = {"color": colour, "fmt": marker, "capsize": 2, "markersize": 5}
            axis.errorbar(place, mean, std, label=words, **style)
            for x, y, error in zip(place, mean, std, strict=True):
                text: Style = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center"}
                axis.annotate(f"{y:.1f}", (x, y + error), fontsize=6, color=colour, **text)
        axis.set(
            ylabel="%, mean of both classes",
            xticks=np.arange(len(models)),
            xticklabels=[MODELS[model].replace(" + ", "\n+ ") for model in models],
        )
        axis.margins(y=0.12)
        axis.grid(axis="y", color="0.92")
        axis.set_axisbelow(True)
        axis.tick_params(axis="x", top=False, length=0, labelsize=8)
        axis.legend(loc="lower right", ncols=3)
        return figure


def training(trainings: Trainings) -> Figure:
    """Losses of every run against epoch, and the epoch whose weights were kept."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in sorted(trainings, key=lambda one: one["run"]):
        if one["epochs"]:
            groups.setdefault(one["model"], []).append(one)
    models = [model for model in MODELS if model in groups]
    with report_style():
        lines = max(1, -(-len(models) // COLUMNS))
        figure = Figure(figsize=(2.4 * COLUMNS, 0.6 + 1.9 * lines), layout="constrained")
        if not models:
            return empty(figure.add_subplot(), "no network was trained")
        axes = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
        for axis, model in zip(axes, models, strict=False):
            for one in groups[model]:
                for name, colour in (("loss", "0.6"), ("validation_loss", BLUE)):
                    loss = one[name]
                    axis.plot(np.arange(1, len(loss) + 1), loss, color=colour, linewidth=0.8)
                best = one["best_epoch"]
                axis.plot(best, one["validation_loss"][best - 1], "o", color=RED, markersize=3)
            axis.set_title(MODELS[model], fontsize=7)
            axis.set_yscale("log")
            plain_logarithm(axis.yaxis)
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axis.tick_params(labelsize=7)
        for axis in axes[len(models) :]:
            axis.set_axis_off()
        figure.supxlabel("epoch; grey: training, blue: validation, red: kept", fontsize=9)
        figure.supylabel("loss", fontsize=9)
        return figure


def reliability(runs: Runs, calibration: Mapping[str, Any]) -> Figure:
    """Share of BHB stars among test stars against their probability, before and after calibration."""
    with report_style():
        known = _modalities(runs, calibration)
        figure = Figure(figsize=(4 * max(1, len(known)), 5), layout="constrained")
        if not known:
            return empty(figure.add_subplot(), "the calibrated run has no predictions")
        axes = figure.subplots(2, len(known), sharex=True, squeeze=False, height_ratios=(4, 1))
        for (main, below), (modality, model, own) in zip(axes.T, known, strict=True):
            test, temperature = one_per_star(select(own)), calibration["modalities"][modality]["temperature"]
            true = test.truth == 1
            calibrated = calibrate(test.p_bhb, temperature)
            p = {"uncalibrated": test.p_bhb, f"calibrated, T = {temperature:.2f}": calibrated}
            plot_reliability(main, below, p, true)
            main.set_title(f"{modality}: {MODELS[model]}, run {calibration['run']}", fontsize=9)
            main.set_ylabel(f"share of BHB stars ({true.size:,} test stars)")
            below.set_ylabel("stars")
        return figure


def purity(runs: Runs, calibration: Mapping[str, Any]) -> Figure:
    """Purity and completeness of BHB stars against the threshold of the calibrated probability."""
    with report_style():
        known = _modalities(runs, calibration)
        figure = Figure(figsize=(4 * max(1, len(known)), 4), layout="constrained")
        if not known:
            return empty(figure.add_subplot(), "the calibrated run has no predictions")
        axes = figure.subplots(1, len(known), sharey=True, squeeze=False).ravel()
        for axis, (modality, model, own) in zip(axes, known, strict=True):
            fitted = calibration["modalities"][modality]
            for split, style in (("validation", {"linewidth": 0.7}), ("test", {"linewidth": 1.5})):
                scored = one_per_star(select(own, split))
                p = calibrate(scored.p_bhb, fitted["temperature"])
                threshold, pure, low, high, complete = purity_curve(scored.truth == 1, p)
                for y, name, colour in ((pure, "purity", BLUE), (complete, "completeness", ORANGE)):
                    axis.plot(threshold, y, color=colour, label=f"{name}, {split} set", **style)
                if split == "test":
                    axis.fill_between(threshold, low, high, color=BLUE, alpha=0.15, linewidth=0)
            axis.axhline(calibration["purity"], color=BLACK, linestyle=":", linewidth=0.8)
            chosen = fitted["threshold"]
            if chosen is not None:
                axis.axvline(chosen, color=BLACK, linestyle="--", linewidth=0.8)
            words = "no threshold reaches it" if chosen is None else f"threshold {chosen:.3f}"
            axis.set_title(f"{modality}: {MODELS[model]}, run {calibration['run']}", fontsize=9)
            axis.set(xlabel="threshold of the calibrated probability", xlim=(0, 1), ylim=(0, 1.03))
            title = f"required purity {calibration['purity']:g}; {words}"
            axis.legend(loc="lower left", title=title, title_fontsize=8)
        axes[0].set_ylabel("share")
        return figure


def purity_curve(truth: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, ...]:
    """Purity and completeness of the rows that reach a threshold, for each value of p (n,) as threshold.

    `truth` is (n,) bool, n > 0. Returns threshold (m,), ascending; purity and its interval of 95 % (Wilson):
    purity, low, high; completeness.
    """
    threshold, first = np.unique(np.sort(p), return_index=True)
    number = p.size - first
    found = np.cumsum(truth[np.argsort(p, kind="stable")][::-1])[::-1][first]
    low, high = wilson(found, number)
    return threshold, found / number, low, high, found / truth.sum()


def _modalities(runs: Runs, calibration: Mapping[str, Any]) -> list[tuple[str, str, pa.Table]]:
    """Each modality with its model, and the predictions of that model in the calibrated run."""
    predicted = {(model, number): predictions for model, number, predictions in runs}
    return [
        (modality, model, predicted[model, calibration["run"]])
        for modality, model in calibration["models"].items()
        if modality in calibration["modalities"] and (model, calibration["run"]) in predicted
    ]


def colours(catalog: pa.Table) -> Figure:
    """Dereddened colours of the catalogue, and the relations of BHB stars and blue stragglers.

    Reads `u_g_0`, `g_r_0` (mag) and `p_bhb`.
    """
    with report_style():
        figure = Figure(figsize=(5.5, 4.5), layout="constrained")
        axis = figure.add_subplot()
        x, y, p = (values(catalog, name) for name in ("g_r_0", "u_g_0", "p_bhb"))
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            return empty(axis, "no star of the catalogue has colours")
        # The most certain ones on top.
        order = np.flatnonzero(known)[np.argsort(p[known], kind="stable")]
        style: Style = {"c": p[order], "s": 9, "cmap": "viridis_r", "linewidths": 0, "rasterized": True}
        points = axis.scatter(x[order], y[order], **style)
        figure.colorbar(points, ax=axis, label="probability of a BHB, calibrated")
        relations = load_relations()
        for name, words, colour, dash in (
            ("u_g_bhb", "BHBs", BLUE, "-"),
            ("u_g_bs", "blue stragglers", RED, "--"),
        ):
            relation = relations[name]
            across = np.linspace(relation.low, relation.high, 102)[1:-1]
            ridge, spread = relation(across), relation.scatter
            axis.plot(across, ridge, color=colour, linestyle=dash, linewidth=1.2, label=words)
            axis.fill_between(across, ridge - spread, ridge + spread, color=colour, alpha=0.12, linewidth=0)
        axis.set(xlabel="(g − r)₀ (mag)", ylabel="(u − g)₀ (mag)")
        axis.legend(loc="best", title=f"{order.size:,} of {catalog.num_rows:,} spectra")
        return figure


def distances(catalog: pa.Table) -> Figure:
    """`distance` (kpc) of the catalogue, and distance against magnitude `g_0` (mag, without extinction)."""
    with report_style():
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        far, g = values(catalog, "distance"), values(catalog, "g_0")
        known = np.isfinite(far) & np.isfinite(g)
        if not known.any():
            right.set_axis_off()
            return empty(left, "no star of the catalogue has a distance")
        edges = np.geomspace(far[known].min() / 1.02, far[known].max() * 1.02, 31)
        left.hist(far[known], edges.tolist(), histtype="stepfilled", color=BLUE, alpha=0.45, edgecolor=BLUE)
        left.set(xlabel="distance (kpc)", ylabel="spectra", xscale="log")
        left.set_title(f"{known.sum():,} of {known.size:,} spectra; median {np.median(far[known]):.1f} kpc")
        plain_logarithm(left.xaxis)
        if known.sum() > SERIES:
            right.hexbin(g[known], far[known], gridsize=60, yscale="log", bins="log", mincnt=1, cmap=DENSITY)
        else:
            right.plot(g[known], far[known], ".", color=BLUE, markersize=3)
        right.set(xlabel="g₀ (mag)", ylabel="distance (kpc)", yscale="log")
        plain_logarithm(right.yaxis)
        return figure


def examples(examples: pa.Table) -> Figure:
    """Spectra and images of BHB stars and others, certain and uncertain ones (Figures 2 and 3).

    The table is that of `starsift.searches.bhb.evaluation.read_examples`.
    """
    with report_style():
        lines = max(1, examples.num_rows)
        figure = Figure(figsize=(9, 0.5 + 1.15 * lines), layout="constrained")
        if not examples.num_rows:
            return empty(figure.add_subplot(), "the calibrated run has no predictions")
        axes = figure.subplots(lines, 1 + len(BANDS), squeeze=False, width_ratios=(6, *[1] * len(BANDS)))
        for (axis, *planes), row in zip(axes, examples.to_pylist(), strict=True):
            for wavelength in BALMER.values():
                axis.axvline(wavelength, color="0.8", linestyle=":", linewidth=0.8)
            axis.plot(GRID.wavelength, row["spectrum"], color=COLOURS[row["class"]], linewidth=0.5)
            axis.set(xlim=GRID.wavelength[[0, -1]], ylim=(-0.03, 1.25), yticks=[], xticks=[])
            kind = "certain" if row["certain"] else "uncertain"
            text: Style = {"transform": axis.transAxes, "ha": "right", "va": "top", "fontsize": 7}
            axis.text(0.99, 0.96, f"{row['class']}, {kind}: P(BHB) = {row['p_bhb']:.3f}", **text)
            axis.text(0.01, 0.96, row["spectrum_id"], **(text | {"ha": "left", "fontsize": 6}))
            size = round((len(row["image"]) / len(BANDS)) ** 0.5)
            image = np.reshape(np.array(row["image"], np.float64), (size, size, len(BANDS)))
            for plane, pixels in zip(planes, np.moveaxis(image, -1, 0), strict=True):
                # One scale for all bands shows colours; its square root shows the sky.
                norm = PowerNorm(0.5, vmin=image.min(), vmax=image.max())
                plane.imshow(pixels, norm=norm, cmap="Greys", origin="lower")
                plane.set(xticks=[], yticks=[])
        for plane, band in zip(axes[0, 1:], BANDS, strict=True):
            plane.set_title(band, fontsize=8)
        low, high = GRID.wavelength[[0, -1]]
        axes[-1, 0].set_xticks(np.arange(np.ceil(low / 1000), high / 1000 + 1e-9) * 1000)
        axes[-1, 0].tick_params(axis="x", top=False)
        axes[-1, 0].set_xlabel(f"vacuum wavelength (Å); dotted: {', '.join(BALMER)} at rest")
        figure.supylabel("flux, scaled", fontsize=9)
        return figure
