# Double- and triple-line binaries (Li et al. 2023): CCF, components, errors, classifiers, suspects, catalogues,
# figures.
from starsift.searches.binaries.settings import model_settings

BINARIES = config["binaries"]
SURVEY = BINARIES["survey"]
SURVEYS_OF["binaries"] = [SURVEY]
INPUTS_OF["binaries"] = {"template_grid": GRID}
CLASSIFIERS = ["C1", "C2a", "C2b", "C3", "C4"]
# What the search learns, by the names of the files in a model set.
BINARIES_MODELS = model_files(
    "binaries",
    {f"{name}.keras": f"results/binaries/training/models/{name}.keras" for name in CLASSIFIERS}
    | {"decision.json": "results/binaries/decision/decision.json"},
)
DECISION = BINARIES_MODELS["decision.json"]
FOLDS = [f"{fold:02d}" for fold in range(BINARIES["cross_validation"]["folds"])]


wildcard_constraints:
    fold=r"\d+",
    classifier=r"C[1-4][ab]?",


rule binaries_ccf:
    input:
        spectra=f"results/spectra/{SURVEY}/{{bundle}}.arrow",
        grid=GRID,
    output:
        "results/binaries/ccf/{bundle}.arrow",
    log:
        "results/logs/binaries_ccf/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=GPU,
    params:
        ccf=BINARIES["ccf"],
        code=code("binaries/ccf"),
    script:
        "../scripts/binaries/ccf.py"


rule binaries_peaks:
    input:
        curves="results/binaries/ccf/{bundle}.arrow",
    output:
        "results/binaries/components/{bundle}.parquet",
    log:
        "results/logs/binaries_peaks/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=GPU,
    params:
        peaks=BINARIES["peaks"],
        code=code("binaries/peaks"),
    script:
        "../scripts/binaries/peaks.py"


rule binaries_errors:
    input:
        spectra=f"results/spectra/{SURVEY}/{{bundle}}.arrow",
        components="results/binaries/components/{bundle}.parquet",
        grid=GRID,
    output:
        "results/binaries/errors/{bundle}.parquet",
    log:
        "results/logs/binaries_errors/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=240,
        gpu=GPU,
    params:
        ccf=BINARIES["ccf"],
        peaks=BINARIES["peaks"],
        errors=BINARIES["errors"],
        seed=config["seed"],
        code=code("binaries/errors"),
    script:
        "../scripts/binaries/errors.py"


rule binaries_fit:
    # Models of one, two and three stars.
    input:
        spectra=f"results/spectra/{SURVEY}/{{bundle}}.arrow",
        grid=GRID,
    output:
        "results/binaries/fits/{bundle}.parquet",
    log:
        "results/logs/binaries_fit/{bundle}.log",
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=GPU,
    params:
        model=model_settings(BINARIES),
        code=code("binaries/fit"),
    script:
        "../scripts/binaries/fit.py"


rule binaries_simulate:
    # Simulated spectra of so many stars, with the models fitted to them.
    input:
        grid=GRID,
    output:
        "results/binaries/decision/sample-{stars}.parquet",
    log:
        "results/logs/binaries_simulate/{stars}.log",
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        model=model_settings(BINARIES),
        spectra=BINARIES["decision"]["spectra"],
        snr=BINARIES["training"]["snr"],
        seed=config["seed"],
        code=code("binaries/simulate"),
    script:
        "../scripts/binaries/simulate.py"


rule binaries_decide:
    # What the models' numbers say about the number of stars.
    input:
        expand("results/binaries/decision/sample-{stars}.parquet", stars=(1, 2, 3)),
    output:
        "results/binaries/decision/decision.json",
    log:
        "results/logs/binaries_decide.log",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        decision={key: BINARIES["decision"][key] for key in ("proportions", "purity")},
        seed=config["seed"],
        code=code("binaries/decide"),
    script:
        "../scripts/binaries/decide.py"


rule binaries_dataset:
    # Simulated spectra through the same CCF and peak finding as the survey's.
    input:
        grid=GRID,
    output:
        "results/binaries/training/ccfs.parquet",
    log:
        "results/logs/binaries_dataset.log",
    threads: 2
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=GPU,
    params:
        ccf=BINARIES["ccf"],
        peaks=BINARIES["peaks"],
        training=BINARIES["training"],
        seed=config["seed"],
        code=code("binaries/dataset"),
    script:
        "../scripts/binaries/dataset.py"


rule binaries_cross_validate:
    input:
        training="results/binaries/training/ccfs.parquet",
    output:
        "results/binaries/training/cv/fold-{fold}.json",
    log:
        "results/logs/binaries_cross_validate/{fold}.log",
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=GPU,
    params:
        network=BINARIES["network"],
        folds=BINARIES["cross_validation"]["folds"],
        seed=config["seed"],
        code=code("binaries/cross_validate"),
    script:
        "../scripts/binaries/cross_validate.py"


rule binaries_train:
    input:
        training="results/binaries/training/ccfs.parquet",
    output:
        "results/binaries/training/models/{classifier}.keras",
    log:
        "results/logs/binaries_train/{classifier}.log",
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=GPU,
    params:
        network=BINARIES["network"],
        seed=config["seed"],
        code=code("binaries/train"),
    script:
        "../scripts/binaries/train.py"


