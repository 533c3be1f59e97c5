# H-alpha emission-line stars by active learning (Skoda et al. 2020): windows, rounds, the final network, catalogue.
import pyarrow.parquet as pq

from starsift.io.files import read_json
from starsift.learning.labels import load_labels
from starsift.searches.emission.labels import candidate_labels

EMISSION = config["emission"]
EMISSION_POOL = EMISSION["survey"]
SURVEYS_OF["emission"] = [EMISSION_POOL]
# What the search learns, by the names of the files in a model set. With a set there are no rounds.
EMISSION_MODELS = model_files(
    "emission", {name: f"results/emission/final/{name}" for name in SEARCHES["emission"].models}
)
INPUTS_OF["emission"] = {}
if trains("emission"):
    INPUTS_OF["emission"]["ondrejov_labels"] = external_input(EMISSION["labelled"]["labels"])
    READ_LABELS.add("emission")
ROUNDS = EMISSION["rounds"]
# Rounds run one after the other, so they have priority over the jobs of other searches.
CHAIN = 10
EMISSION_PUBLISHED = {
    "seed": config["seed"],
    "survey": config["surveys"][EMISSION_POOL],
    "emission": {key: value for key, value in EMISSION.items() if key != "baseline"},
}


wildcard_constraints:
    stage=r"round-\d\d|final|baseline/run-\d+",
    round=r"\d\d",
    run=r"\d+",


def oracle(wildcards):
    """The labels, if the workflow simulates them. Jobs read labels by people without waiting for a file."""
    return LABELS if is_simulated(LABELS) else []


def query_bundles(pattern):
    """An input function: `pattern` for every bundle from which spectra are queried."""

    def files(wildcards):
        last = ROUNDS["last_night"] or 10**9
        chosen = [name for name in bundles(EMISSION_POOL) if int(re.match(r"\d*", name)[0] or 0) <= last]
        return expand(pattern, bundle=chosen, round=wildcards.round)

    return files


def labels_of_rounds(number):
    """The labels of the first rounds."""
    return expand("results/emission/round-{round}/labels.parquet", round=[f"{k:02d}" for k in range(number)])


def labels_of_all_rounds(wildcards):
    """The labels of all rounds, known when the last round is evaluated."""
    if not trains("emission"):
        return []
    number = 0
    while not read_json(checkpoints.emission_evaluate.get(round=f"{number:02d}").output[0])["stop"]:
        number += 1
    return labels_of_rounds(number + 1)


def training_labels(wildcards):
    """The labels of the rounds that a network is trained on."""
    if wildcards.stage == "final":
        return labels_of_all_rounds(wildcards)
    return labels_of_rounds(int(wildcards.stage[-2:])) if wildcards.stage.startswith("round") else []


def warm_start_model(wildcards):
    """The network of the previous round, if training starts from it."""
    rounds = len(training_labels(wildcards))
    return f"results/emission/round-{rounds - 1:02d}/model.keras" if rounds and ROUNDS["warm_start"] else []


# Functions of wildcards alone: Snakemake does not compare params that depend on inputs with those of the last run.
def query_digest(wildcards):
    """A digest of the labels of a round's query: a new label of another spectrum reruns nothing."""
    query = Path(f"results/emission/round-{wildcards.round}/query.parquet")
    if not query.exists():
        return None  # evaluated again before the job runs
    spectra = pq.read_table(query, columns=["spectrum_id"])["spectrum_id"]
    return label_digest(read_labels(LABELS, SEARCHES["emission"], missing_ok=True), spectra)


def candidate_digest(wildcards):
    """A digest of the labels of candidates."""
    return label_digest(candidate_labels(load_labels(LABELS, search="emission", missing_ok=True)))


rule emission_dataset:
    # The labelled Ondrejov spectra, as if LAMOST had observed them.
    input:
        labels=lambda wildcards: external_input(EMISSION["labelled"]["labels"]),
        spectra=lambda wildcards: external_input(EMISSION["labelled"]["root"]),
        codes=str(RESOURCES / "emission" / "labels.csv"),
    output:
        table="results/emission/initial.parquet",
        counts="results/emission/initial.csv",
    log:
        "results/logs/emission_dataset.log",
    priority: CHAIN
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        root=EMISSION["labelled"]["root"],
        labels=EMISSION["labelled"]["labels"],
        blur=EMISSION["labelled"]["blur"],
        window=EMISSION["window"],
        code=code("emission/dataset"),
    script:
        "../scripts/emission/dataset.py"


rule emission_windows:
    input:
        f"results/spectra/{EMISSION_POOL}/{{bundle}}.arrow",
    output:
        "results/emission/windows/{bundle}.parquet",
    log:
        "results/logs/emission_windows/{bundle}.log",
    priority: CHAIN
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        window=EMISSION["window"],
        code=code("emission/windows"),
    script:
        "../scripts/emission/windows.py"


