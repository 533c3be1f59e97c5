# A survey that never was, and how well its binaries were found. Only `score` reads the truth.


rule simulate:
    input:
        grid=GRID,
    output:
        catalog=config["surveys"][SURVEY]["catalog"],
        truth="results/simulated/truth.parquet",
        spectra=directory(config["surveys"][SURVEY]["root"]),
    log:
        "results/logs/simulate.log",
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        simulate=config["simulate"],
        code=code("simulate"),
    script:
        "../scripts/simulate.py"


rule score:
    input:
        truth="results/simulated/truth.parquet",
        manifest=f"results/manifest/{SURVEY}.parquet",
        components=each_bundle("results/binaries/components/{bundle}.parquet", SURVEY),
        errors=each_bundle("results/binaries/errors/{bundle}.parquet", SURVEY),
        classes=each_bundle("results/binaries/classes/{bundle}.parquet", SURVEY),
        suspects=each_bundle("results/binaries/suspects/{bundle}.parquet", SURVEY),
    output:
        card="results/scorecard.json",
        text=report(
            "results/scorecard.txt",
            caption="../report/score.rst",
            category="5 Against the truth",
            labels={"figure": "Scorecard"},
        ),
    log:
        "results/logs/score.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("score"),
    script:
        "../scripts/score.py"
