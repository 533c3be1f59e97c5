"""Velocity templates over M stars."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fixtures.mstars_data import WAVE, simulate_sample
from fixtures.survey_files import identity_rows

from starsift.errors import ResultsError
from starsift.searches.mstars.review import make_models, scale_template
from starsift.searches.mstars.velocity import velocity_templates
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import SpectrumBatch
from starsift.synthesis.bands import dwarfs, lrs_bands


def test_a_template_is_scaled_to_the_spectrum() -> None:
    x = np.linspace(-1, 1, 500)
    template = 2 + np.sin(20 * x)
    flux = template * (5 + x - 2 * x**3)
    ivar = np.ones(500)
    ivar[100:120] = 0
    flux[100:120] = 1e6
    found = scale_template(flux, ivar, template)
    np.testing.assert_allclose(found[ivar > 0], flux[ivar > 0], rtol=1e-6)


def test_the_template_of_a_candidate_at_its_velocity(tmp_path: Path) -> None:
    (tmp_path / "mstars").mkdir()
    pq.write_table(velocity_templates(simulate_sample(), 3), tmp_path / "mstars/templates.parquet")
    models = make_models(tmp_path, {})
    rest = dwarfs(lrs_bands(), np.array([43.0]))[0]
    flux = 30 * np.interp(WAVE, WAVE * (1 + 120 / C_KMS), rest)[None].astype(np.float32)
    batch = SpectrumBatch.from_arrays(identity_rows(["s"]), WAVE, flux, np.full(flux.shape, 1e4))
    wavelength, curves = models({"template": "dM3", "rv": 120.0}, batch)
    np.testing.assert_array_equal(wavelength, batch.wavelength[0])
    (name, curve), *others = curves.items()
    assert (name, others) == ("velocity template dM3, 120 km/s", [])
    inner = slice(100, -100)
    fit = np.std((curve / flux[0] - 1)[inner])
    still = models({"template": "dM3", "rv": 0.0}, batch)[1]["velocity template dM3, 0 km/s"]
    assert fit < 0.1
    assert fit < np.std((still / flux[0] - 1)[inner])
    assert models({"template": "dM3", "rv": None}, batch)[1] == {}
    assert models({"template": "M?", "rv": 1.0}, batch)[1] == {}


def test_without_a_finished_run_there_are_no_templates(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="run the search for M stars first"):
        make_models(tmp_path, {})