rule binaries_models:
    # What the search learnt, or was given, in one folder that can be published.
    input:
        [*BINARIES_MODELS.values()],
    output:
        model_set("binaries"),
        record=f"results/binaries/model_set/{RECORD}",
    log:
        "results/logs/binaries_models.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        set=made_set("binaries"),
        code=code("models"),
    script:
        "../scripts/models.py"


rule binaries_predict:
    input:
        curves="results/binaries/ccf/{bundle}.arrow",
        components="results/binaries/components/{bundle}.parquet",
        errors="results/binaries/errors/{bundle}.parquet",
        fits="results/binaries/fits/{bundle}.parquet",
        decision=DECISION,
        models=[BINARIES_MODELS[f"{classifier}.keras"] for classifier in CLASSIFIERS],
    output:
        "results/binaries/classes/{bundle}.parquet",
    log:
        "results/logs/binaries_predict/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=60,
        gpu=GPU,
    params:
        settings={"method": BINARIES["decision"]["method"], **BINARIES["vote"]},
        models=set_digest("binaries"),
        code=code("binaries/predict"),
    script:
        "../scripts/binaries/predict.py"


rule binaries_suspects:
    # Contaminated spectra: moonlight, or cross-talk from the next fibre.
    input:
        curves="results/binaries/ccf/{bundle}.arrow",
        components="results/binaries/components/{bundle}.parquet",
        classes="results/binaries/classes/{bundle}.parquet",
        manifest=ancient(f"results/manifest/{SURVEY}/{{bundle}}.parquet"),
    output:
        "results/binaries/suspects/{bundle}.parquet",
    log:
        "results/logs/binaries_suspects/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        suspects={**BINARIES["suspects"], "match_radius": BINARIES["objects"]["match_radius"]},
        code=code("binaries/suspects"),
    script:
        "../scripts/binaries/suspects.py"


rule binaries_injection:
    # Detection rates of simulated binaries, for the report.
    input:
        grid=GRID,
    output:
        rates="results/binaries/injection/rates.parquet",
        flux_ratios="results/binaries/injection/flux_ratios.parquet",
    log:
        "results/logs/binaries_injection.log",
    threads: 2
    resources:
        mem_mb=2000,
        runtime=240,
        gpu=GPU,
    params:
        ccf=BINARIES["ccf"],
        peaks=BINARIES["peaks"],
        injection=BINARIES["injection"],
        seed=config["seed"],
        code=code("binaries/injection"),
    script:
        "../scripts/binaries/injection.py"


rule binaries_completeness:
    # Which share of double-lined spectra the models find, as a catalogue.
    input:
        spectra=each_bundle(f"results/spectra/{SURVEY}/{{bundle}}.arrow", SURVEY),
        classes=each_bundle("results/binaries/classes/{bundle}.parquet", SURVEY),
        decision=DECISION,
        grid=GRID,
    output:
        multiext("results/catalogs/binaries_completeness", *PRODUCTS),
    log:
        "results/logs/binaries_completeness.log",
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        model=model_settings(BINARIES),
        completeness=BINARIES["completeness"],
        settings={
            "seed": config["seed"],
            "binaries": {
                key: BINARIES[key] for key in ("ccf", "model", "training", "decision", "completeness")
            },
        },
        code=code("binaries/completeness"),
    script:
        "../scripts/binaries/completeness.py"


# All settings that the catalogues depend on.
BINARIES_PUBLISHED = {
    "seed": config["seed"],
    "survey": config["surveys"][SURVEY],
    "binaries": {
        key: value
        for key, value in BINARIES.items()
        if key not in ("injection", "cross_validation", "completeness", "orbits")
    },
}


rule binaries_catalog:
    input:
        manifest=f"results/manifest/{SURVEY}.parquet",
        components=each_bundle("results/binaries/components/{bundle}.parquet", SURVEY),
        errors=each_bundle("results/binaries/errors/{bundle}.parquet", SURVEY),
        classes=each_bundle("results/binaries/classes/{bundle}.parquet", SURVEY),
        suspects=each_bundle("results/binaries/suspects/{bundle}.parquet", SURVEY),
        manifests=each_bundle(f"results/manifest/{SURVEY}/{{bundle}}.parquet", SURVEY),
        catalog=lambda wildcards: catalog_of(SURVEY),
        decision=DECISION,
        models=rules.binaries_models.output.record,
        grid=GRID,
    output:
        multiext("results/catalogs/binaries_spectra", *PRODUCTS),
        multiext("results/catalogs/binaries_objects", *PRODUCTS),
        multiext("results/catalogs/binaries_variables", *PRODUCTS),
        funnel="results/catalogs/binaries_funnel.csv",
        methods="results/binaries/methods.parquet",
        velocities="results/binaries/velocities.parquet",
    log:
        "results/logs/binaries_catalog.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        objects=BINARIES["objects"],
        proportions=BINARIES["decision"]["proportions"],
        store=LABELS,
        labels=label_digest_for("binaries"),
        settings=BINARIES_PUBLISHED,
        code=code("binaries/catalog"),
    script:
        "../scripts/binaries/catalog.py"


