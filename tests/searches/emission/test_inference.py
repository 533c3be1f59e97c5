"""The network without Keras: the same numbers, and scatter by dropout."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fixtures.emission_data import windows

from starsift.errors import ResultsError
from starsift.learning.backend import load_keras, save_network
from starsift.searches.emission import network
from starsift.searches.emission.inference import NumpyNetwork
from starsift.searches.emission.training import Trained

pytestmark = pytest.mark.xdist_group("emission network")


@pytest.mark.parametrize("n", [1, 63, 300])
def test_the_numpy_network_is_the_same_network(trained: Trained, saved: Path, n: int) -> None:
    x, _ = windows(n, 7, noise=0.5)
    numpy_network = NumpyNetwork.load(saved)
    np.testing.assert_allclose(numpy_network.predict(x), network.predict(trained.model, x), atol=1e-5)
    # What the layer before the softmax puts out, and each convolution before it.
    features = trained.model.get_layer("fc2").output
    expected = load_keras().Model(trained.model.inputs, features).predict_on_batch(x)
    found = numpy_network.features(numpy_network.convolve(x))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


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
    passes, again = (numpy_network.predict_passes(numpy_network.convolve(x), 200, seed=0) for _ in range(2))
    np.testing.assert_array_equal(passes, again)
    assert passes.shape == (200, 20, 3)
    np.testing.assert_allclose(passes.sum(axis=2), 1, atol=1e-5)
    # Units that are kept count for those that are dropped: the mean stays near what the whole network says.
    assert np.corrcoef(passes.mean(axis=0).ravel(), network.predict(trained.model, x).ravel())[0, 1] > 0.9
    assert passes.std(axis=0).max() > 0.001
