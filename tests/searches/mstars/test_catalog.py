"""From candidates and measurements to the catalogue: the join, labels, other surveys, what is published."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from fixtures.figures import put
from fixtures.mstars_data import GIANTS, MEASURE, SEPARATORS, dwarf_bank
from fixtures.settings import MSTARS as SETTINGS
from fixtures.survey_files import identity_of

from starsift.catalog.columns import conform
from starsift.catalog.publish import publish, read_table
from starsift.errors import ResultsError
from starsift.learning.labels import read_labels
from starsift.searches.mstars.catalog import (
    all_m,
    build_catalog,
    characterize,
    join_measurements,
    read_sources,
    velocity_bins,
)
from starsift.searches.mstars.columns import MSTARS
from starsift.searches.mstars.kinematics import dispersions
from starsift.searches.mstars.measurements import measure
from starsift.searches.mstars.predict import POOL
from starsift.searches.mstars.search import SEARCH
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.resample import LAMOST_LRS
from starsift.synthesis.bands import dwarfs, giants, lrs_bands
from starsift.synthesis.degrade import add_noise

WAVE = LAMOST_LRS.wavelength
N = 8
IDS = [f"spec-{i}" for i in range(N)]
# Five M dwarfs, the third and the fifth active, two M giants, a K dwarf.
SUBTYPE = [1.0, 3.0, 4.0, 5.0, 6.0]
P_M = [0.95, 0.9, 0.85, 0.8, 0.6, 0.55, 0.3, 0.9]
GAIA = [11, 12, None, 14, None, 16, None, 18]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    own = {name: SETTINGS["catalog"][name] for name in ("match_radius", "epoch_years")}
    own |= {"separators": SEPARATORS, "giant_share": GIANTS["giant_share"]}
    return own | SETTINGS["kinematics"]


@pytest.fixture(scope="module")
def batch() -> SpectrumBatch:
    model = lrs_bands()
    clean = [
        dwarfs(model, 40 + np.array(SUBTYPE), ewha=[0, 0, 6, 0, 6]),
        giants(model, [3.0, 5.0]),
        dwarfs(model, [32.0]),
    ]
    flux, ivar = add_noise(np.concatenate(clean), 40.0, np.random.default_rng(0), WAVE, sky=False)
    place = {"ra": 118.0 + 0.1 * np.arange(N), "dec": 21.5 - 0.1 * np.arange(N)}
    plan = ["HD080100N224700B01"] * N
    identity = identity_of(IDS, planid=plan, lmjd=[56_300] * N, snr=[40.0] * N, **place)
    return SpectrumBatch.from_arrays(identity, WAVE, flux, ivar)


@pytest.fixture(scope="module")
def measurements(batch: SpectrumBatch) -> pa.Table:
    return measure(batch, dwarf_bank(np.arange(0.0, 8.0)), **MEASURE)


@pytest.fixture(scope="module")
def candidates(batch: SpectrumBatch) -> pa.Table:
    columns = {name: batch.identity[name] for name in batch.identity.column_names} | {
        "defective": [False] * N,
        "n_bad": [2] * N,
        "measured_snr": [3.0] * N,
        "bundle": ["b"] * N,
        "row": range(N),
        "best_rank": range(1, N + 1),
        "nearest_query": ["known-1"] * N,
        "hamming_distance": [30] * N,
        "n_queries": [5] * N,
        "score": np.linspace(50, 1, N),
        "p_m": P_M,
    }
    return pa.table([columns[name] for name in POOL.names], names=POOL.names).cast(POOL)


@pytest.fixture(scope="module")
def manifest() -> pa.Table:
    return pa.table(
        {
            "spectrum_id": IDS,
            "lmjd": pa.array([56_300] * N, pa.int32()),
            "file": [f"56300/{name}.fits.gz" for name in IDS],
            "gaia_source_id": pa.array(GAIA, pa.int64()),
            "phot_g_mean_mag": pa.array([18.0 + i / 10 for i in range(N)], pa.float32()),
            "ra": 118.0 + 0.1 * np.arange(N),
            "dec": 21.5 - 0.1 * np.arange(N),
        }
    )


@pytest.fixture(scope="module")
def sources() -> pa.Table:
    """Of the first four stars, the fourth far away, and one without astrometry near the fifth."""
    at = np.array([0, 1, 2, 3, 4])
    return pa.table(
        {
            "source_id": [11, 12, 13, 14, 15],
            "ra": 118.0 + 0.1 * at + np.array([0, 1, 1, 1000, 1]) / 3600,
            "dec": 21.5 - 0.1 * at,
            "phot_g_mean_mag": [16.0, 16.5, -9999.0, 17.0, 17.5],
            "parallax": [8.0, 10.0, 5.0, -1.0, None],
            "parallax_error": [0.1, 0.1, 4.0, 0.1, None],
            "pmra": [10.0, -20.0, 5.0, 1.0, None],
            "pmdec": [-5.0, 15.0, 5.0, 1.0, None],
            "Jmag": [13.0, 13.1, -9999.0, float("nan"), 13.4],
            "Hmag": [12.3, 12.4, 12.5, 12.6, 12.7],
            "Kmag": [12.1, 12.2, 12.3, 12.4, 12.5],
        }
    )


Build = Callable[..., tuple[pa.Table, pa.Table, dict[str, int]]]


@pytest.fixture(scope="module")
def build(
    candidates: pa.Table, measurements: pa.Table, manifest: pa.Table, settings: dict[str, Any]
) -> Build:
    """The catalogue, with some of the tables or settings replaced."""

    def made(
        *,
        candidates: pa.Table = candidates,
        measurements: pa.Table = measurements,
        manifest: pa.Table = manifest,
        sources: pa.Table | None = None,
        labels: pa.Table | None = None,
        probability: float = 0.5,
        **other: Any,
    ) -> tuple[pa.Table, pa.Table, dict[str, int]]:
        rows = characterize(
            join_measurements(candidates, measurements), manifest, sources, **(settings | other)
        )
        return build_catalog(rows, label_table() if labels is None else labels, probability=probability)

    return made


def label_table(**labels: str | None) -> pa.Table:
    """Labels of spectra by their number."""
    ids = [f"spec-{key[1:]}" for key in labels]
    fields = {"spectrum_id": ids, "label": list(labels.values()), "vetted_by": ["A. Reader"] * len(ids)}
    return pa.table({name: pa.array(values, pa.string()) for name, values in fields.items()})


def numbers(table: pa.Table) -> list[int]:
    """Which of the spectra a table holds."""
    return [IDS.index(name) for name in table["spectrum_id"].to_pylist()]


def test_measurements_are_as_expected(measurements: pa.Table) -> None:
    """What the other tests rest on."""
    assert [name[0] for name in measurements["subclass"].to_pylist()] == ["M"] * 7 + ["K"]
    assert measurements["active"].to_pylist()[:5] == [0, 0, 1, 0, 1]


def test_tables_join_in_any_order(
    build: Build, candidates: pa.Table, measurements: pa.Table, manifest: pa.Table
) -> None:
    catalogue, vetting, funnel = build()
    rng = np.random.default_rng(0)
    turned = {"measurements": measurements, "manifest": manifest}
    turned = {name: table.take(rng.permutation(N)) for name, table in turned.items()}
    assert build(**turned) == (catalogue, vetting, funnel)
    # Each row has its own values of all three tables.
    assert vetting["spectrum_id"].to_pylist() == IDS
    for name in ("p_m", "score", "nearest_query", "n_bad", "ra"):
        assert vetting[name].equals(candidates[name]), name
    for name in ("rv", "subclass", "ewha", "active", "tio5_err"):
        assert vetting[name].equals(measurements[name]), name
    assert vetting["file"].equals(manifest["file"])
    # Spectra of the manifest that are no candidates make no difference.
    fewer = build(candidates=candidates.slice(2, 3))
    assert fewer[1].equals(vetting.slice(2, 3))


@pytest.mark.parametrize("table", ["measurements", "manifest"])
def test_a_candidate_that_is_missing_is_named(
    build: Build, measurements: pa.Table, manifest: pa.Table, table: str
) -> None:
    rows = {"measurements": measurements, "manifest": manifest}[table]
    message = rf"^{table}: candidate spec-5 is not in it; delete results/mstars and run again$"
    with pytest.raises(ResultsError, match=message):
        build(**{table: rows.take([0, 1, 2, 3, 4, 7, 6])})
    with pytest.raises(ResultsError, match="candidate spec-0 is not in it"):
        build(**{table: rows.slice(0, 0)})


def test_the_catalogue_can_be_published(build: Build, sources: pa.Table, tmp_path: Path) -> None:
    for given in (None, sources):
        catalogue, vetting, _ = build(sources=given, labels=label_table(s0="M1", s7="M0"))
        assert catalogue.column_names == vetting.column_names == MSTARS.names
        assert conform(catalogue, MSTARS).num_rows == catalogue.num_rows == 7
        publish(catalogue, MSTARS, tmp_path / "mstars", {"seed": 1})
        again = read_table(tmp_path / "mstars.parquet")
        assert again["spectrum_id"].tolist() == sorted(catalogue["spectrum_id"].to_pylist())
        assert again["lmjm"].mask.all()
        assert again["rv"].unit == "km / s"
        fits, vot = Table.read(tmp_path / "mstars.fits"), Table.read(tmp_path / "mstars.vot")
        for name in ("rv", "tio5", "m_g"):
            np.testing.assert_array_equal(np.ma.filled(fits[name], np.nan), np.ma.filled(again[name], np.nan))
        assert vot["active"].tolist() == again["active"].tolist()
    assert again["label"].tolist()[0] == "M1"


def test_no_candidates_make_an_empty_catalogue(
    build: Build, candidates: pa.Table, measurements: pa.Table, sources: pa.Table, tmp_path: Path
) -> None:
    nothing = {"candidates": candidates.slice(0, 0), "measurements": measurements.slice(0, 0)}
    for given in (None, sources):
        catalogue, vetting, funnel = build(sources=given, labels=label_table(s0="M1"), **nothing)
        assert catalogue.num_rows == vetting.num_rows == 0
        assert set(funnel.values()) == {0}
        publish(catalogue, MSTARS, tmp_path / "mstars", {})
        assert pq.read_table(tmp_path / "mstars.parquet").column_names == MSTARS.names
        assert velocity_bins(catalogue).num_rows == 0


def test_unlabelled_candidates_are_published_from_a_probability_on(build: Build) -> None:
    catalogue, vetting, funnel = build(probability=0.6)
    # The sixth and seventh are not likely enough, the eighth is a K star.
    assert numbers(catalogue) == [0, 1, 2, 3, 4]
    assert numbers(vetting) == list(range(N))
    assert not any(catalogue["vetted"].to_pylist())
    assert catalogue["label"].null_count == catalogue["vetted_by"].null_count == 5
    assert sum(vetting["active"].to_pylist()[:5]) == 2
    steps = ("vetted", "confirmed or likely", "of type M", "dwarfs", "giants", "active")
    assert funnel == dict(zip(steps, (0, 6, 5, 5, 0, 2), strict=True))
    assert build(probability=0.0)[2]["giants"] == 2
    assert numbers(build(probability=0.9)[0]) == [0, 1]


@pytest.mark.parametrize("label", ["M", "M3", "dM4", "gM2", "m5", "M3?", "M4e", "M0V", "M dwarf", "dMe"])
def test_labels_that_confirm(build: Build, label: str) -> None:
    catalogue, _, funnel = build(labels=label_table(s6=label, s7=label))
    # Though improbable, and of type K by its indices.
    assert numbers(catalogue) == list(range(N))
    rows = catalogue.to_pylist()
    assert [row["vetted"] for row in rows] == [False] * 6 + [True] * 2
    assert (rows[6]["label"], rows[6]["vetted_by"]) == (label, "A. Reader")
    assert rows[7]["subclass"].startswith("K")
    assert (funnel["vetted"], funnel["confirmed or likely"], funnel["of type M"]) == (2, 8, 8)


@pytest.mark.parametrize("label", ["galaxy", "K7", "?", "maybe", "mess", "no M", "moonlight", "sky"])
def test_labels_that_remove(build: Build, label: str) -> None:
    catalogue, vetting, funnel = build(labels=label_table(s0=label, s6=label))
    assert numbers(catalogue) == [1, 2, 3, 4, 5]
    assert vetting["label"].to_pylist() == [label, *[None] * 5, label, None]
    assert funnel["vetted"] == 2


def test_labels_of_other_spectra_do_not_matter(build: Build) -> None:
    assert build(labels=label_table(s99="galaxy"))[0].equals(build()[0])


def test_a_subtype_that_could_not_be_measured(build: Build, measurements: pa.Table) -> None:
    unknown = [None, None, *measurements["subclass"].to_pylist()[2:]]
    catalogue, _, funnel = build(measurements=put(measurements, subclass=unknown), labels=label_table(s0="M"))
    assert numbers(catalogue) == [0, 2, 3, 4, 5]
    assert funnel["of type M"] == 5


def test_nothing_is_known_without_sources(build: Build) -> None:
    _, vetting, _ = build()
    astrometry = ["parallax", "pmra", "pmdec", "j", "h", "k", "w1", "bp_rp", "match_separation"]
    for name in [*astrometry, "m_g", "distance", "u", "v", "w", "h_disc", "giant_gaia", "giant_h_jk"]:
        assert vetting[name].null_count == N, name
    assert vetting["gaia_source_id"].to_pylist() == GAIA
    np.testing.assert_allclose(vetting["phot_g_mean_mag"].to_numpy(), 18 + np.arange(N) / 10, rtol=1e-6)
    # The indices alone tell giants from dwarfs.
    assert vetting["giant"].to_pylist()[:7] == [0] * 5 + [1] * 2
    assert set(vetting["giant_evidence"].to_pylist()) <= {"indices", "weak"}


def test_sources_by_identifier_and_by_coordinates(build: Build, sources: pa.Table) -> None:
    _, vetting, _ = build(sources=sources)
    rows = vetting.to_pylist()
    # The third and the fifth had no identifier; the fourth has its own source, far as it is.
    assert [row["gaia_source_id"] for row in rows] == [11, 12, 13, 14, 15, 16, None, 18]
    assert [row["match_separation"] is None for row in rows] == [False] * 5 + [True] * 3
    assert rows[3]["match_separation"] > 900
    assert rows[2]["match_separation"] == pytest.approx(np.cos(np.radians(21.3)), rel=1e-3)
    assert [row["parallax"] for row in rows] == [8.0, 10.0, 5.0, -1.0, None, None, None, None]
    # -9999 and NaN are missing; of G there is what the survey's own catalogue says.
    g = [16.0, 16.5, 18.2, 17.0, 17.5, 18.5, 18.6, 18.7]
    np.testing.assert_allclose(vetting["phot_g_mean_mag"].to_numpy(), g, rtol=1e-6)
    j = [13.0, 13.1, None, None, 13.4, None, None, None]
    assert vetting["j"].to_pylist() == [None if x is None else pytest.approx(x) for x in j]
    # Distances of good parallaxes alone.
    assert vetting["distance"].to_pylist() == [125.0, 100.0, *[None] * 6]
    assert rows[1]["m_g"] == pytest.approx(16.5 - 5)
    assert [row["giant_gaia"] for row in rows] == [0, 0, *[None] * 6]
    assert [row["u"] is None for row in rows] == [False] * 2 + [True] * 6
    assert [row["giant_h_jk"] is None for row in rows] == [False, False, True, True, False, *[True] * 3]


def test_epoch_and_radius_of_the_match(build: Build, sources: pa.Table) -> None:
    assert build(sources=sources, match_radius=0.5)[1]["gaia_source_id"][2].as_py() is None
    fast = put(sources, pmra=[0.0, 0.0, 900.0, 0.0, 0.0])
    moved = build(sources=fast, epoch_years=15.5)[1]["gaia_source_id"].to_pylist()
    assert [moved[2], moved[4]] == [None, 15]


def test_what_surveys_write_for_missing_is_null(
    build: Build, manifest: pa.Table, measurements: pa.Table
) -> None:
    mine = measurements["snr_r"].to_pylist()
    nan = float("nan")
    missing = put(manifest, phot_g_mean_mag=[-9999, None, nan, *[15.0] * 5])
    missing = missing.append_column("snrr", pa.array([5.5, -9999.0, None, nan, 2, 3, 4, 5]))
    _, vetting, _ = build(manifest=missing)
    assert vetting["snrr"].to_pylist() == [5.5, *mine[1:4], 2, 3, 4, 5]
    assert vetting["phot_g_mean_mag"].to_pylist() == [None] * 3 + [15.0] * 5
    # Without the column, what was measured.
    assert build()[1]["snrr"].to_pylist() == mine
    noise = put(measurements, snr_r=None)
    assert build(measurements=noise)[1]["snrr"].null_count == N


def test_dates_and_names(build: Build, manifest: pa.Table) -> None:
    _, vetting, _ = build()
    # The local day is that on which the night ends.
    assert set(vetting["mjd"].to_pylist()) == {56_299}
    assert set(vetting["obsdate"].to_pylist()) == {"2013-01-07"}
    assert vetting["designation"][0].as_py() == "J075200.00+213000.0"
    given = manifest.append_column("mjd", pa.array([56_300, None] + [56_299] * 6, pa.int32()))
    _, vetting, _ = build(manifest=given)
    assert vetting["mjd"].to_pylist()[:3] == [56_300, 56_299, 56_299]
    assert vetting["obsdate"].to_pylist()[:2] == ["2013-01-08", "2013-01-07"]


def test_separators_of_the_settings(build: Build, settings: dict[str, Any], sources: pa.Table) -> None:
    chosen = [one for one in settings["separators"] if one.name == "h_jk"]
    catalogue, vetting, _ = build(sources=sources, separators=chosen)
    assert vetting["giant_caoh_cah1"].null_count == N
    assert vetting["giant_caoh_cah1"].type == pa.int8()
    assert vetting["giant"].to_pylist() == vetting["giant_h_jk"].to_pylist()
    assert vetting["giant_evidence"].to_pylist()[5] == "none"
    conform(catalogue, MSTARS)


def test_settings_reach_their_functions(build: Build, sources: pa.Table) -> None:
    _, vetting, _ = build(sources=sources)
    other = {"solar_motion": [110, 5, 7], "sun_height": 120.8, "max_relative_error": 0.9}
    _, moved, _ = build(sources=sources, **other)
    shifts = {"u": 100, "v": 0, "w": 0, "h_disc": 100}
    for name, shift in shifts.items():
        expected = vetting[name].to_numpy()[:2] + shift
        np.testing.assert_allclose(moved[name].to_numpy()[:2], expected, atol=1e-3)
    assert moved["distance"][2].as_py() == 200.0  # of a parallax of 5 +- 4 mas
    # Where nearly all stars are giants, what hardly speaks against one is one.
    odds = vetting["giant_log_odds"].to_numpy()
    sure = np.log(0.001 / 0.999)
    frequent = build(sources=sources, giant_share=0.999)[1]["giant"].to_pylist()
    assert frequent == (odds > sure).astype(int).tolist()
    assert vetting["giant"].to_pylist() == (odds > np.log(0.93 / 0.07)).astype(int).tolist()
    assert ((odds > sure) & (odds < np.log(0.93 / 0.07))).any()


def test_all_m_stars(build, measurements, manifest, sources, settings) -> None:
    catalogue, vetting, _ = build(sources=sources)
    rows = characterize(measurements.slice(1, 3), manifest, sources, **settings)
    # As of candidates.
    for name in ("ra", "designation", "snrr", "m_g", "u", "giant", "gaia_source_id", "file"):
        assert rows[name].to_pylist() == vetting[name].to_pylist()[1:4], name
    both = all_m(catalogue, rows)
    assert both["released"].to_pylist() == [False] * catalogue.num_rows + [True] * 3
    assert both["spectrum_id"].to_pylist() == catalogue["spectrum_id"].to_pylist() + IDS[1:4]
    assert "p_m" not in both.column_names
    assert both["rv"].to_pylist()[-3:] == measurements["rv"].to_pylist()[1:4]
    assert all_m(catalogue.slice(0, 0), rows.slice(0, 0)).num_rows == 0
    with pytest.raises(ResultsError, match="manifest: candidate spec-3 is not in it"):
        characterize(measurements, manifest.slice(0, 3), sources, **settings)


def test_bins_are_those_of_dwarfs() -> None:
    rng = np.random.default_rng(0)
    n = 60
    giant = pa.array([None if i % 10 == 0 else int(i % 3 == 0) for i in range(n)], pa.int8())
    columns = {name: rng.normal(0, 30, n) for name in ("u", "v", "w")} | {"h_disc": rng.uniform(-300, 300, n)}
    columns["u"][1] = np.nan
    active = [None if i % 7 == 0 else i % 2 for i in range(n)]
    table = pa.table(
        {name: pa.array(values, pa.float32(), from_pandas=True) for name, values in columns.items()}
        | {"giant": giant, "active": pa.array(active, pa.int8())}
    )
    dwarf = np.array([value == 0 for value in giant.to_pylist()])
    numbers = {name: values.astype(np.float32)[dwarf] for name, values in columns.items()}
    flag = np.array([np.nan if a is None else a for a in active])[dwarf]
    expected = dispersions(active=flag, width=150.0, **numbers)
    assert velocity_bins(table, 150.0).equals(expected)
    known = dwarf & np.array([a is not None for a in active])
    assert sum(velocity_bins(table)["n"].to_pylist()) == known.sum() - 1


def test_rows_without_label_are_not_vetted(tmp_path: Path, build: Build) -> None:
    """As in a list that somebody is still working on."""
    rows = "spec-0,,me\nspec-1, ,\nspec-2,sky,me\n,,\n,,\n"
    (tmp_path / "l.csv").write_text("spectrum_id,label,vetted_by\n" + rows)
    labels = read_labels(tmp_path / "l.csv", SEARCH, strict=False)
    assert labels["spectrum_id"].to_pylist() == ["spec-2"]
    catalogue, _, funnel = build(labels=labels)
    assert numbers(catalogue) == [0, 1, 3, 4, 5]
    assert funnel["vetted"] == 1


def test_sources_are_read(tmp_path: Path, sources: pa.Table, build: Build) -> None:
    assert read_sources(None) is None
    pq.write_table(sources, tmp_path / "s.parquet")
    expected = build(sources=sources)[1]
    assert build(sources=read_sources(tmp_path / "s.parquet"))[1].equals(expected)
    table = Table({name: sources[name].to_numpy() for name in sources.column_names})
    for name in ("s.fits", "s.ecsv", "s.csv"):
        table.write(tmp_path / name)
        assert build(sources=read_sources(tmp_path / name))[1].equals(expected), name


@pytest.mark.parametrize("ending", ["fits", "csv", "ecsv", "parquet", "xls"])
def test_sources_that_cannot_be_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"s.{ending}"
    for content in (None, b"nothing of the kind"):
        if content is not None:
            path.write_bytes(content)
        message = rf"s\.{ending}: (no such|no table|this is not|cannot be|the table)"
        with pytest.raises(ValueError, match=message):
            read_sources(path)


def test_observations_without_an_identifier(build: Build, candidates: pa.Table, tmp_path: Path) -> None:
    """The first releases of LAMOST have none; the spectrum's name is its identity."""
    none = put(candidates, obsid=None)
    without, given = build(candidates=none)[0], build()[0]
    assert without.num_rows
    assert without["obsid"].null_count == without.num_rows
    assert without.drop_columns("obsid").equals(given.drop_columns("obsid"))
    publish(without, MSTARS, tmp_path / "mstars", {"seed": 1})
    assert pq.read_table(tmp_path / "mstars.parquet")["obsid"].null_count == without.num_rows
