"""Pictures of candidates: one each, and sheets of many."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from starsift.io.files import atomic_path
from starsift.report.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, report_style
from starsift.review.facts import flux_unit
from starsift.searches.base import likely
from starsift.searches.registry import SEARCHES
from starsift.sky.air import air_to_vacuum
from starsift.sky.constants import C_KMS

SHEET = 4, 8  # columns and rows of a contact sheet
_DPI = 110
GAP = 5.0  # in steps of wavelength: a few bad pixels are drawn across
LINE_NAME = 6.0  # length of a name, in units of its size
Spectrum = tuple[np.ndarray, np.ndarray]
Curves = tuple[np.ndarray, Mapping[str, np.ndarray]]


def draw_candidate(
    path: Path,
    row: Mapping[str, Any],
    spectrum: Spectrum,
    panels: Mapping[str, Any],
    velocity: float | None,
    model: Curves | None = None,
) -> None:
    """A picture: the whole spectrum, the part that decides with its lines, and the CCF of a binary.

    Parameters
    ----------
    row : of `starsift.sift.candidates.CANDIDATES`
    spectrum : vacuum wavelength (Angstrom) and flux of good pixels
    panels : of the search's view
    velocity : of the lines, km/s
    model : vacuum wavelength and curves by name, drawn over the spectrum
    """
    ccf = panels.get("ccf")
    with report_style():
        figure = Figure(figsize=(9, 7.2 if ccf else 5.4), layout="constrained")
        grid = figure.subplots(3 if ccf else 2, 1)
        figure.suptitle(f"{row['spectrum_id']}   {headline(row)}", fontsize=10)
        whole, part = grid[:2]
        draw_spectrum(whole, spectrum)
        draw_window(part, row["search"], spectrum, velocity, size=7.0)
        if model is not None:
            _draw_model(part, *model)
        for axis in (whole, part):
            axis.set_ylabel(f"flux [{flux_unit(row['spectrum_id'])}]")
        frame = "at rest" if velocity is None else f"at {velocity:.0f} km/s"
        part.set_xlabel(f"vacuum wavelength [Å]; lines {frame}")
        if ccf:
            draw_ccf(grid[2], ccf)
            grid[2].set_xlabel("radial velocity [km/s]")
            grid[2].set_ylabel("CCF")
        whole.set_title(row["numbers"], fontsize=9, loc="left")
    _save(figure, path)


def picture_name(spectrum_id: str) -> str:
    """The name of a spectrum's picture: that of an exposure has a slash."""
    return f"{spectrum_id.replace('/', '_')}.png"


def headline(row: Mapping[str, Any]) -> str:
    """What a candidate seems to be, with its probability and S/N."""
    parts = [row["kind"]]
    parts += filter(None, [likely(row["probability"])])
    if row["snr"] is not None:
        parts.append(f"S/N {row['snr']:.0f}")
    return ", ".join(parts)


def draw_spectrum(axis: Axes, spectrum: Spectrum, width: float = 0.5) -> None:
    """Flux against wavelength, scaled so that a few spikes do not hide the rest; gaps stay empty."""
    wavelength, flux = spectrum
    if len(wavelength):
        step = np.diff(wavelength)
        gaps = 1 + np.flatnonzero(step > GAP * np.median(step if len(step) else 1.0))
        axis.plot(
            np.insert(wavelength, gaps, np.nan), np.insert(flux, gaps, np.nan), color=BLACK, linewidth=width
        )
        axis.set_xlim(wavelength[0], wavelength[-1])
    _scale(axis, flux)


def draw_window(axis: Axes, search: str, spectrum: Spectrum, velocity: float | None, *, size: float) -> None:
    """The part of a spectrum that a search looks at, with lines at the velocity of the candidate.

    `size` is that of the names of the lines, points.
    """
    view = SEARCHES[search].view()
    wavelength, flux = spectrum
    low, high = view.window or (wavelength[0], wavelength[-1])
    if not ((wavelength >= low) & (wavelength <= high)).any():
        low, high = wavelength[0], wavelength[-1]
    inside = (wavelength >= low) & (wavelength <= high)
    draw_spectrum(axis, (wavelength[inside], flux[inside]), 0.8)
    doppler = 1.0 + (velocity or 0.0) / C_KMS
    lines = [(float(air_to_vacuum(np.array(air))) * doppler, name) for name, air in view.lines.items()]
    shown = sorted(line for line in lines if low <= line[0] <= high)
    for (at, name), level in zip(shown, _levels(axis, [at for at, _ in shown], size), strict=True):
        axis.axvline(at, color=ORANGE, linewidth=0.8, zorder=0)
        axis.annotate(
            name,
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, -3 - LINE_NAME * size * level),
            rotation=90,
            textcoords="offset points",
            va="top",
            fontsize=size,
            color=RED,
        )


