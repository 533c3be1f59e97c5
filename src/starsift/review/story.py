"""The story of one spectrum through a run, for `starsift explain` and the review app."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError, StarsiftError
from starsift.review.neighbours import RADIUS
from starsift.review.results import run_settings
from starsift.searches.base import Search, likely
from starsift.searches.registry import SEARCHES
from starsift.sky.sphere import unit_vectors
from starsift.survey.catalog import read_catalog
from starsift.survey.names import file_stem
from starsift.survey.selection import apply_cuts

SIMILAR = 20  # names that hold an unknown one
Section = tuple[str, list[str]]


@dataclass(frozen=True)
class Searched:
    """What a search made of a spectrum: the row in each stage and catalogue, by its name.

    `survey` and `row` are those of the manifest, `settings` those of the search.
    """

    search: Search
    survey: str
    row: Mapping[str, Any]
    stages: Mapping[str, dict[str, Any]]
    settings: Mapping[str, Any]

    @property
    def candidate(self) -> dict[str, Any] | None:
        """The row in the search's catalogue."""
        return self.stages.get(self.search.catalogs[0])


@dataclass(frozen=True)
class Story:
    """What happened to a spectrum: a title and lines for each part of the run; the searches that saw it."""

    spectrum_id: str
    sections: tuple[Section, ...]
    searched: tuple[Searched, ...]


def tell(results: Path, name: str) -> Story:
    """Tell which cuts a spectrum passed, what each stage measured, and why it is a candidate or is not.

    Parameters
    ----------
    results : folder of a run
    name : of the spectrum; of an exposure of an MRS file, with its minute

    Raises InputError: the run does not know the spectrum, or there is no run.
    """
    if not (results / "manifest").is_dir():
        raise InputError(f"{results}: not the results of a run; name them with --results")
    settings = run_settings(results)
    listed = [(file.stem, row) for file in manifests(results) for row in _rows(file, name)]
    if not listed:
        return Story(name, tuple(_removed(results, settings, name)), ())
    sections: list[Section] = []
    searched: list[Searched] = []
    for survey, row in listed:
        sections += _cuts(results, settings, survey, name) or [(f"survey {survey}", ["selected"])]
        sections.append((f"{survey}: the spectrum", list(_describe(results, survey, row))))
        for search in SEARCHES.values():
            own = settings.get(search.name, {})
            if own and survey not in own.get("surveys", [own.get("survey")]):
                continue
            stages = dict(_stages(results, search, survey, row))
            if stages:
                searched.append(Searched(search, survey, row, stages, own))
                sections.append((f"search for {search.stars}", list(_verdict(results, searched[-1]))))
    sections.append(("other exposures of the star", list(_neighbours(results, listed[0][1]))))
    return Story(name, tuple(section for section in sections if section[1]), tuple(searched))


def _removed(results: Path, settings: Mapping[str, Any], name: str) -> list[Section]:
    """Why a spectrum is not among those selected. Raises InputError: nothing is known of it."""
    sections = _skipped(results, settings, name)
    for survey in settings.get("surveys", {}) if not sections else ():
        cuts = _cuts(results, settings, survey, name)
        # Files of one name in several folders have longer names in the run, and pass all cuts.
        sections += [section for section in cuts if any("NOT passed" in line for line in section[1])]
    similar = ", ".join(_similar(results, name))
    if not sections:
        raise InputError(
            f"{name}: {results} has no such spectrum{f'; there is {similar}' if similar else ''}"
        )
    return sections + ([("spectra of the run whose names hold this one", [similar])] if similar else [])


def manifests(results: Path) -> list[Path]:
    """The lists of selected spectra, one a survey."""
    return sorted(file for file in results.glob("manifest/*.parquet") if (file.parent / file.stem).is_dir())


