import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fixtures.backends import run_python
from fixtures.ccfs import SMALL, make_ccfs
from fixtures.settings import BINARIES

from starsift.errors import TrainingError
from starsift.learning.backend import load_keras
from starsift.searches.binaries.training import CLASSIFIERS, Classifier, augment, centre, train_classifier


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def coarse() -> tuple[np.ndarray, np.ndarray]:
    return make_ccfs(60, seed=1, points=101)


@pytest.fixture(scope="module")
def classifiers(coarse: tuple[np.ndarray, np.ndarray]) -> dict[str, Classifier]:
    return {name: train_classifier(*coarse, name, seed=3, **SMALL) for name in CLASSIFIERS}


def test_separable_ccfs_are_told_apart() -> None:
    classifier = train_classifier(*make_ccfs(600, seed=1), "C1", **BINARIES["network"] | {"epochs": 12})
    ccf, label = make_ccfs(250, seed=2)
    assert np.mean(classifier.predict(ccf).argmax(axis=1) == label) >= 0.99


def test_architecture_is_the_papers(classifiers: dict[str, Classifier]) -> None:
    for name, groups in CLASSIFIERS.items():
        dense = [layer for layer in classifiers[name].model.layers if hasattr(layer, "units")]
        assert [layer.units for layer in dense] == [600, 300, len(groups)]
        assert [layer.activation.__name__ for layer in dense] == ["relu", "relu", "linear"]
        assert classifiers[name].model.layers[-1].name == "softmax"


def test_probabilities_sum_to_one_and_batches_do_not_matter(
    classifiers: dict[str, Classifier], coarse: tuple[np.ndarray, np.ndarray]
) -> None:
    whole = classifiers["C1"].predict(coarse[0])
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(classifiers["C1"].predict(coarse[0], batch_size=17), whole, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(whole))
    np.testing.assert_allclose(classifiers["C1"].predict(coarse[0][order]), whole[order], atol=1e-5)
    assert classifiers["C1"].predict(coarse[0][:0]).shape == (0, 4)


def test_network_equals_plain_numpy(classifiers: dict[str, Classifier], coarse: tuple) -> None:
    x = centre(coarse[0]).astype(np.float64) * 10
    weights = [np.asarray(w, np.float64) for w in classifiers["C3"].model.get_weights()]
    for i, (w, b) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        x = x @ w + b
        x = np.maximum(x, 0) if i < 2 else np.exp(x - x.max(axis=1, keepdims=True))
    expected = x / x.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifiers["C3"].predict(coarse[0]), expected, atol=1e-5)


def test_absolute_scale_is_seen(classifiers: dict[str, Classifier], coarse: tuple) -> None:
    p = classifiers["C1"].predict(coarse[0])
    assert np.abs(p - classifiers["C1"].predict(0.1 * coarse[0])).max() > 0.1


def test_same_seed_same_network_whatever_came_before(coarse: tuple) -> None:
    first = train_classifier(*coarse, "C3", seed=5, **SMALL).predict(coarse[0])
    np.random.default_rng().random(3)
    train_classifier(*coarse, "C2b", seed=9, **SMALL)
    second = train_classifier(*coarse, "C3", seed=5, **SMALL).predict(coarse[0])
    assert digest(first) == digest(second)
    assert digest(first) != digest(train_classifier(*coarse, "C3", seed=6, **SMALL).predict(coarse[0]))


@pytest.mark.slow
def test_same_seed_same_network_in_another_process(coarse: tuple, tmp_path: Path) -> None:
    program = (
        "import hashlib\n"
        "from fixtures.ccfs import SMALL, make_ccfs\n"
        "from starsift.searches.binaries.training import train_classifier\n"
        "c = train_classifier(*make_ccfs(60, seed=1, points=101), 'C4', seed=5, **SMALL)\n"
        f"c.save({str(tmp_path / 'other.keras')!r})\n"
        "p = c.predict(make_ccfs(60, seed=1, points=101)[0])\n"
        "print(hashlib.sha256(p.tobytes()).hexdigest())\n"
    )
    other = run_python("-c", program)
    assert other.returncode == 0, other.stderr
    here = train_classifier(*coarse, "C4", seed=5, **SMALL)
    here.save(tmp_path / "here.keras")
    assert other.stdout.split()[-1] == digest(here.predict(coarse[0]))
    assert (tmp_path / "other.keras").read_bytes() == (tmp_path / "here.keras").read_bytes()


