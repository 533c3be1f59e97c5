"""A folder of results as the review app shows it: queues, and all that is shown of one candidate.

Spectra are read one at a time, by place, and each is compared by name with what the queue expects. In memory
stay the columns of the tables and a few items, never spectra.
"""

import base64
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from starsift.errors import NotFoundError, ResultsError
from starsift.review.facts import flux_unit, format_value, links, metadata
from starsift.review.neighbours import Neighbours
from starsift.review.places import Places
from starsift.review.progress import Vote
from starsift.review.queues import Queue, find_queues, finite
from starsift.review.selection import Query, select
from starsift.review.spectra import Spectra, encode
from starsift.review.thumbnails import thumbnail
from starsift.searches.base import Models, Panels
from starsift.searches.registry import SEARCHES
from starsift.sky.air import air_to_vacuum
from starsift.spectra.batches import read_rows

THUMBNAILS = 20_000  # kept in memory, half a kilobyte each
RUN_SETTINGS = "settings.json"
ITEMS = 32  # kept in memory: what a few people prefetch and go back to


def spectral_lines() -> dict[str, list[dict[str, Any]]]:
    """The lines of each search: name and vacuum wavelength, Angstrom, ascending."""
    return {
        name: [
            {"name": line, "wavelength": round(float(air_to_vacuum(np.array(air))), 2)}
            for line, air in sorted(search.view().lines.items(), key=lambda line: line[1])
        ]
        for name, search in SEARCHES.items()
    }


def run_settings(folder: Path) -> dict[str, Any]:
    """Settings of the run in a folder: of its provenance, or those that `starsift sift` left; else empty."""
    for name, key in (("provenance.json", "settings"), (RUN_SETTINGS, None)):
        with suppress(OSError, ValueError, KeyError):
            content = json.loads((folder / name).read_text())
            settings: dict[str, Any] = content[key] if key else content
            return settings
    return {}