rule emission_train:
    # A round's network, the final one after the long training, or one without active learning.
    input:
        initial="results/emission/initial.parquet",
        labels=training_labels,
        start=warm_start_model,
    output:
        model="results/emission/{stage}/model.keras",
        training="results/emission/{stage}/training.json",
    log:
        "results/logs/emission_train/{stage}.log",
    priority: CHAIN
    threads: 2
    resources:
        mem_mb=4000,
        runtime=1440,
        gpu=GPU,
    params:
        training=lambda wildcards: EMISSION[
            "training" if wildcards.stage.startswith("round") else "long_training"
        ],
        seed=config["seed"],
        code=code("emission/train"),
    script:
        "../scripts/emission/train.py"


rule emission_models:
    # What the search learnt, or was given, in one folder that can be published.
    input:
        [*EMISSION_MODELS.values()],
    output:
        model_set("emission"),
        record=f"results/emission/model_set/{RECORD}",
    log:
        "results/logs/emission_models.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        set=made_set("emission"),
        code=code("models"),
    script:
        "../scripts/models.py"


def network_of_stage(wildcards):
    """The network that a stage classifies with."""
    if wildcards.stage == "final":
        return EMISSION_MODELS["model.keras"]
    return f"results/emission/{wildcards.stage}/model.keras"


rule emission_predict:
    input:
        windows="results/emission/windows/{bundle}.parquet",
        model=network_of_stage,
    output:
        "results/emission/{stage}/predictions/{bundle}.parquet",
    log:
        "results/logs/emission_predict/{stage}/{bundle}.log",
    priority: CHAIN
    threads: 2
    resources:
        mem_mb=3000,
        runtime=120,
        gpu=GPU,
    params:
        strategy=lambda wildcards: ROUNDS["strategy"] if wildcards.stage.startswith("round") else "entropy",
        precision=EMISSION["precision"],
        models=set_digest("emission"),
        seed=config["seed"],
        code=code("emission/predict"),
    script:
        "../scripts/emission/predict.py"


rule emission_query:
    # The spectra that people label in a round.
    input:
        predictions=query_bundles("results/emission/round-{round}/predictions/{bundle}.parquet"),
        windows=query_bundles("results/emission/windows/{bundle}.parquet"),
        labels=lambda wildcards: labels_of_rounds(int(wildcards.round)),
    output:
        query="results/emission/round-{round}/query.parquet",
        counts="results/emission/round-{round}/predicted.json",
    log:
        "results/logs/emission_query/{round}.log",
    priority: CHAIN
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        query={key: ROUNDS[key] for key in ("strategy", "batch", "sample")},
        seed=config["seed"],
        code=code("emission/query"),
    script:
        "../scripts/emission/query.py"


rule emission_labels:
    # The labels of a query. The run stops here while labels are missing.
    input:
        query="results/emission/round-{round}/query.parquet",
        oracle=ancient(oracle),
    output:
        "results/emission/round-{round}/labels.parquet",
    log:
        "results/logs/emission_labels/{round}.log",
    priority: CHAIN
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        store=LABELS,
        labels=query_digest,
        code=code("emission/labels"),
    script:
        "../scripts/emission/labels.py"


checkpoint emission_evaluate:
    # The precision of the round's network, and whether another round follows.
    input:
        labels=lambda wildcards: labels_of_rounds(int(wildcards.round) + 1),
        query="results/emission/round-{round}/query.parquet",
        training="results/emission/round-{round}/training.json",
        counts="results/emission/round-{round}/predicted.json",
    output:
        "results/emission/round-{round}/round.json",
    log:
        "results/logs/emission_evaluate/{round}.log",
    priority: CHAIN
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stop={key: ROUNDS[key] for key in ("threshold", "passes", "max_rounds")},
        # Results are out of date if a label of their query was withdrawn.
        labels=query_digest,
        code=code("emission/evaluate"),
    script:
        "../scripts/emission/evaluate.py"


def every_round(pattern):
    """An input function: `pattern` for every round."""
    return lambda wildcards: expand(
        pattern, round=[Path(path).parent.name[-2:] for path in labels_of_all_rounds(wildcards)]
    )


ROUND_FILES = every_round("results/emission/round-{round}/round.json")


rule emission_calibrate:
    # Calibration of the probabilities on the labels that the final network was not trained on.
    input:
        labels=labels_of_all_rounds,
        rounds=ROUND_FILES,
        predictions=each_bundle("results/emission/final/predictions/{bundle}.parquet", EMISSION_POOL),
    output:
        held_out="results/emission/final/held_out.parquet",
        calibration="results/emission/final/calibration.json",
    log:
        "results/logs/emission_calibrate.log",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code("emission/calibrate"),
    script:
        "../scripts/emission/calibrate.py"


