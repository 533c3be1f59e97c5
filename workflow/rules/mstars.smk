# M stars among unclassified spectra (Guo et al. 2019): sample, codes, ranked pool, measurements, catalogue, figures.
MSTARS = config["mstars"]
POOL = sorted(MSTARS["surveys"])
LABELLED = MSTARS["labelled"]
# What line indices and subtypes are.
DEFINITIONS = {name: str(RESOURCES / "mstars" / f"{name}.csv") for name in ("indices", "subtypes")}
INPUTS_OF["mstars"] = DEFINITIONS | {
    name: path
    for name, path in (
        ("sources", MSTARS["catalog"]["sources"]),
        ("templates", MSTARS["sample"]["templates"]),
    )
    if path
}
# What the search learns, by the names of the files in a model set. With a set it needs no labelled survey.
MSTARS_MODELS = model_files("mstars", {name: f"results/mstars/{name}" for name in SEARCHES["mstars"].models})
LEARNT_FROM = [LABELLED] if trains("mstars") else []
SURVEYS_OF["mstars"] = [*POOL, *LEARNT_FROM]
POOL_OF["mstars"] = POOL
MSTARS_PUBLISHED = {
    "seed": config["seed"],
    "surveys": {name: config["surveys"][name] for name in POOL},
    **{"labelled": config["surveys"][name] for name in LEARNT_FROM},
    "mstars": {key: value for key, value in MSTARS.items() if key != "evaluation"},
}


def spectra_of_bundle(wildcards):
    """The packed spectra of a bundle, in whichever survey it is: bundles of different spectra have different names."""
    for name in POOL:
        folder = checkpoints.manifest.get(survey=name).output.bundles
        if Path(folder, f"{wildcards.bundle}.parquet").exists():
            return f"results/spectra/{name}/{wildcards.bundle}.arrow"
    return []


def table(group, name):
    """A table that the settings name, as an input. Were it missing, Snakemake would be content with old results."""
    path = MSTARS[group][name]
    if path and not is_simulated(path) and not Path(path).exists():
        raise WorkflowError(f"config: mstars.{group}.{name} is {path!r}: no such file")
    return path or []


rule mstars_dataset:
    # The training sample: M spectra drawn from clusters, and spectra of other classes.
    input:
        spectra=each_bundle(f"results/spectra/{LABELLED}/{{bundle}}.arrow", LABELLED),
        manifests=each_bundle(f"results/manifest/{LABELLED}/{{bundle}}.parquet", LABELLED),
        templates=table("sample", "templates"),
    output:
        spectra="results/mstars/sample.arrow",
        table="results/mstars/sample.parquet",
        clusters="results/mstars/clusters.parquet",
    log:
        "results/logs/mstars_dataset.log",
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        sample=MSTARS["sample"],
        seed=config["seed"],
        code=code("mstars/dataset"),
    script:
        "../scripts/mstars/dataset.py"


rule mstars_train:
    input:
        spectra="results/mstars/sample.arrow",
        table="results/mstars/sample.parquet",
    output:
        model="results/mstars/model.npz",
        reference="results/mstars/reference.parquet",
        calibration="results/mstars/calibration.json",
    log:
        "results/logs/mstars_train.log",
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        hash=MSTARS["hash"],
        seed=config["seed"],
        code=code("mstars/train"),
    script:
        "../scripts/mstars/train.py"


rule mstars_templates:
    # Mean spectra by subtype, whose velocities are known.
    input:
        spectra="results/mstars/sample.arrow",
        table="results/mstars/sample.parquet",
    output:
        "results/mstars/templates.parquet",
    log:
        "results/logs/mstars_templates.log",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        minimum_members=MSTARS["measure"]["minimum_members"],
        code=code("mstars/templates"),
    script:
        "../scripts/mstars/templates.py"


