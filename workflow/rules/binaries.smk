# Double- and triple-line binaries (Li et al. 2023): CCF, components, errors, classifiers, suspects, catalogues,
# figures.
SURVEY = BINARIES["survey"]
CLASSIFIERS = ["C1", "C2a", "C2b", "C3", "C4"]
FOLDS = [f"{fold:02d}" for fold in range(BINARIES["cross_validation"]["folds"])]


rule ccf:
    input:
        spectra=f"results/spectra/{SURVEY}/{{bundle}}.arrow",
        grid=GRID,
    output:
        "results/binaries/ccf/{bundle}.arrow",
    log:
        "results/logs/ccf/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=GPU,
    params:
        ccf=BINARIES["ccf"],
        code=code("binaries/ccf"),
    script:
        "../scripts/binaries/ccf.py"


rule peaks:
    input:
        curves="results/binaries/ccf/{bundle}.arrow",
    output:
        "results/binaries/components/{bundle}.parquet",
    log:
        "results/logs/peaks/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=GPU,
    params:
        peaks=BINARIES["peaks"],
        code=code("binaries/peaks"),
    script:
        "../scripts/binaries/peaks.py"


rule errors:
    input:
        spectra=f"results/spectra/{SURVEY}/{{bundle}}.arrow",
        components="results/binaries/components/{bundle}.parquet",
        grid=GRID,
    output:
        "results/binaries/errors/{bundle}.parquet",
    log:
        "results/logs/errors/{bundle}.log",
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


rule training_set:
    # Simulated spectra through the same CCF and peak finding as the survey's.
    input:
        grid=GRID,
    output:
        "results/binaries/training/ccfs.parquet",
    log:
        "results/logs/training_set.log",
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


rule cross_validate:
    input:
        training="results/binaries/training/ccfs.parquet",
    output:
        "results/binaries/training/cv/fold-{fold}.json",
    log:
        "results/logs/cross_validate/{fold}.log",
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


rule train:
    input:
        training="results/binaries/training/ccfs.parquet",
    output:
        "results/binaries/training/models/{classifier}.keras",
    log:
        "results/logs/train/{classifier}.log",
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


rule classify:
    input:
        curves="results/binaries/ccf/{bundle}.arrow",
        components="results/binaries/components/{bundle}.parquet",
        models=expand("results/binaries/training/models/{classifier}.keras", classifier=CLASSIFIERS),
    output:
        "results/binaries/classes/{bundle}.parquet",
    log:
        "results/logs/classify/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=60,
        gpu=GPU,
    params:
        vote=BINARIES["vote"],
        code=code("binaries/predict"),
    script:
        "../scripts/binaries/predict.py"


rule suspects:
    # Light from elsewhere: the Moon, or the star on the next fibre.
    input:
        curves="results/binaries/ccf/{bundle}.arrow",
        components="results/binaries/components/{bundle}.parquet",
        errors="results/binaries/errors/{bundle}.parquet",
        manifest=ancient(f"results/manifest/{SURVEY}/{{bundle}}.parquet"),
    output:
        "results/binaries/suspects/{bundle}.parquet",
    log:
        "results/logs/suspects/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        suspects=BINARIES["suspects"],
        code=code("binaries/suspects"),
    script:
        "../scripts/binaries/suspects.py"


rule injection:
    # Detection rates of simulated binaries, for the report.
    input:
        grid=GRID,
    output:
        rates="results/binaries/injection/rates.parquet",
        flux_ratios="results/binaries/injection/flux_ratios.parquet",
    log:
        "results/logs/injection.log",
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


# Everything that decides what the catalogues hold.
BINARIES_PUBLISHED = {
    "seed": config["seed"],
    "survey": config["surveys"][SURVEY],
    "binaries": {
        key: value for key, value in BINARIES.items() if key not in ("injection", "cross_validation")
    },
}


rule catalogs:
    input:
        manifest=f"results/manifest/{SURVEY}.parquet",
        components=each_bundle("results/binaries/components/{bundle}.parquet", SURVEY),
        errors=each_bundle("results/binaries/errors/{bundle}.parquet", SURVEY),
        classes=each_bundle("results/binaries/classes/{bundle}.parquet", SURVEY),
        suspects=each_bundle("results/binaries/suspects/{bundle}.parquet", SURVEY),
        manifests=each_bundle(f"results/manifest/{SURVEY}/{{bundle}}.parquet", SURVEY),
        catalog=lambda wildcards: catalog_of(SURVEY),
        grid=GRID,
    output:
        multiext("results/catalogs/binaries_spectra", ".parquet", ".fits", ".vot"),
        multiext("results/catalogs/binaries_objects", ".parquet", ".fits", ".vot"),
        funnel="results/catalogs/binaries_funnel.csv",
    log:
        "results/logs/catalogs.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        match_radius=BINARIES["objects"]["match_radius"],
        store=LABELS,
        people=people("binaries"),
        settings=BINARIES_PUBLISHED,
        code=code("binaries/catalog"),
    script:
        "../scripts/binaries/catalog.py"