rule emission_baseline:
    # Precision of a network without active learning, from a labelled sample (Appendix A).
    input:
        predictions=each_bundle(
            "results/emission/baseline/run-{run}/predictions/{bundle}.parquet", EMISSION_POOL
        ),
        oracle=ancient(oracle),
    output:
        sample="results/emission/baseline/run-{run}/sample.parquet",
        counts="results/emission/baseline/run-{run}/predicted.json",
    log:
        "results/logs/emission_baseline/{run}.log",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        store=LABELS,
        sample=EMISSION["baseline"]["sample"],
        seed=config["seed"],
        code=code("emission/baseline"),
    script:
        "../scripts/emission/baseline.py"


rule emission_catalog:
    input:
        windows=each_bundle("results/emission/windows/{bundle}.parquet", EMISSION_POOL),
        predictions=each_bundle("results/emission/final/predictions/{bundle}.parquet", EMISSION_POOL),
        spectra=each_bundle(f"results/spectra/{EMISSION_POOL}/{{bundle}}.arrow", EMISSION_POOL),
        labels=labels_of_all_rounds,
        calibration=EMISSION_MODELS["calibration.json"],
        models=rules.emission_models.output.record,
        manifest=f"results/manifest/{EMISSION_POOL}.parquet",
        catalog=lambda wildcards: catalog_of(EMISSION_POOL),
        oracle=ancient(oracle),
    output:
        multiext("results/catalogs/emission", *PRODUCTS),
        rejected="results/catalogs/emission_rejected.parquet",
        candidates="results/emission/candidates.parquet",
        queries="results/emission/queries.parquet",
        funnel="results/catalogs/emission_funnel.csv",
    log:
        "results/logs/emission_catalog.log",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        store=LABELS,
        labels=candidate_digest,
        catalog=EMISSION["catalog"],
        settings=EMISSION_PUBLISHED,
        code=code("emission/catalog"),
    script:
        "../scripts/emission/catalog.py"


rule emission_figures:
    # In one job: starting a job takes longer than drawing a figure.
    input:
        rounds=ROUND_FILES,
        queries="results/emission/queries.parquet",
        initial=of_training("emission", "results/emission/initial.parquet"),
        candidates="results/emission/candidates.parquet",
        held_out=of_training("emission", "results/emission/final/held_out.parquet"),
        calibration=EMISSION_MODELS["calibration.json"],
    output:
        **figures(
            "emission",
            "precision",
            "answers",
            "queries",
            "initial",
            "single_peaks",
            "double_peaks",
            "calibration",
            "snr_magnitude",
            "exposures",
        ),
    log:
        "results/logs/emission_figures.log",
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        settings={"precision": {key: ROUNDS[key] for key in ("threshold", "passes")}},
        code=code("emission/figures"),
    script:
        "../scripts/emission/figures.py"


BASELINE, BASELINE_RUNS = "results/emission/baseline/run-{{run}}/{}", range(EMISSION["baseline"]["runs"])


rule emission_pages:
    # Rounds, confusion matrix, comparison, candidates and funnel as HTML tables.
    input:
        candidates="results/emission/candidates.parquet",
        rounds=ROUND_FILES,
        samples=of_training("emission", expand(BASELINE.format("sample.parquet"), run=BASELINE_RUNS)),
        counts=of_training("emission", expand(BASELINE.format("predicted.json"), run=BASELINE_RUNS)),
        funnel="results/catalogs/emission_funnel.csv",
    output:
        **figures(
            "emission",
            "rounds",
            "baseline",
            "confusion",
            "candidates",
            "funnel",
        ),
    log:
        "results/logs/emission_pages.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        threshold=ROUNDS["threshold"],
        code=code("emission/pages"),
    script:
        "../scripts/emission/pages.py"


rule emission:
    # The catalogue, and all that the report shows of this search.
    input:
        rules.emission_catalog.output,
        rules.emission_figures.output,
        rules.emission_pages.output,
        f"results/manifest/{EMISSION_POOL}-status.csv",


# Only simulated surveys have a truth to be scored against, and the card scores the rounds.
if SIMULATED and trains("emission"):

    def emission_predictions(wildcards):
        """Predictions of every round, of the final network and of those without active learning."""
        stages = [Path(path).parent.name for path in labels_of_all_rounds(wildcards)] + ["final"]
        stages += [f"baseline/run-{run}" for run in range(EMISSION["baseline"]["runs"])]
        return expand(
            "results/emission/{stage}/predictions/{bundle}.parquet",
            stage=stages,
            bundle=bundles(EMISSION_POOL),
        )

    rule emission_score:
        input:
            truth="results/simulated/emission/truth.parquet",
            predictions=emission_predictions,
            rounds=ROUND_FILES,
            calibration="results/emission/final/calibration.json",
            catalog="results/catalogs/emission.parquet",
        output:
            card="results/scorecards/emission.json",
            text=scorecard("emission"),
        log:
            "results/logs/emission_score.log",
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            code=code("emission/score"),
        script:
            "../scripts/emission/score.py"
