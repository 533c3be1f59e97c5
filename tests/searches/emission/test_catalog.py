"""From predictions and labels to the catalogue: who is a candidate, what people say, groups, links, files."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from fixtures.emission_run import DOUBLE, DULL, IDS, PER, SINGLE, label_table, manifest, profile, write_round
from fixtures.figures import put

from starsift.catalog.columns import conform
from starsift.catalog.publish import publish, read_table
from starsift.errors import ResultsError
from starsift.io.parquet import write_parquet
from starsift.learning.labels import LABELS
from starsift.searches.emission.catalog import assemble, gather_candidates, measure_candidates, with_windows
from starsift.searches.emission.columns import EMISSION
from starsift.searches.emission.labels import candidate_labels, read_round_labels
from starsift.searches.emission.line import LINES
from starsift.searches.emission.window import WAVELENGTH


def catalog(run: dict[str, Any], labels: pa.Table | None = None, **settings: Any) -> tuple[Any, ...]:
    """Catalogue, rejected and the whole funnel."""
    answers = read_round_labels(run["rounds"])
    candidates, funnel = gather_candidates(run["windows"], run["predictions"], answers)
    lines = measure_candidates(candidates, run["spectra"])
    people = candidate_labels(LABELS.empty_table() if labels is None else labels)
    settings = {"manifest": manifest(), "temperature": 1.0, "match_radius": 5.0, "link": None} | settings
    good, bad, more = assemble(candidates, lines, round_labels=answers, labels=people, **settings)
    return good, bad, funnel | more


def numbers(table: pa.Table) -> list[int]:
    return [IDS.index(name) for name in table["spectrum_id"].to_pylist()]


def test_candidates_are_predicted_or_found_by_the_oracle(run: dict[str, Any]) -> None:
    round_labels = read_round_labels(run["rounds"])
    candidates, funnel = gather_candidates(run["windows"], run["predictions"], round_labels)
    # 0 the oracle found dull; 2 and 9 are its own; the second bundle has all probabilities reversed.
    assert numbers(candidates) == [1, 2, 4, 6, 8, 9, 10, 13, 14]
    rows = candidates.to_pylist()
    predicted = [DOUBLE, DULL, SINGLE, SINGLE, SINGLE, DULL, SINGLE, DOUBLE, SINGLE]
    assert [row["predicted"] for row in rows] == predicted
    assert [row["round"] for row in rows if row["origin"] == "oracle"] == [0, 1]
    assert [row["round"] for row in rows].count(None) == 7
    steps = ["spectra in the pool", "with a window", "labelled by the oracle"]
    steps += ["predicted single peak", "predicted double peak", "emission found by the oracle"]
    assert funnel == dict(zip(steps, (16, 14, 3, 5, 2, 2), strict=True))
    # Each has its own window and probabilities, though predictions come in another order.
    assert np.argmax(rows[0]["window"]) == np.argmax(profile(20, WAVELENGTH))
    assert (rows[0]["p_single"], rows[3]["p_single"]) == pytest.approx((0.2, 0.8))


def test_without_rounds_there_is_no_oracle(run: dict[str, Any]) -> None:
    good, bad, funnel = catalog(run | {"rounds": []})
    assert numbers(good) == [0, 1, 4, 6, 8, 10, 13, 14]
    assert bad.num_rows == funnel["labelled by the oracle"] == funnel["emission found by the oracle"] == 0


def test_files_that_do_not_belong_together(run: dict[str, Any], tmp_path: Path) -> None:
    answers = read_round_labels(run["rounds"])
    with pytest.raises(ResultsError, match="predictions of another bundle than"):
        gather_candidates(run["windows"], run["predictions"][::-1], answers)
    short = tmp_path / "short" / run["predictions"][0].name
    write_parquet(pq.read_table(run["predictions"][0]).slice(2), short)
    message = r"short/.* it has 5 spectra, .* has 7 with a window, of which 2 are"
    with pytest.raises(ResultsError, match=message):
        gather_candidates(run["windows"], [short, run["predictions"][1]], answers)
    with pytest.raises(ResultsError, match="3 spectra are labelled, 1 of them are in the pool"):
        gather_candidates(run["windows"][1:], run["predictions"][1:], answers)
    with pytest.raises(ResultsError, match="no bundles"):
        gather_candidates([], [], answers.slice(0, 0))
    candidates, _ = gather_candidates(run["windows"], run["predictions"], answers)
    with pytest.raises(ResultsError, match="bundle 56301-B-2 of a candidate is not there"):
        measure_candidates(candidates, run["spectra"][:1])
    with pytest.raises(ResultsError, match=f"manifest: candidate {IDS[1]} is not in it"):
        catalog(run, manifest=manifest().slice(2))


def test_only_labels_of_candidates_vet_them(run: dict[str, Any]) -> None:
    """The truth of every spectrum is in the table, as the simulated oracle has it; it must not be used."""
    truth = label_table(*((k, "bad", "simulated") for k in range(2 * PER)), who="truth")
    rounds = label_table((6, "bad", "emission-round-00"))
    people = label_table((4, "absorption", "emission-candidates"), (8, DOUBLE, None))
    other = people.set_column(0, "search", pa.array(["mstars"] * 2))
    labels = pa.concat_tables([truth, rounds, people, other])
    good, bad, funnel = catalog(run, labels)
    assert numbers(bad) == [4]
    assert numbers(good) == [1, 2, 6, 8, 9, 10, 13, 14]
    rows = {IDS.index(row["spectrum_id"]): row for row in (*good.to_pylist(), *bad.to_pylist())}
    names = ("label", "vetted", "vetted_by", "profile", "predicted")
    assert [rows[4][name] for name in names] == ["absorption", True, "A. Reader", DULL, SINGLE]
    assert (rows[8]["label"], rows[8]["profile"], rows[8]["predicted"]) == (DOUBLE, DOUBLE, SINGLE)
    assert (rows[6]["label"], rows[6]["vetted"], rows[6]["profile"]) == (None, False, SINGLE)
    assert funnel["looked at by people"] == 5  # these two, the oracle's two, one of a precision estimate
    assert (funnel["rejected by people"], funnel["catalogue"]) == (1, 8)


def test_labels_of_the_rounds_count(run: dict[str, Any], tmp_path: Path) -> None:
    """Of a precision estimate the latest; who looked at candidates knows better, than the oracle too."""
    good, bad, _ = catalog(run)
    rows = {IDS.index(row["spectrum_id"]): row for row in good.to_pylist()}
    assert bad.num_rows == 0
    assert (rows[1]["label"], rows[1]["vetted"]) == (DOUBLE, True)  # dull in round 0, double in round 1
    assert (rows[2]["profile"], rows[2]["predicted"], rows[2]["vetted"]) == (DOUBLE, DULL, True)
    said = label_table((1, "bad", "emission-candidates"), (2, "cool star", "emission-candidates"))
    good, bad, funnel = catalog(run, said)
    assert numbers(bad) == [1, 2]
    assert bad["origin"].to_pylist() == ["predicted", "oracle"]
    assert funnel["emission found by the oracle"] == 2
    named = write_round(tmp_path, 1, [("query", 9, SINGLE), ("precision", 6, SINGLE)], "B. Watcher")
    good, _, _ = catalog(run | {"rounds": [run["rounds"][0], named]})
    who = {IDS.index(row["spectrum_id"]): row["vetted_by"] for row in good.to_pylist()}
    assert (who[9], who[6], who[2]) == ("B. Watcher", "B. Watcher", None)


def test_columns_of_the_catalogue(run: dict[str, Any]) -> None:
    listed = manifest(
        mjd=pa.array([56299] * 15 + [None], pa.int32()),
        snrr=pa.array([11.0, -9999.0] * 8, pa.float32()),
        subclass=["B6"] * 16,
        gaia_source_id=pa.array([0, 12] * 8, pa.int64()),
    )
    good, _, _ = catalog(run, manifest=listed)
    first, second = good.to_pylist()[:2]
    assert good.column_names == EMISSION.names
    assert [first[name] for name in ("designation", "obsdate")] == ["J075224.00+200000.0", "2013-01-07"]
    assert first["mjd"] == 56299
    assert (first["snrr"], second["snrr"], first["snr"]) == (None, 11.0, 21.0)
    assert (first["gaia_source_id"], second["gaia_source_id"]) == (12, None)
    assert (first["subclass"], first["class"], first["file"]) == ("B6", None, f"{IDS[1]}.fits.gz")
    # The lines were put at 20 km/s times their row; only double ones have a separation.
    rows = good.to_pylist()
    for row in rows:
        assert row["peak_velocity"] == pytest.approx(20 * (IDS.index(row["spectrum_id"]) % PER), abs=5)
        assert row["peak_separation"] is None
    assert good["ewha"].to_pylist() == pytest.approx([15.0] * len(rows), rel=0.03)
    # The local day is that after the night where the manifest does not say.
    assert catalog(run)[0]["mjd"].to_pylist()[0] == 56299


def test_probabilities_are_calibrated(run: dict[str, Any]) -> None:
    cold, warm = (catalog(run, temperature=t)[0].to_pylist()[-1] for t in (1.0, 2.0))
    p = np.sqrt([0.9, 0.05, 0.05])
    names = ("p_single", "p_double", "p_uninteresting")
    assert [cold[name] for name in names] == pytest.approx([0.9, 0.05, 0.05])
    assert [warm[name] for name in names] == pytest.approx(list(p / p.sum()))
    assert warm["p_emission"] == pytest.approx(warm["p_single"] + warm["p_double"])


def test_stars_are_groups_of_exposures(run: dict[str, Any]) -> None:
    good, _, funnel = catalog(run, label_table((6, "bad", None)))
    star = {IDS.index(row["spectrum_id"]): row for row in good.to_pylist()}
    assert [star[k]["group_id"] == star[k + 8]["group_id"] for k in (1, 2)] == [True, True]
    assert [star[k]["n_exposures"] for k in (1, 9, 2, 10, 4, 8)] == [2, 2, 2, 2, 1, 1]
    # Named after the first night; the other exposure has another designation.
    assert star[9]["group_name"] == star[1]["designation"] != star[9]["designation"]
    assert star[14]["n_exposures"] == 1  # the exposure before was rejected
    assert star[14]["group_name"] != star[14]["designation"]
    assert funnel["stars"] == 6
    apart = catalog(run, match_radius=1.0)[0]
    assert set(apart["n_exposures"].to_pylist()) == {1}


def test_links_are_filled_from_columns(run: dict[str, Any]) -> None:
    link = "https://archive.example/view?obsid={obsid}&at={designation}&ra={ra:.3f}"
    rows = catalog(run, link=link)[0].to_pylist()
    assert rows[0]["link"] == "https://archive.example/view?obsid=1001&at=J075224.00%2B200000.0&ra=118.100"
    assert catalog(run, link="https://a.example/{gaia_source_id}")[0]["link"].null_count == len(rows)
    assert set(catalog(run, link="https://a.example/")[0]["link"].to_pylist()) == {"https://a.example/"}
    assert catalog(run)[0]["link"].null_count == len(rows)
    message = r"emission.catalog.link: .* names nonsense; columns are spectrum_id"
    with pytest.raises(ResultsError, match=message):
        catalog(run, link="https://a.example/{nonsense}/{obsid}")


def test_observations_without_an_identifier(run: dict[str, Any], tmp_path: Path) -> None:
    """The first releases of LAMOST have none: no link then, and null in the catalogue."""
    for path in run["windows"]:
        write_parquet(put(pq.read_table(path), obsid=None), path)
    good = catalog(run, link="https://a.example/{obsid}")[0]
    assert good.num_rows
    assert good["obsid"].null_count == good["link"].null_count == good.num_rows
    publish(good, EMISSION, tmp_path / "emission", {"seed": 1})
    assert pq.read_table(tmp_path / "emission.parquet")["obsid"].null_count == good.num_rows


def test_all_candidates_with_their_windows(run: dict[str, Any]) -> None:
    found, _ = gather_candidates(run["windows"], run["predictions"], read_round_labels(run["rounds"]))
    good, bad, _ = catalog(run, label_table((4, "bad", None)))
    rows = with_windows(pa.concat_tables([good, bad]), found)
    assert numbers(rows) == numbers(found)
    for name in ("bundle", "row", "window"):
        assert rows[name].to_pylist() == found[name].to_pylist()


def test_the_catalogue_is_published(run: dict[str, Any], tmp_path: Path) -> None:
    good, bad, _ = catalog(run, label_table((4, "bad", None)), link="https://a.example/{obsid}")
    publish(good, EMISSION, tmp_path / "emission", {"seed": 1})
    assert conform(bad, EMISSION)["label"].to_pylist() == ["bad"]
    again = read_table(tmp_path / "emission.parquet")
    assert again["peak_velocity"].unit == "km / s"
    assert again["ewha"].meta["ucd"] == "spect.line.eqWidth;em.opt.R"
    for kind in ("fits", "vot"):
        other = Table.read(tmp_path / f"emission.{kind}")
        assert [str(name) for name in other["spectrum_id"]] == again["spectrum_id"].tolist()
    with (tmp_path / "emission.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == EMISSION.names
    assert (rows[0]["p_double"], rows[0]["round"], rows[1]["round"]) == ("0.7", "", "0")
    assert rows[0]["link"] == "https://a.example/1001"


def test_no_candidates_make_an_empty_catalogue(run: dict[str, Any], tmp_path: Path) -> None:
    for path in run["predictions"]:
        table, none = pq.read_table(path), [0.0] * (PER - 1)
        write_parquet(put(table, p_single=none, p_double=none, p_uninteresting=[1.0] * (PER - 1)), path)
    good, bad, funnel = catalog(run | {"rounds": []}, link="https://a.example/{obsid}", temperature=2.0)
    assert good.num_rows == bad.num_rows == funnel["catalogue"] == funnel["stars"] == 0
    publish(good, EMISSION, tmp_path / "emission", {})
    assert json.dumps(funnel)
    assert LINES.names[0] in good.column_names
