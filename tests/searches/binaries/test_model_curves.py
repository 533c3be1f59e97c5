"""Models of binaries as curves over their spectra."""

import numpy as np
import pytest
from fixtures.settings import BINARIES

from starsift.searches.binaries.model_bank import build_models
from starsift.searches.binaries.model_curves import model_curves
from starsift.searches.binaries.settings import model_settings
from starsift.sky.constants import C_KMS
from starsift.spectra.templates import load_grid
from starsift.synthesis.exposures import anonymous_batch
from starsift.synthesis.mrs import observe
from starsift.synthesis.stars import Synthesizer

FEW = {"teff": (5250, 6250), "logg": (4.2,), "feh": (0.0,), "vsini": (0.0, 45.0)}


@pytest.fixture(scope="module")
def bank():
    return build_models(load_grid(), **model_settings(BINARIES) | FEW)


@pytest.fixture(scope="module")
def synthesizer():
    return Synthesizer(load_grid(), BINARIES["ccf"]["resolution"])


def expose(synthesizer: Synthesizer, rv: list[float]):
    """One exposure of equal stars of 6250 K at velocities."""
    k = len(rv)
    flux = synthesizer.flux(
        *(np.array([a]) for a in ([6250.0] * k, [4.2] * k, [0.0] * k, [0.0] * k, rv, [1.0] * k))
    )
    ratio = np.array([100.0])
    seen = observe(synthesizer.wavelength, flux, snr=ratio, rng=np.random.default_rng(1))
    return anonymous_batch(*seen, ratio)


def test_the_model_is_the_spectrum(bank, synthesizer: Synthesizer) -> None:
    batch = expose(synthesizer, [-70.0, 60.0])
    wavelength, curves = model_curves(batch, bank, 2)
    inside = np.isin(batch.wavelength[0], wavelength)
    assert list(curves) == [
        "model",
        "star 1: -70 km/s, 6250 K, 50% of the light",
        "star 2: 60 km/s, 6250 K, 50% of the light",
    ]
    flux, ivar = batch.flux[0, inside], batch.ivar[0, inside]
    residual = (flux - curves["model"])[ivar > 0] * np.sqrt(ivar[ivar > 0])
    assert np.std(residual[500:]) < 1.2  # 1 is noise; pseudo-continua differ at the blue end
    for name, velocity in zip(list(curves)[1:], (-70.0, 60.0), strict=True):
        # Each star has the magnesium line where its velocity has it, at half the depth.
        near = np.abs(wavelength - 5185.05 * (1 + velocity / C_KMS)) < 1.2
        assert wavelength[near][curves[name][near].argmin()] == pytest.approx(
            5185.05 * (1 + velocity / C_KMS), abs=0.3
        )


def test_a_single_star_has_no_pair(bank, synthesizer: Synthesizer) -> None:
    batch = expose(synthesizer, [20.0])
    assert model_curves(batch, bank, 2)[1] == {}
    _, curves = model_curves(batch, bank, 1)
    assert list(curves) == ["model", "star 1: 20 km/s, 6250 K, 100% of the light"]
    np.testing.assert_allclose(*curves.values(), rtol=1e-6)
