"""The vote of the classifiers."""

import numpy as np
from fixtures.settings import BINARIES

from starsift.searches.binaries.voting import CALLS, call_labels, vote


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
    multiplicity = vote(p, **BINARIES["vote"])
    assert multiplicity.tolist() == [slow_vote(p, row) for row in range(n)]
    assert {"", "SB2", "SB3"} == set(multiplicity)


def test_vote_needs_all_three_and_more_than_the_threshold() -> None:
    sure = {"C1": [0, 0, 0.96, 0.04], "C2": [0, 0, 0.96, 0.04], "C3": [0, 0.04, 0.96], "C4": [np.nan] * 3}
    for name in (None, "C1", "C2", "C3"):
        p = {key: np.array([value], np.float32) for key, value in sure.items()}
        if name:
            p[name][0, 2] = np.float32(0.95)
        assert vote(p, **BINARIES["vote"])[0] == ("" if name else "SB2")
    p = {key: np.array([value], np.float32) for key, value in sure.items()}
    assert vote(p, **BINARIES["vote"] | {"sb2_threshold": 0.97})[0] == ""


def test_c2_calls_in_two_steps() -> None:
    # LN (0.54) beats L0 (0.46), though neither L2 nor L3 does alone.
    p = np.array([[0.46, 0.0, 0.28, 0.26], [0.6, 0.0, 0.2, 0.2], [0.1, 0.2, 0.3, 0.4]])
    assert call_labels(p, "C2").tolist() == [2, 0, 3]
    assert call_labels(p, "C1").tolist() == [0, 0, 3]
    assert call_labels(p[:, :3], "C4").tolist() == [0, 0, 3]
