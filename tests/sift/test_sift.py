"""A folder of simulated spectra, searched with the model sets that come with starsift."""

import asyncio
import gzip
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from starsift.cli import main
from starsift.demo.lrs import simulate_lrs
from starsift.demo.mrs import simulate_survey
from starsift.demo.sdss import simulate_sdss
from starsift.errors import InputError, ResultsError
from starsift.review.differences import compare_runs
from starsift.review.story import tell
from starsift.sift.explain import explain
from starsift.sift.inprocess import run_workflow
from starsift.sift.like import QUEUE, find_like
from starsift.sift.run import Sifted, sift

MANY = {"n_plans": 1, "n_spectrographs": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exposures of binaries and single stars, M stars among others, an image and a file that is cut short."""
    root = tmp_path_factory.mktemp("spectra")
    simulate_survey(root / "mrs", seed=5, layout="both", n_stars=24, exposures=2, n_nights=0, **MANY)
    simulate_lrs(root / "lrs", seed=5, layout="both", n_released=10, n_unknown=90, **MANY)
    simulate_sdss(root / "sdss", seed=5, n_labelled=1, n_pool=40, size=32)
    fits.PrimaryHDU(np.ones((64, 64), np.float32)).writeto(root / "image.fits")
    whole = next((root / "lrs/spectra").rglob("*.fits.gz")).read_bytes()
    (root / "cut.fits.gz").write_bytes(whole[: len(whole) // 2])
    return root


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Sifted:
    return sift([folder], tmp_path_factory.mktemp("done") / "sift")


def truth_of(folder: Path, kind: str) -> dict[str, dict]:
    rows = pq.read_table(folder / kind / "truth.parquet").to_pylist()
    return {row["spectrum_id"]: row for row in rows}


def test_candidates_are_the_rare_stars_of_the_folder(folder: Path, done: Sifted) -> None:
    rows = done.candidates.to_pylist()
    assert {row["search"] for row in rows} >= {"binaries", "mstars"}
    stars = truth_of(folder, "lrs")
    found = [row["spectrum_id"] for row in rows if row["search"] == "mstars"]
    right = [name for name in found if stars[name]["is_m"]]
    bright = [name for name, star in stars.items() if star["is_m"] and (star["snr"] or 0) > 2]
    assert len(right) >= 0.9 * len(found)
    # The shipped set finds nine in ten of these; they are few.
    assert len(set(bright) & set(found)) >= 0.6 * len(bright) > 3
    for row in rows:
        assert 0.0 <= row["probability"] <= 1.0
        assert row["kind"]
        assert row["numbers"]
        assert row["why"]
        assert Path(row["file"]).is_file()


def test_a_stars_are_classified_with_their_images(done: Sifted) -> None:
    tables = [pq.read_table(file) for file in (done.folder / "results/bhb/predictions").rglob("*.parquet")]
    modality = [name for table in tables for name in table["modality"].to_pylist()]
    assert modality.count("spectrum+image") > 20


def test_every_candidate_has_a_picture_and_is_in_the_report(done: Sifted) -> None:
    page = (done.folder / "report.html").read_text()
    for row in done.candidates.to_pylist():
        assert (done.folder / row["picture"]).read_bytes().startswith(b"\x89PNG")
        assert f'id="{row["spectrum_id"]}"' in page
    assert (done.folder / "contact-sheet-1.png").read_bytes().startswith(b"\x89PNG")
    assert pq.read_table(done.folder / "candidates.parquet").equals(done.candidates)


def test_what_was_skipped_is_counted(done: Sifted) -> None:
    text = "\n".join(done.summary)
    assert "Skipped, not a spectrum: image.fits" in text
    assert "Skipped, truncated: cut.fits.gz" in text
    assert "LAMOST medium-resolution spectra, searched for binaries." in text


def test_sifting_again_makes_nothing_again(folder: Path, done: Sifted) -> None:
    before = {path: path.stat().st_mtime_ns for path in (done.folder / "results").rglob("*.parquet")}
    stages: list[str] = []
    again = sift([folder], done.folder, progress=lambda stage, done, total: stages.append(stage))
    assert again.candidates.equals(done.candidates)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert set(stages) == {"reading headers", "pictures"}


def test_the_story_of_a_spectrum_says_why_it_is_a_candidate_or_not(folder: Path, done: Sifted) -> None:
    results = done.folder / "results"
    first = next(row for row in done.candidates.to_pylist() if row["search"] == "binaries")
    story, picture = explain(results, first["spectrum_id"], done.folder / "explain")
    text = "\n".join(line for _, lines in story.sections for line in lines)
    assert "band == B" in text
    assert "passed" in text
    assert "models of one, two and three stars: single" in text
    assert "in the catalogue: SB" in text
    assert picture is not None
    assert picture.read_bytes().startswith(b"\x89PNG")
    rejected = next(
        name
        for name, star in truth_of(folder, "lrs").items()
        if name not in done.candidates["spectrum_id"].to_pylist()
    )
    other = "\n".join(line for _, lines in tell(results, rejected).sections for line in lines)
    assert "not in the catalogue" in other


def test_a_spectrum_that_a_cut_removed_says_which(folder: Path, done: Sifted) -> None:
    results = done.folder / "results"
    coadd = next((folder / "mrs/spectra").rglob("*.fits.gz")).name.removesuffix(".fits.gz")
    text = "\n".join(line for _, lines in tell(results, coadd).sections for line in lines)
    assert "coadd == 0: 1, NOT passed" in text
    assert "NOT passed: the spectrum is not selected" in text


def test_an_unknown_spectrum_is_refused_with_those_that_are_like_it(done: Sifted) -> None:
    known = done.candidates["spectrum_id"][0].as_py()
    with pytest.raises(InputError, match="has no such spectrum; there is"):
        tell(done.folder / "results", known[:-1])


@pytest.mark.parametrize("name", ["", "nothing", "med-1-HD1_sp01-001/minute", "a/b/c", "spec-*"])
def test_no_name_ends_in_anything_but_a_sentence(done: Sifted, name: str) -> None:
    with pytest.raises(InputError, match="has no such spectrum"):
        tell(done.folder / "results", name)


def test_a_file_that_was_skipped_says_why(done: Sifted) -> None:
    story = tell(done.folder / "results", "image")
    assert "an image of 64 x 64 pixels" in story.sections[0][1][0]


def test_other_files_in_one_folder_leave_nothing_of_the_first(folder: Path, tmp_path: Path) -> None:
    """M stars first, then a single exposure without any, and files that differ in their ending alone."""
    spectra = sorted((folder / "lrs/spectra").rglob("*.fits.gz"))[:6]
    (tmp_path / "one").mkdir()
    for number, path in enumerate(spectra):
        shutil.copy(path, tmp_path / "one" / f"s{number}.fits.gz")
    (tmp_path / "one/s0.fits").write_bytes(gzip.decompress(spectra[1].read_bytes())[:-1])
    first = sift([tmp_path / "one"], tmp_path / "out", searches=["mstars"])
    assert (first.folder / "results/catalogs/mstars.parquet").is_file()
    second = sift([folder / "lrs"], tmp_path / "out", searches=["emission"])
    assert not (second.folder / "results/catalogs/mstars.parquet").exists()
    pictures = {
        path.relative_to(second.folder).as_posix() for path in (second.folder / "pictures").glob("*/*")
    }
    assert pictures == set(second.candidates["picture"].to_pylist())


def test_examples_find_others_of_their_kind(folder: Path, done: Sifted, tmp_path: Path) -> None:
    """M stars, of which there are enough here: by name in the run, and as a file."""
    stars = truth_of(folder, "lrs")
    bright = sorted((n for n, s in stars.items() if s["is_m"]), key=lambda n: -(stars[n]["snr"] or 0))
    table, results = find_like(bright[:2], [done.folder / "results"], tmp_path / "like", number=5)
    names = table["spectrum_id"].to_pylist()
    assert len(names) == 5
    assert not set(names) & set(bright[:2])
    assert sum(stars[name]["is_m"] for name in names) >= 4
    assert (results / "mstars/like.parquet").is_file()
    assert QUEUE in {
        queue.id for queue in __import__("starsift.review.queues", fromlist=["x"]).find_queues(results)
    }
    file = next(
        path for path in (folder / "lrs/spectra").rglob("*.fits.gz") if path.name.startswith(bright[0])
    )
    again, _ = find_like([file], [done.folder], tmp_path / "again", number=5)
    assert bright[0] not in again["spectrum_id"].to_pylist()


def test_the_command_prints_candidates_and_the_next_step(
    folder: Path, done: Sifted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sift", str(folder), "--output", str(done.folder)]) == 0
    out = capsys.readouterr().out
    assert f"starsift review {done.folder / 'results'}" in out
    assert done.candidates["spectrum_id"][0].as_py() in out


def test_a_folder_without_spectra_fails_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["sift", str(tmp_path / "empty"), "--output", str(tmp_path / "out")]) == 1
    assert "no file in it ends in .fits" in capsys.readouterr().err
    assert main(["sift", "nowhere", "--search", "novae"]) == 1
    assert "--search is 'novae', it must be one of binaries" in capsys.readouterr().err


def test_a_search_that_fails_leaves_the_others_and_exit_status_1(
    folder: Path, done: Sifted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> dict[str, BaseException]:
        return {
            **run_workflow(*arguments, **options),
            "emission_predict": ResultsError("windows.arrow: no such file"),
        }

    monkeypatch.setattr("starsift.sift.inprocess.run_workflow", fail)
    assert main(["sift", str(folder), "-o", str(done.folder)]) == 1
    told = capsys.readouterr()
    assert "The search for emission-line stars failed: windows.arrow: no such file." in told.out
    assert "  SB2 " in told.out
    assert "not every search succeeded: emission; see above" in told.err


def test_the_report_names_every_file_that_was_skipped(done: Sifted) -> None:
    page = (done.folder / "report.html").read_text()
    assert "an image of 64 x 64 pixels" in page
    assert "cut.fits.gz" in page


def test_files_of_others_are_not_written_over(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(InputError, match=r"report\.html: not of starsift sift; name another folder"):
        sift([folder], tmp_path)
    assert (tmp_path / "report.html").read_text() == "mine"


def test_a_file_is_no_folder_to_write_to(folder: Path) -> None:
    with pytest.raises(InputError, match=r"image.fits: a file, not a folder; name another one with --output"):
        sift([folder], folder / "image.fits")


def changed(source: Path, target: Path, mean: float) -> None:
    """A copy of a low-resolution spectrum with other fluxes, featureless, and the same headers."""
    with fits.open(source) as hdus:
        flux = hdus[0].data[0] if hdus[0].data is not None else hdus[1].data["FLUX"]
        flux[...] = np.random.default_rng(1).normal(mean, 1.0, flux.shape)
        hdus.writeto(target, overwrite=True)


def file_of_an_m_star(folder: Path) -> Path:
    stars = truth_of(folder, "lrs")
    name = max((n for n, star in stars.items() if star["is_m"]), key=lambda n: stars[n]["snr"] or 0)
    return next((folder / "lrs/spectra").rglob(f"{name}.fits.gz"))


def test_a_damaged_copy_does_not_hide_the_star_and_a_changed_file_is_read_again(
    folder: Path, tmp_path: Path
) -> None:
    star = file_of_an_m_star(folder)
    (tmp_path / "in/a").mkdir(parents=True)
    changed(star, tmp_path / "in/a" / star.name, np.nan)
    shutil.copy(star, tmp_path / "in" / star.name)
    found = sift([tmp_path / "in"], tmp_path / "out", searches=["mstars"])
    assert found.candidates["spectrum_id"].to_pylist() == [star.name.removesuffix(".fits.gz")]
    shutil.rmtree(tmp_path / "in/a")
    changed(star, tmp_path / "in" / star.name, 100.0)
    found = sift([tmp_path / "in"], tmp_path / "out", searches=["mstars"])
    assert found.candidates.num_rows == 0


def test_spectra_without_usable_pixels_are_named(folder: Path, tmp_path: Path) -> None:
    star = file_of_an_m_star(folder)
    other = next(path for path in (folder / "lrs/spectra").rglob("*.fits.gz") if path != star)
    (tmp_path / "in").mkdir()
    shutil.copy(star, tmp_path / "in")
    changed(other, tmp_path / "in" / other.name, np.nan)
    found = sift([tmp_path / "in"], tmp_path / "out", searches=["mstars"])
    assert f"Without usable pixels, so not searched: {other.name}: nan flux." in found.summary
    assert f"{other.name}: nan flux" in (tmp_path / "out/report.html").read_text()
    with pytest.raises(InputError, match=f"no spectrum that can be used. {other.name}: nan flux"):
        sift([tmp_path / "in" / other.name], tmp_path / "alone")


def test_files_are_searched_where_an_event_loop_runs(folder: Path, done: Sifted) -> None:
    """As in a notebook."""

    async def cell() -> Sifted:
        return sift([folder], done.folder)

    # In a thread of its own: another test's browser may keep this one's event loop running.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: asyncio.run(cell())).result().candidates == done.candidates


def test_two_runs_are_compared(done: Sifted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = done.folder / "results", tmp_path / "results"
    shutil.copytree(old, new)
    assert main(["compare", str(old), str(new)]) == 0
    assert all(line.endswith("rows, the same.") for line in capsys.readouterr().out.splitlines())
    catalog = pq.read_table(new / "catalogs/mstars.parquet")
    name = catalog["spectrum_id"][0].as_py()
    pq.write_table(catalog.slice(1), new / "catalogs/mstars.parquet")
    assert main(["compare", str(old), str(new)]) == 0
    told = capsys.readouterr().out
    assert f"mstars: {catalog.num_rows} rows before, {catalog.num_rows - 1} now: 1 lost" in told
    assert f"lost   {name}: on a threshold: what was measured agrees" in told
    pool = pq.read_table(new / "mstars/pool.parquet")
    at = pool.column_names.index("p_m")
    less = pc.subtract(pool["p_m"], 0.4).cast(pa.float32())
    pq.write_table(pool.set_column(at, pool.schema.field(at), less), new / "mstars/pool.parquet")
    reasons = {row: reason for _, found in compare_runs(old, new) for row, reason in found.items()}
    assert list(reasons) == [name]
    assert reasons[name].startswith("mstars/pool.parquet p_m: 0.")
    with pytest.raises(InputError, match="no catalogue that both have"):
        list(compare_runs(old, tmp_path))