class Results:
    """The results of a run in a folder; what a search has not made yet is not shown.

    Raises ResultsError if there is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ResultsError(f"{folder}: no such folder; name the results of a run, such as results")
        self._lock = threading.RLock()  # Arrow's readers are not made for several threads
        self._queues: dict[str, Queue] = {}
        self._neighbours: dict[str, Neighbours] = {}
        self._panels: dict[str, Panels | None] = {}
        self._models: dict[str, Models] = {}
        self._model_lock = threading.Lock()
        self._spectra = Spectra(self.folder)
        self.item: Callable[[str, int], dict[str, Any]] = lru_cache(ITEMS)(self._item)
        self.thumbnail: Callable[[str, int, bool], dict[str, Any]] = lru_cache(THUMBNAILS)(self._thumbnail)

    def queues(self) -> dict[str, Queue]:
        """All queues by name; files that have come since the last call are added."""
        with self._lock:
            for found in find_queues(self.folder):
                if found.id not in self._queues:
                    self._queues[found.id] = Queue.open(found)
            return dict(self._queues)

    def queue(self, id: str) -> Queue:
        """The queue of a name; NotFoundError where there is none."""
        queue = self._queues.get(id) or self.queues().get(id)
        if queue is None:
            raise NotFoundError(f"there is no queue {id!r}; queues: {', '.join(self._queues) or 'none'}")
        return queue

    def panels(self, id: str, position: int) -> dict[str, Any]:
        """What the search's `View` shows of a candidate beside its spectrum."""
        queue = self.queue(id)
        with self._lock:
            make = self._panels_of(queue.search)
            return make(queue.row(position), self._places.place(queue, position)) if make else {}

    def _item(self, id: str, position: int) -> dict[str, Any]:
        """All that is shown of one candidate but its labels; see docs/review.md.

        Raises NotFoundError if there is no such queue or position, ResultsError if its spectrum cannot be
        read.
        """
        queue = self.queue(id)
        if not 0 <= position < len(queue.ids):
            raise NotFoundError(f"{id} has positions 0 to {len(queue.ids) - 1}, not {position}")
        name = queue.ids[position]
        with self._lock:
            place = self._places.place(queue, position)
            row = queue.row(position)
            ra, dec = row.get("ra"), row.get("dec")
            if ra is None or dec is None:
                ra, dec = self._spectra.coordinates(place)
            panels = self._panels_of(queue.search)
            item = {
                "position": position,
                "spectrum_id": name,
                "search": queue.search,
                "title": row.get("designation") or name,
                "metadata": metadata(queue, position),
                "ra": ra,
                "dec": dec,
                "links": links(name, row.get("obsid"), ra, dec),
                "flux_unit": flux_unit(name),
                **self._spectra.read(place)[1],
                "rv": row.get(queue.view.velocity),
                "others": self._neighbours_of(queue).of(position),
                "extras": panels(row, place) if panels else {},
            }
            return dict(encode(item))

    def other(self, id: str, position: int, key: str) -> dict[str, Any]:
        """The spectrum of another exposure of a candidate's star, by the key that its item gives."""
        keys = [str(other["key"]) for other in self.item(id, position)["others"]]
        if key not in keys:
            raise NotFoundError(f"{id}, position {position}: there is no other exposure {key!r}")
        with self._lock:
            place = self._places.find(*self._neighbours[id].exposure(int(key)))
            return {"spectrum_id": place.spectrum_id, **encode(self._spectra.read(place)[1])}

    def spectrum(self, id: str, position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vacuum wavelength (Angstrom), flux, and error (NaN where unknown) of the pixels that are shown."""
        with self._lock:
            wavelength, shown = self._spectra.read(self._places.place(self.queue(id), position))
        good, flux = shown["good"], shown["flux"]
        error = np.zeros_like(flux) if shown["error"] is None else shown["error"]
        return wavelength[good], flux[good], np.where(error[good] > 0, error[good], np.nan)

    def select(self, id: str, query: Query, votes: Callable[[], Mapping[str, Sequence[Vote]]]) -> np.ndarray:
        """Positions (m,) int32 of the candidates that a query chooses, in its order; see `select`."""
        with self._lock:
            queue = self.queue(id)
            return select(queue, query, votes, lambda: self._places.coordinates(queue))

    def values(self, id: str, name: str, positions: Sequence[int]) -> list[str]:
        """Values of one column as texts, empty where there is none; NotFoundError without such a column."""
        with self._lock:
            queue = self.queue(id)
            if name not in queue.columns:
                raise NotFoundError(f"{id} has no column {name!r}")
            values = queue.table[name].take(pa.array(positions, pa.int64())).to_pylist()
        return ["" if finite(value) is None else format_value(name, value) for value in values]

    def _thumbnail(self, id: str, position: int, whole: bool) -> dict[str, Any]:
        """A small plot of a candidate: `thumbnail` as base64 and its ends, or `error`, a sentence."""
        queue = self.queue(id)
        # One at a time: other requests come in between.
        with self._lock:
            try:
                wavelength, shown = self._spectra.read(self._places.place(queue, position))
            except ResultsError as error:
                return {"position": position, "error": str(error)}
        window = None if whole else queue.view.window
        envelope, ends = thumbnail(wavelength, shown["flux"], shown["good"], window)
        image = base64.b64encode(envelope.tobytes()).decode("ascii")
        return {"position": position, "image": image, "ends": ends}

    def model(self, id: str, position: int) -> dict[str, Any]:
        """The model of a candidate's spectrum, as `curves` gives it, as the page gets it."""
        wavelength, curves = self.curves(id, position)
        named = [{"name": name, "flux": flux} for name, flux in curves.items()]
        return dict(encode({"wavelength": wavelength, "curves": named}))

    def curves(self, id: str, position: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The model of a candidate's spectrum: wavelength (m,), and curves (m,) by name; maybe none.

        The first one of a search prepares its templates, which takes seconds; other requests go on meanwhile.
        Raises NotFoundError if its search has no models, ResultsError if the run has left too little.
        """
        with self._lock:
            queue = self.queue(id)
            make = queue.view.models
            place, row = self._places.place(queue, position), queue.row(position)
        if make is None:
            raise NotFoundError(f"{queue.search} has no models of spectra")
        with self._model_lock:
            if queue.search not in self._models:
                self._models[queue.search] = make(self.folder, self._run)
            batch = read_rows(self._spectra.file(place), [place.position])
            if batch.identity["spectrum_id"][0].as_py() != place.spectrum_id:
                raise ResultsError("the spectra were packed again; restart the review app")
            return self._models[queue.search](row, batch)

    @cached_property
    def _run(self) -> dict[str, Any]:
        return run_settings(self.folder)

    @property
    def _settings(self) -> dict[str, dict[str, Any]]:
        """Settings of each search in the run."""
        return {name: self._run.get(name, {}) for name in SEARCHES}

    @cached_property
    def _places(self) -> Places:
        surveys = {
            name: [own[key]] if (key := "survey") in own else own.get("surveys", [])
            for name, own in self._settings.items()
        }
        return Places(self.folder, surveys)

    def _panels_of(self, search: str) -> Panels | None:
        if search not in self._panels:
            make = SEARCHES[search].view().panels
            self._panels[search] = make(self.folder, self._settings[search]) if make else None
        return self._panels[search]

    def _neighbours_of(self, queue: Queue) -> Neighbours:
        if queue.id not in self._neighbours:
            self._neighbours[queue.id] = Neighbours(queue, self._places.manifests(queue.search))
        return self._neighbours[queue.id]
