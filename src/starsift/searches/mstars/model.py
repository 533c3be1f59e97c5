"""Methods to find M stars by hashing, and trained models of them.

A method is a representation of spectra (`flux`: scaled to [0, 1], as published; `bands`: depths of bands with
the noise shrunk away), a hasher, and a ranking (`nearest`: distance to the nearest positive code; `contrast`:
less that to the nearest negative codes; `query`: each query by itself, as the paper's figure 8 is made).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from starsift.errors import TrainingError
from starsift.io.files import atomic_path
from starsift.searches.mstars.features import represent
from starsift.searches.mstars.hashing import (
    DiscriminantHasher,
    Hasher,
    ITQHasher,
    PCAHasher,
    RandomProjectionHasher,
)
from starsift.searches.mstars.pil import PILHasher

HASHERS: dict[str, type[Hasher]] = {
    "discriminant": DiscriminantHasher,
    "pil": PILHasher,
    "random": RandomProjectionHasher,
    "pca": PCAHasher,
    "itq": ITQHasher,
}


@dataclass(frozen=True)
class Method:
    """A representation, a hasher (a key of `HASHERS`; None compares spectra by cosine), a ranking, and
    further parameters of the hasher."""

    representation: str
    hasher: str | None
    ranking: str
    options: Mapping[str, Any] = field(default_factory=dict)


AS_PUBLISHED = {"encoder": "random"}  # the code of H of the random weights
# By the names under which tables and figures show them.
METHODS = {
    "discriminant": Method("bands", "discriminant", "contrast"),
    "PIL": Method("flux", "pil", "nearest", AS_PUBLISHED),
    "PIL, query by query": Method("flux", "pil", "query", AS_PUBLISHED),
    "PIL, beta as encoder": Method("flux", "pil", "nearest"),
    "PIL + contrast": Method("flux", "pil", "contrast", AS_PUBLISHED),
    "PIL + bands + contrast": Method("bands", "pil", "contrast", AS_PUBLISHED),
    "random projections": Method("flux", "random", "nearest"),
    "random projections + bands + contrast": Method("bands", "random", "contrast"),
    "PCA signs": Method("flux", "pca", "nearest"),
    "ITQ": Method("flux", "itq", "nearest"),
    "cosine (no code)": Method("flux", None, "nearest"),
}


@dataclass(frozen=True)
class Model:
    """A trained hasher with the features that it encodes."""

    representation: str
    hasher: Hasher

    def encode(self, flux: np.ndarray, ivar: np.ndarray, zero: np.ndarray) -> np.ndarray:
        """Codes (n, bits / 8) uint8 of prepared spectra (n, p)."""
        return np.asarray(self.hasher.transform(represent(flux, ivar, zero, self.representation)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one .npz file: the settings as JSON, and the learned arrays; equal models, equal bytes."""
        learned = {key: value for key, value in sorted(vars(self.hasher).items()) if key.endswith("_")}
        arrays = {}
        for name, value in learned.items():
            parts = value if isinstance(value, list) else [value]
            arrays.update({f"{name}{i}": np.asarray(part) for i, part in enumerate(parts)})
        name = next(key for key, kind in HASHERS.items() if type(self.hasher) is kind)
        record = {
            "representation": self.representation,
            "hasher": name,
            "parameters": self.hasher.get_params(),
            "lists": [key for key, value in learned.items() if isinstance(value, list)],
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file, allow_pickle=False, settings=np.array(json.dumps(record, sort_keys=True)), **arrays
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Model":
        """Read what `save` wrote; TrainingError if the file is not a model."""
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as content:
                record = json.loads(str(content["settings"]))
                arrays = {name: content[name] for name in content.files if name != "settings"}
            hasher = HASHERS[record["hasher"]](**record["parameters"])
            for name in sorted({key.rstrip("0123456789") for key in arrays}):
                count = sum(key.rstrip("0123456789") == name for key in arrays)
                parts = [arrays[f"{name}{i}"] for i in range(count)]
                value: Any = parts if name in record["lists"] else parts[0]
                setattr(hasher, name, int(value) if name == "n_features_in_" else value)
            return cls(record["representation"], hasher)
        except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path}: not a hashing model; train it again ({error})") from error


def train(features: np.ndarray, labels: np.ndarray, method: Method, *, bits: int, seed: int) -> Model:
    """Train the hasher of a method on a sample.

    `features` (n, q) are those of `represent`, `labels` (n,) of str those of `Sample`. Raises TrainingError
    if the method has no hasher, or the sample is too small for it.
    """
    if method.hasher not in HASHERS:
        raise TrainingError(f"hasher is {method.hasher!r}: expected one of {', '.join(HASHERS)}")
    hasher = HASHERS[method.hasher](n_bits=bits, random_state=seed, **method.options)
    return Model(method.representation, hasher.fit(features, labels))
