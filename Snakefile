# starsift: sifts rare stars out of spectroscopic surveys. This file is the table of contents.
from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/common.smk"


report: REPORT_TEXT


include: "workflow/rules/survey.smk"


for search in SEARCHED:

    include: f"workflow/rules/{search}.smk"


include: "workflow/rules/publish.smk"


if SIMULATED:

    include: "workflow/rules/demo.smk"


rule all:
    default_target: True
    input:
        [getattr(rules, search).input for search in SEARCHED],
        rules.provenance.output,
        [getattr(rules, rule).output for rule in SCORES if hasattr(rules, rule)],
