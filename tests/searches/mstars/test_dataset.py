"""The positive and the negative sample, drawn from small labelled surveys."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.figures import put
from fixtures.settings import MSTARS
from fixtures.survey_files import identity_of

from starsift.errors import InputError
from starsift.searches.mstars.clusters import CLUSTERS
from starsift.searches.mstars.dataset import SAMPLE, Sample, build_sample, read_sample, write_sample
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import SpectrumBatch, read_bundle, write_bundle
from starsift.spectra.resample import LAMOST_LRS

WAVE = LAMOST_LRS.wavelength
SETTINGS: dict[str, Any] = MSTARS["sample"] | {
    "seed": 0,
    "positives": 40,
    "negatives": 20,
    "unknown_negatives": 15,
    "groups": 3,
    "subclusters": 2,
    "giant_clusters": 3,
    "n_components": 5,
}
KINDS = ("dM0", "dM4", "gM2", "G2", "galaxy", "junk")
RED = WAVE > 5850.0


def spectrum(kind: str, rv: float = 0.0) -> np.ndarray:
    """A spectrum of one kind on the grid of LAMOST, about 1."""
    rest = WAVE / (1.0 + rv / C_KMS)
    band = np.exp(-0.5 * ((rest - 7100.0) / 80.0) ** 2)
    line = np.exp(-0.5 * ((rest - 6564.6) / 6.0) ** 2)
    red = (rest / 7000.0) ** 4
    shapes = {
        "dM0": red * (1.0 - 0.3 * band),
        "dM4": red**2 * (1.0 - 0.8 * band + 0.5 * line),
        "gM2": red * (1.0 - 0.6 * band) * (1.0 - 0.3 * (rest < 5000.0)),
        "G2": 1.0 - 0.4 * line + 0.0 * rest,
        "galaxy": 1.0 + 2.0 * line,
        "junk": np.ones_like(rest),
    }
    return shapes[kind]


def survey(n: int = 240, seed: int = 0) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Manifest, flux and ivar of n spectra of all kinds in turn, moving stars, S/N 3 to 30."""
    rng = np.random.default_rng(seed)
    kind = np.resize(KINDS, n)
    snr = rng.uniform(3.0, 30.0, n)
    rv = rng.uniform(-200.0, 200.0, n)
    clean = np.stack([spectrum(k, v) for k, v in zip(kind, rv, strict=True)])
    flux = clean + rng.normal(size=clean.shape) / snr[:, None]
    star = np.isin(kind, KINDS[:4])
    table = {
        "spectrum_id": [f"spec-{i:04d}" for i in range(n)],
        "class": [{"galaxy": "GALAXY", "junk": "UNKNOWN"}.get(k, "STAR") for k in kind],
        "subclass": [k if s else None for k, s in zip(kind, star, strict=True)],
        "rv": [v if s and i % 2 else None for i, (v, s) in enumerate(zip(rv, star, strict=True))],
        "z": [v / C_KMS if s else 0.1 for v, s in zip(rv, star, strict=True)],
        "truth": rv,
        "snr": snr,
    }
    ivar = np.tile((snr**2)[:, None], (1, WAVE.size))
    return pa.table(table), flux.astype(np.float32), ivar.astype(np.float32)


def write_survey(
    folder: Path, manifest: pa.Table, flux: np.ndarray, ivar: np.ndarray, *, parts: int = 2
) -> dict[str, Any]:
    """The survey as bundles with their manifests."""
    folder.mkdir(parents=True, exist_ok=True)
    bundles, manifests = [], []
    for i, rows in enumerate(np.array_split(np.arange(len(flux)), parts)):
        part = manifest.take(rows)
        plan = [f"P{r // 20}" for r in rows]
        identity = identity_of(part["spectrum_id"].to_pylist(), obsid=rows, planid=plan, snr=part["snr"])
        bundles.append(folder / f"b{i}.arrow")
        manifests.append(folder / f"b{i}.parquet")
        write_bundle(bundles[-1], [SpectrumBatch.from_arrays(identity, WAVE, flux[rows], ivar[rows])])
        pq.write_table(part.drop_columns(["truth", "snr"]), manifests[-1])
    return {"bundles": bundles, "manifests": manifests}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_survey(tmp_path_factory.mktemp("labelled"), *survey())


