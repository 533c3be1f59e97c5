"""Facts about a candidate: values of its row, and links to archives."""

from typing import Any
from urllib.parse import urlencode

from starsift.review.neighbours import RADIUS
from starsift.review.queues import PLACE, Queue, error_names
from starsift.survey.names import is_sdss_name, sdss_name


def metadata(queue: Queue, position: int) -> list[dict[str, str]]:
    """Name and value (with its error) of what a candidate's row holds; `Queue.columns` has the rest."""
    row = queue.row(position)
    chosen = queue.view.columns or [name for name in queue.columns if name not in PLACE]
    errors = {error for name in queue.columns for error in error_names(name)}
    shown = []
    for name in chosen:
        value = None if name in errors else row.get(name)
        if value is None:
            continue
        text = format_value(name, value)
        error = next((e for n in error_names(name) if (e := row.get(n)) is not None), None)
        if error is not None:
            text += f" ± {error:.3g}"
        shown.append({"name": name, "value": text})
    return shown


def format_value(name: str, value: Any) -> str:
    """A value as text; coordinates in degrees with six decimals."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6f}" if name in ("ra", "dec") else f"{value:.4g}"
    return str(value)


def links(name: str, obsid: int | None, ra: float | None, dec: float | None) -> list[dict[str, str]]:
    """Pages about a star elsewhere, opened only when a person follows them.

    LAMOST numbers observations alike in all releases, so that a spectrum is found in any that has it.
    """
    pages = []
    if ra is not None and dec is not None:
        where = f"{ra:.6f} {dec:+.6f}"
        simbad = {"Coord": where, "Radius": f"{RADIUS:g}", "Radius.unit": "arcsec"}
        aladin = {"target": where, "fov": "0.05"}
        pages += [
            ("SIMBAD", f"https://simbad.cds.unistra.fr/simbad/sim-coo?{urlencode(simbad)}"),
            ("Aladin Lite", f"https://aladin.cds.unistra.fr/AladinLite/?{urlencode(aladin)}"),
        ]
    if sdss := sdss_name(name):
        spectrum = {"plateid": sdss["plate"], "mjd": sdss["mjd"], "fiberid": sdss["fiber"]}
        pages.append(("SDSS archive", f"https://dr17.sdss.org/optical/spectrum/view?{urlencode(spectrum)}"))
    elif obsid is not None:
        page = "medspectrum" if name.startswith("med-") else "spectrum"
        pages.append(
            ("LAMOST archive", f"https://www.lamost.org/dr10/v2.0/{page}/view?{urlencode({'obsid': obsid})}")
        )
    return [{"name": title, "url": url} for title, url in pages]


def flux_unit(name: str) -> str:
    """Of a spectrum's flux, by its name. LAMOST does not calibrate fluxes of medium resolution at all."""
    if is_sdss_name(name):
        return "10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹"
    return "counts" if name.startswith("med-") else "relative"
