# What made this run.

SURVEYS = {
    "binaries": [BINARIES["survey"]],
    "mstars": [MSTARS["survey"], MSTARS["labelled"]],
    "emission": [EMISSION["survey"]],
    "bhb": [BHB["labelled"]["survey"], *BHB["surveys"]],
}
USED = sorted({name for path in PATHS for name in SURVEYS[path]})


def provenance_inputs(wildcards):
    """Files from outside that decide what the catalogues hold, by name."""
    files = {f"catalog_{name}": catalog_of(name) for name in USED}
    # A store changes with every label of any path; the rounds' own labels are among the results.
    if Path(LABELS).suffix != ".sqlite" and ("emission" in PATHS or not made_here(LABELS)):
        files["labels"] = LABELS
    if "binaries" in PATHS:
        files["template_grid"] = GRID
    if "mstars" in PATHS:
        tables = MSTARS["catalog"] | MSTARS["sample"]
        files |= {name: tables[name] for name in ("sources", "templates") if tables[name]}
        files |= DEFINITIONS
    if "emission" in PATHS:
        files["ondrejov_labels"] = given(EMISSION["labelled"]["labels"])
    if "bhb" in PATHS:
        files["bhb_labelled"] = given(BHB["labelled"]["catalog"])
        if BHB["image"]["pretrained"]:
            files["bhb_pretrained"] = BHB["image"]["pretrained"]
    return files


rule provenance:
    # Which settings, code, packages and inputs made this run.
    input:
        unpack(provenance_inputs),
        status=expand("results/manifest/{survey}-status.csv", survey=USED),
        funnels=expand("results/catalogs/{path}_funnel.csv", path=PATHS),
        catalogs=[
            f"results/catalogs/{name}.{suffix}"
            for path in PATHS
            for name in SEARCHES[path].catalogs
            for suffix in ("parquet", "fits", "vot")
        ],
    output:
        "results/provenance.json",
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
