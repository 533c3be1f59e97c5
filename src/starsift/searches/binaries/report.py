"""The tables of the report, as HTML pages."""

import os
from collections.abc import Iterable

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


def funnel_page(funnel: str | os.PathLike[str]) -> str:
    """From CCF candidates to selected binaries (CSV of `starsift.searches.binaries.voting.funnel`)."""
    return page("Funnel", [("CCF candidates by class, for each classifier", read_csv(funnel))])
