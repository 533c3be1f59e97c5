"""The declaration of a search, which rules, status, review app, report and settings read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from starsift.catalog.columns import TableSchema
    from starsift.spectra.batches import SpectrumBatch
    from starsift.spectra.rows import Place

MOST_DIGITS = 4  # of a value whose error is small
# Wavelengths in air, Angstrom, as spectroscopists name the lines: NIST Atomic Spectra Database.
BALMER = {"Hα": 6562.80, "Hβ": 4861.33, "Hγ": 4340.47, "Hδ": 4101.74}


@dataclass(frozen=True)
class Figure:
    """A figure or page of the report, results/figures/<search>/<name>.<suffix>.

    Attributes
    ----------
    section : key of the section of the report that it is in
    title : as the report lists it
    suffix : svg, or html for a page
    of_training : it shows what was learnt, or from what: a run with a model set does not have it
    """

    name: str
    section: str
    title: str
    suffix: str = "svg"
    of_training: bool = False


@dataclass(frozen=True)
class Word:
    """A label that people can give in the review app.

    Attributes
    ----------
    label : as it is saved, 1 to 64 characters; never renamed once it is given, for labels in a store are kept
    key : that gives the label, a digit from 1 to 9
    label_class : what the workflow makes of the label
    description : what to look for
    """

    label: str
    key: str
    label_class: str
    description: str


@dataclass(frozen=True)
class Vocabulary:
    """The labels of a search.

    Attributes
    ----------
    name : of the search
    words : labels that people can give, in the order in which the review app shows them
    other_labels : regular expression of further labels that a table may hold; they have no class
    """

    name: str
    words: tuple[Word, ...] = ()
    other_labels: str = ""

    @property
    def classes(self) -> dict[str, str]:
        """The class of each label in a table: of the words, and of the classes themselves."""
        names = {word.label_class: word.label_class for word in self.words}
        return names | {word.label: word.label_class for word in self.words}


@dataclass(frozen=True)
class Queue:
    """Candidates to review: a table with `spectrum_id`.

    Attributes
    ----------
    id : in URLs and in the label store
    title : as the review app lists the queue
    pattern : of the table's file, relative to the folder of results. Each number that matches ``*`` makes one
        queue: it stands for ``*`` in the id, and without leading zeros in the title
    group : candidates, or round for the queries of active learning
    """

    id: str
    title: str
    pattern: str
    group: str = "candidates"


@dataclass(frozen=True)
class Brief:
    """A candidate in a line of a list.

    Attributes
    ----------
    kind : what it seems to be, such as "SB2"
    probability : that it is that, None where the search gives none
    numbers : the key measurements, with units
    why : the reason why it is a candidate, and what speaks against it
    """

    kind: str
    probability: float | None
    numbers: str
    why: str


def likely(probability: float | None) -> str:
    """A probability such as "p = 0.874"; empty where there is none."""
    if probability is None:
        return ""
    return "p > 0.999" if probability > 0.9995 else f"p = {probability:.3f}"


def measured(row: Mapping[str, Any], name: str, digits: int = 1, unit: str = "") -> str:
    """A value of a row with its error, such as "-52.1 ± 0.8 km/s"; empty where there is none."""
    value, error = row.get(name), row.get(f"{name}_err")
    if value is None:
        return ""
    while error and round(error, digits) == 0 and digits < MOST_DIGITS:
        digits += 1
    text = f"{value:.{digits}f}" if error is None else f"{value:.{digits}f} ± {error:.{digits}f}"
    return f"{text} {unit}".rstrip()


# Of a candidate's row and the place of its spectrum: the contents of panels by their names, arrays in them.
Panels = Callable[[Mapping[str, Any], "Place"], dict[str, Any]]
# Of a candidate's row and a batch of its spectrum alone: wavelengths (m,) in Angstrom, and curves (m,) in the
# unit of the flux by the names that people see; none where it has no model.
Models = Callable[[Mapping[str, Any], "SpectrumBatch"], "tuple[np.ndarray, dict[str, np.ndarray]]"]


@dataclass(frozen=True)
class View:
    """What the review app shows of the candidates of a search, in its module `review`.

    Attributes
    ----------
    lines : wavelengths of spectral lines in air, Angstrom
    window : vacuum wavelengths that the page zooms to, Angstrom; by default the middle of the spectrum
    columns : of the queue's table, in their order; by default every column that is one value
    table : published table that has units and descriptions of columns, where the queue's file has none
    velocity : column with the radial velocity of the lines, km/s
    panels : from the folder of results and the search's settings in the run, a function that makes panels:
        ``ccf``, ``nearest``, ``images`` and ``probabilities`` are what the page can show
    brief : of a candidate's row, all its columns, the line of a list
    story : of any spectrum, sentences that compare what was measured with the thresholds: from the folder of
        results, the spectrum's row in each stage and catalogue by name, and the search's settings in the run
    models : from the folder of results and all settings of the run, a function that makes the model that the
        page draws over a spectrum when a person asks for it: unlike panels it may take a second
    """

    lines: Mapping[str, float] = field(default_factory=lambda: BALMER)
    window: tuple[float, float] | None = None
    columns: tuple[str, ...] = ()
    table: TableSchema | None = None
    velocity: str = "rv"
    panels: Callable[[Path, Mapping[str, Any]], Panels] | None = None
    brief: Callable[[Mapping[str, Any]], Brief] | None = None
    story: Callable[[Path, Mapping[str, dict[str, Any]], Mapping[str, Any]], Iterable[str]] | None = None
    models: Callable[[Path, Mapping[str, Any]], Models] | None = None


@dataclass(frozen=True, kw_only=True)
class Search(Vocabulary):
    """One search: a folder `searches/<name>`, a file `workflow/rules/<name>.smk`, a line of the registry.

    Attributes
    ----------
    name : of folder, rules, settings and results; see also `Vocabulary`
    title : for people
    reference : the paper whose method it is
    kinds : of surveys that can be searched
    sections : key and title of each section of the report, in its order
    stages : folders of files named after bundles, in the order in which they are made; patterns relative to
        the folder of results, {survey} the bundle's survey
    steps : results made once, not for each bundle: a name in the plural, and a pattern of their files
    pools : tables of all spectra beside the stages, relative to the folder of results
    catalogs : names of the published catalogues
    figures : what the report shows
    queues : candidates that people review
    models : names of the files of a model set; empty: the search learns nothing
    learning : settings that these depend on
    bound : settings that must be as those that a model set was made with
    learnt_from, limits : of a model set, sentences for its card
    sifts : kinds of survey that the model set that comes with starsift knows
    subclasses : regular expression of the subclasses that it knows; empty: all
    """

    title: str
    reference: str
    kinds: tuple[str, ...]
    sections: dict[str, str]
    stages: tuple[str, ...]
    steps: dict[str, str]
    catalogs: tuple[str, ...]
    figures: tuple[Figure, ...] = ()
    queues: tuple[Queue, ...] = ()
    pools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    learning: tuple[str, ...] = ()
    bound: tuple[str, ...] = ()
    learnt_from: str = ""
    limits: str = ""
    sifts: tuple[str, ...] = ()
    subclasses: str = ""

    @property
    def stars(self) -> str:
        """The title inside a sentence: M stars, binaries."""
        return self.title[0].lower() + self.title[1:] if self.title[1].islower() else self.title

    def module(self, role: str) -> ModuleType:
        """A module of the search's folder, by its role: the same roles have the same names everywhere."""
        return import_module(f"starsift.searches.{self.name}.{role}")

    def view(self) -> View:
        """What the review app shows: `VIEW` of the module `review`, or the default where there is none."""
        if find_spec(f"starsift.searches.{self.name}.review") is None:
            return View()
        view: View = self.module("review").VIEW
        return view

    def schema(self, catalog: str) -> TableSchema:
        """The columns of a published catalogue."""
        from starsift.catalog.columns import TableSchema

        declared = vars(self.module("columns")).values()
        return next(one for one in declared if isinstance(one, TableSchema) and one.name == catalog)

    def figure(self, name: str) -> Figure:
        """The figure of a name."""
        return next(figure for figure in self.figures if figure.name == name)
