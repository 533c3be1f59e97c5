# Surveys that never were, and how well their rare stars were found. Only the scores read the truth.
SIMULATE = config["simulate"]

if "mrs" in SIMULATE:

    rule simulate_mrs:
        input:
            grid=GRID,
        output:
            catalog="results/simulated/mrs/catalog.fits",
            truth="results/simulated/mrs/truth.parquet",
            spectra=directory("results/simulated/mrs/spectra"),
        log:
            "results/logs/simulate_mrs.log",
        threads: 2
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            simulate=SIMULATE["mrs"],
            code=code("demo/simulate_mrs"),
        script:
            "../scripts/demo/simulate_mrs.py"


if "lrs" in SIMULATE:

    rule simulate_lrs:
        input:
            [RESOURCES / "simulate" / f"{name}.csv" for name in ("features", "photometry", "sequence")],
        output:
            catalog="results/simulated/lrs/catalog.fits",
            unknown="results/simulated/lrs/unknown.fits",
            labelled="results/simulated/lrs/labelled.fits",
            gaia="results/simulated/lrs/gaia.parquet",
            truth="results/simulated/lrs/truth.parquet",
            spectra=directory("results/simulated/lrs/spectra"),
        log:
            "results/logs/simulate_lrs.log",
        threads: 2
        resources:
            mem_mb=4000,
            runtime=60,
        params:
            simulate=SIMULATE["lrs"],
            code=code("demo/simulate_lrs"),
        script:
            "../scripts/demo/simulate_lrs.py"


if "emission" in SIMULATE:

    rule simulate_emission:
        input:
            [
                RESOURCES / "simulate" / f"{name}.csv"
                for name in ("emission_lines", "features", "photometry", "sequence")
            ],
        output:
            labelled=directory("results/simulated/emission/ondrejov"),
            labels="results/simulated/emission/labels.csv",
            pool="results/simulated/emission/pool.fits",
            truth="results/simulated/emission/truth.parquet",
            oracle="results/simulated/emission/oracle.parquet",
            spectra=directory("results/simulated/emission/spectra"),
        log:
            "results/logs/simulate_emission.log",
        priority: 10
        threads: 2
        resources:
            mem_mb=4000,
            runtime=60,
        params:
            simulate=SIMULATE["emission"],
            code=code("demo/simulate_emission"),
        script:
            "../scripts/demo/simulate_emission.py"


if "sdss" in SIMULATE:

    rule simulate_sdss:
        input:
            RESOURCES / "simulate" / "astars.parquet",
            RESOURCES / "bhb" / "relations.csv",
        output:
            catalog="results/simulated/sdss/catalog.fits",
            labelled="results/simulated/sdss/labelled.csv",
            truth="results/simulated/sdss/truth.parquet",
            spectra=directory("results/simulated/sdss/spectra"),
            cutouts=directory("results/simulated/sdss/cutouts"),
        log:
            "results/logs/simulate_sdss.log",
        priority: 10
        threads: 2
        resources:
            mem_mb=4000,
            runtime=60,
        params:
            simulate=SIMULATE["sdss"],
            code=code("demo/simulate_sdss"),
        script:
            "../scripts/demo/simulate_sdss.py"
