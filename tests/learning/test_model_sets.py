"""Model sets: copied whole, checked by digest, halved without loss that matters."""

import json

import numpy as np
import pytest

from starsift.errors import ResultsError, SettingsError
from starsift.learning.backend import load_keras, load_network, save_network, set_seed
from starsift.learning.model_sets import (
    RECORD,
    copy_model_set,
    find_model_set,
    read_model_set,
    write_model_set,
)


@pytest.fixture
def made(tmp_path):
    """A set of two files, and their sources."""
    sources = {}
    for name in ("decision.json", "codes.npz"):
        sources[name] = tmp_path / f"source-{name}"
        sources[name].write_bytes(name.encode() * 10)
    folder = tmp_path / "set"
    write_model_set(folder, "binaries", sources, settings={"seed": 3}, scores={"recall": 0.9})
    return folder, sources


def test_a_set_has_the_files_and_says_what_made_them(made):
    folder, sources = made
    record = read_model_set(folder, "binaries", ["decision.json", "codes.npz"])
    assert {path.name for path in folder.iterdir()} == {*sources, RECORD}
    assert (record.settings, record.scores) == ({"seed": 3}, {"recall": 0.9})
    assert all((folder / name).read_bytes() == path.read_bytes() for name, path in sources.items())


def test_sets_with_equal_files_have_one_digest_whatever_their_record_says(made, tmp_path):
    folder, sources = made
    again = write_model_set(tmp_path / "again", "binaries", sources, settings={"seed": 4}, scores={})
    assert again.digest == read_model_set(folder, "binaries").digest
    sources["decision.json"].write_bytes(b"other")
    other = write_model_set(tmp_path / "other", "binaries", sources, settings={"seed": 3}, scores={})
    assert other.digest != again.digest


def test_a_copy_is_the_same_set(made, tmp_path):
    folder, _ = made
    copied = copy_model_set(folder, tmp_path / "copy" / "deep", "binaries")
    assert (
        read_model_set(tmp_path / "copy" / "deep", "binaries") == copied == read_model_set(folder, "binaries")
    )


def _change(folder):
    (folder / "codes.npz").write_bytes(b"changed")


def _remove(folder):
    (folder / "codes.npz").unlink()


def _damage(folder):
    (folder / RECORD).write_text("{")


def _another_version(folder):
    content = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**content, "new": 1}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_change, "codes.npz: not the file that model.json describes"),
        (_remove, "codes.npz: this file of the model set is missing"),
        (_damage, "model.json: not the record of a model set"),
        (_another_version, "model.json: not the record of a model set"),
    ],
)
def test_a_spoilt_set_is_refused(made, tmp_path, spoil, message):
    folder, _ = made
    spoil(folder)
    with pytest.raises(ResultsError, match=message):
        copy_model_set(folder, tmp_path / "copy", "binaries")
    assert not (tmp_path / "copy").exists()


def test_a_set_of_another_search_or_without_a_file_is_refused(made):
    folder, _ = made
    with pytest.raises(ResultsError, match="a model set of the search binaries, expected one of emission"):
        read_model_set(folder, "emission")
    with pytest.raises(ResultsError, match=r"network\.keras: this file of the model set is missing"):
        read_model_set(folder, "binaries", ["network.keras"])


def test_a_folder_without_a_set_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"bhb\.models is '.*nowhere': no file .*model\.json; give"):
        find_model_set(str(tmp_path / "nowhere"), "bhb")


def test_a_halved_network_gives_nearly_the_same(tmp_path):
    keras = load_keras()
    set_seed(1)
    layers = [
        keras.Input((50,)),
        keras.layers.Dense(300, activation="relu"),
        keras.layers.Dense(3, activation="softmax"),
    ]
    whole, source = keras.Sequential(layers), tmp_path / "source.keras"
    save_network(whole, source)
    for name in ("set", "again"):
        write_model_set(tmp_path / name, "binaries", {"a.keras": source}, settings={}, scores={}, halve=True)
    halved = load_network(tmp_path / "set" / "a.keras")
    assert (tmp_path / "set" / "a.keras").read_bytes() == (tmp_path / "again" / "a.keras").read_bytes()
    assert (tmp_path / "set" / "a.keras").stat().st_size < 0.6 * source.stat().st_size
    x = np.random.default_rng(1).normal(size=(100, 50)).astype(np.float32)
    np.testing.assert_allclose(halved.predict_on_batch(x), whole.predict_on_batch(x), atol=2e-3)
    assert halved.weights[0].dtype == "float32"
