"""The figures of the M-star report: tables in, matplotlib figures out. Figure numbers: Guo et al. 2019.

`catalog` is the catalogue of M stars, `released` the manifest of the labelled survey, `all_m` the M stars of
both. A figure reads the columns that its docstring names.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import uniform_filter1d
from scipy.stats import beta

from starsift.report.plots import (
    BLACK,
    BLUE,
    DENSITY,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SERIES,
    SKY,
    empty,
    padded,
    plain_logarithm,
    report_style,
    values,
)
from starsift.searches.mstars.luminosity import GAIA_LIMIT, Separator
from starsift.searches.mstars.luminosity import separators as separators_of
from starsift.searches.mstars.report import AveragePrecision, average_precisions

ACTIVITY = {"active": (RED, "*"), "inactive": (BLUE, "^")}
DWARFS = "0.35"
# Curves of many methods differ in colour and dashes.
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK, "0.55")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))

SMOOTHING = 25  # pixels of the running mean that shows the bands of a faint spectrum
EARLY = 5  # types later than M5 are the paper's late ones (section 3.6)

Separators = Sequence[Mapping[str, Any]]
Groups = Mapping[str, tuple[np.ndarray, str, str]]  # name: rows, colour, marker
Style = dict[str, Any]


def recall_precision(evaluation: pa.Table, *, default: str, bits: int, published: str = "PIL") -> Figure:
    """Precision against recall by code length, and by method (Figure 8, where precision is called accuracy).

    Parameters
    ----------
    evaluation : Table with `method`, `bits` (0 or null where a method has no codes), `split`, `recall` (one
        grid for all), `precision`, `average_precision`; drawn are means over the splits, with their scatter
    default, published : the methods that are shown at every code length
    bits : the code length at which methods are compared
    """
    evaluation = evaluation.set_column(
        evaluation.column_names.index("bits"), "bits", pc.fill_null(evaluation["bits"], 0)
    )
    results = average_precisions(evaluation)
    lengths = sorted(results, key=lambda row: row.bits)
    panels = {
        f"{_words(method)}: code lengths": [row for row in lengths if row.method == method]
        for method in (default, published)
    }
    panels[f"all methods, {bits} bits"] = [row for row in results if row.bits in (0, bits)]
    with report_style():
        figure = Figure(figsize=(3.9 * len(panels), 6), layout="constrained")
        if not results:
            return empty(figure.add_subplot(), "nothing was evaluated")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        lowest = 1.0
        for axis, (title, rows) in zip(axes, panels.items(), strict=True):
            axis.set(title=title, xlabel="recall", xlim=(0, 1))
            if not rows:
                empty(axis, "not evaluated")
                continue
            by_length = "lengths" in title
            colours = (
                matplotlib.colormaps["viridis_r"](np.linspace(0.15, 1, len(rows))) if by_length else COLOURS
            )
            for row, colour, dashes in zip(rows, cycle(colours), cycle(DASHES)):
                name = f"{row.bits} bits" if by_length else _words(row.method)
                lowest = min(lowest, _draw_curve(axis, evaluation, row, name, color=colour, linestyle=dashes))
            title = "average precision" if by_length else "average precision, best first"
            below: Style = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "handlelength": 2.6}
            axis.legend(title=title, title_fontsize=8, **below)
        for axis in axes:
            if axis.lines:
                axis.set_ylim(*padded(np.array([lowest, 1.0]), 0.02))
        axes[0].set_ylabel("precision")
        return figure


def _draw_curve(axis: Axes, evaluation: pa.Table, row: AveragePrecision, name: str, **style: Any) -> float:
    """Draw one mean curve with its scatter over the splits; returns its lowest precision."""
    chosen = pc.and_(pc.equal(evaluation["method"], row.method), pc.equal(evaluation["bits"], row.bits))
    part = evaluation.filter(chosen)
    recall, place = np.unique(values(part, "recall"), return_inverse=True)
    number = np.bincount(place)
    mean = np.bincount(place, values(part, "precision")) / number
    scatter = np.sqrt(np.bincount(place, (values(part, "precision") - mean[place]) ** 2) / number)
    label = f"{name}: {row.mean:.3f}" + ("" if row.scatter is None else f" ± {row.scatter:.3f}")
    axis.plot(recall, mean, label=label, linewidth=1.4, **style)
    axis.fill_between(recall, mean - scatter, mean + scatter, color=style["color"], alpha=0.15, linewidth=0)
    return float(mean.min())


def top_matches(matches: pa.Table) -> Figure:
    """A late-type query and its nearest spectra (Figure 9).

    Reads `panel` ("top" are drawn), `is_query`, `rank` (1 = nearest), `spectrum_id`, `hamming_distance`
    (bits), `wavelength` (vacuum Angstrom) and `flux`, lists.
    """
    return _ranked(matches, "top", BLACK)


def ranked_matches(matches: pa.Table) -> Figure:
    """A query and spectra at ranks that grow by powers of ten (Figure 10), in the panel "ranks"."""
    return _ranked(matches, "ranks", BLUE)


def _ranked(matches: pa.Table, panel: str, colour: str) -> Figure:
    rows = matches.filter(pc.equal(matches["panel"], panel)).to_pylist()
    rows.sort(key=lambda row: (not row["is_query"], row["rank"]))
    with report_style():
        figure = Figure(figsize=(8, 1.2 + 0.75 * max(3, len(rows))), layout="constrained")
        axis = figure.add_subplot()
        if not rows:
            return empty(axis, "no query was searched")
        for place, row in enumerate(rows):
            base = len(rows) - 1.0 - place
            _draw_spectrum(axis, row, base, RED if row["is_query"] else colour)
            name = "query" if row["is_query"] else f"@{row['rank']:,}, {row['hamming_distance']} bits away"
            text: Style = {"transform": axis.get_yaxis_transform(), "va": "center"}
            axis.text(1.01, base + 0.55, name, fontsize=8, color=RED if row["is_query"] else BLACK, **text)
            axis.text(1.01, base + 0.25, row["spectrum_id"], fontsize=6, color="0.35", **text)
        axis.set(xlabel="vacuum wavelength (Å)", ylabel="flux, scaled and offset", yticks=[])
        axis.set_ylim(-0.2, len(rows) + 0.05)
        axis.margins(x=0.01)
        return figure


def _draw_spectrum(axis: Axes, row: Mapping, base: float, colour: str) -> None:
    """Draw a spectrum above `base`, at a height below 1: all pixels in light colour, and a running mean."""
    wavelength, flux = (np.array(row[key] or [], dtype=float) for key in ("wavelength", "flux"))
    good = np.isfinite(flux)
    if not good.any():
        return
    wavelength, flux = wavelength[good], flux[good]
    smooth = uniform_filter1d(flux, SMOOTHING, mode="nearest")
    low, high = np.percentile(smooth, (0.5, 99.5))
    scale = 0.75 / (high - low or 1.0)
    pixels = base + np.clip(scale * (flux - low), -0.12, 0.95)
    axis.plot(wavelength, pixels, color=colour, alpha=0.35, linewidth=0.3, rasterized=True)
    axis.plot(wavelength, base + scale * (smooth - low), color=colour, linewidth=0.8, rasterized=True)


def subtypes(catalog: pa.Table) -> Figure:
    """Number of spectra by `subclass`, dwarfs and giants by `giant` (Figure 11)."""
    with report_style():
        figure = Figure(figsize=(6.5, 4), layout="constrained")
        axis = figure.add_subplot()
        digit, giant = _digit(catalog), values(catalog, "giant")
        if not np.isfinite(digit).any():
            return empty(axis, "no spectrum has a subtype")
        groups = {
            "dwarfs": (giant == 0, DWARFS, ""),
            "giants": (giant == 1, RED, "///"),
            "class not known": (np.isnan(giant), SKY, "..."),
        }
        groups = {name: group for name, group in groups.items() if np.isfinite(digit[group[0]]).any()}
        width = 0.84 / len(groups)
        for place, (name, (rows, colour, hatch)) in enumerate(groups.items()):
            number = _counts(digit[rows])
            left = np.arange(10) + (place - (len(groups) - 1) / 2) * width
            style: Style = {"color": colour, "edgecolor": "white", "hatch": hatch}
            bars = axis.bar(left, number, width, label=f"{name} ({number.sum():,})", **style)
            for text in axis.bar_label(bars, [f"{n}" if n else "" for n in number], fontsize=6, padding=1):
                text.set_rotation(90 if len(text.get_text()) > 3 else 0)
        axis.set(yscale="log", ylim=(0.7, 4 * _counts(digit).max()), ylabel="number of spectra")
        plain_logarithm(axis.yaxis)
        _type_axis(axis)
        axis.legend(loc="upper right", ncols=len(groups))
        return figure


def snr(catalog: pa.Table) -> Figure:
    """Distribution of S/N in r, `snrr` (Figure 12)."""
    with report_style():
        figure = Figure(figsize=(6, 4), layout="constrained")
        axis = figure.add_subplot()
        ratio = values(catalog, "snrr")
        good = ratio[ratio > 0]
        if not good.size:
            return empty(axis, "no spectrum has an S/N above 0")
        label = f"{good.size:,} spectra"
        if good.size < ratio.size:
            label += f" ({ratio.size - good.size:,} more without S/N)"
        edges = np.geomspace(good.min() / 1.02, good.max() * 1.02, 41).tolist()
        axis.hist(good, edges, color=BLUE, alpha=0.55, label=label)
        middle = float(np.median(good))
        axis.axvline(middle, color=BLACK, linestyle="--", linewidth=1, label=f"median {middle:.1f}")
        axis.set(xscale="log", xlabel="S/N per pixel in r", ylabel="number of spectra")
        axis.margins(y=0.25)  # room for the legend
        plain_logarithm(axis.xaxis)
        axis.legend(loc="upper right")
        return figure


def magnitudes(catalog: pa.Table, released: pa.Table) -> Figure:
    """Magnitudes of the M stars found and of those released before, as shares of each (Figure 13, in r).

    Of the released spectra only those of M stars count, by `subclass`.
    """
    with report_style():
        figure = Figure(figsize=(6, 4), layout="constrained")
        axis = figure.add_subplot()
        known_m = released.filter(pa.array(np.isfinite(_digit(released))))
        samples = {
            "released": values(known_m, "phot_g_mean_mag"),
            "supplemental": values(catalog, "phot_g_mean_mag"),
        }
        samples = {name: sample[np.isfinite(sample)] for name, sample in samples.items()}
        known = np.concatenate(list(samples.values()))
        if not known.size:
            return empty(axis, "no spectrum has a magnitude")
        edges = (np.arange(np.floor(4 * known.min()), np.ceil(4 * known.max()) + 2) / 4).tolist()
        for (name, sample), (colour, dashes) in zip(samples.items(), ((BLUE, "-"), (RED, "--")), strict=True):
            if not sample.size:
                continue
            share = np.full(sample.size, 100 / sample.size)
            text = f"{name}: {sample.size:,} spectra, median {np.median(sample):.1f} mag"
            style: Style = {"color": colour, "linestyle": dashes}
            axis.hist(sample, edges, weights=share, histtype="step", linewidth=1.5, label=text, **style)
            axis.axvline(float(np.median(sample)), linewidth=0.8, alpha=0.5, **style)
        axis.set(xlabel="Gaia G (mag)", ylabel="share of the spectra per 0.25 mag (%)")
        axis.margins(y=0.3)  # room for the legend
        axis.legend(loc="upper left")
        return figure


def subtype_comparison(catalog: pa.Table, released: pa.Table) -> Figure:
    """Subtypes (`subclass`) of the M stars found and of those released, as shares of each (Figure 14)."""
    with report_style():
        figure = Figure(figsize=(6.5, 4), layout="constrained")
        axis = figure.add_subplot()
        samples = {"released": (released, BLUE, ""), "supplemental": (catalog, RED, "///")}
        highest = 0.0
        for place, (name, (table, colour, hatch)) in enumerate(samples.items()):
            number = _counts(_digit(table))
            if not number.sum():
                continue
            share, low, high = _binomial(number, number.sum())
            late = 100 * share[EARLY + 1 :].sum()
            axis.bar(
                np.arange(10) + 0.4 * (place - 0.5),
                100 * share,
                0.4,
                color=colour,
                alpha=0.75,
                edgecolor="white",
                hatch=hatch,
                yerr=100 * np.stack([share - low, high - share]),
                error_kw={"elinewidth": 0.8, "capsize": 2},
                label=f"{name}: {number.sum():,} spectra, {late:.1f} % later than M{EARLY}",
            )
            highest = max(highest, 100 * high.max())
        if not axis.patches:
            return empty(axis, "no spectrum has a subtype")
        axis.set(ylabel="share of the spectra (%)", ylim=(0, 1.05 * highest))
        _type_axis(axis)
        axis.legend(loc="upper right")
        return figure


def giants_spectra(all_m: pa.Table, separators: Separators) -> Figure:
    """Giants and dwarfs of early type by luminosity, and how band strengths separate them (Figure 15).

    Colours show the class by Gaia's luminosity, or that of the catalogue where Gaia knows none of the stars.

    Parameters
    ----------
    all_m : Table with `subclass`, `giant`, `giant_gaia`, `m_g`, `bp_rp`, `phot_g_mean_mag`, `j`, and of
        the separators their columns and votes, `giant_<name>`
    separators : settings as `mstars.luminosity.separators` takes them; those by indices are drawn
    """
    early = all_m.filter(pa.array(_digit(all_m) <= EARLY))
    gaia = early["giant_gaia"].null_count < early.num_rows
    giant = values(early, "giant_gaia" if gaia else "giant")
    groups = {"dwarfs": (giant == 0, DWARFS, "o"), "giants": (giant == 1, RED, "^")}
    planes = _planes(separators, "indices")
    with report_style():
        figure = Figure(figsize=(3.8 * (1 + len(planes)), 4.7), layout="constrained")
        axes = figure.subplots(1, 1 + len(planes), squeeze=False)[0]
        _draw_hrd(axes[0], early, groups)
        axes[0].set_title(f"M0 to M{EARLY}, " + ("giants by $M_G$" if gaia else "giants of the catalogue"))
        for axis, plane in zip(axes[1:], planes, strict=True):
            _draw_plane(axis, early, plane, groups)
            vote = values(early, f"giant_{plane.name}")
            right = [_share(vote[rows] == k, vote[rows]) for k, (rows, _, _) in enumerate(groups.values())]
            axis.set_title("correct: {} of dwarfs, {} of giants".format(*right))
        return figure


def giants_photometry(all_m: pa.Table, separators: Separators) -> Figure:
    """Giants by each of the photometric separators, and where they are in luminosity (Figure 16).

    Reads `m_g`, `bp_rp`, `phot_g_mean_mag`, `j`, and of the separators their columns and votes,
    `giant_<name>`.
    """
    planes = _planes(separators, "photometry")
    with report_style():
        figure = Figure(figsize=(3.8 * (1 + len(planes)), 4.7), layout="constrained")
        axes = figure.subplots(1, 1 + len(planes), squeeze=False)[0]
        m_g, groups = values(all_m, "m_g"), {}
        any_dwarf, any_giant = np.zeros((2, all_m.num_rows), dtype=bool)
        for axis, plane, (colour, marker) in zip(axes, planes, cycle(((RED, "^"), (BLUE, "+")))):
            vote = values(all_m, f"giant_{plane.name}")
            kinds = {"dwarfs": (vote == 0, DWARFS, "o"), "giants": (vote == 1, colour, marker)}
            _draw_plane(axis, all_m, plane, kinds)
            name = f"giants by {_term_name(plane.y)} and {_term_name(plane.x)}"
            axis.set_title(name)
            faint = _share(m_g[vote == 1] > GAIA_LIMIT, m_g[vote == 1])
            groups[f"{name}, {faint} with $M_G$ > {GAIA_LIMIT:g}"] = (vote == 1, colour, marker)
            any_dwarf |= vote == 0
            any_giant |= vote == 1
        dwarfs = {"dwarfs by all": (any_dwarf & ~any_giant, DWARFS, "o")}
        _draw_hrd(axes[-1], all_m, dwarfs | groups)
        axes[-1].set_title("luminosity of these giants")
        return figure


def _planes(settings: Separators, evidence: str) -> list[Separator]:
    return [one for one in separators_of(settings) if one.evidence == evidence]


def _term(table: pa.Table, term: str) -> np.ndarray:
    """Value (n,) of a sum or difference of columns, such as "j-k"."""
    parts = re.findall(r"([+-]?)(\w+)", term)
    return np.sum([(-1 if sign == "-" else 1) * values(table, name) for sign, name in parts], axis=0)


def _term_name(term: str) -> str:
    """As axes show it: "j-k" is J − K, "cah2+cah3" is CaH2 + CaH3."""
    name = re.sub(r"[+-]", lambda sign: " + " if sign[0] == "+" else " − ", term.upper())
    return name.replace("CAOH", "CaOH").replace("CAH", "CaH").replace("TIO", "TiO")


def _share(true: np.ndarray, known: np.ndarray) -> str:
    """Percentage of `true` (n,) among the rows where `known` (n,) is not NaN."""
    number = int(np.isfinite(known).sum())
    return f"{100 * true.sum() / number:.0f} %" if number else "–"


def _draw_plane(axis: Axes, table: pa.Table, plane: Separator, groups: Groups) -> None:
    """Stars in the plane of a separator, with its line."""
    _draw_stars(axis, _term(table, plane.x), _term(table, plane.y), groups)
    unit = " (mag)" if plane.evidence == "photometry" else ""
    axis.set(xlabel=_term_name(plane.x) + unit, ylabel=_term_name(plane.y) + unit)
    if axis.collections:
        x, y = np.array(plane.line).T
        left, right = axis.get_xlim()
        # The line goes on horizontally at both ends.
        x, y = np.r_[min(left, x[0]), x, max(right, x[-1])], np.r_[y[0], y, y[-1]]
        axis.plot(x, y, color=BLACK, linestyle="--", linewidth=1, scalex=False, scaley=False)


def _draw_hrd(axis: Axes, table: pa.Table, groups: Groups) -> None:
    """Absolute Gaia magnitude, which is null where the parallax is poor, against colour."""
    if table["bp_rp"].null_count < table.num_rows:
        colour, name = values(table, "bp_rp"), "BP − RP (mag)"
    else:
        colour, name = values(table, "phot_g_mean_mag") - values(table, "j"), "G − J (mag)"
    _draw_stars(axis, colour, values(table, "m_g"), groups)
    axis.set(xlabel=name, ylabel="absolute magnitude $M_G$")
    axis.invert_yaxis()


def _draw_stars(axis: Axes, x: np.ndarray, y: np.ndarray, groups: Groups) -> None:
    """The first group as points, or as a density map if it is large; the others as points on it."""
    good = np.isfinite(x) & np.isfinite(y)
    shown = good & np.any([rows for rows, _, _ in groups.values()], axis=0)
    if not shown.any():
        empty(axis, "not known for any star")
        return
    # Percentiles: a few outliers must not compress the rest.
    limits = [padded(np.percentile(v[shown], (0.3, 99.7)), 0.12) for v in (x, y)]
    handles = []
    for place, (name, (rows, colour, marker)) in enumerate(groups.items()):
        xs, ys = x[good & rows], y[good & rows]
        if place == 0 and xs.size > SERIES:
            axis.hist2d(xs, ys, bins=120, range=limits, norm=LogNorm(), cmap=DENSITY, rasterized=True)
        else:
            size = float(np.clip(8000 / max(1, xs.size), 1.5, 16.0))  # the more points, the smaller
            style: Style = {"color": colour, "marker": marker, "linewidth": 0.5, "rasterized": True}
            axis.scatter(xs, ys, s=size, alpha=0.7, **style)
        symbol: Style = {"color": colour, "marker": marker, "linestyle": "none", "markersize": 4}
        handles.append(Line2D([], [], label=f"{name} ({xs.size:,})", **symbol))
    axis.set(xlim=limits[0], ylim=limits[1])
    # Below the axis, where it hides no star.
    axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.13), handletextpad=0.2)


def activity(all_m: pa.Table, *, threshold: float) -> Figure:
    """H-alpha emission and the share of active dwarfs by subtype (Figure 17).

    Reads `subclass`, `subtype`, `giant`, `ewha` (Angstrom), and `active`, null where the continuum at H-alpha
    is too faint. A line shows the `threshold` (Angstrom) from which a star is active.
    """
    bright = pc.is_valid(all_m["active"])
    dwarfs = all_m.filter(pc.and_(bright, pc.fill_null(pc.equal(all_m["giant"], 0), False)))
    subtype, width, active = values(dwarfs, "subtype"), values(dwarfs, "ewha"), values(dwarfs, "active") == 1
    digit = _digit(dwarfs)
    with report_style():
        figure = Figure(figsize=(6.5, 6.5), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True)
        good = np.isfinite(subtype) & np.isfinite(width)
        if not good.any():
            bottom.set_axis_off()
            return empty(top, "no dwarf is bright enough at Hα")
        limits = padded(np.percentile(width[good], (0.3, 99.7)), 0.1)
        if good.sum() > SERIES:
            bins = np.arange(-0.5, 9.75, 0.25), np.linspace(*limits, 61)
            image = top.hist2d(
                subtype[good], width[good], bins=bins, norm=LogNorm(), cmap=DENSITY, rasterized=True
            )[3]
            figure.colorbar(image, ax=top, label="dwarfs per bin")
        for name, (colour, marker) in ACTIVITY.items():
            chosen = good & (active == (name == "active"))
            if chosen.any() and good.sum() <= SERIES:
                dots: Style = {"color": colour, "marker": marker, "linewidth": 0, "rasterized": True}
                top.scatter(subtype[chosen], width[chosen], s=24, alpha=0.6, label=name, **dots)
        typical = {d: width[good & active & (digit == d)] for d in range(10)}
        typical = {d: np.percentile(found, (16, 50, 84)) for d, found in typical.items() if found.size >= 3}
        if typical:
            low, middle, high = np.array(list(typical.values())).T
            label = "active: median, 16 to 84 %"
            style: Style = {"color": BLACK, "marker": "o", "markersize": 4, "capsize": 2, "linewidth": 1}
            top.errorbar(list(typical), middle, [middle - low, high - middle], label=label, **style)
        top.axhline(threshold, color=BLACK, linestyle=":", linewidth=0.8)
        top.set(ylabel="equivalent width of Hα (Å), emission positive", ylim=limits)
        top.legend(loc="upper left")
        _draw_shares(bottom, digit, active)
        return figure


def _draw_shares(axis: Axes, digit: np.ndarray, active: np.ndarray) -> None:
    """Share of active and of inactive dwarfs among those of each subtype, with the number of both."""
    number = _counts(digit)
    types = np.flatnonzero(number)
    for shift, (name, (colour, marker)) in zip((-0.05, 0.05), ACTIVITY.items(), strict=True):
        found = _counts(digit[active == (name == "active")])
        share, low, high = _binomial(found[types], number[types])
        style: Style = {"color": colour, "marker": marker, "linestyle": "none", "capsize": 2}
        axis.errorbar(types + shift, share, [share - low, high - share], markersize=7, label=name, **style)
    for place in types.tolist():
        axis.text(place, 1.08, f"{number[place]:,}", ha="center", fontsize=7, color="0.35")
    axis.set(ylim=(-0.05, 1.35), yticks=np.arange(6) / 5, ylabel="share of the dwarfs of a subtype")
    _type_axis(axis)
    axis.legend(loc="upper center", ncols=2)


def kinematics(bins: pa.Table) -> Figure:
    """Mean velocities and dispersions of dwarfs against height, active and inactive (Figure 18).

    `bins` are those of `starsift.searches.mstars.kinematics.dispersions`.
    """
    # One far giant taken for a dwarf would set the scale.
    bins = bins.filter(pc.greater_equal(bins["n"], 3))
    with report_style():
        figure = Figure(figsize=(8, 7.5), layout="constrained")
        if not bins.num_rows:
            return empty(figure.add_subplot(), "too few dwarfs have a distance and all velocities")
        axes = figure.subplots(3, 2, sharex=True)
        for line, component in zip(axes, "uvw", strict=True):
            for axis, (kind, words) in zip(
                line, {"mean": "mean {}", "sigma": "dispersion of {}"}.items(), strict=True
            ):
                for shift, (name, (colour, marker)) in zip((-0.06, 0.06), ACTIVITY.items(), strict=True):
                    part = bins.filter(pc.equal(bins["population"], name))
                    low, high = values(part, "bin_low"), values(part, "bin_high")
                    # Moved apart a little, or the errors of one hide those of the other.
                    height = (low + high) / 2 + shift * (high - low)
                    value, error = (values(part, f"{kind}_{component}{end}") for end in ("", "_err"))
                    label = f"{name} ({int(pc.sum(part['n']).as_py() or 0):,} dwarfs)"
                    style: Style = {"color": colour, "marker": marker, "linestyle": "none", "capsize": 2}
                    axis.errorbar(height, value, error, markersize=6, elinewidth=0.8, label=label, **style)
                axis.set_ylabel(f"{words.format(component.upper())} (km/s)")
        for axis in axes[:, 1]:
            axis.set_ylim(0, None)
        for axis in axes[-1]:
            axis.set_xlabel("distance from the Galactic plane (pc)")
            axis.set_xlim(0, pc.max(bins["bin_high"]).as_py())
        axes[0, 0].margins(y=0.3)  # room for the legend
        axes[0, 0].legend(loc="upper right")
        return figure


def _words(name: str) -> str:
    return name.replace("_", " ")


def _digit(table: pa.Table) -> np.ndarray:
    """Subtype of each row of `subclass`, "M3", "dM3" or "gM3", as float64 (n,): 3; NaN without one."""
    found = pc.extract_regex(table["subclass"].cast(pa.string()), r"^[dg]?M(?P<digit>\d)")
    digit = pc.struct_field(found, "digit").cast(pa.float64())
    return np.asarray(digit.fill_null(np.nan).to_numpy())


def _counts(digit: np.ndarray) -> np.ndarray:
    """Number of spectra of M0 to M9, (10,)."""
    return np.bincount(digit[np.isfinite(digit)].astype(int), minlength=10)


def _binomial(found: np.ndarray, number: np.ndarray | int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares and the limits that hold 68 % of their probability (Jeffreys interval), each (n,)."""
    share = found / number
    low, high = (beta.ppf(q, found + 0.5, number - found + 0.5) for q in (0.16, 0.84))
    # At 0 and 1 the interval lies to one side of the share; it must reach it.
    return share, np.minimum(low, share), np.maximum(high, share)


def _type_axis(axis: Axes) -> None:
    axis.set_xticks(np.arange(10), [f"M{digit}" for digit in range(10)])
    axis.set(xlabel="spectral subtype", xlim=(-0.6, 9.6))
    axis.tick_params(axis="x", top=False, bottom=False)
