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
from starsift.searches.registry import SEARCHES
from starsift.sift.files import Found

SETTINGS, INDEX = "settings.yaml", "spectra.parquet"
_SEARCHES_OF = {"mrs": ("binaries",), "lrs": ("mstars", "emission"), "sdss": ("mstars", "bhb")}
_SIGNATURE = "# sift "
_CUTOUT = re.compile(r"cutout-(?P<plate>\d{4,5})-\d{5}-\d{4}(?P<ending>\.fits(?:\.gz)?)")
_HEAD = """{signature}
# Settings of a survey, written by `starsift sift` for the files that it was given. All settings that are not
# here are as in docs/settings.md. To search a whole survey, copy this file, name its folder (root), its
# catalogue and its cuts, and run: starsift run --config my-survey.yaml --cores all
"""


def choose_searches(found: Found, wanted: Sequence[str] | None = None) -> dict[str, list[str]]:
    """The kinds of survey that each search searches, for those searches that the files allow.

    BHB stars are sought among SDSS spectra of type A or late B, where there are any. `wanted` are the only
    searches; SettingsError: one of them finds nothing to search.
    """
    chosen: dict[str, list[str]] = {}
    for kind in found.kinds:
        for search in _SEARCHES_OF[kind]:
            if search != "bhb" or _early_types(found):
                chosen.setdefault(search, []).append(kind)
    for search in wanted or ():
        if search not in chosen:
            kinds = " or ".join(SEARCHES[search].kinds) if search != "bhb" else "A-type SDSS"
            raise SettingsError(
                f"{search}: there is no spectrum for it among the files; it needs {kinds} spectra"
            )
    return {search: kinds for search, kinds in chosen.items() if not wanted or search in wanted}


def make_settings(
    found: Found, searches: Mapping[str, Sequence[str]], sets: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Settings of the survey workflow.

    Parameters
    ----------
    searches : of `choose_searches`
    sets : for each search, the settings that its model set is bound to
    """
    kinds = sorted({kind for ours in searches.values() for kind in ours})
    surveys = {kind: _survey(found, kind) for kind in kinds}
    tree: dict[str, Any] = {"searches": list(searches), "surveys": surveys}
    for search, ours in searches.items():
        tree[search] = {"models": "shipped", **sets.get(search, {})}
        if search == "bhb":
            selection = [_cut("subclass", "in", _early_types(found))]
            surveys["sdss-early"] = surveys["sdss"] | {"selection": selection, **_cutouts(found)}
            tree[search]["surveys"] = ["sdss-early"]
        elif search == "mstars":
            tree[search]["surveys"] = list(ours)
        else:
            tree[search]["survey"] = ours[0]
    if "mstars" not in searches or "sdss" not in searches["mstars"]:
        surveys.pop("sdss", None)
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
    }


def _cut(column: str, op: str, value: Any) -> dict[str, Any]:
    return {"column": column, "op": op, "value": value}


def _early_types(found: Found) -> list[str]:
    """Subclasses among the SDSS spectra that start with A, or B6 to B9."""
    names = pc.unique(found.usable("sdss")["subclass"]).to_pylist()
    return sorted(name for name in names if name and (name[0] == "A" or name[:2] in ("B6", "B7", "B8", "B9")))


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
