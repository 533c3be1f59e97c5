# What people take away: catalogues, the funnel, figures for the report, provenance.

# Everything that decides what the catalogues hold.
PUBLISHED = {
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
        settings=PUBLISHED,
        code=code("catalogs"),
    script:
        "../scripts/catalogs.py"


rule provenance:
    # Which settings, code, packages and inputs made this run.
    input:
        catalog=lambda wildcards: catalog_of(SURVEY),
        grid=GRID,
        status=f"results/manifest/{SURVEY}-status.csv",
        funnel="results/catalogs/binaries_funnel.csv",
        catalogs=multiext("results/catalogs/binaries_spectra", ".parquet", ".fits", ".vot")
        + multiext("results/catalogs/binaries_objects", ".parquet", ".fits", ".vot"),
    output:
        "results/provenance.json",
    log:
        "results/logs/provenance.log",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        config=config,
        code=package_fingerprint(),
    script:
        "../scripts/provenance.py"


rule figure_snr:
    # One script draws every figure: params.figure is a function of starsift.binaries.figures, inputs its tables.
    input:
        manifest=f"results/manifest/{SURVEY}.parquet",
        spectra="results/catalogs/binaries_spectra.parquet",
    output:
        report(
            "results/figures/snr_magnitude.svg",
            caption="../report/snr_magnitude.rst",
            category="1 The survey",
            labels={"figure": "S/N against magnitude"},
        ),
    log:
        "results/logs/figures/snr_magnitude.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        figure="snr_magnitude",
        columns={"manifest": ["snr", "gaia_g_mean_mag"]},
        code=code("draw"),
    script:
        "../scripts/draw.py"


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
        code=code("examples"),
    script:
        "../scripts/examples.py"


use rule figure_snr as figure_examples with:
    input:
        examples="results/binaries/examples.parquet",
    output:
        report(
            "results/figures/examples.svg",
            caption="../report/examples.rst",
            category="2 Finding components",
            labels={"figure": "Spectra, CCFs and derivatives"},
        ),
    log:
        "results/logs/figures/examples.log",
    params:
        figure="examples",
        settings={key: BINARIES["peaks"][key] for key in ("ccf_threshold", "d2_threshold")},
        code=code("draw"),


use rule figure_snr as figure_errors with:
    input:
        spectra="results/catalogs/binaries_spectra.parquet",
    output:
        report(
            "results/figures/rv_errors.svg",
            caption="../report/rv_errors.rst",
            category="2 Finding components",
            labels={"figure": "Velocity errors against S/N"},
        ),
    log:
        "results/logs/figures/rv_errors.log",
    params:
        figure="rv_errors",
        code=code("draw"),


use rule figure_snr as figure_detection with:
    input:
        rates="results/binaries/injection/rates.parquet",
    output:
        report(
            "results/figures/detection_rates.svg",
            caption="../report/detection_rates.rst",
            category="3 What can be found",
            labels={"figure": "Detection rate against velocity difference and S/N"},
        ),
    log:
        "results/logs/figures/detection_rates.log",
    params:
        figure="detection_rates",
        code=code("draw"),


use rule figure_snr as figure_flux_ratio with:
    input:
        flux_ratios="results/binaries/injection/flux_ratios.parquet",
    output:
        report(
            "results/figures/flux_ratio.svg",
            caption="../report/flux_ratio.rst",
            category="3 What can be found",
            labels={"figure": "Detection against flux ratio"},
        ),
    log:
        "results/logs/figures/flux_ratio.log",
    params:
        figure="flux_ratio",
        code=code("draw"),


use rule figure_snr as figure_exposures with:
    input:
        objects="results/catalogs/binaries_objects.parquet",
    output:
        report(
            "results/figures/exposures.svg",
            caption="../report/exposures.rst",
            category="4 The catalogue",
            labels={"figure": "Number of exposures"},
        ),
    log:
        "results/logs/figures/exposures.log",
    params:
        figure="exposures",
        code=code("draw"),


use rule figure_snr as figure_differences with:
    input:
        spectra="results/catalogs/binaries_spectra.parquet",
    output:
        report(
            "results/figures/rv_differences.svg",
            caption="../report/rv_differences.rst",
            category="4 The catalogue",
            labels={"figure": "Velocity differences"},
        ),
    log:
        "results/logs/figures/rv_differences.log",
    params:
        figure="rv_differences",
        code=code("draw"),


rule report_tables:
    # Selection, reading, cross-validation and funnel as small HTML tables.
    input:
        selection=f"results/manifest/{SURVEY}-selection.csv",
        status=f"results/manifest/{SURVEY}-status.csv",
        folds=expand("results/binaries/training/cv/fold-{fold}.json", fold=FOLDS),
        funnel="results/catalogs/binaries_funnel.csv",
    output:
        selection=report(
            "results/figures/selection.html",
            caption="../report/selection.rst",
            category="1 The survey",
            labels={"figure": "Cuts, and what was read"},
        ),
        cross_validation=report(
            "results/figures/cross_validation.html",
            caption="../report/cross_validation.rst",
            category="3 What can be found",
            labels={"figure": "Cross-validation of the classifiers"},
        ),
        funnel=report(
            "results/figures/funnel.html",
            caption="../report/funnel.rst",
            category="4 The catalogue",
            labels={"figure": "Funnel: from candidates to binaries"},
        ),
    log:
        "results/logs/figures/tables.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("report_tables"),
    script:
        "../scripts/report_tables.py"


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
