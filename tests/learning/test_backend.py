import importlib.util
from pathlib import Path

import numpy as np
import pytest
from fixtures.backends import other_backend, run_python
from fixtures.ccfs import SMALL, make_ccfs

from starsift.learning.backend import load_keras, namespace, predict_batches, set_seed
from starsift.searches.binaries.training import train_classifier


def test_importing_the_library_does_not_import_keras() -> None:
    program = "import sys, starsift.searches.binaries.voting; sys.exit('keras' in sys.modules)"
    assert run_python("-c", program).returncode == 0


def test_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert namespace("numpy") is np
    assert namespace("keras") is load_keras().ops
    monkeypatch.setenv("KERAS_BACKEND", load_keras().backend.backend())
    assert namespace() is load_keras().ops
    monkeypatch.delenv("KERAS_BACKEND")
    assert namespace() is np


def test_unknown_or_missing_backend_is_one_sentence() -> None:
    program = "from starsift.learning.backend import load_keras\nload_keras()"
    result = run_python("-c", program, KERAS_BACKEND="theano")
    assert "KERAS_BACKEND is 'theano': expected one of tensorflow, jax, torch" in result.stderr
    if importlib.util.find_spec("torch") is None:
        result = run_python("-c", program, KERAS_BACKEND="torch")
        assert "KERAS_BACKEND is 'torch' but torch is not installed" in result.stderr


def test_threads_follow_omp_num_threads() -> None:
    program = (
        "import os, sys, types\n"
        "config = types.SimpleNamespace(update=print)\n"
        "sys.modules.update(jax=types.SimpleNamespace(config=config), keras=types.SimpleNamespace())\n"
        "for name in ('TF_NUM_INTRAOP_THREADS', 'NPROC'): os.environ.pop(name, None)\n"
        "from starsift.learning.backend import load_keras\n"
        "load_keras()\n"
        "print(os.environ['TF_NUM_INTRAOP_THREADS'], os.environ['NPROC'])"
    )
    result = run_python("-c", program, OMP_NUM_THREADS="1", KERAS_BACKEND="jax")
    assert result.stdout.split()[-2:] == ["1", "1"]


def test_set_seed() -> None:
    keras = load_keras()
    draws = []
    for _ in range(2):
        set_seed(4)
        draws.append(keras.ops.convert_to_numpy(keras.random.normal((5,))))
    np.testing.assert_array_equal(draws[0], draws[1])


def test_predict_batches_keeps_order_and_shape() -> None:
    keras = load_keras()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    x = np.arange(33, dtype=np.float64).reshape(11, 3)
    for batch_size in (1, 4, 11, 100):
        np.testing.assert_array_equal(predict_batches(model, x, batch_size), (2 * x).astype(np.float32))
    assert predict_batches(model, x[:0]).shape == (0, 3)


def test_predict_batches_of_several_inputs_and_outputs() -> None:
    keras = load_keras()
    a, b = keras.Input((3,)), keras.Input((2, 3))
    total = keras.layers.Add()([keras.layers.RepeatVector(2)(a), b])
    model = keras.Model([a, b], [total, keras.layers.Rescaling(-1.0)(a)])
    x, y = np.arange(33.0).reshape(11, 3), np.arange(66.0).reshape(11, 2, 3)
    for batch_size in (1, 4, 11, 100):
        sums, negative = predict_batches(model, [x, y], batch_size)
        np.testing.assert_array_equal(sums, (x[:, None] + y).astype(np.float32))
        np.testing.assert_array_equal(negative, (-x).astype(np.float32))
    empty = predict_batches(model, [x[:0], y[:0]])
    assert [(one.shape, one.dtype) for one in empty] == [((0, 2, 3), np.float32), ((0, 3), np.float32)]

    # One output of several inputs, and one input in a list, are no lists.
    np.testing.assert_array_equal(predict_batches(keras.Model([a, b], total), [x, y], 4), sums)
    alone = keras.Model(a, keras.layers.Rescaling(-1.0)(a))
    np.testing.assert_array_equal(predict_batches(alone, [x], 4), negative)
    assert predict_batches(alone, [x[:0]]).shape == (0, 3)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_training_passes_its_tests_on(backend: str) -> None:
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "searches/binaries/test_training.py"]
    result = run_python(*arguments, KERAS_BACKEND=other_backend(backend))
    assert result.returncode == 0, result.stdout[-4000:]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_saved_classifier_gives_equal_probabilities_on(backend: str, tmp_path: Path) -> None:
    ccf, label = make_ccfs(60, seed=1, points=101)
    classifier = train_classifier(ccf, label, "C1", **SMALL)
    classifier.save(tmp_path / "C1.keras")
    np.save(tmp_path / "ccf.npy", ccf)
    program = (
        "import sys, numpy as np\nfrom starsift.searches.binaries.training import Classifier\n"
        "c = Classifier.load(sys.argv[1] + '/C1.keras')\n"
        "np.save(sys.argv[1] + '/p.npy', c.predict(np.load(sys.argv[1] + '/ccf.npy')))\n"
    )
    result = run_python("-c", program, str(tmp_path), KERAS_BACKEND=other_backend(backend))
    assert result.returncode == 0, result.stderr[-4000:]
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), classifier.predict(ccf), atol=1e-5)
