"""The network: its architecture, and what it computes with Keras and without."""

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures.backends import other_backend, run_python
from fixtures.emission_data import windows

from starsift.learning.backend import save_network
from starsift.searches.emission import network
from starsift.searches.emission.training import Trained

pytestmark = pytest.mark.xdist_group("emission network")


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
    first, again, other = (network.build(seed=seed).get_weights()[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


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
    x, _ = windows(16, 8, noise=0.5)
    save_network(trained.model, tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    arguments = (str(tmp_path / name) for name in ("model.keras", "x.npy"))
    done = run_python("-c", OTHER, *arguments, KERAS_BACKEND=other_backend(backend))
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), network.predict(trained.model, x), atol=1e-5)
