"""Methods: representations, training, saved models, and the classes that hashers see."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from starsift.errors import TrainingError
from starsift.searches.mstars.hamming import contrast
from starsift.searches.mstars.hashing import spectral_features
from starsift.searches.mstars.model import (
    HASHERS,
    METHODS,
    NEIGHBOURS,
    RANKINGS,
    REPRESENTATIONS,
    Method,
    Model,
    class_labels,
    rank_codes,
    represent,
    train,
)

OPTIONS = {"pil": {"hidden": (24, 20), "encoder": "beta"}, "itq": {"n_iterations": 3}}
every_hasher = pytest.mark.parametrize("name", HASHERS)


def prepared(n: int = 120, p: int = 400, seed: int = 0):
    """Flux from 0 to 1, ivar, where zero flux lies, and classes; the bands of an M star are deep."""
    rng = np.random.default_rng(seed)
    classes = np.array(["dM3", "K", "GALAXY"])[rng.integers(0, 3, n)]
    band = np.exp(-0.5 * ((np.arange(p) - 250) / 15.0) ** 2)
    flux = 1.0 - np.where(classes == "dM3", 0.6, 0.1)[:, None] * band + 0.05 * rng.standard_normal((n, p))
    low, span = flux.min(axis=1, keepdims=True), np.ptp(flux, axis=1)[:, None]
    ivar = np.broadcast_to(span**2 / 0.05**2, flux.shape)
    return (
        ((flux - low) / span).astype(np.float32),
        ivar.astype(np.float32),
        (-low / span)[:, 0].astype(np.float32),
        classes,
    )


def trained(name: str, representation: str = "flux") -> Model:
    flux, ivar, zero, labels = prepared()
    method = Method(representation, name, "nearest", OPTIONS.get(name, {}))
    return train(represent(flux, ivar, zero, representation), labels, method, bits=16, seed=3)


def test_every_method_is_made_of_what_there_is() -> None:
    for method in METHODS.values():
        assert method.representation in REPRESENTATIONS
        assert method.hasher is None or method.hasher in HASHERS
        assert method.ranking in RANKINGS


def test_representations() -> None:
    flux, ivar, zero, _ = prepared()
    np.testing.assert_array_equal(represent(flux, ivar, zero, "flux"), flux)
    bands = represent(flux, ivar, zero, "bands")
    np.testing.assert_array_equal(bands, spectral_features(flux - zero[:, None], ivar))
    # The scale of [0, 1] is undone: bands are those of the flux before it was scaled.
    span = 2.5
    np.testing.assert_allclose(
        bands, spectral_features(span * (flux - zero[:, None]), ivar / span**2), atol=1e-3
    )
    with pytest.raises(TrainingError, match="representation is 'colours': expected one of bands, flux"):
        represent(flux, ivar, zero, "colours")


@every_hasher
def test_training_passes_bits_seed_and_options_on(name: str) -> None:
    hasher = trained(name).hasher
    assert type(hasher) is HASHERS[name]
    parameters = hasher.get_params()
    expected = {"n_bits": 16, "random_state": 3, **OPTIONS.get(name, {})}
    assert {key: parameters[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["minhash", None])
def test_a_hasher_that_there_is_not(name: str | None) -> None:
    with pytest.raises(TrainingError, match=f"hasher is {name!r}: expected one of discriminant, pil"):
        train(np.ones((4, 8)), np.array(["a", "b"] * 2), Method("flux", name, "nearest"), bits=8, seed=0)


@every_hasher
@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_a_saved_model_gives_the_same_codes(name: str, representation: str, tmp_path: Path) -> None:
    model = trained(name, representation)
    model.save(tmp_path / "model.npz")
    loaded = Model.load(tmp_path / "model.npz")
    assert (loaded.representation, type(loaded.hasher)) == (representation, HASHERS[name])
    unseen = prepared(50, seed=1)[:3]
    codes = model.encode(*unseen)
    assert codes.shape == (50, 2)
    np.testing.assert_array_equal(loaded.encode(*unseen), codes)
    if name == "pil":
        np.testing.assert_array_equal(
            loaded.hasher.inverse_transform(codes), model.hasher.inverse_transform(codes)
        )


@every_hasher
def test_a_model_saved_twice_has_the_same_bytes(name: str, tmp_path: Path) -> None:
    trained(name).save(tmp_path / "first.npz")
    trained(name).save(tmp_path / "second.npz")
    Model.load(tmp_path / "first.npz").save(tmp_path / "third.npz")
    first = (tmp_path / "first.npz").read_bytes()
    assert (tmp_path / "second.npz").read_bytes() == first
    assert (tmp_path / "third.npz").read_bytes() == first
    # No clock in it.
    with zipfile.ZipFile(io.BytesIO(first)) as file:
        assert {entry.date_time for entry in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    trained("pil").save(path)
    whole = path.read_bytes()
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    others = io.BytesIO()
    np.savez(others, a=np.zeros(3))
    for content in (b"", b"no zip file", whole[: len(whole) // 2], array.getvalue(), others.getvalue()):
        path.write_bytes(content)
        with pytest.raises(TrainingError, match=r"model.npz: not a hashing model; train it again"):
            Model.load(path)
    with np.load(io.BytesIO(whole)) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["settings"] = np.array(str(arrays["settings"]).replace('"hasher": "pil"', '"hasher": "magic"'))
    np.savez(path, **arrays)
    with pytest.raises(TrainingError, match="not a hashing model"):
        Model.load(path)
    with pytest.raises(TrainingError, match=r"absent.npz: not a hashing model"):
        Model.load(tmp_path / "absent.npz")


def test_classes_are_subtypes_letters_and_kinds() -> None:
    rows = [
        ("dwarf", "STAR", "dM3", "dM3"),
        ("dwarf", "STAR", "M0", "dM0"),
        ("giant", "STAR", "gM5", "gM5"),
        ("dwarf", None, None, "dM"),  # a user's template
        ("negative", "STAR", "K5", "K"),
        ("negative", "STAR", "dK7", "K"),
        ("negative", "star", "A1V", "A"),
        ("negative", "STAR", "", "?"),
        ("negative", "STAR", None, "?"),
        ("negative", "GALAXY", None, "GALAXY"),
        ("negative", "QSO", "", "QSO"),
        ("negative", "UNKNOWN", None, "UNKNOWN"),
        ("negative", None, None, "UNKNOWN"),
    ]
    role, class_, subclass, expected = (np.array(column, dtype=object) for column in zip(*rows, strict=True))
    assert class_labels(role, class_, subclass).tolist() == expected.tolist()


def test_rankings() -> None:
    rng = np.random.default_rng(0)
    pool, positive, negative = (rng.integers(0, 256, (n, 8), dtype=np.uint8) for n in (20, 30, 40))
    apart = (np.unpackbits(pool, axis=1)[:, None] != np.unpackbits(positive, axis=1)).sum(axis=2)
    nearest = rank_codes(pool, positive, negative, "nearest")
    assert nearest.dtype == np.float32
    np.testing.assert_array_equal(nearest, -apart.min(axis=1))
    np.testing.assert_array_equal(
        rank_codes(pool, positive, negative, "contrast"), contrast(pool, positive, negative, NEIGHBOURS)
    )
    for ranking in ("query", "farthest"):
        with pytest.raises(TrainingError, match=f"ranking is '{ranking}'"):
            rank_codes(pool, positive, negative, ranking)