rule figure_snr:
    # One script draws every figure: params.figure is a function of starsift.searches.binaries.figures, inputs its tables.
    input:
        manifest=f"results/manifest/{SURVEY}.parquet",
        spectra="results/catalogs/binaries_spectra.parquet",
    output:
        figure("snr_magnitude", "binaries/survey", "S/N against magnitude"),
    log:
        "results/logs/figures/snr_magnitude.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        figure="snr_magnitude",
        columns={"manifest": ["snr", "gaia_g_mean_mag"]},
        code=code("binaries/figure"),
    script:
        "../scripts/binaries/figure.py"


rule examples:
    # The spectra, CCFs and derivatives that the example figure shows.
    input:
        spectra=each_bundle(f"results/spectra/{SURVEY}/{{bundle}}.arrow", SURVEY),
        curves=each_bundle("results/binaries/ccf/{bundle}.arrow", SURVEY),
        components=each_bundle("results/binaries/components/{bundle}.parquet", SURVEY),
        classes=each_bundle("results/binaries/classes/{bundle}.parquet", SURVEY),
    output:
        "results/binaries/examples.parquet",
    log:
        "results/logs/examples.log",
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


use rule figure_snr as figure_examples with:
    input:
        examples="results/binaries/examples.parquet",
    output:
        figure("examples", "binaries/components", "Spectra, CCFs and derivatives"),
    log:
        "results/logs/figures/examples.log",
    params:
        figure="examples",
        settings={key: BINARIES["peaks"][key] for key in ("ccf_threshold", "d2_threshold")},
        code=code("binaries/figure"),


use rule figure_snr as figure_errors with:
    input:
        spectra="results/catalogs/binaries_spectra.parquet",
    output:
        figure("rv_errors", "binaries/components", "Velocity errors against S/N"),
    log:
        "results/logs/figures/rv_errors.log",
    params:
        figure="rv_errors",
        code=code("binaries/figure"),


use rule figure_snr as figure_detection with:
    input:
        rates="results/binaries/injection/rates.parquet",
    output:
        figure("detection_rates", "binaries/detection", "Detection rate against velocity difference and S/N"),
    log:
        "results/logs/figures/detection_rates.log",
    params:
        figure="detection_rates",
        code=code("binaries/figure"),


use rule figure_snr as figure_flux_ratio with:
    input:
        flux_ratios="results/binaries/injection/flux_ratios.parquet",
    output:
        figure("flux_ratio", "binaries/detection", "Detection against flux ratio"),
    log:
        "results/logs/figures/flux_ratio.log",
    params:
        figure="flux_ratio",
        code=code("binaries/figure"),


use rule figure_snr as figure_exposures with:
    input:
        objects="results/catalogs/binaries_objects.parquet",
    output:
        figure("exposures", "binaries/catalog", "Number of exposures"),
    log:
        "results/logs/figures/exposures.log",
    params:
        figure="exposures",
        code=code("binaries/figure"),


use rule figure_snr as figure_differences with:
    input:
        spectra="results/catalogs/binaries_spectra.parquet",
    output:
        figure("rv_differences", "binaries/catalog", "Velocity differences"),
    log:
        "results/logs/figures/rv_differences.log",
    params:
        figure="rv_differences",
        code=code("binaries/figure"),


rule report_tables:
    # Selection, reading, cross-validation and funnel as small HTML tables.
    input:
        selection=f"results/manifest/{SURVEY}-selection.csv",
        status=f"results/manifest/{SURVEY}-status.csv",
        folds=expand("results/binaries/training/cv/fold-{fold}.json", fold=FOLDS),
        funnel="results/catalogs/binaries_funnel.csv",
    output:
        selection=figure("selection", "binaries/survey", "Selection and reading", "html"),
        cross_validation=figure(
            "cross_validation", "binaries/detection", "Cross-validation of the classifiers", "html"
        ),
        funnel=figure("funnel", "binaries/catalog", "Funnel: from candidates to binaries", "html"),
    log:
        "results/logs/figures/tables.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("binaries/pages"),
    script:
        "../scripts/binaries/pages.py"


rule binaries:
    # All that the report shows of this path, and the catalogues.
    input:
        rules.catalogs.output,
        rules.figure_snr.output,
        rules.figure_examples.output,
        rules.figure_errors.output,
        rules.figure_detection.output,
        rules.figure_flux_ratio.output,
        rules.figure_exposures.output,
        rules.figure_differences.output,
        rules.report_tables.output,