@pytest.fixture(scope="module")
def built(paths: dict[str, Any]) -> tuple[Sample, pa.Table]:
    return build_sample(**paths, **SETTINGS)


def counts(values: Sequence[str]) -> dict[str, int]:
    return dict(zip(*(a.tolist() for a in np.unique(np.array(values), return_counts=True)), strict=True))


def arrays(table: pa.Table) -> dict[str, np.ndarray]:
    return {name: table[name].to_numpy() for name in table.column_names}


def test_the_sample_holds_what_was_asked_for(built: tuple[Sample, pa.Table]) -> None:
    sample, clusters = built
    assert counts(sample.role) == {"dwarf": 32, "giant": 8, "negative": 35}
    assert counts(sample.table["class"].to_pylist())["UNKNOWN"] == 15
    assert sample.is_m.tolist() == [role != "negative" for role in sample.role]
    assert sample.table.schema == SAMPLE
    assert clusters.schema == CLUSTERS
    assert len(set(sample.ids)) == 75
    assert sample.flux.shape == sample.ivar.shape == (75, 3909)
    np.testing.assert_array_equal(sample.flux.min(axis=1), 0.0)
    np.testing.assert_array_equal(sample.flux.max(axis=1), 1.0)


def test_every_cluster_gives_its_share(built: tuple[Sample, pa.Table]) -> None:
    sample, clusters = built
    table = arrays(clusters)
    is_dwarf = table["kind"] == "dwarf"
    assert table["cluster"].tolist() == list(range(9))
    assert is_dwarf.tolist() == [True] * 6 + [False] * 3
    assert table["members"][is_dwarf].sum() == 80
    assert table["members"][~is_dwarf].sum() == 40
    assert not table["defective"].any()
    drawn = np.bincount(sample.table["cluster"].to_numpy()[sample.is_m], minlength=9)
    np.testing.assert_array_equal(drawn, table["drawn"])
    # Equal shares, but for those that are smaller.
    full = is_dwarf & (table["drawn"] < table["members"])
    assert np.ptp(table["drawn"][full]) <= 1
    assert (sample.table["cluster"].to_numpy()[~sample.is_m] == -1).all()
    assert 3.0 < table["mean_snr"].min() < table["mean_snr"].max() < 30.0


def test_clusters_part_kinds_of_spectra(built: tuple[Sample, pa.Table]) -> None:
    sample, _ = built
    cluster = sample.table["cluster"].to_numpy()
    good = sample.is_m & (sample.snr > 8.0)
    for number in np.unique(cluster[good]):
        assert len(set(sample.subclass[good & (cluster == number)])) == 1


def test_signal_to_noise_keeps_its_spread(tmp_path: Path) -> None:
    manifest, flux, ivar = survey(600)
    settings = SETTINGS | {"groups": 1, "subclusters": 1, "giant_clusters": 1, "giant_fraction": 0.0}
    sample, _ = build_sample(**write_survey(tmp_path, manifest, flux, ivar), **settings)
    whole = manifest["snr"].to_numpy()[np.isin(manifest["subclass"].to_pylist(), ["dM0", "dM4"])]
    np.testing.assert_allclose(
        np.quantile(sample.snr[sample.is_m], [0.1, 0.5, 0.9]), np.quantile(whole, [0.1, 0.5, 0.9]), atol=1.5
    )


