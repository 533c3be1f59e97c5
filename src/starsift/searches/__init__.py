"""The searches of starsift: what they are called, where their results lie, and how the report shows them."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Search:
    """One search.

    Attributes
    ----------
    title : for people
    sections : key and title of each section of the report, in its order
    stages : folders of files named after bundles, in the order in which they are made; patterns relative to
        the folder of results, {survey} the bundle's survey
    steps : what is made once, not bundle by bundle: a name in the plural, and a pattern of its files
    catalogs : names of the published catalogues
    """

    title: str
    sections: dict[str, str]
    stages: tuple[str, ...]
    steps: dict[str, str]
    catalogs: tuple[str, ...]


SEARCHES = {
    "binaries": Search(
        title="Binaries",
        sections={
            "survey": "survey",
            "components": "components",
            "detection": "detection and classification",
            "catalog": "catalogue",
        },
        stages=tuple(f"binaries/{name}" for name in ("ccf", "components", "errors", "classes", "suspects")),
        steps={
            "folds of the cross-validation": "binaries/training/cv/*.json",
            "networks": "binaries/training/models/*.keras",
        },
        catalogs=("binaries_spectra", "binaries_objects"),
    ),
    "mstars": Search(
        title="M stars",
        sections={
            "search": "search",
            "catalog": "catalogue",
            "kinds": "giants, activity, kinematics",
        },
        stages=tuple(f"mstars/{name}" for name in ("codes", "measurements", "released")),
        steps={"hash functions": "mstars/model.npz"},
        catalogs=("mstars",),
    ),
    "emission": Search(
        title="Emission-line stars",
        sections={"learning": "active learning", "catalog": "catalogue"},
        stages=(
            "emission/windows",
            "emission/round-*/predictions",
            "emission/final/predictions",
            "emission/baseline/run-*/predictions",
        ),
        steps={
            "rounds asked": "emission/round-*/query.parquet",
            "rounds labelled": "emission/round-*/labels.parquet",
            "rounds judged": "emission/round-*/round.json",
        },
        catalogs=("emission",),
    ),
    "bhb": Search(
        title="BHB stars",
        sections={"networks": "networks", "catalog": "catalogue"},
        stages=("bhb/cutouts/{survey}", "bhb/predictions/{survey}"),
        steps={"trainings": "bhb/models/*/run-*/training.json"},
        catalogs=("bhb",),
    ),
}
# Of the report of a simulated survey, the last one.
SCORES = "Scorecards"


def report_categories(searches: Iterable[str]) -> dict[str, str]:
    """Names of the report's categories, which Snakemake sorts: numbered by their place.

    A name has no colon: Snakemake makes link targets of reStructuredText of them.

    Parameters
    ----------
    searches : those that run

    Returns
    -------
    names by search and section, such as "mstars/catalog"; "scores" comes last
    """
    titles = {
        f"{name}/{key}": f"{search.title} – {section}"
        for name, search in SEARCHES.items()
        if name in set(searches)
        for key, section in search.sections.items()
    }
    titles["scores"] = SCORES
    width = len(str(len(titles)))
    return {key: f"{at:0{width}d} {title}" for at, (key, title) in enumerate(titles.items(), start=1)}
