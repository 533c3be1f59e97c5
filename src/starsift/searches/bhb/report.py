"""The tables of the BHB report as HTML pages. Table numbers are from Wei et al. 2023."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from starsift.report.pages import Row, link_spectra, mean_scatter, page, percent, read_csv, rounded
from starsift.resources import read_rows, resource
from starsift.searches.bhb.comparison import ALL, BHB, MODELS, REPORTED, summarize_runs
from starsift.searches.bhb.models import BASELINES, TRANSFORMERS

PathLike = str | os.PathLike[str]
Table = tuple[str, list[Row]]  # caption; rows, of which the first names the columns
Published = Mapping[tuple[str, str], Mapping[str, float]]

SHIPPED = resource("bhb/published.csv")
PAPER = "Wei et al. 2023"
SCORES = {"precision": "precision (%)", "recall": "recall (%)", "f1": "F1 (%)"}


class Comparison(NamedTuple):
    """One of the paper's tables: its page, its caption, and its models in the paper's order."""

    page: str
    title: str
    models: tuple[str, ...]


COMPARISONS = {
    "table6": Comparison(
        "Encoders",
        "Encoders without and with their attention",
        ("spectrum-plain", "spectrum", "image-plain", "image"),
    ),
    "table7": Comparison("Fusion", "Parts of the fusion", TRANSFORMERS),
    "table8": Comparison(
        "Models",
        "Comparison of models",
        ("image", "svm", "trees", "spectrum", "add", "concat", "vgg1d", "batmm", "batmm-end-to-end"),
    ),
}
# Inputs of the models that do not have both.
INPUTS = {
    **dict.fromkeys(("spectrum-plain", "spectrum", "transformer-spectrum", *BASELINES), "spectrum"),
    **dict.fromkeys(("image-plain", "image"), "image"),
}


def load_published() -> dict[tuple[str, str], dict[str, float]]:
    """The paper's scores in per cent by (model, class): `precision`, `precision_std`, and so on."""
    names = [name for score in SCORES for name in (score, f"{score}_std")]
    rows = read_rows(SHIPPED, ("model", "class", *names))
    return {(row["model"], row["class"]): {name: float(row[name]) for name in names} for row in rows}


def classes_table(metrics: pa.Table) -> Table:
    """Scores of BATMM by class (Table 5), of `bhb.comparison.score_runs`, beside the paper's."""
    published = load_published()
    own = _scores(metrics)
    rows: list[Row] = [("class", "runs", *_score_names(), "AUC", "average precision")]
    for kind in REPORTED:
        found = own.get(("batmm", kind))
        if found is not None:
            cells = _score_cells(found, published.get(("batmm", kind)))
            areas = [
                mean_scatter(found[f"{name}_mean"], found[f"{name}_std"], 4)
                for name in ("auc", "average_precision")
            ]
            rows.append((kind, found["n_runs"], *cells, *areas))
    return f"{MODELS['batmm']} by class", rows


def models_table(name: str, metrics: pa.Table) -> Table:
    """Scores (mean of both classes) of the models of table6, table7 or table8, beside the paper's."""
    published = load_published()
    own = _scores(metrics)
    _, title, models = COMPARISONS[name]
    rows: list[Row] = [("input", "model", "runs", *_score_names(), "F1 of BHB (%)")]
    for model in models:
        found = own.get((model, ALL))
        if found is not None:
            cells = _score_cells(found, published.get((model, ALL)))
            single = own[model, BHB]
            inputs = INPUTS.get(model, "spectrum + image")
            rows.append((inputs, MODELS[model], found["n_runs"], *cells, percent(single, "f1")))
    return title, rows


