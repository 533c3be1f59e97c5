"""The vote of the four classifiers (Li et al. 2023, section 3.3, Table 2).

A CCF with two components is SB2 only if C1, C2 and C3 all give L2 more than 95 %; one with three is SB3 only
if C1, C2 and C4 all give L3 more than 99 %. Other CCFs are no candidates.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.searches.binaries.training import Classifier

# The labels that each of the paper's four classifiers calls, in the order of its probabilities.
CALLS: dict[str, tuple[int, ...]] = {"C1": (0, 1, 2, 3), "C2": (0, 1, 2, 3), "C3": (0, 1, 2), "C4": (0, 1, 3)}
# Multiplicity, number of CCF components of its candidates, label that must win, classifiers that must agree.
VOTES = (("SB2", 2, 2, ("C1", "C2", "C3")), ("SB3", 3, 3, ("C1", "C2", "C4")))
COLUMNS = {name: tuple(f"p_{name.lower()}_l{label}" for label in CALLS[name]) for name in CALLS}


def call_labels(probability: np.ndarray, name: str) -> np.ndarray:
    """The label (n,) that classifier `name` calls, from its probabilities (n, class), of the order
    `CALLS[name]`.

    The most probable; for C2 in its two steps: LN if L2 and L3 together are more probable than L0 and than
    L1, then the more probable of the two.
    """
    labels = np.asarray(CALLS[name])
    if name != "C2":
        return labels[np.argmax(probability, axis=1)]
    first = np.column_stack([probability[:, :2], probability[:, 2] + probability[:, 3]]).argmax(axis=1)
    return np.where(first < 2, first, 2 + np.argmax(probability[:, 2:], axis=1))


def class_probabilities(classifiers: Mapping[str, Classifier], name: str, ccf: np.ndarray) -> np.ndarray:
    """Probabilities (n, class) float32 of the labels `CALLS[name]`, for one of the paper's C1 to C4.

    C2's probability of L2 (L3) is that of LN times that of L2 (L3) among the two.
    """
    if name != "C2":
        return classifiers[name].predict(ccf)
    first, second = classifiers["C2a"].predict(ccf), classifiers["C2b"].predict(ccf)
    return np.concatenate([first[:, :2], first[:, 2:] * second], axis=1)


def vote(probability: Mapping[str, np.ndarray], *, sb2_threshold: float, sb3_threshold: float) -> np.ndarray:
    """Multiplicity "SB2", "SB3" or "" (n,) from the probabilities of C1 to C4.

    Parameters
    ----------
    probability : classifier -> (n, class) in the order of `CALLS`; NaN for spectra that it does not
        classify, which is no vote
    sb2_threshold, sb3_threshold : every classifier's probability of L2, L3 must be greater
    """
    multiplicity = np.full(len(probability["C1"]), "", dtype="<U3")
    for (kind, _, label, names), threshold in zip(VOTES, (sb2_threshold, sb3_threshold), strict=True):
        agreed = [probability[name][:, CALLS[name].index(label)] > threshold for name in names]
        multiplicity[np.logical_and.reduce(agreed)] = kind
    return multiplicity


def funnel(table: pa.Table) -> pa.Table:
    """Calls of each classifier on the candidates, and the number selected: the paper's Table 2.

    Parameters
    ----------
    table : with the columns of `starsift.searches.binaries.predict.classify`

    Returns one row for SB2 and SB3 and each classifier that votes on it: candidate_class string;
    n_candidates; classifier string; l0, l1, l2, l3 the calls (null where the classifier does not know the
    class); n_selected by the vote. Counts are int64.
    """
    rows = []
    for kind, _, _, names in VOTES:
        # Of the last classifier, only the candidates of this class have probabilities.
        candidates = table.filter(pc.is_valid(table[COLUMNS[names[-1]][0]]))
        selected = pc.sum(pc.equal(candidates["vote"], kind)).as_py() or 0
        for name in names:
            probability = np.column_stack([candidates[column].to_numpy() for column in COLUMNS[name]])
            called = call_labels(probability, name)
            calls = {
                f"l{label}": int(np.sum(called == label)) if label in CALLS[name] else None
                for label in range(4)
            }
            rows.append(
                {
                    "candidate_class": kind,
                    "n_candidates": candidates.num_rows,
                    "classifier": name,
                    **calls,
                    "n_selected": selected,
                }
            )
    text, count = pa.string(), pa.int64()
    schema = pa.schema(
        [("candidate_class", text), ("n_candidates", count), ("classifier", text)]
        + [(f"l{label}", count) for label in range(4)]
        + [("n_selected", count)]
    )
    return pa.Table.from_pylist(rows, schema)