rule mstars_models:
    # What the search learnt, or was given, in one folder that can be published.
    input:
        [*MSTARS_MODELS.values()],
    output:
        model_set("mstars"),
        record=f"results/mstars/model_set/{RECORD}",
    log:
        "results/logs/mstars_models.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        set=made_set("mstars"),
        code=code("models"),
    script:
        "../scripts/models.py"


rule mstars_evaluate:
    # Methods and code lengths compared on halves of the sample that they have not seen.
    input:
        spectra="results/mstars/sample.arrow",
        table="results/mstars/sample.parquet",
    output:
        "results/mstars/evaluation.parquet",
    log:
        "results/logs/mstars_evaluate.log",
    threads: 2
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        evaluation=MSTARS["evaluation"],
        seed=config["seed"],
        code=code("mstars/evaluate"),
    script:
        "../scripts/mstars/evaluate.py"


rule mstars_encode:
    input:
        spectra=spectra_of_bundle,
        model=MSTARS_MODELS["model.npz"],
    output:
        "results/mstars/codes/{bundle}.parquet",
    log:
        "results/logs/mstars_encode/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        models=set_digest("mstars"),
        code=code("mstars/encode"),
    script:
        "../scripts/mstars/encode.py"


rule mstars_rank:
    # All bundles in one job: codes are small.
    input:
        codes=each_bundle("results/mstars/codes/{bundle}.parquet", *POOL),
        reference=MSTARS_MODELS["reference.parquet"],
        calibration=MSTARS_MODELS["calibration.json"],
    output:
        pool="results/mstars/pool.parquet",
        candidates="results/mstars/candidates.parquet",
        funnel="results/mstars/pool.csv",
    log:
        "results/logs/mstars_rank.log",
    threads: 8
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=GPU,
    params:
        search=MSTARS["search"],
        method=MSTARS["hash"]["method"],
        code=code("mstars/rank"),
    script:
        "../scripts/mstars/rank.py"


rule mstars_measure:
    input:
        **DEFINITIONS,
        spectra=spectra_of_bundle,
        candidates="results/mstars/candidates.parquet",
        templates=MSTARS_MODELS["templates.parquet"],
    output:
        "results/mstars/measurements/{bundle}.parquet",
    log:
        "results/logs/mstars_measure/{bundle}.log",
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        measure={key: value for key, value in MSTARS["measure"].items() if key != "minimum_members"},
        models=set_digest("mstars"),
        code=code("mstars/measure"),
    script:
        "../scripts/mstars/measure.py"


use rule mstars_measure as mstars_released with:
    # The M stars that the survey knew already, for comparison.
    input:
        **DEFINITIONS,
        spectra=f"results/spectra/{LABELLED}/{{bundle}}.arrow",
        manifest=ancient(f"results/manifest/{LABELLED}/{{bundle}}.parquet"),
        templates=MSTARS_MODELS["templates.parquet"],
    output:
        "results/mstars/released/{bundle}.parquet",
    log:
        "results/logs/mstars_released/{bundle}.log",


rule mstars_catalog:
    input:
        candidates="results/mstars/candidates.parquet",
        funnel="results/mstars/pool.csv",
        measurements=each_bundle("results/mstars/measurements/{bundle}.parquet", *POOL),
        manifests=expand("results/manifest/{survey}.parquet", survey=POOL),
        models=rules.mstars_models.output.record,
        released=of_training("mstars", each_bundle("results/mstars/released/{bundle}.parquet", LABELLED)),
        released_manifest=expand("results/manifest/{survey}.parquet", survey=LEARNT_FROM),
        catalog=lambda wildcards: [path for name in POOL if (path := catalog_of(name))],
        labelled=lambda wildcards: [path for name in LEARNT_FROM if (path := catalog_of(name))],
        sources=table("catalog", "sources"),
    output:
        multiext("results/catalogs/mstars", *PRODUCTS),
        vetting="results/catalogs/mstars_vetting.parquet",
        all_m="results/mstars/all_m.parquet",
        bins="results/mstars/velocity_bins.parquet",
        funnel="results/catalogs/mstars_funnel.csv",
    log:
        "results/logs/mstars_catalog.log",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        properties={key: MSTARS["catalog"][key] for key in ("match_radius", "epoch_years")}
        | MSTARS["giants"]
        | MSTARS["kinematics"],
        probability=MSTARS["catalog"]["probability"],
        store=LABELS,
        labels=label_digest_for("mstars"),
        settings=MSTARS_PUBLISHED,
        code=code("mstars/catalog"),
    script:
        "../scripts/mstars/catalog.py"


