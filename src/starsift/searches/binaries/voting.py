"""The vote of the four classifiers (Li et al. 2023, section 3.3, Table 2).

A CCF with two components is SB2 only if C1, C2 and C3 all give L2 more than 95 %; one with three is SB3 only
if C1, C2 and C4 all give L3 more than 99 %. Other CCFs are not asked.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.searches.binaries.training import CALLS, Classifier, call_labels, class_probabilities

# Multiplicity, number of CCF components that it is asked of, label that must win, classifiers that must
# agree.
VOTES = (("SB2", 2, 2, ("C1", "C2", "C3")), ("SB3", 3, 3, ("C1", "C2", "C4")))
COLUMNS = {name: tuple(f"p_{name.lower()}_l{label}" for label in CALLS[name]) for name in CALLS}


def vote(
    probability: Mapping[str, np.ndarray], *, sb2_threshold: float = 0.95, sb3_threshold: float = 0.99
) -> np.ndarray:
    """Multiplicity "SB2", "SB3" or "" (n,) from the probabilities of C1 to C4.

    Parameters
    ----------
    probability : classifier -> (n, class) in the order of `CALLS`; NaN where it was not asked, which is no
        vote
    sb2_threshold, sb3_threshold : every classifier's probability of L2, L3 must be greater
    """
    multiplicity = np.full(len(probability["C1"]), "", dtype="<U3")
    for (kind, _, label, names), threshold in zip(VOTES, (sb2_threshold, sb3_threshold), strict=True):
        agreed = [probability[name][:, CALLS[name].index(label)] > threshold for name in names]
        multiplicity[np.logical_and.reduce(agreed)] = kind
    return multiplicity


def classify(
    ccf: np.ndarray,
    n_components: np.ndarray,
    classifiers: Mapping[str, Classifier],
    *,
    sb2_threshold: float = 0.95,
    sb3_threshold: float = 0.99,
) -> pa.Table:
    """Ask the classifiers of the candidates among many CCFs, and vote.

    Parameters
    ----------
    ccf : (n, velocity) float32; a row that is not finite is not asked
    n_components : (n,) int, components found in each CCF; C1, C2 and C3 are asked of those with two, C1, C2
        and C4 of those with three
    classifiers : the networks of `starsift.searches.binaries.training.CLASSIFIERS`
    sb2_threshold, sb3_threshold : see `vote`

    Returns
    -------
    Table (n rows): p_c1_l0 ... p_c4_l3 float32, null where a classifier was not asked; multiplicity string,
    null where the vote made it neither SB2 nor SB3.
    """
    n_components = np.asarray(n_components)
    probability = {
        name: np.full((len(ccf), len(labels)), np.nan, np.float32) for name, labels in CALLS.items()
    }
    candidate = np.isin(n_components, [components for _, components, _, _ in VOTES])
    candidate[candidate] = np.isfinite(ccf[candidate]).all(axis=1)
    for name in CALLS:
        counts = [components for _, components, _, names in VOTES if name in names]
        rows = np.flatnonzero(candidate & np.isin(n_components, counts))
        if len(rows):
            probability[name][rows] = class_probabilities(classifiers, name, ccf[rows])
    kind = vote(probability, sb2_threshold=sb2_threshold, sb3_threshold=sb3_threshold)
    columns = {
        column: pa.array(probability[name][:, i], pa.float32(), from_pandas=True)
        for name, names in COLUMNS.items()
        for i, column in enumerate(names)
    }
    columns["multiplicity"] = pa.array(kind, pa.string(), mask=kind == "")
    return pa.table(columns)


def funnel(table: pa.Table) -> pa.Table:
    """The paper's Table 2: what each classifier called the candidates, and how many were selected.

    Parameters
    ----------
    table : with the columns that `classify` returns, of any number of spectra

    Returns
    -------
    One row for SB2 and SB3 and each classifier asked: candidate_class string; n_candidates; classifier
    string; l0, l1, l2, l3 the calls (null where the classifier does not know the class); n_selected by the
    vote. Counts are int64.
    """
    rows = []
    for kind, _, _, names in VOTES:
        # The classifier that only this class is asked of tells the class.
        asked = table.filter(pc.is_valid(table[COLUMNS[names[-1]][0]]))
        selected = pc.sum(pc.equal(asked["multiplicity"], kind)).as_py() or 0
        for name in names:
            probability = np.column_stack([asked[column].to_numpy() for column in COLUMNS[name]])
            called = call_labels(probability, name)
            calls = {
                f"l{label}": int(np.sum(called == label)) if label in CALLS[name] else None
                for label in range(4)
            }
            rows.append(
                {
                    "candidate_class": kind,
                    "n_candidates": asked.num_rows,
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
