"""The story of one spectrum through a run, with a picture: `starsift explain`."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from starsift.errors import ResultsError
from starsift.review.places import Places
from starsift.review.results import run_settings
from starsift.review.spectra import Spectra
from starsift.review.story import Searched, Story, manifests, tell
from starsift.searches.base import Brief
from starsift.sift.pictures import draw_candidate, picture_name
from starsift.spectra.batches import read_rows


def explain(results: Path, name: str, pictures: Path | None = None) -> tuple[Story, Path | None]:
    """Tell the story of a spectrum, as `starsift.review.story.tell` does, and draw it.

    Parameters
    ----------
    results : folder of a run
    name : of the spectrum; of an exposure of an MRS file, with its minute
    pictures : folder for a picture, None: none is drawn

    Returns the story, and the picture's file if there is one. Raises InputError: the run does not know the
    spectrum.
    """
    story = tell(results, name)
    # Of the search that has it in its catalogue, if one has.
    found = sorted(story.searched, key=lambda one: one.candidate is None)
    return story, _draw(results, found[0], pictures) if found and pictures is not None else None


def spectra_of(results: Path) -> list[str]:
    """Names of the selected spectra of a run, sorted."""
    tables = [pq.read_table(file, columns=["spectrum_id"]) for file in manifests(results)]
    return sorted({name for table in tables for name in table["spectrum_id"].to_pylist()})


def _draw(results: Path, found: Searched, pictures: Path) -> Path | None:
    """The picture of a spectrum, with what its search measured; None where it is not packed."""
    view, row = found.search.view(), found.row
    measured = {key: value for stage in found.stages.values() for key, value in stage.items()}
    try:
        place = Places(results, {}).find(found.survey, row["bundle"], row["spectrum_id"], row.get("band"))
        spectra = Spectra(results)
        wavelength, shown = spectra.read(place)
        panels = view.panels(results, found.settings)(measured, place) if view.panels else {}
    except (ResultsError, OSError):
        return None
    model = None
    if view.models and found.candidate is not None:
        batch = read_rows(spectra.file(place), [place.position])
        model = view.models(results, run_settings(results))(found.candidate, batch)
    brief = view.brief(found.candidate) if found.candidate and view.brief else None
    about = vars(brief or Brief("no candidate", None, "", ""))
    about |= {"spectrum_id": row["spectrum_id"], "snr": row.get("snr"), "search": found.search.name}
    good = shown["good"]
    path = pictures / picture_name(row["spectrum_id"])
    spectrum = wavelength[good], shown["flux"][good].astype(np.float64)
    velocity = measured.get(view.velocity)
    velocity = velocity if isinstance(velocity, float) else None
    draw_candidate(path, about, spectrum, panels, velocity, model)
    return path
