"""Pictures of candidates: one each, and sheets of many."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from starsift.io.files import atomic_path
from starsift.report.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, report_style
from starsift.searches.registry import SEARCHES
from starsift.sky.air import air_to_vacuum
from starsift.sky.constants import C_KMS

SHEET = 4, 8  # columns and rows of a contact sheet
_DPI = 110
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
        draw_window(part, row["search"], spectrum, velocity, labels=True)
        if model is not None:
            _draw_model(part, *model)
        for axis in (whole, part):
            axis.set_ylabel("flux")
        part.set_xlabel("vacuum wavelength [Å]")
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
    if row["probability"] is not None:
        parts.append(f"p = {row['probability']:.3f}")
    if row["snr"] is not None:
        parts.append(f"S/N {row['snr']:.0f}")
    return ", ".join(parts)


def draw_spectrum(axis: Axes, spectrum: Spectrum, width: float = 0.5) -> None:
    """Flux against wavelength, scaled so that a few spikes do not hide the rest."""
    wavelength, flux = spectrum
    axis.plot(wavelength, flux, color=BLACK, linewidth=width)
    _scale(axis, flux)
    if len(wavelength):
        axis.set_xlim(wavelength[0], wavelength[-1])


def draw_window(axis: Axes, search: str, spectrum: Spectrum, velocity: float | None, *, labels: bool) -> None:
    """The part of a spectrum that a search looks at, with lines at the velocity of the candidate."""
    view = SEARCHES[search].view()
    wavelength, flux = spectrum
    low, high = view.window or (wavelength[0], wavelength[-1])
    if not ((wavelength >= low) & (wavelength <= high)).any():
        low, high = wavelength[0], wavelength[-1]
    inside = (wavelength >= low) & (wavelength <= high)
    draw_spectrum(axis, (wavelength[inside], flux[inside]), 0.8)
    for name, air in view.lines.items():
        at = float(air_to_vacuum(np.array(air))) * (1.0 + (velocity or 0.0) / C_KMS)
        if low <= at <= high:
            axis.axvline(at, color=ORANGE, linewidth=0.8, zorder=0)
            if labels:
                axis.annotate(
                    name,
                    (at, 1.0),
                    xycoords=("data", "axes fraction"),
                    xytext=(2, -3),
                    rotation=90,
                    textcoords="offset points",
                    va="top",
                    fontsize=7,
                    color=RED,
                )


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
                    draw_window(axis, row["search"], spectrum, velocity, labels=False)
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
