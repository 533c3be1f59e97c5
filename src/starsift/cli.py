"""The command line: `starsift run`, `starsift sift` and others."""

import argparse
import errno
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from starsift.errors import InputError, ResultsError, StarsiftError
from starsift.resources import workflow_root

Command = Callable[[argparse.Namespace], None]
LABELS = Path("labels/starsift.sqlite")
RESULTS = Path("results")
SIFTED, LIKE, EXPLAINED = Path("sift"), Path("like"), Path("explain")
LISTED = 40  # candidates in the terminal; all are in a table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    An error that the user can do something about becomes one sentence and status 1; any other exception is a
    bug, and passes with its traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    further: list[str] = []
    if words[:1] == ["run"] and "--" in words:
        at = words.index("--")
        words, further = words[:at], words[at + 1 :]
    if sys.stdout is None:  # closed: starsift status >&-
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    try:
        try:
            options = make_parser().parse_args(words, argparse.Namespace(further=further))
            options.run(options)
        finally:  # also after --help and --version, which exit
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has read enough: starsift status | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("starsift: interrupted; run it again to go on", file=sys.stderr)
        return 130
    except (StarsiftError, OSError) as error:
        print(f"starsift: {_sentence(error)}", file=sys.stderr)
        return 1
    return 0


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.filename or 'output'}: the disk is full; make room and run again"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename2 or error.filename}: {error.strerror}"
    # A KeyError's own text is in quotes.
    return str(error.args[0] if isinstance(error, KeyError) and error.args else error)


