# Blue horizontal branch stars by fusion of spectra and images (Wei et al. 2023): images, networks, tables, catalogue.
import json

from starsift.searches.bhb.models import BASELINES, ENCODERS, FUSIONS, NETWORKS
from starsift.searches.bhb.labelled import labelled_bundles

BHB = config["bhb"]
BHB_LABELLED = BHB["labelled"]["survey"]
BHB_POOL = sorted(BHB["surveys"])
BHB_RUNS = range(BHB["runs"])
# With a model set nothing is learnt from labelled stars.
BHB_SURVEYS = sorted({*BHB_POOL, *([BHB_LABELLED] if trains("bhb") else [])})
SURVEYS_OF["bhb"] = BHB_SURVEYS
POOL_OF["bhb"] = BHB_POOL
INPUTS_OF["bhb"] = {}
if trains("bhb"):
    INPUTS_OF["bhb"]["bhb_labelled"] = external_input(BHB["labelled"]["catalog"])
    if BHB["image"]["pretrained"]:
        INPUTS_OF["bhb"]["bhb_pretrained"] = BHB["image"]["pretrained"]
# Models of the tables, and those of the catalogue.
BHB_MODELS = sorted({*BHB["compare"], BHB["model"], "spectrum"})
BHB_PUBLISHED = {
    "seed": config["seed"],
    "surveys": {name: config["surveys"][name] for name in BHB_SURVEYS},
    "bhb": {key: value for key, value in BHB.items() if key != "compare"},
}


wildcard_constraints:
    model=r"[a-z0-9-]+",


def bhb_run_files(models, name):
    """A file of every run of some models."""
    return expand(f"results/bhb/models/{{model}}/run-{{run}}/{name}", model=models, run=BHB_RUNS)


def trained_encoder(kind):
    """An input function: the trained encoder of the same run that a model starts from."""

    def files(wildcards):
        path = f"results/bhb/models/{kind}/run-{wildcards.run}/model.keras"
        return path if wildcards.model in FUSIONS else []

    return files


def labelled_bundle_files(pattern):
    """An input function: `pattern` for every bundle with labelled stars, so that other nights train nothing again."""

    def files(wildcards):
        manifests = each_bundle("results/manifest/{survey}/{bundle}.parquet", BHB_LABELLED)(wildcards)
        try:
            chosen = labelled_bundles(BHB["labelled"]["catalog"], manifests)
        except ValueError:
            return []  # the job that reads the table reports the error
        return expand(pattern, survey=BHB_LABELLED, bundle=chosen)

    return files


def simulated_cutouts(wildcards):
    """Simulated images are remade with their survey."""
    cutouts = survey("cutouts")(wildcards)
    return simulated_output(cutouts["root"], "cutouts") if cutouts else []


rule bhb_cutouts:
    # The five-band images of one bundle, without images of poor quality.
    input:
        manifest=ancient("results/manifest/{survey}/{bundle}.parquet"),
        simulated=simulated_cutouts,
    output:
        "results/bhb/cutouts/{survey}/{bundle}.parquet",
    log:
        "results/logs/bhb_cutouts/{survey}/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        content=content("results/manifest/{survey}/{bundle}.parquet"),
        cutouts=survey("cutouts"),
        image={key: BHB["image"][key] for key in ("size", "max_offset", "max_bad")},
        code=code("bhb/cutouts"),
    script:
        "../scripts/bhb/cutouts.py"


rule bhb_dataset:
    # The labelled stars, in three parts.
    input:
        labelled=lambda wildcards: external_input(BHB["labelled"]["catalog"]),
        manifests=ancient(labelled_bundle_files("results/manifest/{survey}/{bundle}.parquet")),
        spectra=labelled_bundle_files("results/spectra/{survey}/{bundle}.arrow"),
        cutouts=labelled_bundle_files("results/bhb/cutouts/{survey}/{bundle}.parquet"),
    output:
        table="results/bhb/dataset.parquet",
        counts="results/bhb/dataset.csv",
        dropped="results/bhb/dataset-dropped.csv",
    log:
        "results/logs/bhb_dataset.log",
    resources:
        # Spectra and images of all labelled stars, and once more while they are written.
        mem_mb=8000,
        runtime=60,
    params:
        survey=BHB_LABELLED,
        labelled=BHB["labelled"]["catalog"],
        dataset={
            "shares": BHB["labelled"]["shares"],
            "match_radius": BHB["catalog"]["match_radius"],
            **BHB["spectrum"],
        },
        seed=config["seed"],
        code=code("bhb/dataset"),
    script:
        "../scripts/bhb/dataset.py"


