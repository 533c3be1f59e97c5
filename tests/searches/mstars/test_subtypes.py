"""Spectral subtypes from indices: made-up sequences, mean SDSS spectra, single SDSS stars."""

from pathlib import Path

import numpy as np
import pytest
from fixtures.spectra import sdss_templates
from fixtures.survey_files import real

from starsift.searches.mstars.indices import IndexDefinition, load_indices, measure_windows
from starsift.searches.mstars.subtypes import (
    INTRINSIC,
    NAMES,
    Subtypes,
    SubtypeTable,
    load_subtypes,
    make_table,
    measure_subtypes,
    save_subtypes,
)
from starsift.survey.readers.registry import read_spectrum
from starsift.synthesis.degrade import add_noise, miscalibrate

WAVELENGTH = 10 ** (3.5682 + 1e-4 * np.arange(3909))
# Six bands, each beside its own continuum, that deepen with the subtype by different amounts.
BANDS = {
    name: IndexDefinition(name, "ratio", ((low, low + 20, 1.0),), ((low + 40, low + 60, 1.0),), True, "test")
    for name, low in zip((f"band{k}" for k in range(6)), range(5000, 8600, 600), strict=True)
}
SLOPES = np.linspace(0.04, 0.09, 6)
TYPES = np.arange(-3.0, 11)
TABLE = SubtypeTable(TYPES, tuple(BANDS), 0.95 - np.outer(TYPES + 3, SLOPES) * 0.7, np.full((14, 6), 1e-3))


def sequence(subtype: np.ndarray) -> np.ndarray:
    """Spectra (n, p) whose bands are those of `TABLE` at the subtypes (n,)."""
    flux = np.full((subtype.size, WAVELENGTH.size), 2.0)
    for k, definition in enumerate(BANDS.values()):
        low, high, _ = definition.feature[0]
        inside = (low - 4 < WAVELENGTH) & (high + 4 > WAVELENGTH)
        flux[:, inside] *= (0.95 - (subtype + 3) * SLOPES[k] * 0.7)[:, None]
    return flux


def measure(flux: np.ndarray, ivar: np.ndarray, table: SubtypeTable = TABLE) -> Subtypes:
    return measure_subtypes(WAVELENGTH, flux, ivar, BANDS, table, calibration=0)


def test_known_subtypes() -> None:
    truth = np.array([-1.0, 0.0, 2.4, 4.2, 8.9])
    flux = sequence(truth)
    found = measure(flux, np.full(flux.shape, 1e6))
    assert found.subtype == pytest.approx(truth, abs=0.1)
    assert found.best == pytest.approx(truth, abs=0.1)
    assert found.label.tolist() == ["K7", "M0", "M2", "M4", "M9"]
    assert found.error == pytest.approx(INTRINSIC, abs=0.02)
    assert (found.used == 6).all()
    assert (found.chi2 < 1).all()


def test_errors_are_honest() -> None:
    """Beyond the intrinsic part, errors are those of the noise, also where single pixels are noise."""
    rng = np.random.default_rng(8)
    for ratio in (1.0, 5.0):
        truth = rng.uniform(0, 8, 2000)
        flux = sequence(truth)
        noisy = flux + 2 / ratio * rng.standard_normal(flux.shape)
        found = measure(noisy, np.full(flux.shape, (ratio / 2) ** 2))
        noise = np.sqrt(found.error**2 - INTRINSIC**2)
        assert 0.9 < np.sqrt(np.mean(((found.subtype - truth) / noise) ** 2)) < 1.1
        assert 0.8 < np.mean(found.chi2) * 6 / 5 < 1.2


def test_gaps() -> None:
    flux = sequence(np.full(3, 5.0))
    ivar = np.full(flux.shape, 100.0)
    ivar[1, WAVELENGTH < 5700] = 0
    flux[1, WAVELENGTH < 5700] = np.nan
    ivar[2, WAVELENGTH < 7000] = 0
    found = measure(flux, ivar)
    assert found.used.tolist() == [6, 4, 2]
    assert found.subtype[:2] == pytest.approx(5.0, abs=0.5)
    assert found.error[1] > found.error[0]
    assert np.isnan([found.subtype[2], found.error[2], found.best[2], found.chi2[2]]).all()
    assert found.label.tolist() == ["M5", "M5", ""]


def test_nothing_measured() -> None:
    found = measure(np.full((2, WAVELENGTH.size), np.nan), np.zeros((2, WAVELENGTH.size)))
    assert np.isnan(found.subtype).all()
    assert found.label.tolist() == ["", ""]
    assert measure(np.ones((0, WAVELENGTH.size)), np.ones((0, WAVELENGTH.size))).label.shape == (0,)


def test_order_does_not_matter() -> None:
    rng = np.random.default_rng(9)
    flux = sequence(rng.uniform(-2, 9, 300)) + 0.3 * rng.standard_normal((300, WAVELENGTH.size))
    ivar, order = np.full(flux.shape, 11.0), rng.permutation(300)
    found, moved = measure(flux, ivar), measure(flux[order], ivar[order])
    np.testing.assert_allclose(found.subtype[order], moved.subtype, atol=1e-4)
    assert found.label[order].tolist() == moved.label.tolist()


