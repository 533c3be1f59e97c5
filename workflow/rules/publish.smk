# Provenance of the run.
from starsift.settings import EXAMPLES

USED = sorted({name for search in SEARCHED for name in SURVEYS_OF[search]})


def provenance_inputs(wildcards):
    """Files from outside that decide what the catalogues hold, by name."""
    if unused := [name for name in config["surveys"] if name not in {*EXAMPLES, *USED}]:
        warn_once(f"No search of this run uses these surveys: {', '.join(unused)}.")
    files = {f"catalog_{name}": catalog_of(name) for name in USED}
    # A store changes with every label of any search; the rounds' own labels are among the results.
    if Path(LABELS).suffix != ".sqlite" and (READ_LABELS & {*SEARCHED} or not is_simulated(LABELS)):
        files["labels"] = LABELS
    for search in SEARCHED:
        files |= INPUTS_OF[search]
    return files


rule models:
    # The model set of every search, and what it scores where there is a truth.
    input:
        [f"results/{search}/model_set/{RECORD}" for search in SEARCHED if SEARCHES[search].models],
        [f"results/scorecards/{search}.json" for search in SEARCHED if SIMULATED],


# Catalogues that are written also as HATS if they are large.
HATS = (
    [f"results/catalogs/{name}.parquet" for search in SEARCHED for name in SEARCHES[search].catalogs]
    if config["publish"]["hats_rows"] is not None
    else []
)


rule hats:
    # Large catalogues, partitioned by HEALPix for LSDB.
    input:
        HATS,
    output:
        directory("results/catalogs/hats"),
    log:
        "results/logs/hats.log",
    resources:
        mem_mb=16000,
        runtime=120,
    params:
        least=config["publish"]["hats_rows"],
        code=code("publish/hats"),
    script:
        "../scripts/publish/hats.py"


rule footprint:
    # The part of the sky in which a search looked.
    input:
        lambda wildcards: expand(
            "results/manifest/{survey}.parquet",
            survey=POOL_OF.get(wildcards.search, SURVEYS_OF[wildcards.search]),
        ),
    output:
        "results/catalogs/{search}.moc.fits",
    log:
        "results/logs/footprint/{search}.log",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("publish/footprint"),
    script:
        "../scripts/publish/footprint.py"


rule provenance:
    # Which settings, code, packages and inputs made this run, and the first page of the report.
    input:
        unpack(provenance_inputs),
        status=expand("results/manifest/{survey}-status.csv", survey=USED),
        funnels=expand("results/catalogs/{search}_funnel.csv", search=SEARCHED),
        hats=rules.hats.output if HATS else [],
        footprints=expand("results/catalogs/{search}.moc.fits", search=SEARCHED),
        catalogs=[
            f"results/catalogs/{name}{ending}"
            for search in SEARCHED
            for name in SEARCHES[search].catalogs
            for ending in PRODUCTS
        ],
        scores=[
            f"results/scorecards/{search}.json"
            for search in SEARCHED
            if SIMULATED and workflow.is_rule(f"{search}_score")
        ],
    output:
        record="results/provenance.json",
        summary="results/summary.rst",
    log:
        "results/logs/provenance.log",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        config=config,
        inputs=lambda wildcards: sorted(provenance_inputs(wildcards)),
        code=package_fingerprint(),
    script:
        "../scripts/publish/provenance.py"