rule mstars_matches:
    # The spectra that the report shows beside a query.
    input:
        sample="results/mstars/sample.arrow",
        sample_table="results/mstars/sample.parquet",
        reference="results/mstars/reference.parquet",
        codes=each_bundle("results/mstars/codes/{bundle}.parquet", *POOL),
        spectra=each_bundle("results/spectra/{survey}/{bundle}.arrow", *POOL),
    output:
        "results/mstars/matches.parquet",
    log:
        "results/logs/mstars_matches.log",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code("mstars/matches"),
    script:
        "../scripts/mstars/matches.py"


rule mstars_figures:
    # All in one job: each takes less than starting a job does.
    input:
        evaluation=of_training("mstars", "results/mstars/evaluation.parquet"),
        matches=of_training("mstars", "results/mstars/matches.parquet"),
        released=of_training("mstars", f"results/manifest/{LABELLED}.parquet"),
        catalog="results/catalogs/mstars.parquet",
        all_m="results/mstars/all_m.parquet",
        bins="results/mstars/velocity_bins.parquet",
    output:
        **figures(
            "mstars",
            "recall_precision",
            "top_matches",
            "ranked_matches",
            "subtypes",
            "snr",
            "magnitudes",
            "subtype_comparison",
            "giants_spectra",
            "giants_photometry",
            "activity",
            "kinematics",
        ),
    log:
        "results/logs/mstars_figures.log",
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        settings={
            "recall_precision": {
                "default": MSTARS["hash"]["method"],
                "published": "PIL",
                "bits": max(MSTARS["evaluation"]["bits"]),
            },
            "giants_spectra": {"separators": MSTARS["giants"]["separators"]},
            "giants_photometry": {"separators": MSTARS["giants"]["separators"]},
            "activity": {"threshold": MSTARS["measure"]["activity_width"]},
        },
        code=code("mstars/figures"),
    script:
        "../scripts/mstars/figures.py"


rule mstars_pages:
    # The sample, the evaluation and the vetting list as HTML tables.
    input:
        sample=of_training("mstars", "results/mstars/sample.parquet"),
        clusters=of_training("mstars", "results/mstars/clusters.parquet"),
        evaluation=of_training("mstars", "results/mstars/evaluation.parquet"),
        candidates="results/catalogs/mstars_vetting.parquet",
        funnel="results/catalogs/mstars_funnel.csv",
    output:
        **figures(
            "mstars",
            "positive_sample",
            "evaluation",
            "vetting",
            "funnel",
        ),
    log:
        "results/logs/mstars_pages.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("mstars/pages"),
    script:
        "../scripts/mstars/pages.py"


rule mstars:
    # The catalogue, and all that the report shows of the search.
    input:
        rules.mstars_catalog.output,
        rules.mstars_figures.output,
        rules.mstars_pages.output,
        expand("results/manifest/{survey}-status.csv", survey=SURVEYS_OF["mstars"]),


# Only simulated surveys have a truth to be scored against.
if SIMULATED:

    rule mstars_score:
        input:
            truth="results/simulated/lrs/truth.parquet",
            pool="results/mstars/pool.parquet",
            catalog="results/catalogs/mstars.parquet",
        output:
            card="results/scorecards/mstars.json",
            text=scorecard("mstars"),
        log:
            "results/logs/mstars_score.log",
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            code=code("mstars/score"),
        script:
            "../scripts/mstars/score.py"
