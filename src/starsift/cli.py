"""The command line: `starsift simulate | index | status | review | export | import | verify`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

LABELS = Path("labels/starsift.sqlite")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error that a user can mend becomes one sentence and exit status 1."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has enough: starsift status | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, KeyError, OSError) as error:
        message: object = error
        if isinstance(error, KeyError) and error.args:
            message = error.args[0]
        elif isinstance(error, OSError) and error.filename is not None:
            message = f"{error.filename2 or error.filename}: {error.strerror}"
        print(f"starsift: {message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="starsift",
        description="Sifts rare stars out of spectroscopic surveys. The survey itself is run by Snakemake.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    simulate = commands.add_parser("simulate", help="write a simulated survey with its truth")
    simulate.add_argument("folder", type=Path, help="where to write: spectra/, catalog.fits, truth.parquet")
    simulate.add_argument(
        "--kind",
        default="mrs",
        choices=("mrs", "lrs", "sdss"),
        help="LAMOST at medium resolution: exposures of single and multiple stars (mrs); at low resolution: "
        "M stars among UNKNOWN spectra (lrs); SDSS: A-type stars with images, some of them on the blue "
        "horizontal branch (sdss); default %(default)s",
    )
    simulate.add_argument("--seed", type=int, default=7, help="of the simulated sky (%(default)s)")
    simulate.add_argument(
        "--layout",
        default="both",
        choices=("tall", "wide", "image", "table", "both"),
        help="of the files; mrs: a row a pixel as in DR6 to DR8 (tall), one row as from DR9 on (wide); lrs: "
        "an image as until DR7 (image), a table as from DR8 on (table); or both (default)",
    )
    simulate.add_argument("--plans", type=int, default=3, help="mrs, lrs: observing plans (%(default)s)")
    simulate.add_argument(
        "--spectrographs", type=int, default=4, help="mrs, lrs: spectrographs a plan (%(default)s)"
    )
    simulate.add_argument("--stars", type=int, default=600, help="mrs: stars (%(default)s)")
    simulate.add_argument("--exposures", type=int, default=3, help="mrs: exposures of a plan (%(default)s)")
    simulate.add_argument(
        "--released", type=int, default=1000, help="lrs: spectra with a class (%(default)s)"
    )
    simulate.add_argument("--unknown", type=int, default=1000, help="lrs: spectra without (%(default)s)")
    simulate.add_argument(
        "--labelled", type=int, default=1000, help="sdss: spectra with a label (%(default)s)"
    )
    simulate.add_argument("--pool", type=int, default=1000, help="sdss: spectra without (%(default)s)")
    simulate.set_defaults(run=_simulate)

    index = commands.add_parser("index", help="make a catalogue from the headers of a folder of FITS files")
    index.add_argument("folder", type=Path, help="searched with all folders in it")
    index.add_argument("--output", type=Path, required=True, help="Parquet file to write")
    index.set_defaults(run=_index)

    status = commands.add_parser(
        "status", help="show the progress of a run and the spectra that could not be read"
    )
    status.add_argument("results", type=Path, nargs="?", default=Path("results"), help="(%(default)s)")
    status.set_defaults(run=_status)

    review = commands.add_parser("review", help="look at candidates in the browser and label them")
    review.add_argument(
        "results", type=Path, nargs="?", default=Path("results"), help="folder of the run (%(default)s)"
    )
    review.add_argument("--queue", metavar="ID", help="to open first, such as mstars-vetting")
    review.add_argument("--user", default="", metavar="NAME", help="who labels; by default the page asks")
    review.add_argument("--port", type=int, default=0, help="on this machine; by default any free one")
    review.add_argument("--read-only", action="store_true", help="show labels, take none")
    review.add_argument("--no-browser", action="store_true", help="print the URL and open nothing")
    review.set_defaults(run=_review)

    export = commands.add_parser(
        "export", help="write all labels as Parquet, the same bytes for the same labels"
    )
    export.add_argument("file", type=Path, metavar="FILE.parquet")
    export.set_defaults(run=_export)

    import_labels = commands.add_parser("import", help="add labels from a Parquet export or a CSV file")
    import_labels.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="columns spectrum_id, label, search and, if known, vetted_by, ...",
    )
    import_labels.add_argument("--user", metavar="NAME", help="who gave labels that do not tell")
    import_labels.add_argument("--search", help="name of the search, where the file has no such column")
    import_labels.add_argument("--path", dest="search", help=argparse.SUPPRESS)  # its old name
    import_labels.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        help="folder of the run whose spectra the labels should be of (%(default)s)",
    )
    import_labels.set_defaults(run=_import_labels)

    for command in (review, export, import_labels):
        command.add_argument("--labels", type=Path, default=LABELS, help="the label store (%(default)s)")

    verify = commands.add_parser("verify", help="compare inputs and catalogues with recorded checksums")
    verify.add_argument(
        "provenance", type=Path, nargs="?", default=Path("results/provenance.json"), help="(%(default)s)"
    )
    verify.set_defaults(run=_verify)
    return parser


# The library is imported where it is used, so that `starsift --help` answers at once.
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
    from starsift.io.parquet import write_parquet
    from starsift.survey.index import index_folder

    table = index_folder(options.folder)
    write_parquet(table, options.output)
    n_ok = table["status"].to_pylist().count("ok")
    other = table.num_rows - n_ok
    more = f"; {other} rows tell why a file or spectrum is none to use" if other else ""
    print(f"{n_ok} spectra are listed in {options.output}{more}")


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
        raise ValueError(f"--search is {options.search!r}, it must be one of {', '.join(SEARCHES)}")
    labels = load_labels(options.file, search=options.search)
    check_words(options.file, labels, SEARCHES.values())  # before there is a store
    with LabelStore(options.labels) as store:
        added = store.import_labels(options.file, who=options.user, search=options.search)
    print(f"{added} labels were added to {options.labels}")
    strangers, spectra = unmatched(labels, options.results)
    if spectra and strangers:
        print(f"{len(strangers)} labelled spectra are none of the {spectra} of {options.results}:")
        print(*(f"  {name}" for name in strangers), sep="\n")


def _verify(options: argparse.Namespace) -> None:
    from starsift.catalog.provenance import verify

    checks = verify(options.provenance)
    print(*(f"{check.status:8} {check.role:7} {check.path}" for check in checks), sep="\n")
    different = [check.path for check in checks if check.status != "ok"]
    if different:
        raise ValueError(
            f"{len(different)} of {len(checks)} files are not those of {options.provenance}, the first is "
            f"{different[0]}; restore them, or run the workflow again"
        )


if __name__ == "__main__":
    sys.exit(main())
