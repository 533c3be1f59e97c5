"""Style, colours and helpers of all figures of the report."""

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from starsift.io.columns import floats as values
from starsift.io.files import atomic_path
from starsift.learning.calibration import expected_calibration_error, reliability

# Okabe and Ito's colours, which colour-blind readers can tell apart; the markers differ too.
BLACK, BLUE, ORANGE, GREEN, RED = "black", "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE = "#56B4E9", "#CC79A7"
# Light greys, on which coloured symbols stand out.
DENSITY = ListedColormap(matplotlib.colormaps["Greys"](np.linspace(0.12, 0.6, 256)))
RATE = "Blues"

SERIES = 3000  # more points than this become a density map

_STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "svg.hashsalt": "starsift",  # the same figure gives the same bytes
}


def report_style() -> AbstractContextManager[None]:
    """The context in which every figure is made: `with report_style(): figure = Figure(...)`."""
    return matplotlib.rc_context(_STYLE)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, in the format of the file's ending, without a date."""
    with atomic_path(path) as temporary, report_style():
        kind = Path(path).suffix.removeprefix(".")
        figure.savefig(temporary, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else {})


def draw_figures(
    figures: ModuleType,
    tables: Mapping[str, Any],
    outputs: Iterable[tuple[str, str | os.PathLike[str]]],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Draw figures and write them.

    Parameters
    ----------
    figures : module with a function for each. It takes the tables that its arguments are named after.
    outputs : names and paths of the figures to draw
    settings : other arguments, by name of the figure
    """
    for name, path in outputs:
        draw = getattr(figures, name)
        inputs = {key: tables[key] for key in signature(draw).parameters if key in tables}
        save(draw(**inputs, **(settings or {}).get(name, {})), path)


def grid(table: pa.Table, x: str, y: str, z: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct values of two columns, and a third as an image (y, x), NaN where there is no row."""
    xs, i = np.unique(values(table, x), return_inverse=True)
    ys, j = np.unique(values(table, y), return_inverse=True)
    image = np.full((ys.size, xs.size), np.nan)
    image[j, i] = values(table, z)
    return xs, ys, image


def plain_logarithm(axis: Axis) -> None:
    """Label a logarithmic axis 1, 2, 5, 10, ... in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def padded(numbers: np.ndarray, share: float = 0.03) -> tuple[float, float]:
    """Lowest and highest value, moved apart by a share of their distance: the limits of an axis."""
    low, high = float(np.min(numbers)), float(np.max(numbers))
    pad = share * (high - low) or 0.5
    return low - pad, high + pad


def plot_reliability(
    main: Axes, below: Axes, probabilities: Mapping[str, np.ndarray], true: np.ndarray
) -> None:
    """How often predictions of a given probability come true, and how many there are, on two axes.

    `probabilities` (n,) are by their names, before and after calibration; `true` (n,) is bool.
    """
    main.plot((0, 1), (0, 1), color="0.6", linestyle=":", linewidth=0.8)
    for (name, p), colour, marker in zip(probabilities.items(), (ORANGE, GREEN), "so", strict=True):
        p = np.clip(p, 0, 1)
        table, error = reliability(p, true), expected_calibration_error(p, true)
        known = table.filter(pc.field("n") > 0)
        x, y, low, high = (values(known, k) for k in ("mean_probability", "share", "share_low", "share_high"))
        style: dict[str, Any] = {"color": colour, "linewidth": 1, "elinewidth": 0.8, "capsize": 2}
        label = f"{name}: calibration error {error:.3f}"
        main.errorbar(x, y, [y - low, high - y], marker=marker, markersize=4, label=label, **style)
        edges = [*values(table, "low"), 1.0]
        below.stairs(values(table, "n"), edges, baseline=None, color=colour, linewidth=1.2)
    main.set(ylim=(-0.03, 1.28), yticks=np.arange(6) / 5)  # above 1 is room for the legend
    main.legend(loc="upper left")
    below.set(xlabel="predicted probability", yscale="log", xlim=(-0.03, 1.03))
    plain_logarithm(below.yaxis)
    below.set_ylim(0.7, None)


def empty(axis: Axes, reason: str) -> Figure:
    """Say on an axis why it shows nothing; returns its figure."""
    axis.text(0.5, 0.5, reason, ha="center", va="center", transform=axis.transAxes, color="0.4")
    axis.set(xticks=[], yticks=[])
    figure = axis.get_figure()
    assert isinstance(figure, Figure)
    return figure
