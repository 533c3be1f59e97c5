# starsift: sifts rare stars out of spectroscopic surveys. This file is the table of contents.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")


configfile: str(Path(workflow.basedir, "config", "config.yaml"))


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/survey.smk"
include: "workflow/rules/binaries.smk"
include: "workflow/rules/publish.smk"


# Only a simulated survey has a truth to be scored against.
if "simulate" in config:

    include: "workflow/rules/demo.smk"


rule all:
    default_target: True
    input:
        rules.binaries.input,
        rules.provenance.output,
        rules.score.output if "simulate" in config else [],