def test_stars_are_at_rest_and_others_as_observed(built: tuple[Sample, pa.Table]) -> None:
    sample, _ = built
    rv = np.array(sample.table["rv"].to_pylist(), dtype=float)
    star = np.array(sample.table["class"].to_pylist()) == "STAR"
    # Velocities come from rv, or from z where that is missing; a galaxy's z is none.
    assert np.isfinite(rv[star]).all()
    assert np.isnan(rv[~star]).all()
    manifest = survey()[0]
    truth = dict(zip(manifest["spectrum_id"].to_pylist(), manifest["truth"].to_pylist(), strict=True))
    np.testing.assert_allclose(rv[star], [truth[s] for s in sample.ids[star]], rtol=1e-5)
    # H-alpha of the dM4 stars adds up at its rest wavelength.
    mean = sample.flux[sample.subclass == "dM4"].mean(axis=0)
    near = (WAVE > 6540.0) & (WAVE < 6590.0)
    assert WAVE[near][np.argmax(mean[near])] == pytest.approx(6564.6, abs=2.0)


def test_written_and_read_back(tmp_path: Path, paths: dict[str, Any], built: tuple[Sample, pa.Table]) -> None:
    sample, _ = built
    bundle, table = tmp_path / "sample.arrow", tmp_path / "sample.parquet"
    write_sample(sample, bundle, table)
    again = read_sample(bundle, table)
    np.testing.assert_array_equal(again.flux, sample.flux)
    np.testing.assert_array_equal(again.ivar, sample.ivar)
    assert again.table.equals(sample.table)
    assert again.ids.tolist() == sample.ids.tolist()
    batches = list(read_bundle(bundle))
    assert len(batches) == 1  # not one record batch a partition of the survey
    np.testing.assert_allclose(batches[0].wavelength[0], WAVE)
    # Same input and seed, same bytes; another seed, another sample.
    first = bundle.read_bytes(), table.read_bytes()
    write_sample(build_sample(**paths, **SETTINGS)[0], bundle, table)
    assert (bundle.read_bytes(), table.read_bytes()) == first
    assert build_sample(**paths, **SETTINGS | {"seed": 1})[0].ids.tolist() != sample.ids.tolist()


def test_files_of_two_samples_are_an_error(tmp_path: Path, built: tuple[Sample, pa.Table]) -> None:
    sample, _ = built
    write_sample(sample, tmp_path / "a.arrow", tmp_path / "a.parquet")
    pq.write_table(sample.table.slice(1), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="hold different spectra"):
        read_sample(tmp_path / "a.arrow", tmp_path / "b.parquet")


def test_defective_clusters_and_spectra_are_not_drawn(tmp_path: Path) -> None:
    manifest, flux, ivar = survey()
    kind = np.resize(KINDS, len(flux))
    stepped = np.flatnonzero(kind == "dM4")
    gap = np.flatnonzero(kind == "dM0")[:3]
    rng = np.random.default_rng(1)
    # All dM4 have a blue arm without light, at high S/N; three dM0 a hole.
    flux[stepped] = np.where(RED, 3.0, 0.0) + rng.normal(size=(len(stepped), WAVE.size)) * 0.05
    flux[gap, 2500:2800] = np.nan
    sample, clusters = build_sample(**write_survey(tmp_path, manifest, flux, ivar), **SETTINGS)
    table = arrays(clusters)
    assert table["members"][table["defective"]].sum() >= len(stepped)
    assert (table["drawn"][table["defective"]] == 0).all()
    assert "dM4" not in sample.subclass.tolist()
    assert not set(gap) & {int(name[5:]) for name in sample.ids}
    assert not sample.table["defective"].to_numpy()[sample.is_m].any()
    assert table["drawn"].sum() == 40


def test_bad_pixels_are_filled_and_counted(tmp_path: Path) -> None:
    manifest, flux, ivar = survey()
    ivar[:, 3000:3010] = 0.0
    flux[::6] = np.nan  # all dM0: unusable
    flux[5::12] = 7.0  # half of the junk is constant
    sample, clusters = build_sample(**write_survey(tmp_path, manifest, flux, ivar), **SETTINGS)
    assert (sample.table["n_bad"].to_numpy() >= 10).all()
    # Masked pixels move with the star; what they held is interpolated.
    assert ((sample.ivar == 0).sum(axis=1) == sample.table["n_bad"].to_numpy()).all()
    assert (sample.flux[sample.ivar == 0] > 0).all()
    assert "dM0" not in sample.subclass.tolist()
    assert clusters["members"].to_numpy().sum() == 80
    assert np.ptp(sample.flux, axis=1).min() == 1.0