def test_make_table(tmp_path: Path) -> None:
    types, values = np.array([0, 0, 2, 4]), np.array([[0.9, 1.0], [0.8, 1.2], [0.6, 1.5], [0.4, 2.0]])
    table = make_table(types, ("a", "b"), values)
    assert table.types.tolist() == [0, 1, 2, 3, 4]
    assert table.mean[0] == pytest.approx([0.85, 1.1])
    assert 0.6 < table.mean[1, 0] < 0.85
    assert (table.scatter[:, 1] >= np.std([1.0, 1.2], ddof=1)).all()
    save_subtypes(table, tmp_path / "table.csv")
    again = load_subtypes(tmp_path / "table.csv")
    np.testing.assert_allclose(again.mean, table.mean, atol=1e-4)
    np.testing.assert_allclose(again.scatter, table.scatter, atol=1e-4)
    assert again.names == ("a", "b")
    with pytest.raises(ValueError, match="two subtypes"):
        make_table(types[:2], ("a", "b"), values[:2])
    with pytest.raises(ValueError, match="leave out the others"):
        make_table(types, ("a", "b"), np.where(values == 2.0, np.nan, values))


def test_tables_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("type,index,mean\n")
    with pytest.raises(ValueError, match="no column scatter"):
        load_subtypes(path)
    path.write_text("type,index,mean,scatter\n0,a,1,0.1\n1,b,1,0.1\n")
    with pytest.raises(ValueError, match="no row for b of type 0, a of type 1"):
        load_subtypes(path)
    with pytest.raises(ValueError, match="`subtype` yes"):
        measure_subtypes(WAVELENGTH, np.ones((1, 3909)), np.ones((1, 3909)), BANDS, load_subtypes())


def test_shipped_table() -> None:
    table = load_subtypes()
    assert {NAMES[int(t)] for t in table.types} >= {f"M{t}" for t in range(10)} | {"K7", "L0"}
    assert {name for name, d in load_indices().items() if d.subtype} <= set(table.names)
    m_stars = (table.types >= 0) & (table.types <= 8)
    for name in ("tio5", "cah2", "cah3", "tio2", "vo_7912"):
        assert (np.diff(table.mean[m_stars, table.names.index(name)]) < 0).all(), name


@pytest.fixture(scope="module")
def templates() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength, flux, number of the subtype, metallicity of mean SDSS spectra from K4 to L0."""
    numbers = {name: number for number, name in NAMES.items()}
    names, wavelength, flux = sdss_templates()
    parts = [(*name.split("_"), "")[:2] for name in names]
    late = [k for k, (kind, _) in enumerate(parts) if kind in numbers]
    kinds, metals = zip(*(parts[k] for k in late), strict=True)
    return wavelength, flux[late], np.array([numbers[kind] for kind in kinds]), np.array(metals)


def test_other_metallicities(templates: tuple[np.ndarray, ...]) -> None:
    """A table of [Fe/H] = 0 types mean spectra of other metallicities, with noise and calibration errors."""
    wavelength, flux, kinds, metals = templates
    chosen = {name: d for name, d in load_indices().items() if d.subtype}
    solar = np.isin(metals, ("+0.0", ""))
    fluxes = measure_windows(wavelength, flux[solar], np.full(flux[solar].shape, 1e8), chosen)
    table = make_table(kinds[solar], fluxes.names, fluxes.values())
    test = ~solar & (kinds >= 0)
    rng = np.random.default_rng(10)
    for ratio, enough in ((3, 0.9), (10, 0.95)):
        truth = np.repeat(kinds[test], 20)
        copies = miscalibrate(np.repeat(flux[test], 20, axis=0), 0.05, rng)
        noisy, ivar = add_noise(copies, ratio, rng, wavelength)
        found = measure_subtypes(wavelength, noisy, ivar, table=table)
        assert (np.abs(np.round(found.subtype) - truth) <= 1).mean() >= enough
        assert 0.6 < np.sqrt(np.mean(((found.subtype - truth) / found.error) ** 2)) < 1.2


def test_calibration_errors_move_subtypes_little(templates: tuple[np.ndarray, ...]) -> None:
    wavelength, flux, kinds, metals = templates
    m4 = flux[(kinds == 4) & (metals == "+0.0")]
    ivar = np.full(m4.shape, 1e4) / np.median(m4) ** 2
    plain = measure_subtypes(wavelength, m4, ivar).subtype[0]
    for slope in (-0.5, 0.5):  # 20 % from 6000 to 9000 Angstrom
        tilted = m4 * (wavelength / 7000) ** slope
        assert abs(measure_subtypes(wavelength, tilted, ivar).subtype[0] - plain) < 0.5
        found = measure_subtypes(wavelength, tilted, ivar, calibration=0.01).subtype[0]
        assert found != pytest.approx(plain, abs=0.05)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("spec-0618-52049-0372", {"M0", "M1", "M2"}),
        ("spec-1123-52882-0065", {"M3", "M4", "M5"}),
        ("spec-5047-55833-0936", {"M0", "M1", "M2"}),
        ("spec-4068-55445-0924", {"K4", "K5"}),  # A9: not M
        ("spec-7454-56751-0770", {"K4", "K5"}),  # K0: not M
    ],
)
def test_sdss_stars(name: str, expected: set[str]) -> None:
    """Stars whose subtypes the SDSS pipeline gives as M1, M4, M1, A9, K0."""
    spectrum = read_spectrum(real("sdss-spec") / f"{name}.fits", "sdss")
    ivar = np.where(spectrum.mask != 0, 0, spectrum.ivar)
    found = measure_subtypes(spectrum.wavelength, spectrum.flux[None], ivar[None])
    assert found.label[0] in expected
    assert (found.chi2[0] < 1.5) == (name != "spec-4068-55445-0924")