rule bhb_train:
    # One run of one network of Tables 6 to 8.
    input:
        dataset="results/bhb/dataset.parquet",
        spectrum=trained_encoder("spectrum"),
        image=trained_encoder("image"),
        weights=BHB["image"]["pretrained"] or [],
    output:
        model="results/bhb/models/{model}/run-{run}/model.keras",
        predictions="results/bhb/models/{model}/run-{run}/predictions.parquet",
        training="results/bhb/models/{model}/run-{run}/training.json",
    log:
        "results/logs/bhb_train/{model}/{run}.log",
    benchmark:
        "results/benchmarks/bhb_train/{model}/run-{run}.tsv"
    wildcard_constraints:
        model="|".join(NETWORKS),
    threads: 2
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=GPU,
    params:
        preset=BHB["preset"],
        options=lambda wildcards: BHB["training"][training_options_of(wildcards.model)],
        pretrained=BHB["image"]["pretrained"],
        seed=config["seed"],
        code=code("bhb/train"),
    script:
        "../scripts/bhb/train.py"


def training_options_of(model):
    """The key of a network's training options in `bhb.training`."""
    if model in FUSIONS:
        return "fusion"
    return model.removesuffix("-plain") if model in ENCODERS else "end_to_end"


rule bhb_baseline:
    # One run of a classifier that is not a network (Table 8).
    input:
        dataset="results/bhb/dataset.parquet",
    output:
        predictions="results/bhb/models/{model}/run-{run}/predictions.parquet",
        training="results/bhb/models/{model}/run-{run}/training.json",
    log:
        "results/logs/bhb_baseline/{model}/{run}.log",
    benchmark:
        "results/benchmarks/bhb_baseline/{model}/run-{run}.tsv"
    wildcard_constraints:
        model="|".join(BASELINES),
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        seed=config["seed"],
        code=code("bhb/baseline"),
    script:
        "../scripts/bhb/baseline.py"


rule bhb_calibrate:
    # The run that classifies, and the thresholds of probability for the catalogue.
    input:
        trainings=bhb_run_files([BHB["model"]], "training.json"),
        fused=bhb_run_files([BHB["model"]], "predictions.parquet"),
        single=bhb_run_files(["spectrum"], "predictions.parquet"),
    output:
        "results/bhb/calibration.json",
    log:
        "results/logs/bhb_calibrate.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        purity=BHB["purity"],
        model=BHB["model"],
        code=code("bhb/calibrate"),
    script:
        "../scripts/bhb/calibrate.py"


# The files of a model set by name; in training, networks are those of all runs, of which calibration chooses one.
BHB_TRAINED = {
    "fused.keras": bhb_run_files([BHB["model"]], "model.keras"),
    "single.keras": bhb_run_files(["spectrum"], "model.keras"),
    "calibration.json": "results/bhb/calibration.json",
}
BHB_FILES = model_files("bhb", BHB_TRAINED)
CALIBRATION = BHB_FILES["calibration.json"]


def calibrated_run(wildcards):
    """The run that classifies: a new threshold alone classifies nothing again."""
    path = Path(CALIBRATION)
    return (
        json.loads(path.read_text())["run"] if path.exists() else None
    )  # evaluated again before the job runs


rule bhb_models:
    # What the search learnt, or was given, in one folder that can be published.
    input:
        fused=BHB_FILES["fused.keras"],
        single=BHB_FILES["single.keras"],
        calibration=CALIBRATION,
    output:
        model_set("bhb"),
        record=f"results/bhb/model_set/{RECORD}",
    log:
        "results/logs/bhb_models.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        set=made_set("bhb"),
        code=code("bhb/models"),
    script:
        "../scripts/bhb/models.py"


rule bhb_predict:
    input:
        spectra="results/spectra/{survey}/{bundle}.arrow",
        cutouts="results/bhb/cutouts/{survey}/{bundle}.parquet",
        calibration=ancient(CALIBRATION),
        fused=BHB_FILES["fused.keras"],
        single=BHB_FILES["single.keras"],
    output:
        "results/bhb/predictions/{survey}/{bundle}.parquet",
    log:
        "results/logs/bhb_predict/{survey}/{bundle}.log",
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=GPU,
    params:
        run=calibrated_run,
        models=set_digest("bhb"),
        spectrum=BHB["spectrum"],
        code=code("bhb/predict"),
    script:
        "../scripts/bhb/predict.py"