def test_fewer_spectra_than_clusters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest, flux, ivar = survey(12)
    with caplog.at_level(logging.WARNING):
        paths = write_survey(tmp_path, manifest, flux, ivar)
        sample, clusters = build_sample(**paths, **MSTARS["sample"], seed=0)
    assert counts(sample.role) == {"dwarf": 4, "giant": 2, "negative": 6}
    assert 1 <= clusters.num_rows <= 6
    said = [record.getMessage() for record in caplog.records]
    assert any("labelled M dwarfs make" in line and "1000 were requested" in line for line in said)
    assert any("has 2 spectra of class UNKNOWN, 10000 were requested" in line for line in said)


def test_one_m_star_is_enough(tmp_path: Path) -> None:
    manifest, flux, ivar = survey(12)
    rows = [0, 3, 9]
    paths = write_survey(tmp_path, manifest.take(rows), flux[rows], ivar[rows], parts=1)
    sample, clusters = build_sample(**paths, **MSTARS["sample"], seed=0)
    assert sample.is_m.tolist() == [True, False, False]
    assert clusters.num_rows == 1


def test_equal_spectra_make_one_cluster(tmp_path: Path) -> None:
    """The same but for the last bit of each pixel, as another processor may leave it."""
    manifest, flux, ivar = survey(60)
    up = np.random.default_rng(2).random((10, WAVE.size)) < 0.5
    flux[::6] = np.where(up, np.nextafter(flux[0], np.float32(np.inf)), flux[0])
    rows = np.flatnonzero(~np.isin(np.resize(KINDS, 60), ["dM4", "gM2"]))
    manifest = put(manifest.take(rows), rv=np.zeros(len(rows)))
    sample, clusters = build_sample(**write_survey(tmp_path, manifest, flux[rows], ivar[rows]), **SETTINGS)
    assert clusters["members"].to_pylist() == [10]
    assert sample.is_m.sum() == 10


@pytest.fixture
def templates(tmp_path: Path) -> dict[str, list[Any]]:
    flux = spectrum("dM4")[200:].tolist()
    flux[7] = None
    return {
        "name": ["dm4-template", "gm2-template"],
        "subclass": ["dM4", "gM2"],
        "log10_lambda0": [np.log10(WAVE[200]), np.log10(WAVE[0])],
        "dlog10_lambda": [1e-4, 1e-4],
        "flux": [flux, spectrum("gM2").tolist()],
    }


