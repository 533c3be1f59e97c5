"""The tables of the emission report, as HTML pages. Table numbers are from Skoda et al. 2020."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from starsift.learning.calibration import wilson
from starsift.report.pages import Row, link_spectra, page, rounded
from starsift.searches.emission.classes import CLASSES, EMISSION_CLASSES, TARGETS
from starsift.searches.emission.columns import PREDICTED


class ConfusionRow(NamedTuple):
    """Spectra of one predicted class: by actual class in the order of `CLASSES`, and without a label."""

    predicted: str
    actual: tuple[int, ...]
    unseen: int

    @property
    def seen(self) -> int:
        """Spectra with a label."""
        return sum(self.actual)


class Run(NamedTuple):
    """A run without active learning: number of spectra predicted of each class, and the labelled sample."""

    predicted: Mapping[str, int]
    sample: pa.Table


def partial_confusion(candidates: pa.Table) -> list[ConfusionRow]:
    """Predicted and actual class of the candidates, without those that the oracle found (Table 1).

    Reads `origin`, `predicted`, `vetted`, `profile`.
    """
    rows = candidates.filter(pc.equal(candidates["origin"], PREDICTED))
    actual = pc.if_else(rows["vetted"], rows["profile"], pa.scalar(None, pa.string()))
    return _confusion(rows["predicted"], actual)


def _confusion(predicted: pa.ChunkedArray, actual: pa.ChunkedArray) -> list[ConfusionRow]:
    """A row for each emission class; `actual` is null where there is no label."""
    rows = []
    for name in EMISSION_CLASSES:
        found = actual.filter(pc.equal(predicted, name)).to_pylist()
        rows.append(ConfusionRow(name, tuple(found.count(kind) for kind in CLASSES), found.count(None)))
    return rows


def confusion_page(candidates: pa.Table) -> str:
    """Partial confusion matrix of the candidates (Table 1)."""
    found = partial_confusion(candidates)
    rows: list[Row] = [("predicted", *CLASSES, "looked at", "not looked at")]
    for row in found:
        cells = [f"{_percent(number, row.seen)} ({number:,})" if row.seen else "" for number in row.actual]
        rows.append((row.predicted, *cells, row.seen, row.unseen))
    seen, unseen = (sum(getattr(row, name) for row in found) for name in ("seen", "unseen"))
    caption = f"Actual class of predicted candidates: people have looked at {seen:,} of {seen + unseen:,}"
    return page("Partial confusion matrix", [(caption, rows)])


def rounds_page(rounds: Sequence[Mapping[str, Any]], threshold: float) -> str:
    """Training, predictions and estimated precision of each round, from `round.json`.

    Active learning ends when the precision exceeds the threshold.
    """
    header = ("round", "training set", "labelled so far", "epochs", "loss")
    predicted = [f"predicted {name}" for name in EMISSION_CLASSES]
    rows: list[Row] = [(*header, *predicted, "sample", "emission", "precision", "95 %", "passed so far")]
    for one in sorted(rounds, key=lambda one: one["round"]):
        low, high = wilson(one["true_positives"], one["n_precision"])
        known = one["precision"] is not None
        rows.append(
            (
                one["round"],
                one["n_training"],
                one["n_labelled"],
                one["epochs"],
                f"{one['loss']:.4f}",
                *(one["predicted"][name] for name in EMISSION_CLASSES),
                one["n_precision"],
                one["true_positives"],
                f"{100 * one['precision']:.1f} %" if known else "",
                f"{100 * low:.0f} to {100 * high:.0f} %" if known else "",
                one["passed"],
            )
        )
    caption = f"Active learning: {len(rounds)} rounds, threshold {100 * threshold:g} %"
    return page("Rounds", [(caption, rows)])


def baseline_page(runs: Sequence[Run], candidates: pa.Table) -> str:
    """Precision without active learning (Table A.1) and with it, of candidates as in `partial_confusion`.

    The sample of each run has `predicted` and `label`, null where there is none.
    """
    names = ("", *(f"{name}: " for name in EMISSION_CLASSES), "either: ")
    quantities = ("precision", "of labelled", "predicted")
    rows: list[Row] = [("run", *(name + text for name in names[1:] for text in quantities))]
    for number, run in enumerate(runs, start=1):
        found = _confusion(run.sample["predicted"], run.sample["label"])
        counts = [run.predicted[name] for name in EMISSION_CLASSES]
        rows.append((f"No. {number}", *_precisions(found, counts)))
    found = partial_confusion(candidates)
    rows.append(("active learning", *_precisions(found, [row.seen + row.unseen for row in found])))
    return page("Without active learning", [("Precision with and without active learning", rows)])


def _precisions(found: Sequence[ConfusionRow], predicted: Sequence[int]) -> list[Any]:
    """Precision, labels and predictions of each emission class and of both together."""
    cells: list[Any] = []
    for place, (row, number) in enumerate(zip(found, predicted, strict=True)):
        cells += [_percent(row.actual[place], row.seen), row.seen, number]
    # Samples of the classes have equal sizes, so each class is weighted by its number of predictions.
    shares = [
        (sum(row.actual[:TARGETS]) / row.seen, number)
        for row, number in zip(found, predicted, strict=True)
        if row.seen
    ]
    weight = sum(number for _, number in shares)
    either = f"{100 * sum(share * number for share, number in shares) / weight:.1f} %" if weight else ""
    return [*cells, either, sum(row.seen for row in found), sum(predicted)]


def candidates_page(candidates: pa.Table, number: int = 1000) -> str:
    """The catalogue and the rejected candidates, with links to the spectra (section 4.1).

    They have the columns of `emission.columns.EMISSION`; each table shows `number` rows, by decreasing
    probability.
    """
    kept = pc.not_equal(candidates["profile"], CLASSES[-1])
    parts = {"In the catalogue": candidates.filter(kept), "Rejected": candidates.filter(pc.invert(kept))}
    header = ("spectrum", "star", "exposures", "S/N", "profile", "predicted", "P(emission)")
    order = [("p_emission", "descending"), ("spectrum_id", "ascending")]
    tables = []
    for name, table in parts.items():
        rows: list[Row] = [
            (*header, "width (Å)", "peak (km/s)", "separation (km/s)", "origin", "label", "by")
        ]
        for row in table.take(pc.sort_indices(table, order)[:number]).to_pylist():
            rows.append(
                (
                    row["spectrum_id"],
                    row["group_name"] or "",
                    row["n_exposures"],
                    rounded(row["snr"], 1),
                    row["profile"],
                    row["predicted"],
                    rounded(row["p_emission"], 3),
                    rounded(row["ewha"], 1),
                    rounded(row["peak_velocity"], 0),
                    rounded(row["peak_separation"], 0),
                    row["origin"] if row["round"] is None else f"{row['origin']}, round {row['round']}",
                    row["label"] or "",
                    row["vetted_by"] or "",
                )
            )
        first = f"the first {number:,} of " if table.num_rows > number else ""
        tables.append((f"{name}: {first}{table.num_rows:,} spectra", rows))
    return link_spectra(page("Candidates", tables), candidates)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""
