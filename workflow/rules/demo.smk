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


def scorecard(path):
    """A scorecard as an item of the report."""
    return report(
        f"results/scorecards/{path}.txt",
        caption=f"../report/score_{path}.rst",
        category=CATEGORIES["scores"],
        labels={"figure": SEARCHES[path].title},
    )


if "binaries" in PATHS:

    rule score_binaries:
        input:
            truth="results/simulated/mrs/truth.parquet",
            manifest=f"results/manifest/{SURVEY}.parquet",
            components=each_bundle("results/binaries/components/{bundle}.parquet", SURVEY),
            errors=each_bundle("results/binaries/errors/{bundle}.parquet", SURVEY),
            classes=each_bundle("results/binaries/classes/{bundle}.parquet", SURVEY),
            suspects=each_bundle("results/binaries/suspects/{bundle}.parquet", SURVEY),
        output:
            card="results/scorecards/binaries.json",
            text=scorecard("binaries"),
        log:
            "results/logs/score_binaries.log",
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            code=code("binaries/score"),
        script:
            "../scripts/binaries/score.py"


if "mstars" in PATHS:

    rule score_mstars:
        input:
            truth="results/simulated/lrs/truth.parquet",
            pool="results/mstars/pool.parquet",
            catalog="results/catalogs/mstars.parquet",
        output:
            card="results/scorecards/mstars.json",
            text=scorecard("mstars"),
        log:
            "results/logs/score_mstars.log",
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            code=code("mstars/score"),
        script:
            "../scripts/mstars/score.py"


if "emission" in PATHS:

    def emission_predictions(wildcards):
        """Of every round, of the final network and of those without active learning."""
        stages = [Path(path).parent.name for path in all_rounds(wildcards)] + ["final"]
        stages += [f"baseline/run-{run}" for run in range(EMISSION["baseline"]["runs"])]
        return expand(
            "results/emission/{stage}/predictions/{bundle}.parquet",
            stage=stages,
            bundle=bundles(EMISSION_POOL),
        )

    rule score_emission:
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
            "results/logs/score_emission.log",
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            code=code("emission/score"),
        script:
            "../scripts/emission/score.py"


if "bhb" in PATHS:

    rule score_bhb:
        input:
            truth="results/simulated/sdss/truth.parquet",
            predictions=all_bhb_bundles("results/bhb/predictions/{survey}/{bundle}.parquet"),
            calibration="results/bhb/calibration.json",
            catalog="results/catalogs/bhb.parquet",
        output:
            card="results/scorecards/bhb.json",
            text=scorecard("bhb"),
        log:
            "results/logs/score_bhb.log",
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            code=code("bhb/score"),
        script:
            "../scripts/bhb/score.py"