def gaps_table(gaps: pa.Table) -> Table:
    """Differences of F1 between models, their errors, and the paper's differences."""
    published = load_published()
    errors = ("error of training", "error of the test set")
    more = ("exceeds error of training", "exceeds both errors")
    rows: list[Row] = [("model", "compared with", "runs", "difference (%)", *errors, *more, PAPER)]
    for row in gaps.to_pylist():
        first, second = (published.get((row[name], ALL)) for name in ("first", "second"))
        paper = "" if first is None or second is None else f"{first['f1'] - second['f1']:.2f}"
        rows.append(
            (
                MODELS.get(row["first"], row["first"]),
                MODELS.get(row["second"], row["second"]),
                row["n_runs"],
                f"{100 * row['difference']:.2f}",
                *("" if row[k] is None else f"{100 * row[k]:.2f}" for k in ("se_runs", "se_stars")),
                *({True: "yes", False: "no", None: ""}[row[k]] for k in ("exceeds", "exceeds_both")),
                paper,
            )
        )
    return "Differences of F1 (mean of both classes) between models", rows


def table_page(name: str, metrics: pa.Table) -> str:
    """A table of the paper: table5 (BATMM by class), or one of `COMPARISONS`."""
    if name == "table5":
        return page("Classes", [classes_table(metrics)])
    return page(COMPARISONS[name].page, [models_table(name, metrics)])


def gaps_page(gaps: pa.Table) -> str:
    """Differences between models."""
    return page("Differences", [gaps_table(gaps)])


def dataset_page(counts: PathLike, dropped: PathLike) -> str:
    """Labelled stars before and after processing (Table 2), and why others were dropped: two CSV files."""
    return page("Dataset", [("Labelled spectra", read_csv(counts)), ("Dropped spectra", read_csv(dropped))])


def funnel_page(funnel: PathLike) -> str:
    """From the spectra of the survey to the catalogue; `funnel` is a CSV file."""
    return page("Funnel", [("From spectra to BHB stars", read_csv(funnel))])


def candidates_page(catalog: pa.Table, rejected: pa.Table, number: int = 1000) -> str:
    """The catalogue, and the candidates that people rejected, with links to the spectra.

    Tables have the columns of `bhb.columns.BHB`; `number` rows of each are shown, by decreasing probability.
    """
    header = ("spectrum", "star", "spectra", "S/N", "P(BHB)", "inputs", "g₀", "(u−g)₀", "(g−r)₀")
    order = [("p_bhb", "descending"), ("spectrum_id", "ascending")]
    tables: list[Table] = []
    shown = {"In the catalogue": catalog, "Rejected": rejected}
    for name, table in shown.items():
        rows: list[Row] = [(*header, "distance (kpc)", "labelled class", "origin", "label", "labelled by")]
        for row in table.sort_by(order).slice(0, number).to_pylist():
            rows.append(
                (
                    row["spectrum_id"],
                    row["group_name"] or "",
                    row["n_exposures"],
                    rounded(row["snr"], 1),
                    rounded(row["p_bhb"], 3),
                    row["modality"] or "",
                    *(rounded(row[column], 2) for column in ("g_0", "u_g_0", "g_r_0")),
                    rounded(row["distance"], 1),
                    row["known_class"] or "",
                    row["origin"],
                    row["label"] or "",
                    row["vetted_by"] or "",
                )
            )
        most = table.num_rows > number
        many = f"{number:,} of {table.num_rows:,}" if most else f"{table.num_rows:,}"
        tables.append((f"{name}: {many} spectra", rows))
    return link_spectra(page("Candidates", tables), pa.concat_tables(shown.values()))


def _scores(metrics: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["model"], row["class"]): row for row in summarize_runs(metrics).to_pylist()}


def _score_names() -> list[str]:
    return [f"{words}: {whose}" for words in SCORES.values() for whose in ("this run", PAPER)]


def _score_cells(own: Mapping[str, Any], paper: Mapping[str, float] | None) -> list[str]:
    """Each score of this run and of the paper, mean and scatter in per cent."""
    cells = []
    for name in SCORES:
        cells.append(percent(own, name))
        cells.append("" if paper is None else mean_scatter(paper[name], paper[f"{name}_std"], 2))
    return cells
