"""The network: its architecture, and what it computes with Keras and without."""

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
from fixtures.emission_data import windows

from starsift.errors import ResultsError
from starsift.learning.backend import load_keras, save_network
from starsift.searches.emission import network
from starsift.searches.emission.active import STRATEGIES
from starsift.searches.emission.classes import PIXELS
from starsift.searches.emission.inference import NumpyNetwork
from starsift.searches.emission.predict import predict_bundle
from starsift.searches.emission.training import Trained, train


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(*windows(150, 0), seed=5, max_epochs=5)


def test_architecture_of_figure_4() -> None:
    model = network.build()
    assert model.count_params() == 2_481_731
    shapes = [
        tuple(layer.output.shape[1:]) for layer in model.layers if layer.name.startswith(("conv", "pool"))
    ]
    assert shapes == [
        (138, 64), (136, 64), (68, 64), (66, 128), (64, 128), (32, 128), (30, 256), (28, 256), (14, 256),
    ]  # fmt: skip
    assert model.output_shape == (None, 3)
    assert [layer.rate for layer in model.layers if layer.name.startswith("dropout")] == [0.5, 0.5]
    np.testing.assert_array_equal(
        network.build(seed=1).get_weights()[0], network.build(seed=1).get_weights()[0]
    )
    assert not np.array_equal(network.build(seed=1).get_weights()[0], network.build(seed=2).get_weights()[0])


def test_it_learns_and_keeps_the_best_weights(trained: Trained) -> None:
    assert trained.epochs == 5
    x, y = windows(200, 9)
    p = network.predict(trained.model, x)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    # Another processor trains another network, as another seed does: those of six seeds are right everywhere.
    assert (p.argmax(axis=1) == y).mean() > 0.9
    np.testing.assert_allclose(network.predict(trained.model, x, batch_size=7), p, atol=1e-5)


def test_bfloat16_gives_the_same_classes(trained: Trained) -> None:
    x, _ = windows(300, 4, noise=0.3)
    exact = network.predict(trained.model, x)
    coarse = network.predict(network.in_precision(trained.model, "bfloat16"), x)
    assert not np.array_equal(coarse, exact)
    sure = np.sort(exact, axis=1)[:, -1] > 0.6
    assert (coarse.argmax(axis=1) == exact.argmax(axis=1))[sure].all()
    with pytest.raises(ValueError, match="float32, bfloat16"):
        network.build(precision="float8")


@pytest.fixture(scope="module")
def saved(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "model.keras"
    save_network(trained.model, path)
    return path


@pytest.mark.parametrize("n", [1, 63, 300])
def test_the_numpy_network_is_the_same_network(trained: Trained, saved: Path, n: int) -> None:
    x, _ = windows(n, 7, noise=0.5)
    numpy_network = NumpyNetwork.load(saved)
    np.testing.assert_allclose(numpy_network.predict(x), network.predict(trained.model, x), atol=1e-5)
    # What the layer before the softmax puts out, and each convolution before it.
    features = trained.model.get_layer("fc2").output
    expected = load_keras().Model(trained.model.inputs, features).predict_on_batch(x)
    np.testing.assert_allclose(
        numpy_network.features(numpy_network.convolve(x)), expected, rtol=1e-4, atol=1e-4
    )


def test_the_numpy_network_needs_no_keras(saved: Path) -> None:
    command = (
        "import sys; from starsift.searches.emission.predict import predict_bundle; "
        f"from starsift.searches.emission.inference import NumpyNetwork; NumpyNetwork.load({str(saved)!r}); "
        "sys.exit('keras' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    subprocess.run([sys.executable, "-c", command], env=environment, check=True)


def test_other_files_are_no_networks(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"no")
    for name in ("model.keras", "none.keras"):
        with pytest.raises(ResultsError, match=f"{name}: not a network of the emission search"):
            NumpyNetwork.load(tmp_path / name)
    keras = load_keras()
    save_network(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), tmp_path / "other.keras")
    with pytest.raises(ResultsError, match="not a network of the emission search"):
        NumpyNetwork.load(tmp_path / "other.keras")


def test_dropout_passes_scatter_around_the_prediction(trained: Trained, saved: Path) -> None:
    x, _ = windows(20, 5, noise=0.5)
    numpy_network = NumpyNetwork.load(saved)
    passes = numpy_network.predict_passes(numpy_network.convolve(x), 200, seed=0)
    assert passes.shape == (200, 20, 3)
    np.testing.assert_allclose(passes.sum(axis=2), 1, atol=1e-5)
    # Units that are kept count for those that are dropped: the mean stays near what the whole network says.
    assert np.corrcoef(passes.mean(axis=0).ravel(), network.predict(trained.model, x).ravel())[0, 1] > 0.9
    assert passes.std(axis=0).max() > 0.001
    np.testing.assert_array_equal(
        passes, numpy_network.predict_passes(numpy_network.convolve(x), 200, seed=0)
    )


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
        predict_bundle(path, saved, strategy=strategy, seed=3, kind=kind) for kind in ("numpy", "keras")
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
from starsift.searches.emission import network
from starsift.learning.backend import load_network
x = np.load(sys.argv[2])
print(json.dumps(network.predict(load_network(sys.argv[1]), x, batch_size=16).tolist()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_give_equal_probabilities(trained: Trained, tmp_path: Path, backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"the Keras backend {backend} is not installed")
    x, _ = windows(16, 8, noise=0.5)
    save_network(trained.model, tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    command: list[Any] = [sys.executable, "-c", OTHER, tmp_path / "model.keras", tmp_path / "x.npy"]
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), network.predict(trained.model, x), atol=1e-5)
