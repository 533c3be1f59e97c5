# H-alpha emission-line stars by active learning (Skoda et al. 2020): windows, rounds, the final network, catalogue.
import pyarrow.parquet as pq

from starsift.emission.active import label_digest, read_round
from starsift.learning.labels import read_labels

EMISSION_POOL = EMISSION["survey"]
ROUNDS = EMISSION["rounds"]


wildcard_constraints:
    stage=r"round-\d\d|final|baseline/run-\d+",
    round=r"\d\d",


def oracle(wildcards):
    """The labels, where the workflow itself simulates them; those of people are looked up by each job."""
    return LABELS if made_here(LABELS) else []


def rounds_until(number):
    return expand("results/emission/round-{round}/labels.parquet", round=[f"{i:02d}" for i in range(number)])


def all_rounds(wildcards):
    """The labels of all rounds; known once the last one says so."""
    number = 0
    while not read_round(checkpoints.emission_judge.get(round=f"{number:02d}").output[0])["stop"]:
        number += 1
    return rounds_until(number + 1)


def taught_by(wildcards):
    """The rounds whose labels a network learns from."""
    if wildcards.stage == "final":
        return all_rounds(wildcards)
    return rounds_until(int(wildcards.stage[-2:])) if wildcards.stage.startswith("round") else []


def begun_from(wildcards):
    """The network of the round before, where a network goes on from it."""
    done = len(taught_by(wildcards))
    return f"results/emission/round-{done - 1:02d}/model.keras" if done and ROUNDS["warm_start"] else []


def round_labels(wildcards, input):
    """A digest of what people say of a round's spectra: a new label elsewhere reruns nothing."""
    if not Path(input.query).exists() or (made_here(LABELS) and not Path(LABELS).exists()):
        raise FileNotFoundError(input.query)
    asked = pq.read_table(input.query, columns=["spectrum_id"])
    return label_digest(read_labels(LABELS, "emission", missing_ok=True), asked)


rule emission_initial:
    # The labelled Ondrejov spectra, as if LAMOST had observed them.
    input:
        labels=lambda wildcards: given(EMISSION["labelled"]["labels"], "results/emission/initial.parquet"),
        spectra=lambda wildcards: given(EMISSION["labelled"]["root"], "results/emission/initial.parquet"),
    output:
        table="results/emission/initial.parquet",
        counts="results/emission/initial.csv",
    log:
        "results/logs/emission_initial.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        root=EMISSION["labelled"]["root"],
        blur=EMISSION["labelled"]["blur"],
        code=code("emission_initial"),
    script:
        "../scripts/emission_initial.py"


rule emission_windows:
    input:
        f"results/spectra/{EMISSION_POOL}/{{bundle}}.arrow",
    output:
        "results/emission/windows/{bundle}.parquet",
    log:
        "results/logs/emission_windows/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        window=EMISSION["window"],
        code=code("emission_windows"),
    script:
        "../scripts/emission_windows.py"


rule emission_train:
    # A round's network, the final one after the long training, or one without active learning.
    input:
        initial="results/emission/initial.parquet",
        labels=taught_by,
        start=begun_from,
    output:
        model="results/emission/{stage}/model.keras",
        told="results/emission/{stage}/training.json",
    log:
        "results/logs/emission_train/{stage}.log",
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
        code=code("emission_train"),
    script:
        "../scripts/emission_train.py"


rule emission_predict:
    input:
        windows="results/emission/windows/{bundle}.parquet",
        model="results/emission/{stage}/model.keras",
    output:
        "results/emission/{stage}/predictions/{bundle}.parquet",
    log:
        "results/logs/emission_predict/{stage}/{bundle}.log",
    threads: 2
    resources:
        mem_mb=3000,
        runtime=120,
        gpu=GPU,
    params:
        strategy=lambda wildcards: ROUNDS["strategy"] if wildcards.stage.startswith("round") else "entropy",
        precision=EMISSION["precision"],
        seed=config["seed"],
        code=code("emission_predict"),
    script:
        "../scripts/emission_predict.py"


rule emission_query:
    # Which spectra people are asked about.
    input:
        predictions=each_bundle(
            "results/emission/round-{round}/predictions/{bundle}.parquet", EMISSION_POOL
        ),
        windows=each_bundle("results/emission/windows/{bundle}.parquet", EMISSION_POOL),
        labels=lambda wildcards: rounds_until(int(wildcards.round)),
    output:
        query="results/emission/round-{round}/query.parquet",
        counts="results/emission/round-{round}/predicted.json",
    log:
        "results/logs/emission_query/{round}.log",
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        query={key: ROUNDS[key] for key in ("strategy", "batch", "sample")},
        seed=config["seed"],
        code=code("emission_query"),
    script:
        "../scripts/emission_query.py"


rule emission_labels:
    # What people say of them. Without all labels the run stops here, and goes on later.
    input:
        query="results/emission/round-{round}/query.parquet",
        oracle=ancient(oracle),
    output:
        "results/emission/round-{round}/labels.parquet",
    log:
        "results/logs/emission_labels/{round}.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        store=LABELS,
        content=round_labels,
        code=code("emission_labels"),
    script:
        "../scripts/emission_labels.py"


checkpoint emission_judge:
    # How good the round's network is, and whether another round follows.
    input:
        labels=lambda wildcards: rounds_until(int(wildcards.round) + 1),
        told="results/emission/round-{round}/training.json",
        counts="results/emission/round-{round}/predicted.json",
    output:
        "results/emission/round-{round}/round.json",
    log:
        "results/logs/emission_judge/{round}.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        stop={key: ROUNDS[key] for key in ("threshold", "passes", "max_rounds")},
        code=code("emission_judge"),
    script:
        "../scripts/emission_judge.py"
