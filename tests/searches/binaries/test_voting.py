import numpy as np
import pyarrow as pa

from starsift.searches.binaries.training import CALLS, CLASSIFIERS
from starsift.searches.binaries.voting import COLUMNS, classify, funnel, vote


class Echo:
    """Stands in for a network: the CCF's first values are the logarithms of its probabilities."""

    def __init__(self, name: str) -> None:
        self.groups = CLASSIFIERS[name]

    def predict(self, ccf: np.ndarray) -> np.ndarray:
        p = np.stack([np.exp(ccf[:, list(group)]).sum(axis=1) for group in self.groups], axis=1)
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


ECHOES = {name: Echo(name) for name in CLASSIFIERS}


def slow_vote(p: dict[str, np.ndarray], row: int) -> str:
    """The rule of section 3.3, spectrum by spectrum."""
    if p["C1"][row][2] > 0.95 and p["C2"][row][2] > 0.95 and p["C3"][row][2] > 0.95:
        return "SB2"
    if p["C1"][row][3] > 0.99 and p["C2"][row][3] > 0.99 and p["C4"][row][2] > 0.99:
        return "SB3"
    return ""


def test_vote_equals_the_rule_one_by_one() -> None:
    rng = np.random.default_rng(0)
    n = 2000
    winner = rng.integers(0, 4, n)
    p = {}
    for name, labels in CALLS.items():
        score = rng.exponential(0.02, (n, len(labels))) + 5 * (np.array(labels) == winner[:, None])
        p[name] = (score / score.sum(axis=1, keepdims=True)).astype(np.float32)
    multiplicity = vote(p)
    assert multiplicity.tolist() == [slow_vote(p, row) for row in range(n)]
    assert {"", "SB2", "SB3"} == set(multiplicity)


def test_vote_needs_all_three_and_more_than_the_threshold() -> None:
    sure = {"C1": [0, 0, 0.96, 0.04], "C2": [0, 0, 0.96, 0.04], "C3": [0, 0.04, 0.96], "C4": [np.nan] * 3}
    for name in (None, "C1", "C2", "C3"):
        p = {key: np.array([value], np.float32) for key, value in sure.items()}
        if name:
            p[name][0, 2] = np.float32(0.95)
        assert vote(p)[0] == ("" if name else "SB2")
    p = {key: np.array([value], np.float32) for key, value in sure.items()}
    assert vote(p, sb2_threshold=0.97)[0] == ""


def candidates() -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of L0-L3, sure L2, sure L3 and doubtful, each with 1, 2, 3 and 4 components."""
    p = np.array([[0.001, 0.001, 0.997, 0.001], [0.001, 0.001, 0.001, 0.997], [0.1, 0.1, 0.4, 0.4]])
    return np.log(np.repeat(p, 4, axis=0)).astype(np.float32), np.tile([1, 2, 3, 4], 3)


def test_classify_asks_by_the_number_of_components() -> None:
    ccf, n_components = candidates()
    table = classify(ccf, n_components, ECHOES)  # type: ignore[arg-type]
    assert table.column_names == [column for names in COLUMNS.values() for column in names] + ["multiplicity"]
    assert table.schema.field("p_c1_l0").type == pa.float32()
    assert (
        table["multiplicity"].to_pylist()
        == [None, "SB2", None, None] + [None, None, "SB3", None] + [None] * 4
    )
    asked = {name: table[names[0]].is_valid().to_pylist()[:4] for name, names in COLUMNS.items()}
    assert asked == {
        "C1": [False, True, True, False],
        "C2": [False, True, True, False],
        "C3": [False, True, False, False],
        "C4": [False, False, True, False],
    }
    np.testing.assert_allclose(table["p_c2_l2"].to_pylist()[1], 0.997, atol=1e-5)


def test_order_of_spectra_does_not_matter() -> None:
    ccf, n_components = candidates()
    order = np.random.default_rng(1).permutation(len(ccf))
    table = classify(ccf, n_components, ECHOES)  # type: ignore[arg-type]
    assert classify(ccf[order], n_components[order], ECHOES).equals(table.take(order))  # type: ignore[arg-type]


def test_ccf_that_is_not_finite_is_not_asked() -> None:
    ccf, n_components = candidates()
    ccf[1, 3] = np.nan
    table = classify(ccf, n_components, ECHOES)  # type: ignore[arg-type]
    assert table["p_c1_l2"].to_pylist()[1] is None
    assert table["multiplicity"].to_pylist()[1] is None


def test_no_candidates() -> None:
    for n in (0, 3):
        table = classify(np.zeros((n, 4), np.float32), np.ones(n, int), ECHOES)  # type: ignore[arg-type]
        assert table.num_rows == n
        assert table["multiplicity"].null_count == n
        counts = funnel(table)
        assert counts["n_candidates"].to_pylist() == [0] * 6
        assert counts["n_selected"].to_pylist() == [0] * 6


def test_funnel_is_the_papers_table_2() -> None:
    ccf, n_components = candidates()
    rows = funnel(classify(ccf, n_components, ECHOES)).to_pylist()  # type: ignore[arg-type]
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
