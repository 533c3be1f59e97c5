"""The settings of a survey, written for the files that a user named."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from starsift.errors import SettingsError
from starsift.io.files import atomic_path
from starsift.searches.base import Search
from starsift.searches.registry import SEARCHES
from starsift.sift.files import Found

SETTINGS, INDEX = "settings.yaml", "spectra.parquet"
_SIGNATURE = "# sift "
_CUTOUT = re.compile(r"cutout-(?P<plate>\d{4,5})-\d{5}-\d{4}(?P<ending>\.fits(?:\.gz)?)")
_HEAD = """{signature}
# Settings of a survey, written by `starsift sift` for the files that it was given. All settings that are not
# here are as in docs/settings.md. To search a whole survey, copy this file, name its folder (root), its
# catalogue and its cuts, and run: starsift run --config my-survey.yaml --cores all
"""


def choose_searches(found: Found, wanted: Sequence[str] | None = None) -> dict[str, list[str]]:
    """The kinds of survey that each search searches, for those searches that the files allow.

    `wanted` are the only searches; SettingsError: one of them finds nothing to search.
    """
    chosen: dict[str, list[str]] = {}
    for name, search in SEARCHES.items():
        kinds = [kind for kind in found.kinds if kind in search.sifts]
        kinds = [kind for kind in kinds if not search.subclasses or _subclasses(found, kind, search)]
        if kinds:
            chosen[name] = kinds
    for name in wanted or ():
        if name not in chosen:
            of = f" of subclass {SEARCHES[name].subclasses}" if SEARCHES[name].subclasses else ""
            raise SettingsError(
                f"{name}: there is no spectrum for it among the files; it needs "
                f"{' or '.join(SEARCHES[name].sifts)} spectra{of}"
            )
    return {name: kinds for name, kinds in chosen.items() if not wanted or name in wanted}


def make_settings(
    found: Found, searches: Mapping[str, Sequence[str]], sets: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Settings of the survey workflow.

    Parameters
    ----------
    searches : of `choose_searches`
    sets : for each search, the settings that its model set is bound to
    """
    surveys: dict[str, Any] = {}
    tree: dict[str, Any] = {"searches": list(searches), "surveys": surveys}
    for name, kinds in searches.items():
        search, ours = SEARCHES[name], []
        for kind in kinds:
            survey = _survey(found, kind)
            if search.subclasses:
                survey["selection"] = [_cut("subclass", "in", _subclasses(found, kind, search))]
            ours.append(f"{kind}-{name}" if search.subclasses else kind)
            surveys[ours[-1]] = survey
        several = "surveys" in search.module("settings").Settings.model_fields
        own = {"surveys": ours} if several else {"survey": ours[0]}
        tree[name] = {"models": "shipped", **sets.get(name, {}), **own}
    return tree


def _survey(found: Found, kind: str) -> dict[str, Any]:
    rows = found.usable(kind)
    selection = []
    if kind == "mrs":
        single = pc.any(pc.and_(pc.equal(rows["band"], "B"), pc.equal(rows["coadd"], 0))).as_py()
        selection = [_cut("band", "==", "B"), _cut("coadd", "==", 0 if single else 1), _cut("snr", ">=", 5)]
    return {
        "kind": kind,
        "root": str(found.root),
        "catalog": INDEX,
        "selection": selection,
        "columns": [] if kind == "mrs" else ["class", "subclass", "mjd"],
        "partition": {"level": "survey", "spectra_per_bundle": 5000},
        **(_cutouts(found) if kind == "sdss" else {}),
    }


def _cut(column: str, op: str, value: Any) -> dict[str, Any]:
    return {"column": column, "op": op, "value": value}


def _subclasses(found: Found, kind: str, search: Search) -> list[str]:
    """Those subclasses of the spectra of a kind of survey that a search looks at."""
    names = pc.unique(found.usable(kind)["subclass"]).to_pylist()
    return sorted(name for name in names if name and re.match(search.subclasses, name))


def _cutouts(found: Found) -> dict[str, Any]:
    """Where five-band images of SDSS spectra are, if there are any: cutout-PLATE-MJD-FIBER.fits."""
    for path in map(Path, found.index["path"].to_pylist()):
        name = _CUTOUT.fullmatch(path.name)
        if name:
            template = f"cutout-{{planid:0>4}}-{{lmjd}}-{{fiberid:04d}}{name['ending']}"
            folder = path.parent
            if folder.name == name["plate"]:  # a folder a plate
                folder, template = folder.parent, "{planid:0>4}/" + template
            return {"cutouts": {"root": str(found.root / folder), "path_template": template}}
    return {}


def write_settings(settings: Mapping[str, Any], found: Found, folder: Path) -> Path:
    """Write settings and the index that they name; nothing is written that is there already.

    Returns the file of the settings. Raises SettingsError: it was edited since, and would be lost.
    """
    file, index = folder / SETTINGS, folder / INDEX
    if file.exists() and not file.read_text().startswith(_SIGNATURE):
        raise SettingsError(f"{file}: not of starsift sift; name another folder with --output")
    if file.exists() and not _is_ours(file.read_text()):
        raise SettingsError(
            f"{file} was edited: run `starsift run --config {file} --directory {folder}`, or name another "
            "folder with --output"
        )
    body = yaml.safe_dump(dict(settings), sort_keys=False, width=110, allow_unicode=True)
    text = _HEAD.format(signature=_sign(body)) + body
    if not file.exists() or file.read_text() != text:
        with atomic_path(file) as draft:
            draft.write_text(text)
    sink = pa.BufferOutputStream()
    pq.write_table(found.index, sink)
    content = sink.getvalue().to_pybytes()
    if not index.exists() or index.read_bytes() != content:
        with atomic_path(index) as draft:
            draft.write_bytes(content)
    return file


def _sign(body: str) -> str:
    return _SIGNATURE + hashlib.sha256(body.encode()).hexdigest()[:16]


def _is_ours(text: str) -> bool:
    """Whether a settings file is as `write_settings` wrote it."""
    lines = text.splitlines(keepends=True)
    body = "".join(line for line in lines if not line.startswith("#"))
    return bool(lines) and lines[0].strip() == _sign(body)
