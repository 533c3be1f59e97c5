"""Agreement between people: their labels, and Cohen's kappa of each pair."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from starsift.review.progress import Vote


def measure_agreement(votes: Mapping[str, Sequence[Vote]]) -> dict[str, Any]:
    """How often people gave each label, and how far each two of them agree.

    Parameters
    ----------
    votes : what people said of each spectrum

    Returns
    -------
    dict : ``counts``, of each label the number of spectra by person; ``pairs``, for each two people who
        labelled the same spectra: ``people``, ``both`` (number of these spectra), ``differ`` (those with
        different labels) and ``kappa`` (Cohen 1960), None where chance alone would always agree.
    """
    counts: dict[str, Counter[str]] = {}
    pairs: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
    for said in votes.values():
        labels = sorted((who, label) for who, label, _ in said if label is not None)
        for who, label in labels:
            counts.setdefault(label, Counter())[who] += 1
        for (first, one), (second, other) in combinations(labels, 2):
            pairs.setdefault((first, second), Counter())[one, other] += 1
    return {
        "counts": {label: dict(sorted(people.items())) for label, people in sorted(counts.items())},
        "pairs": [
            {
                "people": list(people),
                "both": table.total(),
                "differ": sum(n for (one, other), n in table.items() if one != other),
                "kappa": cohen_kappa(table),
            }
            for people, table in sorted(pairs.items())
        ],
    }


def cohen_kappa(table: Mapping[tuple[str, str], int]) -> float | None:
    """Cohen's kappa of two people from the number of spectra with each pair of labels.

    Agreement beyond that of chance, as a share of what is possible: 1 is perfect, 0 is chance. None where
    there are no spectra, or both people always gave the same one label.
    """
    n = sum(table.values())
    first, second = Counter[str](), Counter[str]()
    for (one, other), count in table.items():
        first[one] += count
        second[other] += count
    chance = sum(first[label] * second[label] for label in first)  # times n squared, without rounding
    if chance == n * n:
        return None
    agreed = sum(count for (one, other), count in table.items() if one == other)
    return (agreed * n - chance) / (n * n - chance)