def _rows(file: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a spectrum in a table, without lists of pixels."""
    schema = pq.read_schema(file)
    if "spectrum_id" not in schema.names:
        return []
    columns = [field.name for field in schema if not pa.types.is_fixed_size_list(field.type)]
    rows: list[dict[str, Any]] = pq.read_table(
        file, columns=columns, filters=[("spectrum_id", "=", name)]
    ).to_pylist()
    return rows


def _similar(results: Path, name: str) -> list[str]:
    """The first names in the run that hold this one."""
    stem = file_stem(name).split("/")[0]
    for file in manifests(results):
        ids = pq.read_table(file, columns=["spectrum_id"])["spectrum_id"]
        found: list[str] = ids.filter(pc.match_substring(ids, stem)).slice(0, SIMILAR).to_pylist()
        if found:
            return found
    return []


def _cuts(results: Path, settings: Mapping[str, Any], survey: str, name: str) -> list[Section]:
    """What each cut of a survey made of a spectrum; nothing where the catalogue does not list it."""
    own = settings.get("surveys", {}).get(survey)
    if own is None:
        return []
    catalog = own["catalog"] or f"results/manifest/{survey}-index.parquet"
    try:
        table = read_catalog(
            results.parent / catalog, own["kind"], columns=[cut["column"] for cut in own["selection"]]
        )
    except (StarsiftError, OSError):
        return []
    if "path" not in table.column_names:
        return []
    stem, _, minute = name.partition("/")
    stems = pa.array([file_stem(path or "") for path in table["path"].to_pylist()])
    rows = table.filter(pc.equal(stems, stem))
    if minute:
        rows = rows.filter(pc.equal(rows["lmjm"].cast(pa.string()), minute))
    elif own["kind"] == "mrs" and "coadd" in rows.column_names:
        rows = rows.filter(pc.equal(rows["coadd"], 1))  # the exposures have a minute
    lines = []
    for cut in own["selection"] if rows.num_rows else []:
        found = ", ".join(sorted({_text(value) for value in rows[cut["column"]].to_pylist()}))
        try:
            rows = apply_cuts(rows, [cut])[0]
            passed = "passed"
        except StarsiftError:
            passed = "NOT passed: the spectrum is not selected"
        lines.append(f"{cut['column']} {cut['op']} {cut['value']}: {found}, {passed}")
        if passed != "passed":
            break
    return (
        [(f"survey {survey}: cuts", lines or ["none"])] if table.num_rows and (lines or rows.num_rows) else []
    )


def _skipped(results: Path, settings: Mapping[str, Any], name: str) -> list[Section]:
    """Why a file of an index is not searched."""
    catalogs = {survey["catalog"] for survey in settings.get("surveys", {}).values() if survey["catalog"]}
    indices = [results.parent / catalog for catalog in sorted(catalogs)]
    for file in (*indices, *sorted(results.glob("manifest/*-index.parquet"))):
        if not file.is_file() or file.suffix != ".parquet":
            continue
        if not {"path", "status", "message"} <= {*pq.read_schema(file).names}:
            continue
        for row in pq.read_table(file, columns=["path", "status", "message"]).to_pylist():
            if file_stem(row["path"]) == file_stem(name) and row["message"]:
                return [("not searched", [f"{row['status'].replace('_', ' ')}: {row['message']}"])]
    return []


def _describe(results: Path, survey: str, row: Mapping[str, Any]) -> Iterator[str]:
    index = results / "spectra" / survey / f"{row['bundle']}.parquet"
    packed = _rows(index, row["spectrum_id"]) if index.is_file() else []
    yield f"file {_text(row.get('file'))}, bundle {row['bundle']}"
    yield f"status {packed[0].get('status')}" if packed else "not packed yet"
    yield ", ".join(f"{name} {_text(row.get(name))}" for name in ("snr", "ra", "dec"))


def _stages(
    results: Path, search: Search, survey: str, row: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The row of a spectrum in each stage of a search, and in its catalogues."""
    for pattern in search.stages:
        for folder in sorted(results.glob(pattern.format(survey=survey))):
            file = folder / f"{row['bundle']}.parquet"
            if file.is_file() and (found := _rows(file, row["spectrum_id"])):
                yield folder.relative_to(results / search.name).as_posix(), found[0]
    for name in (*search.pools, *(f"catalogs/{name}.parquet" for name in search.catalogs)):
        file = results / name
        if file.is_file() and (found := _rows(file, row["spectrum_id"])):
            yield Path(name).stem if name.startswith("catalogs") else name, found[0]


def _verdict(results: Path, found: Searched) -> Iterator[str]:
    view, search = found.search.view(), found.search
    if view.story:
        yield from view.story(results, found.stages, found.settings)
    if found.candidate is None:
        made = (results / "catalogs" / f"{search.catalogs[0]}.parquet").is_file()
        yield "not in the catalogue" if made else "the catalogue is not made yet"
    elif view.brief:
        told = view.brief(found.candidate)
        kind = ", ".join(filter(None, (told.kind, likely(told.probability))))
        yield f"in the catalogue: {kind}; {told.numbers}; {told.why}"


def _neighbours(results: Path, row: Mapping[str, Any]) -> Iterator[str]:
    """Other spectra within `RADIUS` in all surveys of the run."""
    if row.get("ra") is None or row.get("dec") is None:
        return
    here = unit_vectors(np.array([row["ra"]]), np.array([row["dec"]]))[0]
    margin = RADIUS / 3600.0
    near = [("dec", ">", row["dec"] - margin), ("dec", "<", row["dec"] + margin)]
    for file in manifests(results):
        table = pq.read_table(file, columns=["spectrum_id", "ra", "dec", "snr", "lmjd"], filters=near)
        ra, dec = (table[name].to_numpy() for name in ("ra", "dec"))
        distance = np.linalg.norm(unit_vectors(ra, dec) - here, axis=1) * np.degrees(1) * 3600
        for at in np.flatnonzero(distance <= RADIUS).tolist():
            other = table.slice(at, 1).to_pylist()[0]
            if other["spectrum_id"] != row["spectrum_id"]:
                yield f"{other['spectrum_id']}, night {other['lmjd']}, S/N {_text(other['snr'])}"


def _text(value: Any) -> str:
    return "unknown" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
