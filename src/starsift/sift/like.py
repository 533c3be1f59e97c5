"""Spectra that look like a few examples: `starsift like`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError, ResultsError
from starsift.io.parquet import write_parquet
from starsift.review.results import Results
from starsift.searches.mstars.hashing import codes_of
from starsift.searches.mstars.likeness import rank_like
from starsift.searches.mstars.model import Model
from starsift.searches.mstars.predict import encode_batch
from starsift.sift.files import find_files, index_places
from starsift.sift.pictures import draw_sheets
from starsift.sift.settings import choose_searches, make_settings, write_settings
from starsift.spectra.batches import OK
from starsift.spectra.reading import read_spectra

QUEUE = "mstars-like"
_CODES = ("pool.parquet", "model_set/model.json")
Progress = Callable[[str, int, int], None]


def find_like(
    examples: Sequence[str | os.PathLike[str]],
    among: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    number: int = 100,
    progress: Progress = lambda stage, done, total: None,
) -> tuple[pa.Table, Path]:
    """List the spectra that are most like examples, with a contact sheet and a queue of the review app.

    Parameters
    ----------
    examples : FITS files, folders or lists of them; names of spectra among those that are searched
    among : the results of a run with codes (results/, or the folder that holds it); else folders, files and
        lists, which are encoded with the model set that comes with starsift
    folder : for like.parquet and contact-sheet-1.png, and for the results of what is encoded
    number : how many to list

    Returns the Table of `starsift.searches.mstars.likeness.LIKE`, and the folder of results that has the
    queue `QUEUE`. Raises InputError: an example cannot be read, or has no code.
    """
    output = Path(folder)
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: a file, not a folder; name another one with --output")
    if any(output.glob("contact-sheet-*.png")) and not (output / "like.parquet").is_file():
        raise InputError(f"{output}: its contact sheets are not of starsift like; name another --output")
    results = _results_of(among) or _encode(among, output, progress)
    files = sorted((results / "mstars/codes").glob("*.parquet"))
    names, codes = _encode_examples(examples, files, _model_of(results))
    output.mkdir(parents=True, exist_ok=True)
    table = rank_like(files, names, codes, number=number)
    write_parquet(table, output / "like.parquet")
    write_parquet(table, results / "mstars/like.parquet")
    shown = Results(results)
    rows = table.to_pylist()
    for row in rows:
        row |= {"search": "mstars", "kind": f"{row['distance']:.0f} bits", "probability": None}

    def spectrum_of(position: int) -> tuple[tuple[np.ndarray, np.ndarray], None]:
        wavelength, flux, _ = shown.spectrum(QUEUE, position)
        return (wavelength, flux.astype(np.float64)), None

    draw_sheets(output, rows, spectrum_of, whole=True)
    return table, results


def _results_of(among: Sequence[str | os.PathLike[str]]) -> Path | None:
    """The folder of results with codes that is meant."""
    for place in among if len(among) == 1 else ():
        for folder in (Path(place), Path(place) / "results"):
            if (folder / "mstars/codes").is_dir():
                return folder
    return None


def _encode(among: Sequence[str | os.PathLike[str]], output: Path, progress: Progress) -> Path:
    from starsift.sift.inprocess import run_workflow

    progress("reading headers", 0, 1)
    found = index_places(among, without=output / "results")
    progress("reading headers", 1, 1)
    settings = make_settings(found, choose_searches(found, ["mstars"]), {})
    output.mkdir(parents=True, exist_ok=True)
    file = write_settings(settings, found, output)
    for error in run_workflow(output, file, [f"results/mstars/{name}" for name in _CODES], progress).values():
        raise error
    return output / "results"


def _model_of(results: Path) -> Model:
    places = [results / "mstars" / name for name in ("model_set/model.npz", "model.npz")]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise ResultsError(f"{places[0]}: no such file; run the search for M stars first")
    return Model.load(found)


def _encode_examples(
    examples: Sequence[str | os.PathLike[str]], files: Sequence[Path], model: Model
) -> tuple[list[str], np.ndarray]:
    """Names and codes of examples: of the run's own spectra as they are there, of files newly made."""
    names: list[str] = []
    codes: list[np.ndarray] = []
    wanted = [str(example) for example in examples if not Path(example).exists()]
    for file in files if wanted else ():
        table = pq.read_table(file, columns=["spectrum_id", "code"])
        table = table.filter(pc.is_in(table["spectrum_id"], value_set=pa.array(wanted)))
        table = table.filter(pc.is_valid(table["code"]))
        names += table["spectrum_id"].to_pylist()
        codes += [codes_of(table["code"])] if table.num_rows else []
    if missing := [name for name in wanted if name not in names]:
        raise InputError(f"{missing[0]}: no file, and no spectrum of the run that has a code by this name")
    own = [example for example in examples if Path(example).exists()]
    if own:
        table = encode_batch(read_spectra([*map(str, find_files(own))]), model)
        for row in table.to_pylist():
            if row["status"] != OK:
                raise InputError(
                    f"{row['spectrum_id']}: this example cannot be used ({row['status'].replace('_', ' ')}); "
                    "examples are low-resolution spectra of LAMOST, or SDSS spectra"
                )
        names += table["spectrum_id"].to_pylist()
        codes.append(codes_of(table["code"]))
    return names, np.concatenate(codes)
