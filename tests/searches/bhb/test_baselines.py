"""Classifiers of spectra that are no networks."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fixtures.bhb_data import synthetic
from sklearn.metrics import roc_auc_score

from starsift.errors import TrainingError
from starsift.searches.bhb import baselines
from starsift.searches.bhb.baselines import BASELINES, train_baseline
from starsift.searches.bhb.dataset import Dataset
from starsift.searches.bhb.inputs import CLASSES


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic(150)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "ROUNDS", 10)
    monkeypatch.setattr(baselines, "LEAVES", (7,))


@pytest.mark.parametrize("name", BASELINES)
def test_it_learns(name: str, data: Dataset) -> None:
    record, table = train_baseline(name, data, seed=3)
    record = json.loads(json.dumps(record))
    assert (record["model"], record["seed"], record["epochs"]) == (name, 3, None)
    assert len(record["validation_loss"]) == 1
    assert record["settings"]
    for part in ("validation", "test"):
        own = table.filter(np.array(table["split"]) == part)
        expected = data.part(part)
        assert own["spectrum_id"].to_pylist() == expected.spectrum_id.tolist()
        assert own["star"].to_pylist() == expected.star.tolist()
        assert own["class"].to_pylist() == [CLASSES[k] for k in expected.label]
        p = np.array(own["p_bhb"])
        assert p.dtype == np.float32
        assert ((p >= 0) & (p <= 1)).all()
        assert roc_auc_score(expected.label, p) > 0.9
        if part == "validation":
            loss = -np.log(np.where(expected.label == 1, p, 1 - p)).mean()
            assert loss == pytest.approx(record["validation_loss"][0], rel=1e-4)


@pytest.mark.parametrize(
    ("name", "constant", "settings"), [("svm", "PENALTIES", (0.01, 10.0)), ("trees", "LEAVES", (2, 7))]
)
def test_the_setting_of_the_lowest_loss_is_chosen(
    name: str, constant: str, settings: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some labels are wrong, so that it matters how closely they are followed.
    data = synthetic(250, size=4)
    wrong = np.random.default_rng(0).random(250) < 0.2
    data = Dataset(**{**vars(data), "label": np.where(wrong, 1 - data.label, data.label)})

    def run(*values: float) -> tuple[dict[str, Any], pa.Table]:
        monkeypatch.setattr(baselines, constant, values)
        return train_baseline(name, data, seed=3)

    alone = sorted((run(one) for one in settings), key=lambda found: found[0]["validation_loss"])
    assert alone[0][0]["validation_loss"] < alone[1][0]["validation_loss"]
    assert alone[0][0]["settings"] != alone[1][0]["settings"]
    for order in (settings, settings[::-1]):
        assert run(*order) == alone[0]


@pytest.mark.parametrize("name", BASELINES)
def test_the_same_seed_gives_the_same_and_images_do_not_matter(name: str, data: Dataset) -> None:
    record, table = train_baseline(name, data, seed=3)
    blind = Dataset(**{**vars(data), "image": np.zeros_like(data.image)})
    again, same = train_baseline(name, blind, seed=3)
    assert again == record
    assert same == table


@pytest.mark.parametrize("name", BASELINES)
def test_the_test_part_is_not_learned_from(name: str, data: Dataset) -> None:
    record, table = train_baseline(name, data, seed=3)
    other = data.label.copy()
    other[data.split == "test"] = 1 - other[data.split == "test"]
    again, same = train_baseline(name, Dataset(**{**vars(data), "label": other}), seed=3)
    assert again == record
    assert same["p_bhb"] == table["p_bhb"]


def test_unknown_baseline(data: Dataset) -> None:
    with pytest.raises(TrainingError, match="model 'forest' is not one of svm, trees"):
        train_baseline("forest", data, seed=0)
