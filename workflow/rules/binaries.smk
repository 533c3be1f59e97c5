# Double- and triple-line binaries (Li et al. 2023): CCF, components, errors, classifiers, suspects.
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
        code=code("ccf"),
    script:
        "../scripts/ccf.py"


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
        code=code("peaks"),
    script:
        "../scripts/peaks.py"


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
        code=code("errors"),
    script:
        "../scripts/errors.py"


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
        code=code("training_set"),
    script:
        "../scripts/training_set.py"


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
        code=code("cross_validate"),
    script:
        "../scripts/cross_validate.py"


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
        code=code("train"),
    script:
        "../scripts/train.py"


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
        code=code("classify"),
    script:
        "../scripts/classify.py"


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
        code=code("suspects"),
    script:
        "../scripts/suspects.py"


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
        code=code("injection"),
    script:
        "../scripts/injection.py"