def make_parser() -> argparse.ArgumentParser:
    """The options of all commands; `run` of the result is the function that a command stands for."""
    parser = argparse.ArgumentParser(
        prog="starsift", description="Sifts rare stars out of spectroscopic surveys."
    )
    parser.add_argument("--version", action=_PrintVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(run=run)
        return added

    _add_run_options(command("run", _run, "run the workflow on a survey"))
    _add_simulate_options(command("simulate", _simulate, "write a simulated survey with its truth"))
    _add_sift_options(command("sift", _sift, "search a folder of spectra: find what is in it"))
    _add_like_options(command("like", _like, "list the spectra that look like a few examples"))
    explain = command("explain", _explain, "tell why a spectrum is a candidate, or is not")
    explain.add_argument("spectrum", help="name of a spectrum of the run, or a FITS file on its own")
    explain.add_argument(
        "--results", type=Path, default=RESULTS, help="run that knows the spectrum (%(default)s)"
    )
    explain.add_argument(
        "-o",
        "--output",
        type=Path,
        default=EXPLAINED,
        metavar="FOLDER",
        help="where the picture goes (%(default)s)",
    )
    index = command("index", _index, "make a catalogue from the headers of a folder of FITS files")
    index.add_argument("folder", type=Path, help="folder to search, with all folders in it")
    index.add_argument("-o", "--output", type=Path, required=True, help="file to write, .parquet or .csv")
    models = command(
        "models", _models, "write the model sets of a run, small and with cards, to publish them"
    )
    models.add_argument("folder", type=Path, help="where to write: a folder for each search")
    models.add_argument("--results", type=Path, default=RESULTS, help="run that made them (%(default)s)")
    status = command("status", _status, "show the progress of a run and the spectra that could not be read")
    status.add_argument("results", type=Path, nargs="?", default=RESULTS, help="run to show (%(default)s)")
    review = command("review", _review, "look at candidates in the browser and label them")
    _add_review_options(review)
    export = command("export", _export, "write all labels to a table")
    export.add_argument("file", type=Path, metavar="FILE", help="file to write, .parquet or .csv")
    import_labels = command("import", _import_labels, "add labels from a Parquet export or a CSV file")
    _add_import_options(import_labels)
    for uses_labels in (review, export, import_labels):
        uses_labels.add_argument("--labels", type=Path, default=LABELS, help="the label store (%(default)s)")
    verify = command("verify", _verify, "say whether results belong to their inputs, settings and code")
    verify.add_argument(
        "results",
        type=Path,
        nargs="?",
        default=RESULTS,
        help="results, or their provenance.json (%(default)s)",
    )
    verify.add_argument(
        "--config",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="settings that they should have been made with",
    )
    crate = command("crate", _crate, "write a run as a Workflow Run RO-Crate, to publish it")
    crate.add_argument("results", type=Path, help="finished run")
    crate.add_argument("folder", type=Path, help="folder to write; it must not exist")
    crate.add_argument("--licence", required=True, help="of the data: an SPDX name such as CC-BY-4.0")
    crate.add_argument("--author", required=True, help="who publishes")
    crate.add_argument("--name", default="Rare stars of a survey", help="title (%(default)s)")
    compare = command("compare", _compare, "compare two runs, or two versions of a catalogue")
    compare.add_argument("old", type=Path, help="results of a run, or a catalogue")
    compare.add_argument("new", type=Path, help="the other one")
    compare.add_argument(
        "--key",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns that name a row of catalogues of others",
    )
    return parser


class _PrintVersion(argparse.Action):
    """The version is looked up only when it is wanted: that takes longer than all else here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"starsift {version('starsift')}")
        parser.exit()


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _add_run_options(run: argparse.ArgumentParser) -> None:
    run.usage = (
        "starsift run [-h] [--config FILE ...] [--cores N] [--profile NAME] [--directory FOLDER] [-n] "
        "[-- SNAKEMAKE ...]"
    )
    run.epilog = "What follows -- goes to Snakemake: its options, and files to make."
    run.add_argument(
        "--config",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="your settings, later files over earlier ones; all others have their defaults",
    )
    run.add_argument("--cores", metavar="N", help="cores to use (all, unless a profile is given)")
    run.add_argument("--profile", metavar="NAME", help="slurm, or a folder with a Snakemake profile")
    run.add_argument("--directory", type=Path, metavar="FOLDER", help="folder for the results (here)")
    run.add_argument("-n", "--dry-run", action="store_true", help="show the jobs, run none")


def _add_sift_options(sift: argparse.ArgumentParser) -> None:
    sift.add_argument(
        "places",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="folder of FITS files, a file, or a list of files (.txt)",
    )
    sift.add_argument(
        "-o", "--output", type=Path, default=SIFTED, metavar="FOLDER", help="where to write (%(default)s)"
    )
    sift.add_argument(
        "--search", action="append", metavar="NAME", help="search for these alone; may be repeated"
    )


def _add_like_options(like: argparse.ArgumentParser) -> None:
    like.add_argument(
        "examples",
        nargs="+",
        metavar="FILE",
        help="FITS file of an example, or the name of a spectrum of the run",
    )
    like.add_argument(
        "--among",
        type=Path,
        action="append",
        metavar="FOLDER",
        help=f"results of a run, or a folder of spectra; may be repeated ({RESULTS})",
    )
    like.add_argument("--number", type=_natural, default=100, help="spectra to list (%(default)s)")
    like.add_argument(
        "-o", "--output", type=Path, default=LIKE, metavar="FOLDER", help="where to write (%(default)s)"
    )


def _add_simulate_options(simulate: argparse.ArgumentParser) -> None:
    simulate.add_argument("folder", type=Path, help="where to write: spectra/, catalog.fits, truth.parquet")
    simulate.add_argument(
        "--kind",
        default="mrs",
        choices=("mrs", "lrs", "sdss"),
        help="LAMOST at medium resolution: exposures of single and multiple stars (mrs); at low resolution: "
        "M stars among UNKNOWN spectra (lrs); SDSS: A-type stars with images, some of them on the blue "
        "horizontal branch (sdss); default %(default)s",
    )
    simulate.add_argument("--seed", type=_natural, default=7, help="seed of the simulated sky (%(default)s)")
    simulate.add_argument(
        "--layout",
        default="both",
        choices=("tall", "wide", "image", "table", "both"),
        help="layout; mrs: a row a pixel as in DR6 to DR8 (tall), one row as from DR9 on (wide); lrs: "
        "an image as in DR1 to DR8 (image), a table as in DR10 (table); or both (default)",
    )
    for name, default, text in (
        ("plans", 3, "mrs, lrs: observing plans"),
        ("spectrographs", 4, "mrs, lrs: spectrographs a plan"),
        ("stars", 600, "mrs: stars"),
        ("exposures", 3, "mrs: exposures of a plan"),
        ("released", 1000, "lrs: spectra with a class"),
        ("unknown", 1000, "lrs: spectra without a class"),
        ("labelled", 1000, "sdss: spectra with a label"),
        ("pool", 1000, "sdss: spectra without a label"),
    ):
        simulate.add_argument(f"--{name}", type=_natural, default=default, help=f"{text} (%(default)s)")


def _add_review_options(review: argparse.ArgumentParser) -> None:
    review.add_argument("results", type=Path, nargs="?", default=RESULTS, help="run to show (%(default)s)")
    review.add_argument("--queue", metavar="ID", help="queue to open first, such as mstars-vetting")
    review.add_argument(
        "--user", default="", metavar="NAME", help="name that labels get; by default the page asks"
    )
    review.add_argument("--port", type=int, default=0, help="port on this machine; by default any free one")
    review.add_argument("--read-only", action="store_true", help="show labels, but save none")
    review.add_argument("--no-browser", action="store_true", help="print the URL and open nothing")


def _add_import_options(import_labels: argparse.ArgumentParser) -> None:
    import_labels.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="table with spectrum_id, label, search and, if known, vetted_by",
    )
    import_labels.add_argument(
        "--user", metavar="NAME", help="who gave the labels, where the file does not say"
    )
    import_labels.add_argument("--search", help="name of the search, where the file has no such column")
    import_labels.add_argument("--path", dest="search", help=argparse.SUPPRESS)  # its old name
    import_labels.add_argument(
        "--results",
        type=Path,
        help=f"folder of the run that the labels belong to ({RESULTS}, if there is one)",
    )


# The library is imported where it is used, so that `starsift --help` answers at once.
def _run(options: argparse.Namespace) -> None:
    command = snakemake_command(options)
    sys.stdout.flush()
    # In place of this process: signals reach Snakemake, and its exit status is that of the command.
    os.execv(command[0], command)


def snakemake_command(options: argparse.Namespace) -> list[str]:
    """The command that `starsift run` stands for.

    Raises InputError if the profile or a settings file is missing, or the folder for the results is a file;
    SettingsError if a settings file cannot be read.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow_root() / "Snakefile")]
    if options.config:
        command += ["--configfile", *(str(_find_settings(file)) for file in options.config)]
    if options.profile:
        command += ["--profile", str(_find_profile(options.profile))]
    if options.cores or not options.profile:
        command += ["--cores", options.cores or "all"]
    if options.directory:
        if options.directory.exists() and not options.directory.is_dir():
            raise InputError(f"--directory {options.directory}: a file, not a folder")
        command += ["--directory", str(options.directory)]
    if options.dry_run:
        command.append("--dry-run")
    return [*command, *options.further]


