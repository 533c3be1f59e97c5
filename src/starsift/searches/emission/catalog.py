"""The catalogue of emission-line spectra: what the network predicts and the oracle found, what people say.

A candidate is a spectrum that the last network predicts to be in emission and that nobody labelled to teach
it, or one that the oracle labelled as emission on the way (Skoda et al. 2020, section 4). People's labels are
those of the rounds and those given while looking at candidates; a candidate that they find uninteresting
leaves the catalogue and is kept apart. No other label counts: a simulated oracle knows them all.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.catalog.crossmatch import group_exposures
from starsift.catalog.listing import fill_links, listed_columns, star_columns
from starsift.catalog.naming import dates, designation
from starsift.errors import ResultsError
from starsift.learning.calibration import apply_temperature, expected_calibration_error, fit_temperature
from starsift.learning.labels import consensus
from starsift.searches.emission.active import PROBABILITIES, predicted_class, probabilities
from starsift.searches.emission.columns import EMISSION
from starsift.searches.emission.line import LINES, measure_lines
from starsift.searches.emission.search import SEARCH
from starsift.searches.emission.window import CLASSES, PIXELS, TARGETS
from starsift.spectra.batches import IDENTITY_NAMES, OK, read_rows

PathLike = str | os.PathLike[str]

QUEUE = "emission-candidates"  # where people look at candidates
PREDICTED, ORACLE = "predicted", "oracle"  # where a candidate comes from
RADIUS = 5.0  # arcsec (Appendix B.2)

_ROWS = (*IDENTITY_NAMES, "snr", "ra", "dec")
_LISTED = ("snrr", "class", "subclass", "gaia_source_id", "gaia_g_mean_mag", "file")
_CHUNK = 1000  # spectra measured at once


def read_answers(paths: Sequence[PathLike]) -> pa.Table:
    """What the oracle answered in all rounds.

    Parameters
    ----------
    paths : of `round-NN/labels.parquet`

    Returns
    -------
    Table sorted by round, purpose ("query" first) and rank: `round` int16; the files' columns, `window` among
        them, and `vetted_by`, null where they do not say who

    Raises
    ------
    ResultsError : a file is not in a folder of a round, lacks a column, or a label is no class.
    """
    tables = [_ANSWERS.empty_table()]
    for path in paths:
        number = re.fullmatch(r"round-(\d+)", Path(path).parent.name)
        if number is None:
            raise ResultsError(f"{path}: labels of a round lie in a folder such as round-00")
        table = pq.ParquetFile(path).read()
        missing = [name for name in _ANSWERS.names[2:] if name not in table.column_names]
        if missing:
            raise ResultsError(
                f"{path}: labels of a round lack {', '.join(missing)}; delete it and run again"
            )
        if "vetted_by" not in table.column_names:
            table = table.append_column("vetted_by", pa.nulls(table.num_rows, pa.string()))
        table = table.append_column("round", pa.array([int(number[1])] * table.num_rows, pa.int16()))
        unknown = set(table["label"].to_pylist()) - set(CLASSES)
        if unknown:
            raise ResultsError(f"{path}: label {min(map(str, unknown))!r} is none of {', '.join(CLASSES)}")
        tables.append(table.select(_ANSWERS.names).cast(_ANSWERS))
    order = [("round", "ascending"), ("purpose", "descending"), ("rank", "ascending")]
    return pa.concat_tables(tables).sort_by(order)


_ANSWERS = pa.schema(
    {
        "round": pa.int16(),
        "vetted_by": pa.string(),
        "purpose": pa.string(),
        "rank": pa.int32(),
        "spectrum_id": pa.string(),
        "bundle": pa.string(),
        "row": pa.int32(),
        **dict.fromkeys(PROBABILITIES, pa.float32()),
        "score": pa.float32(),
        "predicted": pa.string(),
        "label": pa.string(),
        "window": pa.list_(pa.float32(), PIXELS),
    }
)


def held_out(
    answers: pa.Table, predictions: Sequence[PathLike], predicted: Mapping[int, int] | None = None
) -> pa.Table:
    """The labels that the last network was not trained on, those of the precision estimates.

    Parameters
    ----------
    answers : of `read_answers`
    predictions : files of the bundles, by the last network
    predicted : of each round, how many spectra its network predicted to be in emission

    Returns
    -------
    Table sorted by spectrum_id: spectrum_id, the network's `PROBABILITIES` as they come, label (the latest),
    and `weight`: how many predicted spectra of that round it was drawn from, and so stands for; else 1

    Raises
    ------
    ResultsError : a spectrum has no prediction.
    """
    trained = answers["spectrum_id"].filter(pc.equal(answers["purpose"], "query")).combine_chunks()
    rows = answers.filter(pc.invert(pc.is_in(answers["spectrum_id"], value_set=trained)))
    columns = ["spectrum_id", "label", "round"]
    last = {name: (label, k) for name, label, k in zip(*(rows[c].to_pylist() for c in columns), strict=True)}
    drawn = Counter(answers.filter(pc.equal(answers["purpose"], "precision"))["round"].to_pylist())
    names = pa.array(sorted(last), pa.string())
    columns = ["spectrum_id", *PROBABILITIES]
    found = [_ANSWERS.empty_table().select(columns)]
    for path in predictions:
        table = pq.read_table(path, columns=columns)
        found.append(table.filter(pc.is_in(table["spectrum_id"], value_set=names)))
    table = pa.concat_tables(found, promote_options="permissive").sort_by("spectrum_id")
    if table["spectrum_id"].to_pylist() != names.to_pylist():
        raise ResultsError(
            f"predictions: {len(names)} labelled spectra should be in them, {table.num_rows} are; "
            "delete results/emission and run again"
        )
    label, number = zip(*(last[name] for name in names.to_pylist()), strict=True) if last else ((), ())
    weight = [predicted[k] / drawn[k] if predicted else 1.0 for k in number]
    table = table.append_column("label", pa.array(label, pa.string()))
    return table.append_column("weight", pa.array(weight, pa.float64()))


def fit_calibration(held_out: pa.Table) -> dict[str, Any]:
    """The temperature of the last network's probabilities, and what it mends.

    At least 1: a network that is trained until its loss vanishes is too sure, never too modest, and a few
    labels that it gets right say nothing to the contrary.

    Parameters
    ----------
    held_out : of the function of that name

    Returns
    -------
    dict for JSON: `temperature`, `n_labels`; `error_before` and `error_after` (expected calibration errors of
    the probability of emission), null without labels
    """
    p = probabilities(held_out)
    classes = np.array([CLASSES.index(label) for label in held_out["label"].to_pylist()], dtype=np.int64)
    temperature = fit_temperature(p, classes, weights=held_out["weight"].to_numpy(), lowest=1.0)
    errors: list[float | None] = [None, None]
    if len(classes):
        errors = [
            expected_calibration_error(q[:, :TARGETS].sum(axis=1), classes < TARGETS)
            for q in (p, apply_temperature(p, temperature))
        ]
    told = {"temperature": temperature, "n_labels": len(classes)}
    return told | dict(zip(("error_before", "error_after"), errors, strict=True))


def read_temperature(path: PathLike) -> float:
    """The temperature that `fit_calibration` found."""
    return float(json.loads(Path(path).read_text())["temperature"])


def sample_predicted(
    predictions: Sequence[PathLike], labels: pa.Table, number: int, seed: int
) -> tuple[pa.Table, dict[str, int]]:
    """Random spectra that a network predicts to be in emission, with labels where there are any (Appendix A).

    Parameters
    ----------
    predictions : files of the bundles
    labels : of `starsift.learning.labels.read_labels`
    number : of each emission class, as far as there are so many
    seed : the sample does not depend on the order of bundles

    Returns
    -------
    sample : spectrum_id, predicted, label (a class, null where there is none); sorted by predicted class and
        spectrum_id
    counts : spectra predicted of each class
    """
    counts = dict.fromkeys(CLASSES, 0)
    found: dict[str, list[str]] = {name: [] for name in CLASSES[:TARGETS]}
    for path in predictions:
        table = pq.read_table(path, columns=["spectrum_id", *PROBABILITIES])
        best = predicted_class(probabilities(table))
        for k, name in enumerate(CLASSES):
            counts[name] += int((best == k).sum())
            if k < TARGETS:
                found[name] += table["spectrum_id"].filter(pa.array(best == k)).to_pylist()
    rng = np.random.default_rng(seed)
    drawn = [
        (name, predicted)
        for predicted, names in found.items()
        for name in sorted(rng.permutation(sorted(names))[:number].tolist())
    ]
    known = dict(zip(labels["spectrum_id"].to_pylist(), labels["class"].to_pylist(), strict=True))
    columns = {
        "spectrum_id": [name for name, _ in drawn],
        "predicted": [predicted for _, predicted in drawn],
        "label": [known.get(name) for name, _ in drawn],
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), counts


def candidate_labels(labels: pa.Table) -> pa.Table:
    """What people said who looked at candidates: one label a spectrum.

    Parameters
    ----------
    labels : of `starsift.learning.labels.load_labels`. Only those of the queue of candidates count, and those
        that name no queue because somebody wrote them into a table.

    Returns
    -------
    Table of `starsift.learning.labels.consensus`, and `class`

    Raises
    ------
    ResultsError : a label is not in the vocabulary.
    """
    queue = pc.fill_null(labels["queue"], QUEUE)
    chosen = pc.and_(pc.equal(labels["search"], "emission"), pc.equal(queue, QUEUE))
    rows = labels.filter(pc.and_(chosen, pc.is_valid(labels["label"])))
    classes = {word.label: word.label_class for word in SEARCH.words}
    for name, label in zip(rows["spectrum_id"].to_pylist(), rows["label"].to_pylist(), strict=True):
        if label not in classes:
            raise ResultsError(
                f"labels: {name} is {label!r}, which is none of {', '.join(classes)}; correct it"
            )
    kind = pa.array([classes[label] for label in rows["label"].to_pylist()], pa.string())
    people = consensus(rows.append_column("class", kind))
    kind = pa.array([classes[label] for label in people["label"].to_pylist()], pa.string())
    return people.append_column("class", kind)


def gather_candidates(
    windows: Sequence[PathLike], predictions: Sequence[PathLike], answers: pa.Table
) -> tuple[pa.Table, dict[str, int]]:
    """Candidates of all bundles, with their windows; one bundle is in memory at a time.

    Parameters
    ----------
    windows, predictions : files of the bundles, named after them, in one order
    answers : of `read_answers`

    Returns
    -------
    candidates : identity, snr, ra, dec; `bundle`, `row`, `window`; `predicted` and `PROBABILITIES` as they
        come from the network; `origin` and, of the oracle's, `round`; sorted by spectrum_id
    funnel : how many spectra there are after each step

    Raises
    ------
    ResultsError : files do not belong together, or the oracle labelled a spectrum that is in none.
    """
    asked = answers.filter(pc.equal(answers["purpose"], "query"))
    oracle = {row["spectrum_id"]: (row["label"], row["round"]) for row in asked.to_pylist()}
    steps = ("spectra in the pool", "with a window", "labelled by the oracle")
    funnel = dict.fromkeys((*steps, *(f"predicted {name}" for name in CLASSES[:TARGETS])), 0)
    parts = []
    for window, prediction in zip(windows, predictions, strict=True):
        part, counts = _bundle_candidates(Path(window), Path(prediction), oracle)
        parts.append(part)
        funnel = {name: number + counts[name] for name, number in funnel.items()}
    if funnel["labelled by the oracle"] != len(oracle):
        raise ResultsError(
            f"rounds: {len(oracle)} spectra are labelled, {funnel['labelled by the oracle']} of them are in "
            "the pool; delete results/emission and run again"
        )
    if not parts:
        raise ResultsError("windows: there are no bundles; is the survey empty?")
    rows = pa.concat_tables(parts, promote_options="permissive").sort_by("spectrum_id")
    found = int(pc.sum(pc.equal(rows["origin"], ORACLE)).as_py() or 0)
    return rows, funnel | {"emission found by the oracle": found}


def _bundle_candidates(
    windows: Path, predictions: Path, oracle: dict[str, tuple[str, int]]
) -> tuple[pa.Table, dict[str, int]]:
    if windows.stem != predictions.stem:
        raise ResultsError(f"{predictions}: predictions of another bundle than {windows}")
    rows = pq.read_table(windows, columns=[*_ROWS, "row", "status"])
    usable = pc.equal(rows["status"], OK)
    places = pa.array(np.flatnonzero(usable.to_numpy()))
    ok = rows.take(places)
    given = pq.read_table(predictions, columns=["spectrum_id", *PROBABILITIES])
    at = pc.index_in(ok["spectrum_id"], value_set=given["spectrum_id"].combine_chunks())
    if at.null_count or given.num_rows != ok.num_rows:
        raise ResultsError(
            f"{predictions}: it has {given.num_rows} spectra, {windows} has {ok.num_rows} with a window, of "
            f"which {at.null_count} are missing here; delete the predictions and run again"
        )
    p = probabilities(given)[at.to_numpy()]
    known = [oracle.get(name) for name in ok["spectrum_id"].to_pylist()]
    labelled = np.array([answer is not None for answer in known], dtype=bool)
    taught = np.array([answer is not None and answer[0] in CLASSES[:TARGETS] for answer in known], dtype=bool)
    best = predicted_class(p)
    chosen = np.flatnonzero(taught | (~labelled & (best < TARGETS)))
    columns = {name: ok[name].take(pa.array(chosen)) for name in (*_ROWS, "row")}
    # Windows are most of the file, and few are wanted.
    window = pq.read_table(windows, columns=["window"])["window"].take(places.take(pa.array(chosen)))
    columns |= {
        "bundle": pa.array([windows.stem] * len(chosen), pa.string()),
        "window": window,
        "predicted": pa.array([CLASSES[k] for k in best[chosen]], pa.string()),
        **{name: pa.array(p[chosen, k], pa.float32()) for k, name in enumerate(PROBABILITIES)},
        "origin": pa.array([ORACLE if taught[k] else PREDICTED for k in chosen], pa.string()),
        "round": pa.array([known[k][1] if taught[k] else None for k in chosen], pa.int16()),  # type: ignore[index]
    }
    counts = {"spectra in the pool": rows.num_rows, "with a window": ok.num_rows}
    counts["labelled by the oracle"] = int(labelled.sum())
    counts |= {f"predicted {name}": int((~labelled & (best == k)).sum()) for k, name in enumerate(CLASSES)}
    return pa.table(columns), counts


def measure_candidates(candidates: pa.Table, spectra: Sequence[PathLike]) -> pa.Table:
    """H alpha of candidates, by `starsift.searches.emission.line.measure_lines`.

    Parameters
    ----------
    candidates : of `gather_candidates`
    spectra : packed bundles, named after them

    Returns
    -------
    Table of the schema `LINES`, in the order of the candidates

    Raises
    ------
    ResultsError : a candidate's bundle is not there.
    """
    bundle = np.asarray(candidates["bundle"].to_pylist(), dtype=object)
    positions = candidates["row"].to_numpy()
    order, tables = [np.empty(0, np.int64)], [LINES.empty_table()]
    for path in map(Path, spectra):
        mine = np.flatnonzero(bundle == path.stem)
        for start in range(0, len(mine), _CHUNK):
            part = mine[start : start + _CHUNK]
            order.append(part)
            tables.append(measure_lines(read_rows(path, positions[part])))
    place = np.concatenate(order)
    if len(place) != len(bundle):
        lost = np.setdiff1d(np.arange(len(bundle)), place)
        raise ResultsError(f"spectra: bundle {bundle[lost[0]]} of a candidate is not there; run again")
    return pa.concat_tables(tables).take(pa.array(np.argsort(place)))


def assemble(
    candidates: pa.Table,
    lines: pa.Table,
    manifest: pa.Table,
    answers: pa.Table,
    labels: pa.Table,
    *,
    temperature: float = 1.0,
    match_radius: float = RADIUS,
    link: str | None = None,
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """All that is known of the candidates, and which of them are published.

    Parameters
    ----------
    candidates : of `gather_candidates`; lines : of `measure_candidates`
    manifest : of the survey: spectrum_id, lmjd, file, and if it has them mjd, snrr, class, subclass,
        gaia_source_id, gaia_g_mean_mag
    answers : of `read_answers`; labels : of `candidate_labels`. Where several speak of one spectrum, those
        who looked at candidates are right, then the answer that taught the network, then the latest one
    temperature : of `starsift.learning.calibration`
    match_radius : arcsec, within which spectra show the same star
    link : address of a spectrum's page over columns, such as "https://archive.org/view?obsid={obsid}"

    Returns
    -------
    catalogue, rejected : columns of `EMISSION`: what is published, and what people found uninteresting
    funnel : how many spectra there are after each step, and how many stars

    Raises
    ------
    ResultsError : the tables are not of one run, or the link names a column that there is not.
    """
    at = pc.index_in(candidates["spectrum_id"], value_set=manifest["spectrum_id"].combine_chunks())
    if at.null_count:
        first = candidates["spectrum_id"].filter(pc.is_null(at))[0]
        raise ResultsError(f"manifest: candidate {first} is not in it; delete results/emission and run again")
    listed = manifest.take(at)
    rows = candidates.select([*_ROWS, "predicted", "origin", "round"])
    ra, dec = (rows[name].cast(pa.float64()).fill_null(np.nan).to_numpy() for name in ("ra", "dec"))
    p = apply_temperature(probabilities(candidates), temperature)
    columns: dict[str, Any] = {
        "designation": designation(ra, dec),
        **dates(listed),
        **{name: pa.array(p[:, k], pa.float32()) for k, name in enumerate(PROBABILITIES)},
        "p_emission": pa.array(np.minimum(p[:, :TARGETS].sum(axis=1), 1), pa.float32()),
        **listed_columns(listed, _LISTED, EMISSION),
        **_judged(rows, answers, labels),
    }
    double = pc.equal(columns["profile"], CLASSES[1])
    columns |= {name: lines[name] for name in lines.column_names}
    columns["peak_separation"] = pc.if_else(double, lines["peak_separation"], pa.scalar(None, pa.float32()))
    kept = pc.not_equal(columns["profile"], CLASSES[-1])
    columns |= star_columns(
        rows, columns["designation"], group_exposures(ra, dec, match_radius), np.asarray(kept)
    )
    for name, values in columns.items():
        rows = rows.append_column(name, values)
    rows = rows.append_column("link", fill_links(rows, link, "emission.catalog.link")).select(EMISSION.names)
    catalogue, rejected = rows.filter(kept), rows.filter(pc.invert(kept))
    stars = pc.count_distinct(catalogue["group_id"]).as_py()
    seen = int(pc.sum(rows["vetted"].cast(pa.int64())).as_py() or 0)
    return (
        catalogue,
        rejected,
        {"looked at by people": seen, "rejected by people": rejected.num_rows}
        | {"catalogue": catalogue.num_rows, "stars": stars},
    )


def _judged(rows: pa.Table, answers: pa.Table, labels: pa.Table) -> dict[str, Any]:
    """Labels of candidates, who gave them, and what a line is: by people, else by the network."""
    said: dict[str, tuple[str, str, str | None]] = {}
    for kind in ("precision", "query"):
        chosen = answers.filter(pc.equal(answers["purpose"], kind))
        for row in chosen.select(["spectrum_id", "label", "vetted_by"]).to_pylist():
            said[row["spectrum_id"]] = row["label"], row["label"], row["vetted_by"]
    for row in labels.to_pylist():
        said[row["spectrum_id"]] = row["label"], row["class"], row["vetted_by"]
    found = [said.get(name) for name in rows["spectrum_id"].to_pylist()]
    predicted = rows["predicted"].to_pylist()
    return {
        "label": pa.array([one and one[0] for one in found], pa.string()),
        "vetted": pa.array([one is not None for one in found], pa.bool_()),
        "vetted_by": pa.array([one and one[2] for one in found], pa.string()),
        "profile": pa.array(
            [one[1] if one else p for one, p in zip(found, predicted, strict=True)], pa.string()
        ),
    }


def with_windows(rows: pa.Table, candidates: pa.Table) -> pa.Table:
    """Rows of `assemble`'s tables with their `bundle`, `row` and `window`, sorted by spectrum_id.

    Parameters
    ----------
    candidates : of `gather_candidates`
    """
    rows = rows.sort_by("spectrum_id")
    at = pc.index_in(rows["spectrum_id"], value_set=candidates["spectrum_id"].combine_chunks())
    for name in ("bundle", "row", "window"):
        rows = rows.append_column(name, candidates[name].combine_chunks().take(at))
    return rows