def _levels(axis: Axes, places: Sequence[float], size: float) -> list[int]:
    """How far down the name of each line stands, so that neighbours do not cover each other."""
    spec = axis.get_subplotspec()
    assert spec is not None
    low, high = axis.get_xlim()
    inches = 0.9 * axis.get_figure(root=True).get_figwidth() / spec.get_gridspec().ncols  # type: ignore[union-attr]
    room = 1.2 * size / 72.0 / inches * (high - low)
    last: list[float] = []  # where the last name of each level stands
    levels = []
    for at in places:
        level = next((i for i, other in enumerate(last) if at - other >= room), len(last))
        last[level : level + 1] = [at]
        levels.append(level)
    return levels


def _draw_model(axis: Axes, wavelength: np.ndarray, curves: Mapping[str, np.ndarray]) -> None:
    """Curves over a spectrum, within the limits that it has."""
    limits = axis.get_xlim(), axis.get_ylim()
    for color, (name, flux) in zip((RED, BLUE, GREEN, PURPLE), curves.items(), strict=False):
        axis.plot(wavelength, flux, color=color, linewidth=0.9, label=name)
    if curves:
        axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=len(curves))
    axis.set_xlim(*limits[0])
    axis.set_ylim(*limits[1])


def draw_ccf(axis: Axes, ccf: Mapping[str, Any]) -> None:
    """A smoothed CCF with the velocities of the stars."""
    axis.plot(ccf["velocity"], ccf["ccf"], color=SKY, linewidth=0.8, label="CCF")
    axis.plot(ccf["velocity"], ccf["smooth"], color=BLACK, linewidth=0.8, label="smoothed, as for its peaks")
    axis.legend(loc="upper right")
    for rv in ccf["rv"]:
        axis.axvline(rv, color=BLUE, linewidth=1.0)
    axis.set_xlim(ccf["velocity"][0], ccf["velocity"][-1])


def draw_sheets(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    spectrum_of: Callable[[int], tuple[Spectrum, float | None]],
    *,
    whole: bool = False,
) -> list[Path]:
    """Contact sheets, contact-sheet-1.png and so on, `SHEET` candidates each; older ones are removed.

    They show the part of a spectrum that decides, or the `whole` of it.
    """
    for old in folder.glob("contact-sheet-*.png"):
        old.unlink()
    columns, lines = SHEET
    paths: list[Path] = []
    for start in range(0, len(rows), columns * lines):
        part = rows[start : start + columns * lines]
        height = -(-len(part) // columns)
        with report_style():
            figure = Figure(figsize=(3.4 * columns, 1.9 * height), layout="constrained")
            grid = figure.subplots(height, columns, squeeze=False)
            for axis in grid.flat[len(part) :]:
                axis.set_axis_off()
            for number, (axis, row) in enumerate(zip(grid.flat, part, strict=False), start=start):
                spectrum, velocity = spectrum_of(number)
                if whole:
                    draw_spectrum(axis, spectrum)
                else:
                    draw_window(axis, row["search"], spectrum, velocity, size=5.0)
                axis.set_yticks([])
                axis.tick_params(labelsize=6)
                axis.set_title(f"{row['spectrum_id']}\n{headline(row)}", fontsize=6.5)
        path = folder / f"contact-sheet-{len(paths) + 1}.png"
        _save(figure, path)
        paths.append(path)
    return paths


def _scale(axis: Axes, flux: np.ndarray) -> None:
    if len(flux):
        low, high = np.percentile(flux, [0.3, 99.7])
        axis.set_ylim(min(low - 0.08 * (high - low), 0.98 * low), high + 0.25 * (high - low) + 1e-30)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as draft, report_style():
        figure.savefig(draft, format="png", dpi=_DPI)