def _find_settings(file: Path) -> Path:
    """A settings file of the user's, or a shipped one such as config/demo.yaml."""
    from starsift.settings import check_file

    for path in (file.absolute(), workflow_root() / file):
        if path.is_file():
            check_file(path)
            return path
    hint = f"; single settings follow --, as in -- --config {file}" if "=" in str(file) else ""
    raise InputError(f"--config {file}: no such file{hint}")


def _find_profile(name: str) -> Path:
    """A profile of the user's, where Snakemake looks for one, or a shipped one."""
    from snakemake.cli import get_profile_dir

    shipped = workflow_root() / "profiles" / name
    if get_profile_dir(name):
        return Path(name)
    if shipped.is_dir():
        return shipped
    known = ", ".join(sorted(path.name for path in shipped.parent.iterdir() if path.name != "default"))
    raise InputError(
        f"--profile {name}: no such profile; name a folder that has a config.yaml, or one that is shipped: "
        f"{known}"
    )


def _sift(options: argparse.Namespace) -> None:
    from starsift.searches.base import likely
    from starsift.searches.registry import SEARCHES
    from starsift.sift.run import show_progress, sift

    for name in options.search or ():
        if name not in SEARCHES:
            raise InputError(f"--search is {name!r}, it must be one of {', '.join(SEARCHES)}")
    with show_progress() as progress:
        done = sift(options.places, options.output, searches=options.search, progress=progress)
    print(*done.summary, sep="\n")
    for row in done.candidates.slice(0, LISTED).to_pylist():
        print(f"  {row['kind']:24} {likely(row['probability']):9} {row['spectrum_id']}  {row['numbers']}")
    more = done.candidates.num_rows - LISTED
    if more > 0:
        print(f"  and {more} more, in {options.output / 'candidates.parquet'}")
    print(f"Report:   {options.output / 'report.html'}")
    if done.candidates.num_rows:
        print(f"Pictures: {options.output / 'pictures'}, {options.output / 'contact-sheet-1.png'}")
        words = ["starsift", "review", str(options.output / "results")]
        words += ["--labels", str(options.output / "labels" / "starsift.sqlite")]
        print(f"Review:   {shlex.join(words)}")
        first = done.candidates["spectrum_id"][0].as_py()
        print(f"Explain:  {shlex.join(['starsift', 'explain', first, '--results', str(options.output)])}")
    if done.failed:
        raise ResultsError(f"not every search succeeded: {', '.join(done.failed)}; see above")


