"""The tables of the report, as HTML pages."""

import os
from collections import Counter
from collections.abc import Iterable

import pyarrow.parquet as pq

from starsift.io.files import read_json
from starsift.report.pages import Row, page, percent, read_csv
from starsift.searches.binaries.evaluation import summarise_folds


def selection_page(selection: str | os.PathLike[str], status: str | os.PathLike[str]) -> str:
    """The cuts (CSV: cut, before, removed, after) and the spectra by status (CSV: status, spectra)."""
    tables = [("Cuts, in order", read_csv(selection)), ("Selected spectra by status", read_csv(status))]
    return page("The survey", tables)


def cross_validation_page(folds: Iterable[str | os.PathLike[str]]) -> str:
    """Mean and scatter of each classifier's metrics over the folds (JSON of `cross_validate_fold`)."""
    results = [read_json(path) for path in folds]
    metrics = ("accuracy", "precision", "recall", "f1")
    rows: list[Row] = [("classifier", "category", *metrics)]
    for row in summarise_folds(results):
        rows.append((row["classifier"], row["category"], *(percent(row, metric) for metric in metrics)))
    number = len(results)
    return page("Cross-validation", [(f"Mean and standard deviation over {number} folds, per cent", rows)])


def funnel_page(funnel: str | os.PathLike[str], methods: str | os.PathLike[str]) -> str:
    """From CCF candidates to selected binaries (CSV of `starsift.searches.binaries.voting.funnel`), and what
    models and vote call (table of `starsift.searches.binaries.catalog.compare_methods`)."""
    called = pq.read_table(methods, columns=["model", "vote"])
    counts = Counter(zip(*(column.fill_null("-").to_pylist() for column in called.columns), strict=True))
    rows: list[Row] = [("by the models", "by the vote", "spectra")]
    rows += [(model, vote, str(number)) for (model, vote), number in sorted(counts.items())]
    classes = ("CCF candidates by class, for each classifier", read_csv(funnel))
    return page("Funnel", [classes, ("What models and vote call", rows)])
