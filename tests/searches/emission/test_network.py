"""The network: its architecture, its training, and what it computes."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starsift.errors import ResultsError
from starsift.learning.backend import load_keras, load_network, save_network
from starsift.searches.emission import cnn
from starsift.searches.emission.active import STRATEGIES
from starsift.searches.emission.forward import Forward
from starsift.searches.emission.predict import predict_windows
from starsift.searches.emission.window import PIXELS


def windows(n: int, seed: int, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Emission with one peak, with two, and absorption; uneven classes."""
    rng = np.random.default_rng(seed)
    label = rng.choice(3, n, p=[0.4, 0.15, 0.45])
    x = np.arange(PIXELS)
    shift = rng.uniform(-5, 5, n)[:, None]

    def bump(centre: float) -> np.ndarray:
        return np.asarray(np.exp(-(((x - centre - shift) / 4) ** 2) / 2))

    flux = np.select([label[:, None] == 0, label[:, None] == 1], [bump(70), bump(62) + bump(78)], -bump(70))
    return (flux + rng.normal(0, noise, flux.shape)).astype(np.float32), label


@pytest.fixture(scope="module")
def trained() -> cnn.Trained:
    return cnn.train(*windows(150, 0), seed=5, max_epochs=5)


def test_architecture_of_figure_4() -> None:
    model = cnn.build()
    assert model.count_params() == 2_481_731
    shapes = [
        tuple(layer.output.shape[1:]) for layer in model.layers if layer.name.startswith(("conv", "pool"))
    ]
    assert shapes == [
        (138, 64), (136, 64), (68, 64), (66, 128), (64, 128), (32, 128), (30, 256), (28, 256), (14, 256),
    ]  # fmt: skip
    assert model.output_shape == (None, 3)
    assert [layer.rate for layer in model.layers if layer.name.startswith("dropout")] == [0.5, 0.5]
    np.testing.assert_array_equal(cnn.build(seed=1).get_weights()[0], cnn.build(seed=1).get_weights()[0])
    assert not np.array_equal(cnn.build(seed=1).get_weights()[0], cnn.build(seed=2).get_weights()[0])


def test_smote_balances_without_touching_the_given() -> None:
    x, y = windows(60, 1)
    more, labels = cnn.balance(x, y, seed=0)
    assert np.bincount(labels).tolist() == [np.bincount(y).max()] * 3
    np.testing.assert_array_equal(more[:60], x)
    # Synthetic examples lie between two of their class.
    for row, label in zip(more[60:63], labels[60:63], strict=True):
        own = x[y == label]
        assert (row >= own.min(axis=0) - 1e-5).all()
        assert (row <= own.max(axis=0) + 1e-5).all()


def test_too_few_examples_are_named() -> None:
    x, y = windows(60, 1)
    y = np.where(y == 1, 0, y)
    with pytest.raises(cnn.TrainingError, match="double peak 0"):
        cnn.train(x, y, seed=0)
    # Two are enough, with fewer neighbours.
    y[:2] = 1
    assert np.bincount(cnn.balance(x, y, seed=0)[1]).min() > 10


def test_it_learns_and_keeps_the_best_weights(trained: cnn.Trained) -> None:
    assert trained.epochs == 5
    x, y = windows(200, 9)
    p = cnn.predict(trained.model, x)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    # Another processor trains another network, as another seed does: those of six seeds are right everywhere.
    assert (p.argmax(axis=1) == y).mean() > 0.9
    np.testing.assert_allclose(cnn.predict(trained.model, x, batch_size=7), p, atol=1e-5)


