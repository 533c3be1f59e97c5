"""Which CCFs are classified, and what comes of a bundle."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.binaries_files import write_stages
from fixtures.ccfs import SMALL, make_ccfs
from fixtures.settings import BINARIES

from starsift.errors import ResultsError, TrainingError
from starsift.searches.binaries.decision import FEATURES, Decision
from starsift.searches.binaries.fits import Fits, write_fits
from starsift.searches.binaries.peaks import read_components
from starsift.searches.binaries.predict import classify, predict_bundle
from starsift.searches.binaries.training import CLASSIFIERS, train_classifier
from starsift.searches.binaries.voting import COLUMNS, class_probabilities, funnel
from starsift.spectra.batches import IDENTITY_NAMES


class Echo:
    """Stands in for a network: the CCF's first values are the logarithms of its probabilities."""

    def __init__(self, name: str) -> None:
        self.groups = CLASSIFIERS[name]

    def predict(self, ccf: np.ndarray) -> np.ndarray:
        p = np.stack([np.exp(ccf[:, list(group)]).sum(axis=1) for group in self.groups], axis=1)
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


ECHOES = {name: Echo(name) for name in CLASSIFIERS}


def candidates() -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of L0-L3, sure L2, sure L3 and doubtful, each with 1, 2, 3 and 4 components."""
    p = np.array([[0.001, 0.001, 0.997, 0.001], [0.001, 0.001, 0.001, 0.997], [0.1, 0.1, 0.4, 0.4]])
    return np.log(np.repeat(p, 4, axis=0)).astype(np.float32), np.tile([1, 2, 3, 4], 3)


def test_classifiers_depend_on_the_number_of_components() -> None:
    ccf, n_components = candidates()
    table = classify(ccf, n_components, ECHOES, **BINARIES["vote"])
    assert table.column_names == [column for names in COLUMNS.values() for column in names] + ["vote"]
    assert table.schema.field("p_c1_l0").type == pa.float32()
    assert table["vote"].to_pylist() == [None, "SB2", *[None] * 4, "SB3", *[None] * 5]
    classified = {name: table[names[0]].is_valid().to_pylist()[:4] for name, names in COLUMNS.items()}
    assert classified == {
        "C1": [False, True, True, False],
        "C2": [False, True, True, False],
        "C3": [False, True, False, False],
        "C4": [False, False, True, False],
    }
    np.testing.assert_allclose(table["p_c2_l2"].to_pylist()[1], 0.997, atol=1e-5)


def test_order_of_spectra_does_not_matter() -> None:
    ccf, n_components = candidates()
    order = np.random.default_rng(1).permutation(len(ccf))
    table = classify(ccf, n_components, ECHOES, **BINARIES["vote"])
    assert classify(ccf[order], n_components[order], ECHOES, **BINARIES["vote"]).equals(table.take(order))


def test_ccf_that_is_not_finite_is_no_candidate() -> None:
    ccf, n_components = candidates()
    ccf[1, 3] = np.nan
    table = classify(ccf, n_components, ECHOES, **BINARIES["vote"])
    assert table["p_c1_l2"].to_pylist()[1] is None
    assert table["vote"].to_pylist()[1] is None


def test_no_candidates() -> None:
    for n in (0, 3):
        table = classify(np.zeros((n, 4), np.float32), np.ones(n, int), ECHOES, **BINARIES["vote"])
        assert table.num_rows == n
        assert table["vote"].null_count == n
        counts = funnel(table)
        assert counts["n_candidates"].to_pylist() == [0] * 6
        assert counts["n_selected"].to_pylist() == [0] * 6


def test_funnel_is_the_papers_table_2() -> None:
    ccf, n_components = candidates()
    rows = funnel(classify(ccf, n_components, ECHOES, **BINARIES["vote"])).to_pylist()
    assert [(r["candidate_class"], r["classifier"]) for r in rows] == [
        *(("SB2", name) for name in ("C1", "C2", "C3")),
        *(("SB3", name) for name in ("C1", "C2", "C4")),
    ]
    assert all(r["n_candidates"] == 3 and r["n_selected"] == 1 for r in rows)
    for row in rows:
        unknown = {"C3": "l3", "C4": "l2"}.get(row["classifier"])
        assert all((row[f"l{label}"] is None) == (f"l{label}" == unknown) for label in range(4))
        assert sum(row[f"l{label}"] or 0 for label in range(4)) == 3
    # C3, which does not know L3, calls the sure L2 and the doubtful CCF L2.
    assert rows[2]["l2"] >= 2


def test_c2_multiplies_its_two_steps() -> None:
    ccf = np.random.default_rng(0).normal(size=(50, 4))
    first, second = ECHOES["C2a"].predict(ccf), ECHOES["C2b"].predict(ccf)
    p = class_probabilities(ECHOES, "C2", ccf)
    np.testing.assert_allclose(p[:, 2], first[:, 2] * second[:, 0], rtol=1e-6)
    np.testing.assert_allclose(p[:, 3], first[:, 2] * second[:, 1], rtol=1e-6)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)


@pytest.fixture
def stages(bundle: Path, components: Path, tmp_path: Path) -> dict[str, Any]:
    """The files of a bundle of five spectra, with models of one, two and three stars of three of them."""
    ccf, label = make_ccfs(20, seed=1)
    models = [tmp_path / f"{name}.keras" for name in CLASSIFIERS]
    for path in models:
        train_classifier(ccf, label, path.stem, **SMALL | {"epochs": 1}).save(path)
    write_stages(components, tmp_path)
    cube = np.full((5, 3, 3), np.nan)
    rv, rv_err, light = cube.copy(), cube.copy(), cube.copy()
    for stars in (1, 2, 3):
        rv[:3, stars - 1, :stars] = 100.0 * np.arange(stars)
        rv_err[:3, stars - 1, :stars] = 3.0
        light[:3, stars - 1, :stars] = 1 / stars
    x = np.full((5, 2, len(FEATURES)), np.nan)
    x[:3] = np.array([[-9, -9], [9, -9], [9, 9]])[..., None]
    table, _ = read_components(components)
    write_fits(tmp_path / "fits.parquet", [(table, Fits(x, rv, rv_err, light, 0.1 * light))])
    # The gains of the second and of the third star alone count.
    number = 2 * len(FEATURES)
    powers = np.eye(number, dtype=int)[[0, len(FEATURES)]].tolist()
    gains = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0]]
    regression = ([0.0] * number, [1.0] * number, powers, gains, [0.0] * 3)
    systematic = {"systematic": [1.0, 4.0, 9.0, 9.0], "systematic_light": [0.0, 0.12, 0.3, 0.3]}
    Decision(*regression, thresholds=[0.5, 0.5], **systematic).save(tmp_path / "decision.json")
    files = {name: tmp_path / f"{name}.parquet" for name in ("errors", "fits")}
    return {"curves": bundle, "components": components, "models": models, **files} | {
        "decision": tmp_path / "decision.json",
        "sb2_threshold": 0.0,
        "sb3_threshold": 0.0,
    }


def test_the_vote_decides_and_has_the_ccfs_velocities(stages: dict[str, Any]) -> None:
    table = predict_bundle(**stages, method="vote")
    assert table.column_names[: len(IDENTITY_NAMES)] == list(IDENTITY_NAMES)
    assert table["spectrum_id"].to_pylist() == [f"s{i}" for i in range(5)]
    assert table["multiplicity"].to_pylist() == [None, "SB2", "SB3", None, None]
    assert table["vote"].equals(table["multiplicity"])
    components, _ = read_components(stages["components"])
    assert table["rv"].to_pylist() == components["rv"].to_pylist()
    assert [len(errors) for errors in table["rv_err"].to_pylist()] == [0, 2, 3, 0, 0]
    assert table["light"].null_count == 5
    # What the models say is there all the same.
    assert table["p_sb2"].to_pylist()[1] > 0.9


def test_the_models_decide_and_have_their_own_velocities(stages: dict[str, Any]) -> None:
    table = predict_bundle(**stages, method="model")
    assert table["vote"].to_pylist() == [None, "SB2", "SB3", None, None]
    assert table["multiplicity"].to_pylist() == [None, "SB2", "SB3", None, None]
    assert table["rv"].to_pylist() == [[0.0], [0.0, 100.0], [0.0, 100.0, 200.0], [], []]
    # With the systematic errors of the decision.
    np.testing.assert_allclose(np.concatenate(table["rv_err"].to_pylist()), [10**0.5, *[5.0] * 5])
    np.testing.assert_allclose(np.concatenate(table["light"].to_pylist()), [1, 0.5, 0.5, *[1 / 3] * 3])
    share_err = [0.1, *[0.13] * 2, *[np.hypot(0.1 / 3, 0.12)] * 3]
    np.testing.assert_allclose(np.concatenate(table["light_err"].to_pylist()), share_err, rtol=1e-6)
    p = np.array([table[name].to_numpy() for name in ("p_single", "p_sb2", "p_sb3")])
    np.testing.assert_allclose(p[:, :3].sum(axis=0), 1.0, rtol=1e-6)
    assert p[:, :3].argmax(axis=0).tolist() == [0, 1, 2]
    assert table["p_single"].null_count == 2


def test_stages_that_do_not_belong_together_are_named(stages: dict[str, Any]) -> None:
    fewer = [path for path in stages["models"] if path.stem != "C3"]
    with pytest.raises(TrainingError, match="models: C3 missing; run the training again"):
        predict_bundle(**stages | {"models": fewer}, method="vote")
    table = pq.read_table(stages["fits"])
    pq.write_table(table.slice(1), stages["fits"])
    with pytest.raises(ResultsError, match=r"fits\.parquet hold different spectra; delete both"):
        predict_bundle(**stages, method="model")
