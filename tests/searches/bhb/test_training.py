"""Training of the networks: what changes, what stays, what is recorded, and what comes again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fixtures.bhb_data import SMALL, small_preset, synthetic, training_options, uncompiled
from sklearn.metrics import roc_auc_score

from starsift.errors import InputError, TrainingError
from starsift.learning.backend import load_keras, load_network, predict_batches, save_network, set_seed
from starsift.searches.bhb import training
from starsift.searches.bhb.dataset import CLASSES, Dataset
from starsift.searches.bhb.encoders import PRESETS
from starsift.searches.bhb.fusion import fusion_head
from starsift.searches.bhb.training import Trained, augment, fit, predict_part, schedule, train

QUICK = training_options(epochs=8, patience=8, batch_size=10, learning_rate=3e-3, warmup_epochs=1)
SMALL_QUICK: dict[str, Any] = {"preset": "small", "options": QUICK, "seed": 1}
ONCE = training_options(epochs=1, batch_size=20, learning_rate=3e-3, noise=0.02, shift=3, flip=True)
RECORD = {"model", "seed", "epochs", "best_epoch", "loss", "validation_loss", "weights"}


@pytest.fixture(scope="module", autouse=True)
def preset() -> Iterator[None]:
    with small_preset():
        yield


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic()


@pytest.fixture(scope="module")
def spectrum(data: Dataset) -> Trained:
    return train("spectrum", data, **SMALL_QUICK)


@pytest.fixture(scope="module")
def image(data: Dataset) -> Trained:
    return train("image", data, **SMALL_QUICK)


@pytest.fixture(scope="module")
def parts(spectrum: Trained, image: Trained) -> dict[str, Any]:
    """Networks whose encoders are fused."""
    return {"spectrum": spectrum.model, "image": image.model}


@pytest.fixture(scope="module")
def encoder_weights(parts: dict[str, Any]) -> list[np.ndarray]:
    """As they are before fusion is trained."""
    return [w for model in parts.values() for w in model.get_weights()]


@pytest.fixture(scope="module")
def batmm(data: Dataset, parts: dict[str, Any], encoder_weights: list[np.ndarray]) -> Trained:
    return train("batmm", data, **SMALL_QUICK, **parts)


@pytest.fixture(scope="module")
def end_to_end(data: Dataset) -> Trained:
    return train("batmm-end-to-end", data, **SMALL_QUICK)


def auc(trained: Trained) -> float:
    table = trained.predictions
    return float(roc_auc_score(np.array(table["class"]) == "BHB", np.array(table["p_bhb"])))


def started_from_zero(model: Any) -> dict[str, np.ndarray]:
    return {w.path: np.asarray(w) for w in model.weights if w.path.endswith(("/beta", "/bias"))}


def test_learning_rate_rises_and_falls() -> None:
    found = schedule(training_options(epochs=10, learning_rate=0.3, warmup_epochs=2), steps=50)
    assert found.shape == (500,)
    assert 0 < found[0] < 0.01 * 0.3 * 1.01
    rise, fall = found[:101], found[100:]
    np.testing.assert_allclose(np.diff(rise), np.diff(rise)[0], rtol=1e-3)
    np.testing.assert_allclose(found[100], 0.3, rtol=1e-6)
    np.testing.assert_allclose(fall, 0.15 * (1 + np.cos(np.pi * np.arange(400) / 400)), rtol=1e-3, atol=1e-6)


def test_learning_rate_without_warm_up_and_with_one_longer_than_the_training() -> None:
    rate = schedule(training_options(epochs=4, learning_rate=0.3, warmup_epochs=0), steps=5)
    np.testing.assert_allclose(rate[[0, 10]], [0.3, 0.15], atol=1e-7)
    assert 0 < rate[19] < 0.01 * 0.3
    rate = schedule(training_options(epochs=2, learning_rate=0.3, warmup_epochs=5), steps=2)
    assert 0 < rate[0] < rate[1] < rate[2] < rate[3] == pytest.approx(0.3)


def test_images_turn_and_mirror_in_all_eight_ways() -> None:
    images = np.random.default_rng(0).normal(size=(3, 6, 6, 5)).astype(np.float32)
    moves = [np.rot90(side, k, axes=(1, 2)) for side in (images, images[:, ::-1]) for k in range(4)]
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(60):
        found = augment(images, 1, training_options(flip=True), rng)
        assert found.shape == images.shape
        seen.add(next(k for k, move in enumerate(moves) if np.array_equal(found, move)))
    assert seen == set(range(8))
    others = training_options(noise=0.1, spike=0.1, shift=5)  # are for spectra
    np.testing.assert_array_equal(augment(images, 1, others, rng), images)


def test_spectra_are_shifted_as_a_batch() -> None:
    spectra = np.random.default_rng(0).random((2, 40), dtype=np.float32)
    given = spectra.copy()
    rng = np.random.default_rng(2)
    edges = np.pad(spectra, ((0, 0), (3, 3)), mode="edge")
    seen = set()
    for _ in range(60):
        found = augment(spectra, 0, training_options(shift=3), rng)
        seen.add(next(k for k in range(7) if np.array_equal(found, edges[:, k : k + 40])))
    assert seen == set(range(7))
    np.testing.assert_array_equal(spectra, given)
    np.testing.assert_array_equal(augment(spectra, 0, training_options(flip=True), rng), spectra)


def test_noise_of_each_spectrum_has_its_own_size() -> None:
    spectra = np.full((400, 2000), 0.5, np.float32)
    found = augment(spectra, 0, training_options(noise=0.2), np.random.default_rng(3)) - spectra
    assert found.dtype == np.float32
    size = found.std(axis=1)
    assert size.max() < 0.21
    assert size.mean() == pytest.approx(0.1, abs=0.01)
    assert size.std() == pytest.approx(0.2 / np.sqrt(12), abs=0.01)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=5 * 0.2 / np.sqrt(2000))


def test_spikes_press_the_spectrum_together() -> None:
    spectra = np.tile(np.linspace(0, 1, 50, dtype=np.float32), (4000, 1))
    found = augment(spectra, 0, training_options(spike=0.1), np.random.default_rng(4))
    low, high = found[:, 0], found[:, -1]
    assert 0 <= low.min() < high.max() <= 1
    # Straight lines stay straight; what was added below and above has its mean.
    np.testing.assert_allclose(found, low[:, None] + (high - low)[:, None] * spectra, atol=1e-6)
    below, above = low / (high - low), (1 - high) / (high - low)
    assert below.mean() == pytest.approx(0.1, abs=0.01)
    assert above.mean() == pytest.approx(0.1, abs=0.01)
    assert abs(np.corrcoef(below, above)[0, 1]) < 0.1


def toy(seed: int = 0) -> tuple[Any, np.ndarray, np.ndarray]:
    keras = load_keras()
    set_seed(seed)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4)).astype(np.float32)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    return model, x, (x[:, 0] > 0).astype(int)


def cross_entropy(model: Any, x: np.ndarray, label: np.ndarray) -> float:
    return float(-np.log(predict_batches(model, x)[np.arange(len(x)), label]).mean())


def test_fit_learns_to_the_end_while_validation_improves() -> None:
    model, x, label = toy()
    seen: list[np.ndarray] = []

    def batches(rows: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        seen.append(rows)
        return [x[rows]]

    settings = training_options(epochs=6, batch_size=8, learning_rate=0.05)
    record = fit(model, batches, label, ([x], label), settings, 3)
    assert record["epochs"] == record["best_epoch"] == 6
    assert len(record["loss"]) == len(record["validation_loss"]) == 6
    assert record["loss"][-1] < record["loss"][0]
    assert cross_entropy(model, x, label) == pytest.approx(record["validation_loss"][-1], rel=1e-4)
    # Three whole batches of eight an epoch, each row at most once, in another order every epoch.
    assert [len(rows) for rows in seen] == [8] * 18
    epochs = [np.concatenate(seen[k : k + 3]) for k in range(0, 18, 3)]
    assert all(len(set(rows)) == 24 for rows in epochs)
    assert not np.array_equal(epochs[0], epochs[1])


def test_fit_ends_by_patience_and_keeps_the_best_epoch() -> None:
    model, x, label = toy()
    before = cross_entropy(model, x, 1 - label)
    # The more it learns, the worse it is for the other class.
    settings = training_options(epochs=30, patience=4, batch_size=30, learning_rate=0.05, warmup_epochs=0)
    record = fit(model, lambda rows, _: [x[rows]], label, ([x], 1 - label), settings, 0)
    assert (record["epochs"], record["best_epoch"]) == (5, 1)
    assert record["validation_loss"] == sorted(record["validation_loss"])
    after = cross_entropy(model, x, 1 - label)
    assert before < after == pytest.approx(record["validation_loss"][0], rel=1e-5)


def test_each_learns(spectrum: Trained, image: Trained, batmm: Trained, end_to_end: Trained) -> None:
    for trained in (spectrum, image, batmm, end_to_end):
        assert auc(trained) > 0.9
        assert min(trained.record["validation_loss"]) < trained.record["validation_loss"][0]


def test_what_is_told(spectrum: Trained, image: Trained, batmm: Trained, end_to_end: Trained) -> None:
    trained = {"spectrum": spectrum, "image": image, "batmm": batmm, "batmm-end-to-end": end_to_end}
    for name, one in trained.items():
        record = json.loads(json.dumps(one.record))
        assert set(record) == RECORD | {"n_parameters", "n_trainable"}
        assert (record["model"], record["seed"]) == (name, 1)
        assert record["epochs"] == len(record["loss"]) == len(record["validation_loss"])
        assert record["best_epoch"] == np.argmin(record["validation_loss"]) + 1
        assert record["n_parameters"] == one.model.count_params()
        segments, bands = (record["weights"][key] for key in ("segments", "bands"))
        assert (segments is None, bands is None) == (name == "image", name == "spectrum")
        for weights, n in ((segments, 7), (bands, 5)):
            if weights is not None:
                assert len(weights) == n
                assert min(weights) > 0
                assert sum(weights) == pytest.approx(1)
    # Means and variances of batch normalization are no weights to be trained, nor are encoders in fusion.
    assert batmm.record["n_trainable"] == fusion_head("batmm", SMALL, 16).count_params()
    for one in (spectrum, image, end_to_end):
        moving = sum(w.shape[0] for w in one.model.weights if "moving" in w.path)
        assert one.record["n_trainable"] == one.record["n_parameters"] - moving


def test_told_weights_are_means_over_the_test_part(data: Dataset, batmm: Trained) -> None:
    keras = load_keras()
    test = data.part("test")
    for key, layer, part, x in (
        ("segments", "segment_weights", "spectrum_encoder", test.spectrum),
        ("bands", "band_weights", "image_encoder", test.image),
    ):
        encoder = batmm.model.get_layer(part)
        found = keras.Model(encoder.inputs[0], encoder.get_layer(layer).output)(x, training=False)
        mean = keras.ops.convert_to_numpy(found).mean(axis=0)
        np.testing.assert_allclose(batmm.record["weights"][key], mean / mean.sum(), rtol=1e-4)


def test_predictions_of_the_parts_not_learned_from(data: Dataset, batmm: Trained, spectrum: Trained) -> None:
    for trained, columns in ((batmm, (0, 1)), (spectrum, (0,))):
        table = trained.predictions
        text = [(name, pa.string()) for name in ("spectrum_id", "star", "split", "class")]
        assert table.schema == pa.schema([*text, ("p_bhb", pa.float32())])
        for name, own in (("validation", table.slice(0, 20)), ("test", table.slice(20))):
            part = data.part(name)
            assert set(own["split"].to_pylist()) == {name}
            assert own["spectrum_id"].to_pylist() == part.spectrum_id.tolist()
            assert own["star"].to_pylist() == part.star.tolist()
            assert own["class"].to_pylist() == [CLASSES[k] for k in part.label]
            np.testing.assert_array_equal(own["p_bhb"], predict_part(trained.model, part, columns))


def test_encoders_are_left_as_they_are_by_fusion(
    parts: dict[str, Any], batmm: Trained, encoder_weights: list[np.ndarray]
) -> None:
    after = [w for model in parts.values() for w in model.get_weights()]
    for a, b in zip(after, encoder_weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for name, model in parts.items():
        encoders = (one.get_layer(f"{name}_encoder").get_weights() for one in (batmm.model, model))
        for a, b in zip(*encoders, strict=True):
            np.testing.assert_array_equal(a, b)
    assert all(w.any() for w in started_from_zero(batmm.model.get_layer("fusion")).values())


def test_encoders_learn_end_to_end(end_to_end: Trained) -> None:
    for part in ("spectrum_encoder", "image_encoder", "fusion"):
        weights = started_from_zero(end_to_end.model.get_layer(part))
        # Means of encoders' tokens, and the vector that serves a classifier of spectra only, are not in it.
        moved = {path: w.any() for path, w in weights.items() if "vector" not in path}
        assert moved
        assert all(moved.values())


def test_the_same_seed_gives_the_same_network(parts: dict[str, Any], tmp_path: Path) -> None:
    few = synthetic(50, seed=3)
    files = []

    def run(name: str, seed: int, **known: Any) -> Trained:
        one = train(name, few, preset="small", options=ONCE, seed=seed, **known)
        path = tmp_path / f"{len(files)}.keras"
        save_network(one.model, path)
        files.append(path.read_bytes())
        return one

    first, again, other = (run("spectrum", seed) for seed in (4, 4, 5))
    assert first.predictions == again.predictions != other.predictions
    assert first.record == again.record
    assert files[0] == files[1] != files[2]
    # Nor does it matter whether the encoders come from memory or from files.
    for name, model in parts.items():
        save_network(model, tmp_path / f"{name}.keras")
    loaded = {name: load_network(tmp_path / f"{name}.keras") for name in parts}
    with uncompiled():
        first, again, other = (run("batmm", 4, **known) for known in (loaded, loaded, parts))
    assert first.predictions == again.predictions == other.predictions
    assert first.record == again.record == other.record
    assert files[3] == files[4]


def test_a_saved_network_predicts_the_same(data: Dataset, batmm: Trained, tmp_path: Path) -> None:
    save_network(batmm.model, tmp_path / "model.keras")
    again = load_network(tmp_path / "model.keras")
    part = data.part("test")
    np.testing.assert_array_equal(predict_part(again, part), predict_part(batmm.model, part))


def test_images_matter_to_batmm_but_not_to_a_transformer_of_spectra(
    data: Dataset, parts: dict[str, Any], batmm: Trained
) -> None:
    with uncompiled():
        alone = train("transformer-spectrum", data, preset="small", options=ONCE, **parts)
    part = data.part("test")
    other = Dataset(**{**vars(part), "image": part.image[::-1].copy()})
    np.testing.assert_array_equal(predict_part(alone.model, other), predict_part(alone.model, part))
    assert np.abs(predict_part(batmm.model, other) - predict_part(batmm.model, part)).max() > 1e-4


def test_fusion_learns_from_several_looks(
    data: Dataset, parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[np.ndarray] = []

    def watched(model: Any, batches: Any, label: np.ndarray, validation: Any, *rest: Any) -> dict[str, Any]:
        known.extend([*batches(np.arange(len(label)), None), label, validation[0][1]])
        return {"epochs": 0, "best_epoch": 0, "loss": [], "validation_loss": []}

    monkeypatch.setattr(training, "fit", watched)
    learn, judge = data.part("train"), data.part("validation")
    encoder = parts["spectrum"].get_layer("spectrum_encoder")
    vector = [predict_batches(encoder, part.spectrum)[1] for part in (learn, judge)]
    for looks in (training_options(copies=3, noise=0.1, flip=True), training_options(copies=3)):
        known.clear()
        train("add", data, preset="small", options=looks, **parts)
        shapes = [(180, 7, 32), (180, 32), (180, 16, 32), (180, 32), (180,)]
        assert [values.shape for values in known[:5]] == shapes
        np.testing.assert_array_equal(known[4], np.tile(learn.label, 3))
        first, second, third = known[1].reshape(3, 60, 32)
        np.testing.assert_allclose(known[5], vector[1], rtol=1e-4, atol=1e-5)  # judged as it is
        if looks.noise:
            assert np.abs(second - first).max() > 1e-2
            assert np.abs(third - second).max() > 1e-2
        else:
            for look in (first, second, third):
                np.testing.assert_allclose(look, vector[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["spectrum", "image", "batmm-end-to-end"])
def test_training_sees_other_looks_and_validation_does_not(
    name: str, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def watched(model: Any, batches: Any, label: np.ndarray, validation: Any, *rest: Any) -> dict[str, Any]:
        given.append((batches(np.arange(4), np.random.default_rng(0)), validation))
        return {"epochs": 0, "best_epoch": 0, "loss": [], "validation_loss": []}

    monkeypatch.setattr(training, "fit", watched)
    monkeypatch.setattr(training, "held_out_predictions", lambda *_: None)
    train(name, data, preset="small", options=training_options(noise=0.1, flip=True))
    (seen, (inputs, label)) = given[0]
    learn, judge = data.part("train"), data.part("validation")
    np.testing.assert_array_equal(label, judge.label)
    columns = {"spectrum": [0], "image": [1]}.get(name, [0, 1])
    inputs = [inputs] if isinstance(inputs, np.ndarray) else inputs
    for k, values, unchanged in zip(columns, seen, inputs, strict=True):
        own, kept = ((part.spectrum, part.image)[k] for part in (learn, judge))
        assert values.shape == own[:4].shape
        assert not np.array_equal(values, own[:4])
        np.testing.assert_array_equal(unchanged, kept)


def test_what_cannot_be_trained(data: Dataset, parts: dict[str, Any], tmp_path: Path) -> None:
    spectrum, image = ({name: model} for name, model in parts.items())
    for name, preset, known, message in (
        ("batm", "small", {}, r"model 'batm'.*there are spectrum, spectrum-plain"),
        ("batmm", "huge", {}, r"preset 'huge'.*paper, tiny"),
        ("batmm", "small", image, "needs a trained spectrum_encoder"),
        ("batmm", "small", spectrum, "needs a trained image_encoder"),
        ("batmm", "paper", parts, "spectrum_encoder has tokens of 32 dimensions, the preset 512"),
    ):
        with pytest.raises(TrainingError, match=message):
            train(name, data, preset=preset, options=ONCE, **known)
    with pytest.raises(InputError, match=r"none\.h5: no such file"):
        train("image", data, preset="small", pretrained=str(tmp_path / "none.h5"), options=ONCE)


@pytest.mark.slow
def test_two_steps_of_the_published_networks() -> None:
    every = synthetic(10, size=32)
    rows = [0, 1, 6, 7, 8, 9]  # two of each part
    data = Dataset(**{key: values[rows] for key, values in vars(every).items()})
    two = training_options(epochs=2, batch_size=2)
    with uncompiled():
        spectrum = train("spectrum", data, preset="paper", options=two)
        image = train("image", data, preset="paper", options=two)
        parts = {"spectrum": spectrum.model, "image": image.model}
        frozen = [w for model in parts.values() for w in model.get_weights()]
        fused = train("batmm", data, preset="paper", options=two, **parts)
        after = [w for model in parts.values() for w in model.get_weights()]
        for a, b in zip(after, frozen, strict=True):
            np.testing.assert_array_equal(a, b)
        whole = train("batmm-end-to-end", data, preset="paper", options=two)
    for one in (spectrum, image, fused, whole):
        assert one.record["epochs"] == 2
        assert np.isfinite(one.record["loss"] + one.record["validation_loss"]).all()
        p = np.array(one.predictions["p_bhb"])
        assert ((p >= 0) & (p <= 1)).all()
        assert p.shape == (4,)
    assert fused.record["n_parameters"] == whole.record["n_parameters"] > 7e7
    assert fused.record["n_trainable"] == fusion_head("batmm", PRESETS["paper"], 1).count_params()
    for part in (spectrum.model, image.model, fused.model.get_layer("fusion"), whole.model):
        weights = started_from_zero(part)
        moved = [w.any() for path, w in weights.items() if "vector" not in path or part is spectrum.model]
        assert len(moved) > 16
        assert all(moved)