def test_training_ends_without_improvement_and_goes_on_from_a_network(
    trained: cnn.Trained, tmp_path: Path
) -> None:
    path = tmp_path / "first.keras"
    save_network(trained.model, path)
    x, y = windows(150, 0)
    # Nothing after the first epoch improves by 10: two more are waited for, and its weights are kept.
    more = cnn.train(x, y, seed=5, min_delta=10.0, patience=2, start=path)
    once = cnn.train(x, y, seed=5, max_epochs=1, start=path)
    assert (more.epochs, once.epochs) == (3, 1)
    assert more.loss == once.loss < 0.8 * cnn.train(x, y, seed=5, max_epochs=1).loss
    for a, b in zip(more.model.get_weights(), once.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    x, y = windows(40, 3)
    for name in ("a", "b"):
        save_network(cnn.train(x, y, seed=7, max_epochs=1).model, tmp_path / f"{name}.keras")
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    again = load_network(tmp_path / "a.keras")
    np.testing.assert_array_equal(cnn.predict(again, x), cnn.predict(load_network(tmp_path / "b.keras"), x))


def test_bfloat16_gives_the_same_classes(trained: cnn.Trained) -> None:
    x, _ = windows(300, 4, noise=0.3)
    exact = cnn.predict(trained.model, x)
    coarse = cnn.predict(cnn.in_precision(trained.model, "bfloat16"), x)
    assert not np.array_equal(coarse, exact)
    sure = np.sort(exact, axis=1)[:, -1] > 0.6
    assert (coarse.argmax(axis=1) == exact.argmax(axis=1))[sure].all()
    with pytest.raises(ValueError, match="float32, bfloat16"):
        cnn.build(precision="float8")


@pytest.fixture(scope="module")
def saved(trained: cnn.Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "model.keras"
    save_network(trained.model, path)
    return path


@pytest.mark.parametrize("n", [1, 63, 300])
def test_the_quick_network_is_the_same_network(trained: cnn.Trained, saved: Path, n: int) -> None:
    x, _ = windows(n, 7, noise=0.5)
    quick = Forward.load(saved)
    np.testing.assert_allclose(quick.predict(x), cnn.predict(trained.model, x), atol=1e-5)
    # What the layer before the softmax puts out, and each convolution before it.
    features = trained.model.get_layer("fc2").output
    expected = load_keras().Model(trained.model.inputs, features).predict_on_batch(x)
    np.testing.assert_allclose(quick.connected(quick.flat(x)), expected, rtol=1e-4, atol=1e-4)


def test_the_quick_network_needs_no_keras(saved: Path) -> None:
    command = (
        "import sys; from starsift.searches.emission.predict import predict_windows; "
        f"from starsift.searches.emission.forward import Forward; Forward.load({str(saved)!r}); "
        "sys.exit('keras' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    subprocess.run([sys.executable, "-c", command], env=environment, check=True)


def test_other_files_are_no_networks(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"no")
    for name in ("model.keras", "none.keras"):
        with pytest.raises(ResultsError, match=f"{name}: not a network of the emission path"):
            Forward.load(tmp_path / name)
    keras = load_keras()
    save_network(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), tmp_path / "other.keras")
    with pytest.raises(ResultsError, match="not a network of the emission path"):
        Forward.load(tmp_path / "other.keras")


def test_dropout_passes_scatter_around_the_prediction(trained: cnn.Trained, saved: Path) -> None:
    x, _ = windows(20, 5, noise=0.5)
    quick = Forward.load(saved)
    passes = quick.dropout(quick.flat(x), 200, seed=0)
    assert passes.shape == (200, 20, 3)
    np.testing.assert_allclose(passes.sum(axis=2), 1, atol=1e-5)
    # Units that are kept count for those that are dropped: the mean stays near what the whole network says.
    assert np.corrcoef(passes.mean(axis=0).ravel(), cnn.predict(trained.model, x).ravel())[0, 1] > 0.9
    assert passes.std(axis=0).max() > 0.001
    np.testing.assert_array_equal(passes, quick.dropout(quick.flat(x), 200, seed=0))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_bundle_is_predicted_by_numpy_as_by_keras(saved: Path, tmp_path: Path, strategy: str) -> None:
    x, _ = windows(40, 6, noise=0.5)
    usable = np.arange(40) % 5 > 0
    values = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), PIXELS, mask=pa.array(~usable))
    table = pa.table(
        {
            "spectrum_id": [f"s{i}" for i in range(40)],
            "row": np.arange(40),
            "status": np.where(usable, "ok", "no_window"),
            "window": values,
        }
    )
    path = tmp_path / "night.parquet"
    pq.write_table(table, path)
    ours, theirs = (
        predict_windows(path, saved, strategy=strategy, seed=3, kind=kind) for kind in ("numpy", "keras")
    )
    assert ours["spectrum_id"].to_pylist() == [f"s{i}" for i in np.flatnonzero(usable)]
    assert ours["row"].to_pylist() == np.flatnonzero(usable).tolist()
    assert set(ours["bundle"].to_pylist()) == {"night"}
    for name in ("p_single", "p_double", "p_uninteresting", "score"):
        np.testing.assert_allclose(ours[name].to_numpy(), theirs[name].to_numpy(), atol=1e-4)
    assert ("features" in ours.column_names) == STRATEGIES[strategy].diverse


OTHER = """
import json, sys
import numpy as np
from starsift.searches.emission import cnn
from starsift.learning.backend import load_network
x = np.load(sys.argv[2])
print(json.dumps(cnn.predict(load_network(sys.argv[1]), x, batch_size=16).tolist()))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_give_equal_probabilities(trained: cnn.Trained, tmp_path: Path, backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"the Keras backend {backend} is not installed")
    x, _ = windows(16, 8, noise=0.5)
    save_network(trained.model, tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    command: list[Any] = [sys.executable, "-c", OTHER, tmp_path / "model.keras", tmp_path / "x.npy"]
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), cnn.predict(trained.model, x), atol=1e-5)
