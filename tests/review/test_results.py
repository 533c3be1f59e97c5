"""Queues of candidates, and what is shown of one: against the arrays that went into the results."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.figures import put
from fixtures.review_files import KNOWN, LRS, MRS, SDSS, VELOCITIES, Truth, add_round, rewrite

from starsift import searches
from starsift.errors import NotFoundError, ResultsError
from starsift.io.parquet import write_parquet
from starsift.review.facts import links
from starsift.review.results import RUN_SETTINGS, Results, run_settings, spectral_lines
from starsift.searches.base import Models, View
from starsift.searches.binaries.peaks import cosine_basis, smoothed_derivatives
from starsift.searches.mstars.hamming import nearest_codes
from starsift.searches.registry import SEARCHES
from starsift.spectra.batches import write_bundle, write_index


def decode(text: str, kind: str = "<f4") -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def wavelength_of(grid: dict[str, Any]) -> np.ndarray:
    if "wavelength" in grid:
        return decode(grid["wavelength"])
    return 10.0 ** (grid["log10_lambda0"] + grid["dlog10_lambda"] * np.arange(grid["n"]))


def test_queues_of_every_search(results: Results) -> None:
    found = {id: (q.search, q.group, len(q.ids)) for id, q in results.queues().items()}
    assert found == {
        "binaries-spectra": ("binaries", "candidates", 4),
        "mstars-vetting": ("mstars", "candidates", 4),
        "bhb-candidates": ("bhb", "candidates", 2),
        "emission-round-00": ("emission", "round", 3),
    }


def test_a_spectrum_queried_for_two_reasons_comes_once_and_first(results: Results) -> None:
    queue = results.queue("emission-round-00")
    assert queue.ids == (LRS[5], LRS[1], LRS[0])
    assert [queue.value("purpose", at) for at in range(3)] == ["query", "query", "precision"]
    assert results.item("emission-round-00", 2)["spectrum_id"] == LRS[0]


def test_a_round_that_comes_later_is_found(truth: Truth) -> None:
    results = Results(truth.folder)
    before = results.queues()
    add_round(truth, 1, [3, 4])
    assert set(results.queues()) - set(before) == {"emission-round-01"}
    assert results.queue("emission-round-01").ids == (LRS[3], LRS[4])
    assert results.item("emission-round-01", 1)["spectrum_id"] == LRS[4]


@pytest.mark.parametrize(
    ("queue", "position", "bundle", "row"),
    [
        ("binaries-spectra", 2, "night", 3),
        ("binaries-spectra", 3, "night", 5),
        ("mstars-vetting", 0, "plan", 6),
        ("emission-round-00", 0, "plan", 5),
        ("bhb-candidates", 1, "plate", 1),
    ],
)
def test_the_spectrum_is_the_packed_one(
    results: Results, written: Truth, queue: str, position: int, bundle: str, row: int
) -> None:
    item = results.item(queue, position)
    batch = written.spectra[bundle]
    assert item["spectrum_id"] == batch.identity["spectrum_id"][row].as_py()
    np.testing.assert_array_equal(decode(item["flux"]), batch.flux[row])
    np.testing.assert_allclose(wavelength_of(item["spectrum"]), batch.wavelength[row], rtol=1e-7)
    assert item["spectrum"]["n"] == batch.flux.shape[1]
    good = decode(item["good"], "u1").astype(bool)
    # The flux without weight is shown, without an error; what the survey masked is not.
    assert np.flatnonzero(~good).tolist() == [30]
    error = decode(item["error"])
    assert np.flatnonzero(error == 0).tolist() == [20, 30]
    np.testing.assert_allclose(error[error > 0], 30.0, rtol=1e-6)
    assert item["ra"] == pytest.approx(batch.identity["ra"][row].as_py())
    assert item["search"] == results.queue(queue).search
    json.dumps(item, allow_nan=False)


def test_derivatives_are_those_of_the_search_for_peaks(results: Results, written: Truth) -> None:
    item = results.item("binaries-spectra", 2)
    extras = item["extras"]["ccf"]
    velocity, ccf = decode(extras["velocity"]), decode(extras["ccf"])
    np.testing.assert_array_equal(velocity, VELOCITIES.astype(np.float32))
    np.testing.assert_array_equal(ccf, written.ccf[3])
    basis = cosine_basis(VELOCITIES, 13.0)
    smooth, d2, _ = smoothed_derivatives(written.ccf[3:4] @ basis.analysis, basis, extras["sigma"])
    np.testing.assert_allclose(decode(extras["smooth"]), smooth[0], atol=1e-6)
    np.testing.assert_allclose(decode(extras["d2"]), d2[0], atol=1e-9)
    slope = np.gradient(decode(extras["smooth"]), velocity)
    np.testing.assert_allclose(slope, decode(extras["d1"]), atol=1e-6)
    # At each velocity: the third derivative crosses zero, the curve is above and d2 below its threshold.
    assert len(extras["rv"]) == 2
    for rv in extras["rv"]:
        d3 = decode(extras["d3"])
        assert np.interp(rv - 2, velocity, d3) < 0 < np.interp(rv + 2, velocity, d3)
        assert abs(np.interp(rv, velocity, d3)) < 0.02 * np.abs(d3).max()
        assert np.interp(rv, velocity, decode(extras["smooth"])) > extras["ccf_threshold"]
        assert np.interp(rv, velocity, decode(extras["d2"])) < extras["d2_threshold"]
    low, high = smooth.min(), smooth.max()
    assert extras["ccf_threshold"] == pytest.approx(low + 0.6 * (high - low))
    assert item["rv"] == pytest.approx(extras["rv"][0])


def test_thresholds_come_from_the_run(truth: Truth) -> None:
    peaks = {"sigma_start": 13, "ccf_threshold": 0.9, "d2_threshold": 0.1}
    record = {"settings": {"binaries": {"survey": "mrs", "peaks": peaks}}}
    (truth.folder / "provenance.json").write_text(json.dumps(record))
    extras = Results(truth.folder).item("binaries-spectra", 0)["extras"]["ccf"]
    smooth = decode(extras["smooth"])
    assert extras["ccf_threshold"] == pytest.approx(smooth.min() + 0.9 * np.ptp(smooth), abs=1e-6)


def test_nearest_m_stars_by_their_codes(results: Results, written: Truth) -> None:
    nearest = results.item("mstars-vetting", 0)["extras"]["nearest"]
    # Neither the negative nor a noisy copy is a query.
    queries = np.array([0, 1, 3, 4, 5, 6])
    distance, index = nearest_codes(written.codes[6:7], written.known_codes[queries], 5)
    expected = queries[index[0]]
    assert [star["spectrum_id"] for star in nearest] == [KNOWN[i] for i in expected]
    assert [star["distance"] for star in nearest] == distance[0].tolist()
    assert nearest[0]["distance"] == 0
    for star, row in zip(nearest, expected, strict=True):
        assert star["subclass"] == f"M{row}"
        np.testing.assert_array_equal(decode(star["flux"]), written.spectra["older"].flux[row])
        np.testing.assert_allclose(wavelength_of(star), written.spectra["older"].wavelength[row], rtol=1e-7)


def test_extras_of_others(results: Results, truth: Truth) -> None:
    assert results.item("mstars-vetting", 2)["extras"] == {"nearest": []}  # without a code
    extras = results.item("emission-round-00", 1)["extras"]
    assert extras["probabilities"] == {"single peak": 0.5, "double peak": 0.25, "uninteresting": 0.25}
    assert results.item("bhb-candidates", 0)["extras"] == {}  # misaligned
    rewrite(truth.folder / "bhb/cutouts/sdss/plate.parquet", shape=[None, [5, 6, 5]])
    with pytest.raises(ResultsError, match="has 120 pixels and shape"):
        Results(truth.folder).item("bhb-candidates", 1)
    (truth.folder / "bhb/cutouts/sdss/plate.parquet").unlink()
    assert Results(truth.folder).item("bhb-candidates", 1)["extras"] == {}


def test_images_of_a_bhb_candidate(results: Results, written: Truth) -> None:
    extras = results.item("bhb-candidates", 1)["extras"]["images"]
    assert (extras["bands"], extras["shape"]) == (["u", "g", "r", "i", "z"], [6, 4])
    images = np.stack([decode(image).reshape(6, 4) for image in extras["pixels"]])
    np.testing.assert_array_equal(images, written.image)


def test_metadata_has_units_errors_and_no_nulls(results: Results) -> None:
    def shown(queue: str, position: int) -> dict[str, tuple[str, str | None]]:
        columns = results.queue(queue).columns
        entries = results.item(queue, position)["metadata"]
        return {entry["name"]: (entry["value"], columns[entry["name"]].unit) for entry in entries}

    found = shown("binaries-spectra", 0)
    assert found["rv_1"][0].endswith(" ± 1.5")
    assert (found["rv_1"][1], found["suspect_moonlight"][0]) == ("km/s", "no")
    assert not {"rv_3", "rv_1_err"} & set(found)
    # The vetting table carries no units: those of the catalogue are used.
    found = shown("mstars-vetting", 0)
    assert (found["rv"], found["distance"]) == (("12.5 ± 2", "km/s"), ("150", "pc"))
    stars = [results.item("mstars-vetting", at) for at in range(4)]
    assert stars[0]["title"] == "J004060.00+000000.0"
    assert [star["rv"] for star in stars] == [12.5, None, None, -3.0]  # null and NaN alike
    assert "rv" not in shown("mstars-vetting", 2)
    assert shown("bhb-candidates", 0)["distance"] == ("20.5", "kpc")


def test_other_exposures_of_a_star(results: Results, written: Truth) -> None:
    others = results.item("binaries-spectra", 0)["others"]
    assert [other["spectrum_id"] for other in others] == [MRS[1]]
    assert others[0]["date"] == "2013-01-08"  # MJD 56300
    row = written.spectra["night"].identity["snr"][1].as_py()
    assert others[0]["snr"] == pytest.approx(row, abs=0.01)
    spectrum = results.other("binaries-spectra", 0, others[0]["key"])
    assert spectrum["spectrum_id"] == MRS[1]
    np.testing.assert_array_equal(decode(spectrum["flux"]), written.spectra["night"].flux[1])


def test_exposures_of_other_surveys_of_the_kind(results: Results, written: Truth) -> None:
    # LRS[2] and KNOWN[0] are 4 arcsec apart; SDSS[0] is where LRS[0] is, but of another kind.
    others = results.item("mstars-vetting", 1)["others"]
    assert [other["spectrum_id"] for other in others] == [KNOWN[0]]
    spectrum = results.other("mstars-vetting", 1, others[0]["key"])
    np.testing.assert_array_equal(decode(spectrum["flux"]), written.spectra["older"].flux[0])
    assert results.item("mstars-vetting", 3)["others"] == []
    assert results.item("bhb-candidates", 0)["others"] == []


@pytest.mark.parametrize("key", ["99", "-1", "1", "00", "x", "", "../0", "0x0"])
def test_only_keys_of_the_item_are_served(results: Results, key: str) -> None:
    assert key not in [other["key"] for other in results.item("mstars-vetting", 1)["others"]]
    with pytest.raises(NotFoundError):
        results.other("mstars-vetting", 1, key)


def test_the_band_decides_where_two_arms_have_one_name(truth: Truth) -> None:
    # The red arm of the first exposure, in another bundle that comes first by name.
    blue = truth.spectra["night"].take([0])
    red = replace(blue, identity=put(blue.identity, band=["R"]), flux=blue.flux + 1)
    arrow = truth.folder / "spectra/a-red/a.arrow"
    write_bundle(arrow, [red])
    write_index(arrow, arrow.with_suffix(".parquet"))
    manifest = red.identity.drop_columns(["status"]).append_column("bundle", pa.array(["a"]))
    write_parquet(manifest, truth.folder / "manifest/a-red.parquet")
    for band, batch in (("B", blue), ("R", red)):
        rewrite(truth.folder / "catalogs/binaries_spectra.parquet", band=[band, "B", "B", "B"])
        item = Results(truth.folder).item("binaries-spectra", 0)
        np.testing.assert_array_equal(decode(item["flux"]), batch.flux[0])


def test_a_table_written_again_keeps_its_positions(truth: Truth) -> None:
    results, late = Results(truth.folder), Results(truth.folder)
    queue = results.queue("mstars-vetting")
    assert results.item("mstars-vetting", 0)["spectrum_id"] == LRS[6]
    late.queues()  # without a look at the spectra
    file = truth.folder / "catalogs/mstars_vetting.parquet"
    write_parquet(pq.read_table(file).slice(1), file)
    results.queues()
    assert queue.ids[0] == LRS[6]
    assert results.item("mstars-vetting", 3)["spectrum_id"] == LRS[0]
    with pytest.raises(ResultsError, match="written again"):
        late.item("mstars-vetting", 0)


def test_spectra_packed_again_are_not_taken_for_the_old_ones(truth: Truth) -> None:
    results = Results(truth.folder)
    assert results.item("emission-round-00", 0)["spectrum_id"] == LRS[5]
    fresh = Results(truth.folder)
    arrow = truth.folder / "spectra/lrs/plan.arrow"
    write_bundle(arrow, [truth.spectra["plan"].take(np.arange(8)[::-1])], rows=4)
    with pytest.raises(ResultsError, match=f"where {LRS[5]} was is {LRS[2]}"):
        fresh.item("emission-round-00", 0)


def test_an_unusable_spectrum_says_so(truth: Truth) -> None:
    batch = truth.spectra["plan"]
    identity = put(batch.identity, status=["ok"] * 5 + ["bad_gzip"] + ["ok"] * 2)
    write_bundle(truth.folder / "spectra/lrs/plan.arrow", [replace(batch, identity=identity)], rows=4)
    results = Results(truth.folder)
    with pytest.raises(ResultsError, match="bad_gzip"):
        results.item("emission-round-00", 0)
    assert results.item("emission-round-00", 1)["spectrum_id"] == LRS[1]


def test_a_spectrum_that_is_nowhere_says_so(truth: Truth) -> None:
    rewrite(truth.folder / "catalogs/mstars_vetting.parquet", spectrum_id=["a", "b", "c", LRS[0]])
    results = Results(truth.folder)
    with pytest.raises(ResultsError, match="the spectrum of a is in no bundle"):
        results.item("mstars-vetting", 0)
    assert results.item("mstars-vetting", 3)["spectrum_id"] == LRS[0]


def test_a_row_outside_its_bundle_is_refused(truth: Truth) -> None:
    rewrite(truth.folder / "emission/round-00/query.parquet", row=[5, 1, 5, 80])
    with pytest.raises(ResultsError, match="row 80 of plan, which has 8"):
        Results(truth.folder).item("emission-round-00", 2)


def test_what_is_not_there(results: Results, tmp_path: Path) -> None:
    for queue, position in (("nothing", 0), ("mstars-vetting", 4), ("mstars-vetting", -1)):
        with pytest.raises(NotFoundError):
            results.item(queue, position)
    with pytest.raises(ResultsError, match="no such folder"):
        Results(tmp_path / "results")
    assert Results(tmp_path).queues() == {}


def test_spectrum_for_other_programs(results: Results, written: Truth) -> None:
    wavelength, flux, error = results.spectrum("binaries-spectra", 0)
    keep = np.arange(300) != 30
    np.testing.assert_array_equal(flux, written.spectra["night"].flux[0][keep])
    np.testing.assert_allclose(wavelength, written.spectra["night"].wavelength[0][keep], rtol=1e-12)
    assert np.flatnonzero(np.isnan(error)).tolist() == [20]


def test_links() -> None:
    found = {link["name"]: link["url"] for link in links(MRS[0], 42, 10.684708, -5.5)}
    assert "Coord=10.684708+-5.500000&Radius=5&Radius.unit=arcsec" in found["SIMBAD"]
    assert "target=10.684708+-5.500000" in found["Aladin Lite"]
    assert found["LAMOST archive"].endswith("/medspectrum/view?obsid=42")
    view = "https://dr17.sdss.org/optical/spectrum/view"
    assert links(SDSS[1], 42, None, None) == [
        {"name": "SDSS archive", "url": f"{view}?plateid=266&mjd=51602&fiberid=2"}
    ]
    old = links("spSpec-52203-0685-425", None, 1.0, 2.0)
    assert [link["name"] for link in old] == ["SIMBAD", "Aladin Lite", "SDSS archive"]
    assert old[2]["url"] == f"{view}?plateid=685&mjd=52203&fiberid=425"
    assert [link["name"] for link in links(LRS[0], None, 1.0, 2.0)] == ["SIMBAD", "Aladin Lite"]
    assert links(LRS[0], 42, None, None)[0]["url"].endswith("/spectrum/view?obsid=42")
    assert all(link["url"].startswith("https://") for link in links(MRS[0], 42, 1.0, 2.0))


def test_lines_are_in_vacuum() -> None:
    lines = spectral_lines()
    assert set(lines) == set(SEARCHES)
    halpha = next(line["wavelength"] for line in lines["emission"] if line["name"] == "Hα")
    assert halpha == pytest.approx(6564.6, abs=0.05)
    for entries in lines.values():
        assert [e["wavelength"] for e in entries] == sorted(e["wavelength"] for e in entries)


def test_a_search_without_a_module_for_review_has_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy").mkdir()
    monkeypatch.setattr(searches, "__path__", [*searches.__path__, str(tmp_path)])
    search = replace(SEARCHES["bhb"], name="toy")
    assert search.view() == View()
    assert "Hα" in search.view().lines


@pytest.mark.parametrize("name", SEARCHES)
def test_columns_that_are_shown_are_published(name: str) -> None:
    values = vars(SEARCHES[name].module("columns")).values()
    schemas = [value for value in values if hasattr(value, "columns")]
    published = {column.name for schema in schemas for column in schema.columns}
    view = SEARCHES[name].view()
    assert set(view.columns) <= published
    assert view.window is not None
    assert view.window[0] < view.window[1]


def test_models_are_drawn_by_the_search(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(folder: Path, settings: dict[str, Any]) -> Models:
        made.append(settings)
        return lambda row, batch: (batch.wavelength[0], {row["multiplicity"]: 2 * batch.flux[0]})

    view = replace(SEARCHES["binaries"].view(), models=make)
    monkeypatch.setattr("starsift.searches.binaries.review.VIEW", view)
    (truth.folder / "provenance.json").write_text(json.dumps({"settings": {"seed": 7}}))
    results = Results(truth.folder)
    for position, row in ((2, 3), (0, 0)):
        model = results.model("binaries-spectra", position)
        assert [curve["name"] for curve in model["curves"]] == ["SB2"]
        np.testing.assert_array_equal(
            decode(model["curves"][0]["flux"]), 2 * truth.spectra["night"].flux[row]
        )
        np.testing.assert_allclose(decode(model["wavelength"]), truth.spectra["night"].wavelength[row])
    assert made == [{"seed": 7}]
    with pytest.raises(NotFoundError, match="emission has no models"):
        results.model("emission-round-00", 0)


def test_models_need_what_a_run_leaves(truth: Truth) -> None:
    for queue, missing in (
        ("binaries-spectra", "provenance"),
        ("mstars-vetting", "templates.parquet: no such file"),
    ):
        with pytest.raises(ResultsError, match=missing):
            Results(truth.folder).model(queue, 0)


def test_settings_are_those_of_the_provenance_or_of_a_sifted_folder(tmp_path: Path) -> None:
    assert run_settings(tmp_path) == {}
    (tmp_path / RUN_SETTINGS).write_text(json.dumps({"seed": 1}))
    assert run_settings(tmp_path) == {"seed": 1}
    (tmp_path / "provenance.json").write_text(json.dumps({"settings": {"seed": 2}}))
    assert run_settings(tmp_path) == {"seed": 2}