def _like(options: argparse.Namespace) -> None:
    from starsift.sift.like import QUEUE, find_like
    from starsift.sift.run import show_progress

    if not options.among and not RESULTS.is_dir():
        raise InputError("name what to search with --among: a folder of spectra, or the results of a run")

    with show_progress() as progress:
        table, results = find_like(
            options.examples,
            options.among or [RESULTS],
            options.output,
            number=options.number,
            progress=progress,
        )
    for row in table.slice(0, LISTED).to_pylist():
        print(f"  {row['distance']:6.1f} bits  {row['spectrum_id']}")
    print(f"List:     {options.output / 'like.parquet'}")
    if table.num_rows:
        print(f"Pictures: {options.output / 'contact-sheet-1.png'}")
        print(f"Review:   {shlex.join(['starsift', 'review', str(results), '--queue', QUEUE])}")


def _explain(options: argparse.Namespace) -> None:
    from starsift.sift.explain import explain, spectra_of

    names, results = [options.spectrum], options.results
    if (results / "results").is_dir():  # the folder that a run is in
        results /= "results"
    if Path(options.spectrum).is_file():
        from starsift.sift.run import show_progress, sift

        with show_progress() as progress:
            sift([options.spectrum], options.output, progress=progress)
        results = options.output / "results"
        names = spectra_of(results)
    for name in names:
        story, picture = explain(results, name, options.output)
        print(story.spectrum_id)
        for title, lines in story.sections:
            print(f"  {title}", *(f"    {line}" for line in lines), sep="\n")
        if picture:
            print(f"  picture: {picture}")


def _simulate(options: argparse.Namespace) -> None:
    size = {"n_plans": options.plans, "n_spectrographs": options.spectrographs}
    if options.kind == "sdss":
        from starsift.demo.sdss import simulate_sdss

        simulate_sdss(options.folder, seed=options.seed, n_labelled=options.labelled, n_pool=options.pool)
    elif options.kind == "lrs":
        from starsift.demo.lrs import simulate_lrs

        size |= {"n_released": options.released, "n_unknown": options.unknown}
        simulate_lrs(options.folder, seed=options.seed, layout=options.layout, **size)
    else:
        from starsift.demo.mrs import simulate_survey

        size |= {"n_stars": options.stars, "exposures": options.exposures}
        simulate_survey(options.folder, seed=options.seed, layout=options.layout, **size)
    print(f"A simulated survey is in {options.folder}")


def _index(options: argparse.Namespace) -> None:
    from starsift.io.parquet import table_writer
    from starsift.survey.index import index_folder

    write = table_writer(options.output)  # before the headers are read, which may take hours
    table = index_folder(options.folder)
    write(table, options.output)
    n_ok = table["status"].to_pylist().count("ok")
    other = table.num_rows - n_ok
    more = f"; {other} rows have the reason why a file or spectrum cannot be used" if other else ""
    print(f"{n_ok} spectra are listed in {options.output}{more}")
    if not n_ok:
        reason = table["message"][0].as_py()
        raise InputError(f"{options.folder}: no spectrum in it can be used, the first because: {reason}")