rule binaries_orbits:
    # Orbits of the stars that have many exposures.
    input:
        velocities="results/binaries/velocities.parquet",
        objects="results/catalogs/binaries_objects.parquet",
        variables="results/catalogs/binaries_variables.parquet",
        catalog=lambda wildcards: catalog_of(SURVEY),
        models=rules.binaries_models.output.record,
        grid=GRID,
    output:
        multiext("results/catalogs/binaries_orbits", *PRODUCTS),
        samples="results/binaries/orbits.parquet",
    log:
        "results/logs/binaries_orbits.log",
    threads: 2
    resources:
        mem_mb=2000,
        runtime=720,
    params:
        orbits={**BINARIES["orbits"], "stability": BINARIES["objects"]["stability"]},
        settings=BINARIES_PUBLISHED
        | {"binaries": {**BINARIES_PUBLISHED["binaries"], "orbits": BINARIES["orbits"]}},
        code=code("binaries/orbits"),
    script:
        "../scripts/binaries/orbits.py"


rule binaries_examples:
    # The spectra, CCFs and derivatives of the figure of examples.
    input:
        spectra=each_bundle(f"results/spectra/{SURVEY}/{{bundle}}.arrow", SURVEY),
        curves=each_bundle("results/binaries/ccf/{bundle}.arrow", SURVEY),
        components=each_bundle("results/binaries/components/{bundle}.parquet", SURVEY),
        classes=each_bundle("results/binaries/classes/{bundle}.parquet", SURVEY),
    output:
        "results/binaries/examples.parquet",
    log:
        "results/logs/binaries_examples.log",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings={
            "continuum_degree": BINARIES["ccf"]["continuum_degree"],
            "sigma_start": BINARIES["peaks"]["sigma_start"],
        },
        code=code("binaries/examples"),
    script:
        "../scripts/binaries/examples.py"


rule binaries_figures:
    # All in one job: each takes less than starting a job does.
    input:
        manifest=f"results/manifest/{SURVEY}.parquet",
        spectra="results/catalogs/binaries_spectra.parquet",
        objects="results/catalogs/binaries_objects.parquet",
        examples="results/binaries/examples.parquet",
        rates="results/binaries/injection/rates.parquet",
        flux_ratios="results/binaries/injection/flux_ratios.parquet",
        methods="results/binaries/methods.parquet",
        completeness="results/catalogs/binaries_completeness.parquet",
        orbits="results/catalogs/binaries_orbits.parquet",
        velocities="results/binaries/velocities.parquet",
        samples="results/binaries/orbits.parquet",
    output:
        **figures(
            "binaries",
            "orbits",
            "methods",
            "completeness",
            "snr_magnitude",
            "examples",
            "rv_errors",
            "detection_rates",
            "flux_ratio",
            "exposures",
            "rv_differences",
        ),
    log:
        "results/logs/binaries_figures.log",
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        settings={"examples": {key: BINARIES["peaks"][key] for key in ("ccf_threshold", "d2_threshold")}},
        code=code("binaries/figures"),
    script:
        "../scripts/binaries/figures.py"


rule binaries_pages:
    # Selection, reading, cross-validation and funnel as small HTML tables.
    input:
        selection=f"results/manifest/{SURVEY}-selection.csv",
        status=f"results/manifest/{SURVEY}-status.csv",
        folds=of_training("binaries", expand("results/binaries/training/cv/fold-{fold}.json", fold=FOLDS)),
        funnel="results/catalogs/binaries_funnel.csv",
        methods="results/binaries/methods.parquet",
    output:
        **figures(
            "binaries",
            "selection",
            "cross_validation",
            "funnel",
        ),
    log:
        "results/logs/binaries_pages.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("binaries/pages"),
    script:
        "../scripts/binaries/pages.py"


rule binaries:
    # The catalogues, and all that the report shows of this search.
    input:
        rules.binaries_catalog.output,
        rules.binaries_completeness.output,
        rules.binaries_orbits.output,
        rules.binaries_figures.output,
        rules.binaries_pages.output,


# Only simulated surveys have a truth to be scored against.
if SIMULATED:

    rule binaries_score:
        input:
            truth="results/simulated/mrs/truth.parquet",
            manifest=f"results/manifest/{SURVEY}.parquet",
            components=each_bundle("results/binaries/components/{bundle}.parquet", SURVEY),
            errors=each_bundle("results/binaries/errors/{bundle}.parquet", SURVEY),
            classes=each_bundle("results/binaries/classes/{bundle}.parquet", SURVEY),
            suspects=each_bundle("results/binaries/suspects/{bundle}.parquet", SURVEY),
            catalog="results/catalogs/binaries_spectra.parquet",
            orbits="results/catalogs/binaries_orbits.parquet",
        output:
            card="results/scorecards/binaries.json",
            text=scorecard("binaries"),
        log:
            "results/logs/binaries_score.log",
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            code=code("binaries/score"),
        script:
            "../scripts/binaries/score.py"
