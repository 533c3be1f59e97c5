"""Methods and saved models."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from starsift.errors import TrainingError
from starsift.searches.mstars.features import REPRESENTATIONS, represent
from starsift.searches.mstars.hamming import RANKINGS
from starsift.searches.mstars.model import HASHERS, METHODS, Method, Model, train

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