def _models(options: argparse.Namespace) -> None:
    from starsift.searches.model_cards import publish_model_set
    from starsift.searches.registry import SEARCHES

    made = [one for one in SEARCHES.values() if (options.results / one.name / "model_set").is_dir()]
    if not made:
        raise InputError(f"{options.results}: no model set here; name the results of a run with --results")
    for search in made:
        record = publish_model_set(options.results, search, options.folder / search.name)
        size = sum((options.folder / search.name / name).stat().st_size for name in record.files)
        print(f"{search.name}: {options.folder / search.name}, {size / 1e6:.1f} MB, digest {record.digest}")


def _status(options: argparse.Namespace) -> None:
    from starsift.searches.progress import describe_results

    print(*describe_results(options.results), sep="\n")


def _review(options: argparse.Namespace) -> None:
    from starsift.review.server import serve

    serve(
        options.results,
        options.labels,
        port=options.port,
        user=options.user,
        read_only=options.read_only,
        queue=options.queue,
        browser=not options.no_browser,
    )


def _export(options: argparse.Namespace) -> None:
    from starsift.review.labels import LabelStore

    with LabelStore(options.labels, read_only=True) as store:
        table = store.export(options.file)
    print(f"{table.num_rows} labels are in {options.file}")


def _import_labels(options: argparse.Namespace) -> None:
    from starsift.learning.labels import check_words, load_labels, unmatched
    from starsift.review.labels import LabelStore
    from starsift.searches.registry import SEARCHES

    if options.search not in (None, *SEARCHES):
        raise InputError(f"--search is {options.search!r}, it must be one of {', '.join(SEARCHES)}")
    if options.results and not options.results.is_dir():
        raise InputError(f"--results {options.results}: no such folder; give the results of a run")
    labels = load_labels(options.file, search=options.search)
    check_words(options.file, labels, SEARCHES.values())  # before there is a store
    with LabelStore(options.labels) as store:
        added = store.import_labels(options.file, who=options.user, search=options.search)
    print(f"{added} labels were added to {options.labels}")
    results = options.results or RESULTS
    strangers, spectra = unmatched(labels, results)
    if spectra and strangers:
        print(f"{len(strangers)} labelled spectra are not among the {spectra} spectra of {results}:")
        print(*(f"  {name}" for name in strangers), sep="\n")


def _verify(options: argparse.Namespace) -> None:
    from starsift.catalog.provenance import verify
    from starsift.settings import check_file, complete_settings

    settings = None
    if options.config:
        settings = complete_settings({str(file): check_file(_find_settings(file)) for file in options.config})
    checks = verify(options.results, settings=settings)
    print(*(f"{check.status:8} {check.role:8} {check.name}" for check in checks), sep="\n")
    other = [check for check in checks if check.status != "ok"]
    made = [check.name for check in other if check.role in ("code", "software")]
    if made:
        print(f"Made with other code or packages: {', '.join(made)}.")
    if different := [check.name for check in other if check.role not in ("code", "software")]:
        raise InputError(
            f"{len(different)} of {len(checks)} files and settings differ from those of {options.results}, "
            f"the first is {different[0]}; restore them, or run the workflow again"
        )
    print("Inputs, settings and catalogues belong together.")


def _crate(options: argparse.Namespace) -> None:
    from starsift.catalog.crate import write_crate

    words = {"name": options.name, "licence": options.licence, "author": options.author}
    print(f"The crate is in {write_crate(options.results, options.folder, **words)}")


def _compare(options: argparse.Namespace) -> None:
    from starsift.catalog.compare import describe
    from starsift.review.differences import compare_files, compare_runs

    if options.old.is_dir() != options.new.is_dir():
        raise InputError(f"{options.old}, {options.new}: name two folders of results, or two catalogues")
    if not options.old.is_dir():
        print(*describe(compare_files(options.old, options.new, options.key)), sep="\n")
        return
    for compared, reasons in compare_runs(options.old, options.new):
        print(*describe(compared), sep="\n")
        for row, reason in reasons.items():
            print(f"  {'lost' if row in compared.lost else 'gained':6} {row}: {reason}")


if __name__ == "__main__":
    sys.exit(main())