def test_centring_moves_the_highest_point_to_the_middle_and_undoes_shifts() -> None:
    v = np.arange(-500.0, 501.0)
    at = np.array([[-150], [0], [90]])
    pair = np.exp(-(((v - at) / 30) ** 2)) + 0.7 * np.exp(-(((v - at - 120) / 30) ** 2))
    moved = centre(pair.astype(np.float32))
    assert moved.argmax(axis=1).tolist() == [500] * 3
    np.testing.assert_allclose(moved[[0, 2]], moved[[1, 1]], atol=1e-5)
    edge = np.zeros((1, 11), np.float32)
    edge[0, [0, 2]] = 1.0, 0.5
    assert centre(edge)[0].tolist() == [0, 0, 0, 0.5, 0, 1, 0, 0.5, 0, 0, 0]  # reflected at the end


def test_augment_shifts_and_mirrors() -> None:
    ccf = np.tile(np.arange(20, dtype=np.float32), (400, 1))
    shifted = augment(ccf, np.random.default_rng(0), 3, False)
    assert set(shifted[:, 10].astype(int)) == set(range(7, 14))
    assert np.array_equal(np.diff(shifted[:, 3:-3], axis=1), np.ones((400, 13)))
    assert 0 <= shifted.min() < shifted.max() <= 19
    mirrored = augment(ccf, np.random.default_rng(0), 0, True)
    backwards = mirrored[:, 0] == 19
    assert 120 < backwards.sum() < 280
    assert np.array_equal(mirrored[backwards][0], ccf[0][::-1])
    assert np.array_equal(augment(ccf, np.random.default_rng(0), 0, False), ccf)


def test_a_saved_network_reads_back_equal(
    classifiers: dict[str, Classifier], coarse: tuple, tmp_path: Path
) -> None:
    path = tmp_path / "C1.keras"
    classifiers["C1"].save(path)
    with zipfile.ZipFile(path) as archive:
        assert b"date" not in archive.read("metadata.json")
    assert digest(Classifier.load(path).predict(coarse[0])) == digest(classifiers["C1"].predict(coarse[0]))


def test_wrong_file_is_one_clear_sentence(classifiers: dict[str, Classifier], tmp_path: Path) -> None:
    path = tmp_path / "C1.keras"
    with pytest.raises(TrainingError, match=r"C1\.keras: no such file.*run the training again"):
        Classifier.load(path)
    path.write_text("not a model")
    with pytest.raises(TrainingError, match=r"C1\.keras: not a Keras model"):
        Classifier.load(path)
    classifiers["C1"].save(path)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(TrainingError, match=r"C1\.keras: not a Keras model, or a damaged one"):
        Classifier.load(path)
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="damaged"):
        Classifier.load(path)
    keras = load_keras()
    keras.Sequential([keras.Input((101,)), keras.layers.Dense(2)], name="other").save(path)
    with pytest.raises(TrainingError, match="a Keras model named 'other'"):
        Classifier.load(path)
    with pytest.raises(TrainingError, match=r"ends in \.keras"):
        classifiers["C1"].save(tmp_path / "C1.h5")


def test_bad_training_data_is_refused(classifiers: dict[str, Classifier], coarse: tuple) -> None:
    ccf, label = coarse
    broken, wrong = ccf.copy(), label.copy()
    broken[11, 5], wrong[7] = np.nan, 4
    for x, y, name, changes, message in (
        (ccf, label, "C9", {}, "unknown classifier 'C9': expected one of C1"),
        (ccf[:120], label[:120], "C2a", {}, "no training example of L2 or L3, which C2a needs"),
        (ccf, wrong, "C1", {}, "label of training CCF 7 is 4"),
        (broken, label, "C1", {}, "training CCF 11 is not finite"),
        (ccf, label[1:], "C1", {}, "as many labels"),
        (ccf, label, "C1", {"max_shift": 101}, "max_shift is 101: expected less than the 101"),
    ):
        with pytest.raises(TrainingError, match=message):
            train_classifier(x, y, name, **BINARIES["network"] | changes)
    with pytest.raises(TrainingError, match=r"C1 expects CCFs of 101 velocities.*\(3, 50\)"):
        classifiers["C1"].predict(ccf[:3, :50])
