# From the survey's files to packed spectra: catalogue, cuts, bundles.


rule index:
    # No catalogue came with the files: make one from their headers.
    input:
        lambda wildcards: external_input(survey("root")(wildcards)),
    output:
        "results/manifest/{survey}-index.parquet",
    log:
        "results/logs/index/{survey}.log",
    resources:
        mem_mb=2000,
        runtime=600,
    params:
        root=survey("root"),
        code=code("survey/index"),
    script:
        "../scripts/survey/index.py"


checkpoint manifest:
    # Which spectra are selected, and which job will handle them.
    input:
        lambda wildcards: catalog_of(wildcards.survey),
    output:
        manifest="results/manifest/{survey}.parquet",
        selection="results/manifest/{survey}-selection.csv",
        bundles=directory("results/manifest/{survey}"),
    log:
        "results/logs/manifest/{survey}.log",
    resources:
        # A few columns of a large catalogue, and what sorting them takes.
        mem_mb=lambda wildcards, input: max(2000, 4 * int(input.size_mb)),
        runtime=120,
    params:
        catalog=survey("catalog"),
        kind=survey("kind"),
        path_template=survey("path_template"),
        columns=survey("columns"),
        root=survey("root"),
        selection=survey("selection"),
        partition=survey("partition"),
        code=code("survey/manifest"),
    script:
        "../scripts/survey/manifest.py"


rule pack:
    # Reads each file of a bundle once. What cannot be read stays as a row with its status.
    input:
        # A new manifest rewrites this file, mostly with equal content: params.content has its digest.
        manifest=ancient("results/manifest/{survey}/{bundle}.parquet"),
        simulated=simulated_files,
    output:
        spectra="results/spectra/{survey}/{bundle}.arrow",
        index="results/spectra/{survey}/{bundle}.parquet",
    log:
        "results/logs/pack/{survey}/{bundle}.log",
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        content=content("results/manifest/{survey}/{bundle}.parquet"),
        kind=survey("kind"),
        root=survey("root"),
        code=code("survey/pack"),
    script:
        "../scripts/survey/pack.py"


rule reading:
    # Number of spectra by status, and a list of the unusable ones.
    input:
        index=each_bundle("results/spectra/{survey}/{bundle}.parquet"),
        manifest="results/manifest/{survey}.parquet",
    output:
        counts="results/manifest/{survey}-status.csv",
        unusable="results/manifest/{survey}-unusable.parquet",
    log:
        "results/logs/reading/{survey}.log",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("survey/reading"),
    script:
        "../scripts/survey/reading.py"