def test_templates_join_the_positive_sample(
    tmp_path: Path, paths: dict[str, Any], templates: dict[str, list[Any]]
) -> None:
    path = tmp_path / "templates.parquet"
    pq.write_table(pa.table(templates), path)
    sample, _ = build_sample(**paths, **SETTINGS | {"templates": path})
    assert sample.ids[-2:].tolist() == ["dm4-template", "gm2-template"]
    assert sample.role[-2:].tolist() == ["dwarf", "giant"]
    assert sample.is_m.sum() == 42
    assert sample.table["n_bad"].to_pylist()[-2:] == [201, 0]
    assert np.isnan(sample.snr[-1])
    expected = spectrum("gM2")
    expected = (expected - expected.min()) / np.ptp(expected)
    np.testing.assert_allclose(sample.flux[-1], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subclass": ["K7", "gM2"]}, "dm4-template has subclass K7"),
        ({"name": ["spec-0000", "gm2-template"]}, "1 spectra .* the first is spec-0000"),
        ({"flux": [[1.0] * 3909, [1.0] * 3909]}, "dm4-template cannot be used .constant"),
        ({"log10_lambda0": [None, 3.5682]}, "templates lack log10_lambda0"),
    ],
)
def test_bad_templates_are_errors(
    tmp_path: Path, paths: dict[str, Any], templates: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "templates.parquet"
    pq.write_table(pa.table(templates | change), path)
    with pytest.raises(InputError, match=message):
        build_sample(**paths, **SETTINGS | {"templates": path})


def test_duplicate_identifiers_are_an_error(tmp_path: Path) -> None:
    manifest, flux, ivar = survey(24)
    ids = manifest["spectrum_id"].to_pylist()
    ids[20] = ids[3]
    paths = write_survey(tmp_path, put(manifest, spectrum_id=ids), flux, ivar)
    with pytest.raises(InputError, match="more than once, the first is spec-0003"):
        build_sample(**paths, **SETTINGS)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [(KINDS[3:], "no positive sample: of 0 labelled M stars"), (KINDS[:3], "no negative sample")],
)
def test_one_sided_surveys_are_errors(tmp_path: Path, kinds: Sequence[str], message: str) -> None:
    manifest, flux, ivar = survey(24)
    rows = np.flatnonzero(np.isin(np.resize(KINDS, 24), kinds))
    paths = write_survey(tmp_path, manifest.take(rows), flux[rows], ivar[rows])
    with pytest.raises(InputError, match=message):
        build_sample(**paths, **SETTINGS)


def test_only_defective_m_stars_are_an_error(tmp_path: Path) -> None:
    manifest, flux, ivar = survey(48)
    flux[:, 1000:1500] = 0.0
    with pytest.raises(InputError, match=r"no positive sample: of 24 labelled M stars 24 are usable"):
        build_sample(**write_survey(tmp_path, manifest, flux, ivar), **SETTINGS)


def test_manifests_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    manifest, flux, ivar = survey(24)
    paths = write_survey(tmp_path, manifest, flux, ivar)
    with pytest.raises(InputError, match="2 bundles and 1 manifests"):
        build_sample(paths["bundles"], paths["manifests"][:1], **MSTARS["sample"], seed=0)
    with pytest.raises(InputError, match="hold different spectra"):
        build_sample(paths["bundles"], paths["manifests"][::-1], **MSTARS["sample"], seed=0)
    last = paths["manifests"][1]
    pq.write_table(pq.read_table(last).drop_columns(["z", "rv", "class"]), last)
    with pytest.raises(InputError, match="lacks class, rv or z"):
        build_sample(**paths, **MSTARS["sample"], seed=0)


def test_velocities_that_no_star_has_are_not_used(tmp_path: Path) -> None:
    manifest, flux, ivar = survey(24)
    manifest = put(manifest, rv=[-9999.0] * 24, z=[-9999.0] * 24)
    sample, _ = build_sample(**write_survey(tmp_path, manifest, flux, ivar), **SETTINGS)
    assert sample.table["rv"].null_count == len(sample.flux)
    assert sample.is_m.sum() == 12


def test_classes_are_subtypes_letters_and_kinds() -> None:
    rows = [
        ("dwarf", "STAR", "dM3", "dM3"),
        ("dwarf", "STAR", "M0", "dM0"),
        ("giant", "STAR", "gM5", "gM5"),
        ("dwarf", None, None, "dM"),  # a user's template
        ("negative", "STAR", "K5", "K"),
        ("negative", "STAR", "dK7", "K"),
        ("negative", "star", "A1V", "A"),
        ("negative", "STAR", "", "?"),
        ("negative", "STAR", None, "?"),
        ("negative", "GALAXY", None, "GALAXY"),
        ("negative", "QSO", "", "QSO"),
        ("negative", "UNKNOWN", None, "UNKNOWN"),
        ("negative", None, None, "UNKNOWN"),
    ]
    role, class_, subclass, expected = map(list, zip(*rows, strict=True))
    nothing = np.zeros((len(rows), 0), np.float32)
    table = pa.table({"role": role, "class": class_, "subclass": subclass})
    assert Sample(nothing, nothing, pa.table({}), table).labels.tolist() == expected
