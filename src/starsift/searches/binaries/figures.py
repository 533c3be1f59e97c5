"""The figures of the report: tables in, matplotlib figures out. Figure numbers are from Li et al. 2023."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from starsift.report.plots import (
    BLACK,
    BLUE,
    DENSITY,
    ORANGE,
    RATE,
    RED,
    SERIES,
    empty,
    grid,
    padded,
    plain_logarithm,
    report_style,
    values,
)
from starsift.searches.binaries.orbits import radial_velocities

KINDS = {"SB2": (BLUE, "o"), "SB3": (ORANGE, "^")}

SMALLEST_SEPARATION = 60.0  # km/s: closer lines blend at R = 7500 (section 3.2.1)
FOLDED = 6  # orbits that are shown
FIT_FROM = 80.0  # km/s: from here on all are found, and the distribution is fitted (section 4.2)


def snr_magnitude(manifest: pa.Table, spectra: pa.Table) -> Figure:
    """S/N against Gaia G of all selected exposures, and of the binaries among them (Figures 1 and 10).

    Both tables have `snr` and `phot_g_mean_mag`, `spectra` also `multiplicity`.
    """
    with report_style():
        figure = Figure(figsize=(6.5, 5.5), layout="constrained")
        (top, corner), (main, right) = figure.subplots(
            2, 2, width_ratios=(4, 1), height_ratios=(1, 4), sharex="col", sharey="row"
        )
        corner.set_axis_off()
        magnitude, snr = values(manifest, "phot_g_mean_mag"), values(manifest, "snr")
        good = np.isfinite(magnitude) & (snr > 0)
        if not good.any():
            return empty(main, "the catalogue has no Gaia magnitudes")
        x, y = magnitude[good], snr[good]
        bins = np.linspace(*padded(x), 61), np.geomspace(y.min() / 1.1, y.max() * 1.1, 61)
        image = main.hist2d(x, y, bins=bins, norm=LogNorm(), cmap=DENSITY, rasterized=True)[3]
        top.hist(x, bins=bins[0], color="0.6")
        right.hist(y, bins=bins[1], color="0.6", orientation="horizontal")
        for kind, (colour, marker) in KINDS.items():
            rows = spectra.filter(pc.equal(spectra["multiplicity"], kind))
            gx, gy = values(rows, "phot_g_mean_mag"), values(rows, "snr")
            style = {"marker": marker, "facecolor": "none", "edgecolor": colour, "rasterized": True}
            main.scatter(gx, gy, s=14, linewidth=0.8, label=f"{kind} ({rows.num_rows:,} exposures)", **style)
        main.set(yscale="log", xlabel="Gaia G (mag)", ylabel="S/N per pixel")
        plain_logarithm(main.yaxis)
        top.set_ylabel("exposures")
        right.set_xlabel("exposures")
        if spectra.num_rows:
            main.legend(loc="lower left")
        figure.colorbar(image, ax=right, label="selected exposures per bin", fraction=0.4)
        return figure


def examples(examples: pa.Table, *, ccf_threshold: float, d2_threshold: float) -> Figure:
    """Spectra with their CCFs and derivatives, thresholds and velocities (Figures 2, 3 and 7).

    The table is that of `collect_examples`, thresholds are fractions of the range, as in `find_components`.
    """
    rows = examples.to_pylist()
    with report_style():
        figure = Figure(figsize=(3.1 * max(1, len(rows)), 9.0), layout="constrained")
        if not rows:
            return empty(figure.add_subplot(), "no spectrum to show")
        axes = figure.subplots(5, len(rows), squeeze=False, height_ratios=(1.2, 1, 1, 1, 1))
        names = ("normalised flux", "CCF", "first derivative", "second derivative", "third derivative")
        for column, row in zip(axes.T, rows, strict=True):
            _draw_example(column, row, ccf_threshold, d2_threshold)
        for axis, name in zip(axes[:, 0], names, strict=True):
            axis.set_ylabel(name)
        return figure


def _draw_example(axes: np.ndarray, row: dict, ccf_threshold: float, d2_threshold: float) -> None:
    velocity = np.array(row["velocity"])
    curves = {key: np.array(row[key]) for key in ("smooth", "first", "second", "third")}
    high = curves["smooth"] >= _level(curves["smooth"], ccf_threshold)
    deep = curves["second"] <= _level(curves["second"], d2_threshold)
    chosen = high & deep
    flux = np.array(row["flux"], dtype=float)
    axes[0].plot(row["wavelength"], flux, color=BLACK, linewidth=0.3, rasterized=True)
    axes[0].set(xlabel="vacuum wavelength (Å)", ylim=padded(np.nanpercentile(flux, (0.2, 99.8)), 0.15))
    # Names of spectra are long: a line each for the plan, and for the fibre and exposure.
    plan, _, fibre = row["spectrum_id"].partition("_")
    axes[0].set_title(f"{row['title']}\n{plan}\n{fibre}", fontsize=7)
    axes[1].plot(velocity, row["ccf"], color="0.6", linestyle="--", linewidth=0.8)
    for axis, key in zip(axes[1:], curves, strict=True):
        curve = curves[key]
        if key != "smooth":
            axis.plot(velocity, curve, color="0.6", linestyle="--", linewidth=0.8)
        axis.plot(velocity, np.where(chosen, curve, np.nan), color=BLACK, linewidth=1.3)
        for rv in row["rv"]:
            axis.axvline(rv, color=BLUE, linewidth=0.8)
        axis.set_xlim(velocity[0], velocity[-1])
        axis.ticklabel_format(axis="y", scilimits=(-2, 2))
    axes[1].axhline(_level(curves["smooth"], ccf_threshold), color=RED, linewidth=0.8)
    axes[3].axhline(_level(curves["second"], d2_threshold), color=RED, linewidth=0.8)
    axes[4].axhline(0.0, color="0.6", linewidth=0.5)
    axes[4].set_xlabel("velocity (km/s)")
    # Above the axis, where it hides no curve.
    found = ", ".join(f"{rv:+.1f}" for rv in row["rv"])
    axes[1].set_title(f"σ = {row['sigma']:.0f} km/s" + (f"; RV {found} km/s" if found else ""), fontsize=7)


def rv_errors(spectra: pa.Table) -> Figure:
    """Velocity error against S/N (Figure 4): a point a component, and the median in bins of S/N.

    Reads `multiplicity`, `snr`, `rv_1_err` to `rv_3_err` (km/s).
    """
    with report_style():
        figure = Figure(figsize=(8, 3.8), layout="constrained")
        for axis, (kind, (colour, marker)) in zip(
            figure.subplots(1, 2, sharey=True), KINDS.items(), strict=True
        ):
            rows = spectra.filter(pc.equal(spectra["multiplicity"], kind))
            number = 2 if kind == "SB2" else 3
            error = np.concatenate([values(rows, f"rv_{i + 1}_err") for i in range(number)])
            snr = np.tile(values(rows, "snr"), number)
            good = np.isfinite(error) & (error > 0) & (snr > 0)
            axis.set(title=f"{kind}: {rows.num_rows:,} spectra", xlabel="S/N per pixel")
            if not good.any():
                empty(axis, "none found")
                continue
            snr, error = snr[good], error[good]
            if snr.size > SERIES:
                axis.hexbin(snr, error, xscale="log", yscale="log", gridsize=45, norm=LogNorm(), cmap=DENSITY)
            else:
                axis.scatter(snr, error, s=10, marker=marker, color=colour, alpha=0.6, linewidth=0)
            edges = np.geomspace(snr.min() * 0.999, snr.max() * 1.001, 9)
            place = np.digitize(snr, edges) - 1
            filled = [i for i in range(8) if (place == i).sum() >= 3]
            middle = np.sqrt(edges[:-1] * edges[1:])[filled]
            axis.plot(middle, [np.median(error[place == i]) for i in filled], color=BLACK, label="median")
            axis.set(xscale="log", yscale="log")
            plain_logarithm(axis.xaxis)
            plain_logarithm(axis.yaxis)
            axis.legend()
        figure.axes[0].set_ylabel("velocity error (km/s)")
        return figure


def detection_rates(rates: pa.Table) -> Figure:
    """Share of injected twin binaries that are resolved, against velocity difference and S/N (Figure 5).

    Reads `teff` (K) and `logg` of both stars, `delta_rv` (km/s), `snr`, `rate` (0 to 1).
    """
    twins = list(dict.fromkeys(zip(rates["teff"].to_pylist(), rates["logg"].to_pylist(), strict=True)))
    with report_style():
        columns, lines = min(2, max(1, len(twins))), max(1, -(-len(twins) // 2))
        figure = Figure(figsize=(4.6 * columns, 3.4 * lines), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        if not twins:
            return empty(axes[0, 0], "no injections")
        for axis in axes.flat[len(twins) :]:
            axis.set_axis_off()
        for axis, (teff, logg) in zip(axes.flat, twins, strict=False):
            part = rates.filter(pc.and_(pc.equal(rates["teff"], teff), pc.equal(rates["logg"], logg)))
            image = _draw_rates(axis, *grid(part, "delta_rv", "snr", "rate"))
            axis.set_title(f"two stars of {teff:g} K, log g {logg:g}")
        _label_outer(axes, "velocity difference (km/s)", "S/N per pixel")
        figure.colorbar(image, ax=axes, label="detection rate (numbers: %)", fraction=0.04)
        return figure


def _label_outer(axes: np.ndarray, x: str, y: str) -> None:
    """Labels below the last row of axes, and left of the first column."""
    for axis in axes[-1]:
        axis.set_xlabel(x)
    for axis in axes[:, 0]:
        axis.set_ylabel(y)


def _draw_rates(axis: Axes, x: np.ndarray, y: np.ndarray, rate: np.ndarray) -> QuadMesh:
    """Rates (y, x) from 0 to 1 as colours and as numbers in per cent."""
    image = axis.pcolormesh(rate, vmin=0, vmax=1, cmap=RATE, edgecolor="white", linewidth=0.3)
    for (i, j), value in np.ndenumerate(rate):
        colour = "white" if value > 0.6 else BLACK
        text = f"{100 * value:.0f}" if np.isfinite(value) else ""
        axis.text(j + 0.5, i + 0.5, text, ha="center", va="center", color=colour, fontsize=6)
    axis.set_xticks(np.arange(x.size) + 0.5, [f"{v:g}" for v in x])
    axis.set_yticks(np.arange(y.size) + 0.5, [f"{v:g}" for v in y])
    axis.tick_params(length=0)
    return image


def flux_ratio(flux_ratios: pa.Table) -> Figure:
    """Pairs of dwarfs that are resolved, with contours of their flux ratio (Figure 6).

    Reads `teff_1`, `teff_2` (K), `flux_ratio` (second over first), `detected`.
    """
    with report_style():
        figure = Figure(figsize=(5.5, 5), layout="constrained")
        axis = figure.add_subplot()
        if not flux_ratios.num_rows:
            return empty(axis, "no injections")
        x, y, detected = grid(flux_ratios, "teff_1", "teff_2", "detected")
        ratio = grid(flux_ratios, "teff_1", "teff_2", "flux_ratio")[2]
        axis.pcolormesh(x, y, detected, vmin=0, vmax=2.5, cmap=RATE, shading="nearest")
        levels = [1 / 10, 1 / 5, 1 / 3, 1 / 2, 1, 2, 3, 5, 10]
        if min(x.size, y.size) > 1:
            lines = axis.contour(x, y, ratio, levels=levels, colors=RED, linewidths=1)
            names = {level: f"1/{1 / level:.0f}" if level < 1 else f"{level:.0f}" for level in levels}
            axis.clabel(lines, fmt=names, fontsize=8)
        axis.set(xlabel="effective temperature of star 1 (K)", ylabel="effective temperature of star 2 (K)")
        axis.set_title("blue: both stars detected; contours: flux of star 2 over star 1")
        return figure


def methods(methods: pa.Table) -> Figure:
    """Binaries that both methods find, and those that one alone finds, by velocity difference and light.

    Reads `vote`, `model`, `separation` (km/s), `light_ratio` of the spectra that either calls. Where the
    models see one star there is neither, so that spectra of the vote alone are missing.
    """
    by_vote, by_model = (methods[name].is_valid().to_numpy() for name in ("vote", "model"))
    groups = {
        "models and vote": (by_vote & by_model, BLUE),
        "models alone": (by_model & ~by_vote, ORANGE),
        "vote alone": (by_vote & ~by_model, RED),
    }
    labels = {
        "separation": "velocity difference (km/s)",
        "light_ratio": "light of the faintest star / brightest",
    }
    with report_style():
        figure = Figure(figsize=(8, 3.8), layout="constrained")
        for axis, (name, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
            axis.set(xlabel=label, ylabel="spectra")
            value = values(methods, name)
            known = np.isfinite(value)
            if not known.any():
                empty(axis, "none found")
                continue
            edges = np.linspace(0, padded(value[known])[1], 26)
            shown = [value[rows & known] for rows, _ in groups.values()]
            names = [
                f"{group}: {part.size:,} of {rows.sum():,} spectra"
                for part, (group, (rows, _)) in zip(shown, groups.items(), strict=True)
            ]
            colours = [colour for _, colour in groups.values()]
            axis.hist(shown, edges, stacked=True, color=colours, label=names)
        # Above the axes, where it hides no bar.
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        return figure


def completeness(completeness: pa.Table) -> Figure:
    """Share of pairs that the models find, against velocity difference and light ratio, in panels of S/N.

    Reads the catalogue binaries_completeness; of simulated pairs those that rotate least. Above are the
    simulated ones, below those made of exposures of the survey; n is the number of pairs a cell.
    """
    with report_style():
        figure = Figure(figsize=(10, 5), layout="constrained")
        if not completeness.num_rows:
            return empty(figure.add_subplot(), "no injections")
        steps, x, y = (np.unique(values(completeness, name)) for name in ("snr", "delta_rv", "light_ratio"))
        slowest = pc.min(completeness["vsini"])
        simulated = pc.equal(completeness["source"], "simulated")
        slow = completeness.filter(pc.and_(simulated, pc.equal(completeness["vsini"], slowest)))
        own = completeness.filter(pc.invert(simulated))
        rotation = f"simulated, v sin i {slowest.as_py() or 0:g} km/s"
        axes = figure.subplots(2, steps.size, squeeze=False, sharex=True, sharey=True)
        for line, (part, name) in zip(axes, ((slow, rotation), (own, "of the survey")), strict=True):
            for axis, snr in zip(line, steps, strict=True):
                some = part.filter(pc.equal(part["snr"], pa.scalar(snr, pa.float32())))
                trials, found = np.zeros((2, y.size, x.size))
                # Not every cell of the survey's has a pair.
                i = np.searchsorted(y, values(some, "light_ratio"))
                j = np.searchsorted(x, values(some, "delta_rv"))
                trials[i, j], found[i, j] = values(some, "trials"), values(some, "found")
                image = _draw_rates(axis, x, y, np.where(trials > 0, found / np.maximum(trials, 1), np.nan))
                few, many = trials.min(), trials.max()
                number = f"n = {few:g}" + (f" to {many:g}" if many > few else "")
                axis.set_title(f"{name}\nS/N {snr:g}, {number}", fontsize=8)
        _label_outer(axes, "velocity difference (km/s)", "light ratio")
        figure.colorbar(image, ax=axes, label="found (numbers: %)", fraction=0.03)
        return figure


def exposures(objects: pa.Table) -> Figure:
    """Number of binaries by `multiplicity` against the number of their exposures `n_exposures` (Figure 8)."""
    with report_style():
        figure = Figure(figsize=(6, 4), layout="constrained")
        axis = figure.add_subplot()
        if not objects.num_rows:
            return empty(axis, "no binaries found")
        most = int(pc.max(objects["n_exposures"]).as_py())
        width = max(1, most // 40)
        edges = [0.5 + width * i for i in range(-(-most // width) + 1)]
        for kind, (colour, _) in KINDS.items():
            number = values(objects.filter(pc.equal(objects["multiplicity"], kind)), "n_exposures")
            style = "-" if kind == "SB2" else "--"
            label = f"{kind} ({number.size:,} stars)"
            axis.hist(
                number, edges, histtype="step", color=colour, linewidth=1.5, linestyle=style, label=label
            )
        axis.set(
            yscale="log", ylim=(0.7, None), xlabel="number of exposures (blue arm)", ylabel="number of stars"
        )
        axis.legend()
        return figure


def rv_differences(spectra: pa.Table) -> Figure:
    """Distribution of the velocity differences of SB2 spectra, with an exponential fit (Figure 9).

    Reads `multiplicity`, `object_id`, `rv_1`, `rv_2` (km/s).
    """
    with report_style():
        figure = Figure(figsize=(6, 4), layout="constrained")
        axis = figure.add_subplot()
        rows = spectra.filter(pc.equal(spectra["multiplicity"], "SB2"))
        difference = values(rows, "rv_2") - values(rows, "rv_1")
        far = rows.filter(pa.array(difference > FIT_FROM))
        difference = difference[np.isfinite(difference)]
        if not difference.size:
            return empty(axis, "no SB2 found")
        width = 10.0
        edges = [width * i for i in range(int(difference.max() // width) + 3)]
        axis.hist(difference, bins=edges, color=BLUE, alpha=0.5, label=f"{difference.size:,} SB2 spectra")
        axis.axvline(SMALLEST_SEPARATION, color=BLACK, linestyle="--", label=f"{SMALLEST_SEPARATION:g} km/s")
        tail = difference[difference > FIT_FROM]
        if tail.size >= 5:
            # The likelihood of an exponential peaks where its scale is the mean beyond the threshold.
            scale = float(np.mean(tail - FIT_FROM))
            x = np.linspace(FIT_FROM, difference.max(), 200)
            curve = tail.size * width / scale * np.exp(-(x - FIT_FROM) / scale)
            # Exposures of one star are not independent.
            error = scale / np.sqrt(pc.count_distinct(far["object_id"]).as_py())
            axis.plot(x, curve, color=RED, label=f"exponential: scale {scale:.0f} ± {error:.0f} km/s")
        axis.margins(y=0.3)  # room for the legend
        axis.set(
            xlabel="velocity difference (km/s)", ylabel=f"SB2 spectra per {width:g} km/s", xlim=(0, edges[-1])
        )
        axis.legend()
        return figure


def orbits(orbits: pa.Table, velocities: pa.Table, samples: pa.Table) -> Figure:
    """Velocities folded with the most probable period, of the stars whose periods are most certain.

    Reads the catalogue binaries_orbits, `collect_velocities` and the samples. Lines are samples that have
    this period.
    """
    order = np.lexsort((values(orbits, "n_velocities"), values(orbits, "period_probability")))[::-1]
    best = orbits.take(pa.array(order[:FOLDED], pa.int64())).to_pylist()
    with report_style():
        columns = min(3, max(1, len(best)))
        lines = max(1, -(-len(best) // columns))
        figure = Figure(figsize=(3.4 * columns, 2.7 * lines), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False)
        if not best:
            return empty(axes[0, 0], "no star has enough exposures")
        for axis in axes.flat[len(best) :]:
            axis.set_axis_off()
        for axis, star in zip(axes.flat, best, strict=False):
            mine = (t.filter(pc.equal(t["object_id"], star["object_id"])) for t in (velocities, samples))
            _draw_orbit(axis, star, *mine)
        _label_outer(axes, "phase from periastron", "velocity (km/s)")
        # Of the star with the most lines: those of one star have no star 2.
        labels = max((axis.get_legend_handles_labels() for axis in axes.flat), key=lambda pair: len(pair[1]))
        figure.legend(*labels, loc="outside upper center", ncols=2)
        return figure


def _draw_orbit(axis: Axes, star: dict, velocities: pa.Table, samples: pa.Table) -> None:
    period, start, time = star["period"], star["t_periastron"], values(velocities, "time")
    near = np.abs(1 / values(samples, "period") - 1 / period) * max(star["time_span"], period) < 0.5
    phase = np.linspace(0, 1, 201)
    # Of this period, the turn that is nearest to the exposures.
    turn = np.round((np.mean(time) - start) / period)
    for sample in samples.filter(pa.array(near)).slice(0, 30).to_pylist():
        for curve, colour in zip(_curves(sample, start + (turn + phase) * period), (BLUE, RED), strict=False):
            axis.plot(phase, curve, color=colour, linewidth=0.2, alpha=0.5)
    best = _curves(star, start + (turn + phase) * period)
    for i, (curve, colour) in enumerate(zip(best, (BLUE, RED), strict=False), 1):
        axis.plot(phase, curve, color=colour, linewidth=1.2, label=f"star {i}")
    when = np.remainder((time - start) / period, 1.0)
    rv, error = (
        np.stack([values(velocities, name.format(i)) for i in (1, 2)]) for name in ("rv_{}", "rv_{}_err")
    )
    pair = np.isfinite(rv[1])
    axis.errorbar(when[~pair], rv[0, ~pair], error[0, ~pair], fmt="o", color=BLACK, markersize=4, mfc="white")
    if pair.any():
        higher = np.array([a >= b for a, b in zip(*_curves(star, time[pair]), strict=True)])
        for i, (colour, marker) in enumerate(((BLUE, "o"), (RED, "s"))):
            mine = np.where(higher == (i == 0), rv[1, pair], rv[0, pair])
            mine_error = np.where(higher == (i == 0), error[1, pair], error[0, pair])
            axis.errorbar(when[pair], mine, mine_error, fmt=marker, color=colour, markersize=4)
    axis.set_ylim(padded(np.concatenate([*best, rv[np.isfinite(rv)]]), 0.1))
    probability = f"probability {100 * star['period_probability']:.0f} %"
    chi2 = f"chi2 {star['chi2']:.0f} of {star['dof']}"
    axis.set_title(f"{star['object_id']}\n{period:.5g} d, {probability}, {chi2}", fontsize=7)


def _curves(orbit: dict, time: np.ndarray) -> list[np.ndarray]:
    """Velocities of one star or two at times (n,), from a row of the catalogue or of the samples."""
    names = ("period", "eccentricity", "arg_periastron", "t_periastron")
    period, eccentricity, argument, periastron = (orbit[name] for name in names)
    f = radial_velocities(time, period, eccentricity, np.radians(argument), periastron)
    amplitudes = (orbit["semi_amplitude_1"], orbit["semi_amplitude_2"])
    signed = [sign * k for sign, k in zip((1, -1), amplitudes, strict=True) if k is not None and k == k]
    return [orbit["systemic_velocity"] + k * f for k in signed]


# table -> columns that figures show; all of the others
COLUMNS = {"manifest": ["snr", "phot_g_mean_mag"]}


def _level(curve: np.ndarray, fraction: float) -> float:
    low, high = float(curve.min()), float(curve.max())
    return low + fraction * (high - low)
