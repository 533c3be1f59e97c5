"""Model sets: what a search learned, in one folder that can be named, copied, published and checked.

A set is the files of networks, codes, thresholds and calibrations of one search, and `model.json`: the
SHA-256 of each file, the settings and seed that made them, the version of starsift, and scores. A catalogue
that is made again with the same set is the same, whichever processor trained it.
"""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from starsift.catalog.provenance import checksum, config_digest
from starsift.errors import ResultsError, SettingsError
from starsift.io.files import read_json, write_json
from starsift.resources import resource
from starsift.settings_base import TRAIN

RECORD = "model.json"
SHIPPED = "shipped"


@dataclass(frozen=True)
class ModelSet:
    """The record of a model set.

    Attributes
    ----------
    search : whose it is
    version : of the starsift that made it
    settings : that it was made with, seed among them
    scores : how well it does, by name, on what the search's evaluation says
    files : SHA-256 of each file, hexadecimal, by name
    """

    search: str
    version: str
    settings: dict[str, Any]
    scores: dict[str, float]
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """What identifies the set: SHA-256 of names and contents of its files, hexadecimal."""
        return config_digest({"search": self.search, "files": self.files})


def find_model_set(name: str, search: str) -> Path:
    """The folder of a set: `shipped`, or a folder of the user's. Raises SettingsError: there is none."""
    folder = resource(f"models/{search}") if name == SHIPPED else Path(name)
    if not (folder / RECORD).is_file():
        raise SettingsError(
            f"{search}.models is {name!r}: no file {folder / RECORD}; give the folder of a model set, "
            f"{SHIPPED} or {TRAIN}"
        )
    return folder


def read_model_set(folder: str | os.PathLike[str], search: str, files: Sequence[str] = ()) -> ModelSet:
    """The record of a set, after a check of its files.

    Parameters
    ----------
    search : whose set it must be
    files : names of files that it must have

    Raises ResultsError: the record is damaged or that of another search, or a file is missing or changed.
    """
    folder = Path(folder)
    try:
        record = ModelSet(**read_json(folder / RECORD))
    except (OSError, TypeError, ValueError) as error:
        raise ResultsError(f"{folder / RECORD}: not the record of a model set; copy the set again") from error
    if record.search != search:
        raise ResultsError(f"{folder}: a model set of the search {record.search}, expected one of {search}")
    for name in {*files, *record.files}:
        path = folder / name
        if not path.is_file() or name not in record.files:
            raise ResultsError(f"{path}: this file of the model set is missing; copy the set again")
        if checksum(path) != record.files[name]:
            raise ResultsError(f"{path}: not the file that {RECORD} describes; copy the set again")
    return record


def settings_of(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Settings by names such as "hash" and "image.size", of the tree of a search, or of what this returns."""

    def find(tree: Any, name: str) -> Any:
        if name in tree or "." not in name:
            return tree.get(name)
        group, _, rest = name.partition(".")
        return find(tree.get(group) or {}, rest)

    return {name: find(settings, name) for name in names}


def check_bound(record: ModelSet, settings: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise SettingsError unless the search's `settings` of these names ("image.size") are those of a set."""

    for name in names:
        own, made = settings_of(settings, [name])[name], settings_of(record.settings, [name])[name]
        if isinstance(own, Mapping):
            check_bound(record, settings, [f"{name}.{key}" for key in own])
        elif own != made:
            raise SettingsError(
                f"{record.search}.{name} is {own!r}, and the model set was made with {made!r}; set it so, or "
                f"train: {record.search}.models: {TRAIN}"
            )


def write_model_set(
    folder: str | os.PathLike[str],
    search: str,
    files: Mapping[str, str | os.PathLike[str]],
    *,
    settings: Mapping[str, Any],
    scores: Mapping[str, float],
    halve: bool = False,
) -> ModelSet:
    """Copy files into a set and write its record, last.

    Parameters
    ----------
    folder : made where it is missing; other files in it stay
    files : file to copy by its name in the set
    settings, scores : see `ModelSet`
    halve : keep the weights of networks (.keras) as float16, which halves the files
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, source in files.items():
        draft = folder / f".{name}.{os.getpid()}"
        try:
            if halve and name.endswith(".keras"):
                _halve(Path(source), draft)
            else:
                shutil.copyfile(source, draft)
            draft.replace(folder / name)
        finally:
            draft.unlink(missing_ok=True)
        digests[name] = checksum(folder / name)
    record = ModelSet(search, metadata.version("starsift"), dict(settings), dict(scores), digests)
    write_json(asdict(record), folder / RECORD)
    return record


def make_model_set(
    folder: str | os.PathLike[str],
    search: str,
    files: Mapping[str, str | os.PathLike[str]],
    *,
    source: str,
    settings: Mapping[str, Any],
) -> ModelSet:
    """The model set of a run: of `files` that it trained, or a copy of the set that `source` names."""
    if source == TRAIN:
        return write_model_set(folder, search, files, settings=settings, scores={})
    return copy_model_set(find_model_set(source, search), folder, search)


def copy_model_set(source: str | os.PathLike[str], target: str | os.PathLike[str], search: str) -> ModelSet:
    """Copy a checked set. Raises ResultsError: see `read_model_set`."""
    source, target = Path(source), Path(target)
    record = read_model_set(source, search)
    target.mkdir(parents=True, exist_ok=True)
    for name in (*record.files, RECORD):
        draft = target / f".{name}.{os.getpid()}"
        shutil.copyfile(source / name, draft)
        draft.replace(target / name)
    return record


def _halve(source: Path, target: Path) -> None:
    """A network with weights in float16: Keras converts them to its own type when it loads them."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for member in archive.infolist():
            content = archive.read(member)
            if member.filename.endswith(".h5"):
                content = _halve_weights(content)
            out.writestr(zipfile.ZipInfo(member.filename), content, zipfile.ZIP_DEFLATED)


def _halve_weights(content: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        old, new = Path(folder, "old.h5"), Path(folder, "new.h5")
        old.write_bytes(content)
        with h5py.File(old) as weights, h5py.File(new, "w") as halved:

            def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
                if isinstance(item, h5py.Dataset):
                    values = item[()]
                    small = values.dtype == np.float32 and np.abs(values).max(initial=0.0) < 6e4
                    made = halved.create_dataset(name, data=values.astype(np.float16) if small else values)
                else:
                    made = halved.require_group(name)
                made.attrs.update(item.attrs)

            halved.attrs.update(weights.attrs)
            weights.visititems(copy)
        return new.read_bytes()
