# starsift: sifts rare stars out of spectroscopic surveys. This file is the table of contents.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")


# Completed and checked by common.smk.
CONFIG = str(Path(workflow.basedir, "config", "config.yaml"))


configfile: CONFIG


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/survey.smk"


if "binaries" in PATHS:

    include: "workflow/rules/binaries.smk"


if "mstars" in PATHS:

    include: "workflow/rules/mstars.smk"


if "emission" in PATHS:

    include: "workflow/rules/emission.smk"


if "bhb" in PATHS:

    include: "workflow/rules/bhb.smk"


include: "workflow/rules/publish.smk"


# Only simulated surveys have a truth to be scored against.
if "simulate" in config:

    include: "workflow/rules/demo.smk"


rule all:
    default_target: True
    input:
        [getattr(rules, path).input for path in PATHS],
        rules.provenance.output,
        [getattr(rules, f"score_{path}").output for path in PATHS] if "simulate" in config else [],