rule bhb_catalog:
    input:
        predictions=each_bundle("results/bhb/predictions/{survey}/{bundle}.parquet", *BHB_POOL),
        calibration=CALIBRATION,
        models=rules.bhb_models.output.record,
        dataset=of_training("bhb", "results/bhb/dataset.parquet"),
        manifests=expand("results/manifest/{survey}.parquet", survey=BHB_SURVEYS),
        catalog=lambda wildcards: [path for name in BHB_POOL if (path := catalog_of(name))],
    output:
        multiext("results/catalogs/bhb", *PRODUCTS),
        rejected="results/catalogs/bhb_rejected.parquet",
        funnel="results/catalogs/bhb_funnel.csv",
    log:
        "results/logs/bhb_catalog.log",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        store=LABELS,
        labels=label_digest_for("bhb"),
        catalog=BHB["catalog"],
        settings=BHB_PUBLISHED,
        code=code("bhb/catalog"),
    script:
        "../scripts/bhb/catalog.py"


rule bhb_evaluate:
    input:
        predictions=bhb_run_files(BHB_MODELS, "predictions.parquet"),
        calibration="results/bhb/calibration.json",
        dataset="results/bhb/dataset.parquet",
    output:
        metrics="results/bhb/metrics.parquet",
        gaps="results/bhb/gaps.parquet",
        examples="results/bhb/examples.parquet",
    log:
        "results/logs/bhb_evaluate.log",
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=code("bhb/evaluate"),
    script:
        "../scripts/bhb/evaluate.py"


rule bhb_figures:
    # All in one job: starting a job takes longer than a figure.
    input:
        catalog="results/catalogs/bhb.parquet",
        metrics=of_training("bhb", "results/bhb/metrics.parquet"),
        examples=of_training("bhb", "results/bhb/examples.parquet"),
        calibration=CALIBRATION,
        predictions=of_training("bhb", bhb_run_files(BHB_MODELS, "predictions.parquet")),
        trainings=of_training("bhb", bhb_run_files(BHB_MODELS, "training.json")),
    output:
        **figures(
            "bhb",
            "examples",
            "roc_pr",
            "weights",
            "fusion",
            "training",
            "reliability",
            "purity",
            "colours",
            "distances",
        ),
    log:
        "results/logs/bhb_figures.log",
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=code("bhb/figures"),
    script:
        "../scripts/bhb/figures.py"


rule bhb_pages:
    # Tables 2 and 5 to 8, candidates and funnel as HTML tables.
    input:
        catalog="results/catalogs/bhb.parquet",
        rejected="results/catalogs/bhb_rejected.parquet",
        funnel="results/catalogs/bhb_funnel.csv",
        metrics=of_training("bhb", "results/bhb/metrics.parquet"),
        gaps=of_training("bhb", "results/bhb/gaps.parquet"),
        counts=of_training("bhb", "results/bhb/dataset.csv"),
        dropped=of_training("bhb", "results/bhb/dataset-dropped.csv"),
    output:
        **figures(
            "bhb",
            "table5",
            "table6",
            "table7",
            "table8",
            "gaps",
            "dataset",
            "candidates",
            "funnel",
        ),
    log:
        "results/logs/bhb_pages.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("bhb/pages"),
    script:
        "../scripts/bhb/pages.py"


rule bhb:
    # The catalogue, and everything that the report shows of this search.
    input:
        rules.bhb_catalog.output,
        of_training("bhb", rules.bhb_evaluate.output),
        rules.bhb_figures.output,
        rules.bhb_pages.output,
        expand("results/manifest/{survey}-status.csv", survey=BHB_SURVEYS),


# Only simulated surveys have a truth to be scored against.
if SIMULATED:

    rule bhb_score:
        input:
            truth="results/simulated/sdss/truth.parquet",
            predictions=each_bundle("results/bhb/predictions/{survey}/{bundle}.parquet", *BHB_POOL),
            calibration=CALIBRATION,
            catalog="results/catalogs/bhb.parquet",
        output:
            card="results/scorecards/bhb.json",
            text=scorecard("bhb"),
        log:
            "results/logs/bhb_score.log",
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            code=code("bhb/score"),
        script:
            "../scripts/bhb/score.py"
