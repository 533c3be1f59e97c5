"""Multiplicity and velocities of the spectra of one bundle: by the models, or by the vote on the CCFs."""

import os
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.errors import ResultsError, TrainingError
from starsift.searches.binaries.curves import read_curves
from starsift.searches.binaries.decision import Decision
from starsift.searches.binaries.fits import Fits, read_fits
from starsift.searches.binaries.peaks import ragged, read_components
from starsift.searches.binaries.training import CLASSIFIERS, Classifier
from starsift.searches.binaries.voting import CALLS, COLUMNS, VOTES, class_probabilities, vote
from starsift.spectra.batches import IDENTITY, IDENTITY_NAMES

PathLike = str | os.PathLike[str]


CHOSEN = pa.schema(
    [
        *((name, pa.float32()) for name in ("p_single", "p_sb2", "p_sb3")),
        *((name, pa.string()) for name in ("vote", "model", "multiplicity")),
        *((name, pa.list_(pa.float32())) for name in ("rv", "rv_err", "light", "light_err")),
    ]
)


def predict_bundle(
    curves: PathLike,
    components: PathLike,
    errors: PathLike,
    fits: PathLike,
    models: Iterable[PathLike],
    decision: PathLike,
    *,
    method: str,
    sb2_threshold: float,
    sb3_threshold: float,
) -> pa.Table:
    """Probabilities, multiplicity, velocities and shares of the light of the spectra of a bundle.

    Parameters
    ----------
    curves, components, errors, fits : files of the bundle, from the stages of these names
    models : files of all networks of `CLASSIFIERS`
    decision : file of the `Decision`
    method : whose multiplicity and velocities are chosen: "model" or "vote"

    Returns a Table, a row a spectrum: identity, the columns of `classify` and those of `CHOSEN`. Light is
    null by the vote. Raises TrainingError: a file is no network of `CLASSIFIERS`, or a network is missing.
    """
    classifiers = {one.name: one for one in map(Classifier.load, models)}
    missing = [name for name in CLASSIFIERS if name not in classifiers]
    if missing:
        raise TrainingError(f"models: {', '.join(missing)} missing; run the training again")
    table, found = read_components(components)
    ccf = np.concatenate([part.ccf for part in read_curves(curves)])
    thresholds = {"sb2_threshold": sb2_threshold, "sb3_threshold": sb3_threshold}
    classes = classify(ccf, found.count, classifiers, **thresholds)
    rows, fitted = read_fits(fits)
    for path, other in ((errors, pq.read_table(errors)), (fits, rows)):
        if not other["spectrum_id"].equals(table["spectrum_id"]):
            raise ResultsError(f"{components} and {path} hold different spectra; delete both and run again")
    columns = choose_models(fitted, Decision.load(decision))
    columns |= {"vote": classes["vote"], "multiplicity": columns["model"]}
    if method == "vote":
        nothing = pa.nulls(table.num_rows, pa.list_(pa.float32()))
        columns |= {"multiplicity": classes["vote"], "light": nothing, "light_err": nothing}
        columns |= {"rv": table["rv"], "rv_err": pq.read_table(errors)["rv_err"]}
    every = dict(zip(classes.column_names, classes.columns, strict=True)) | columns
    every |= {name: table[name] for name in IDENTITY_NAMES}
    return pa.table(every, schema=pa.schema([*IDENTITY, *list(classes.schema)[:-1], *CHOSEN]))


def choose_models(fits: Fits, decision: Decision) -> dict[str, pa.Array]:
    """What the models say of n spectra: the columns of `CHOSEN` from p_single on, but vote and multiplicity.

    Velocities and light are those of the model that wins: of two stars wherever one is less probable, even
    where the purity that is asked for forbids to call the spectrum SB2. Null where no model was fitted.
    """
    fitted = np.isfinite(fits.rv[:, 0, 0])
    p = decision.predict(fits.features)
    names = ("p_single", "p_sb2", "p_sb3")
    probability = {name: pa.array(p[:, i], pa.float32(), mask=~fitted) for i, name in enumerate(names)}
    multiplicity = decision.call(p)
    several = (multiplicity == "SB2") | (p[:, 0] < 0.5)
    stars = np.select([multiplicity == "SB3", several], [3, 2], 1) * fitted
    model = (np.arange(len(stars)), np.maximum(stars, 1) - 1)
    rv = fits.rv[model]
    columns = {"rv": rv, "rv_err": decision.velocity_errors(rv, fits.rv_err[model])}
    columns |= {"light": fits.light[model], "light_err": decision.light_errors(rv, fits.light_err[model])}
    return probability | {
        "model": pa.array(multiplicity, pa.string(), mask=multiplicity == ""),
        **{name: ragged(values, stars) for name, values in columns.items()},
    }


def classify(
    ccf: np.ndarray,
    n_components: np.ndarray,
    classifiers: Mapping[str, Classifier],
    *,
    sb2_threshold: float,
    sb3_threshold: float,
) -> pa.Table:
    """Classify the candidates among many CCFs, and vote.

    Parameters
    ----------
    ccf : (n, velocity) float32; a row that is not finite is no candidate
    n_components : (n,) int, components found in each CCF; C1, C2 and C3 classify those with two, C1, C2 and
        C4 those with three
    classifiers : the networks of `starsift.searches.binaries.training.CLASSIFIERS`
    sb2_threshold, sb3_threshold : see `vote`

    Returns a Table (n rows): p_c1_l0 ... p_c4_l3 float32, null for spectra that a classifier does not
    classify; vote string, null where it made a spectrum neither SB2 nor SB3.
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
    columns["vote"] = pa.array(kind, pa.string(), mask=kind == "")
    return pa.table(columns)
