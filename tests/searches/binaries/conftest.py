from pathlib import Path

import pytest
from fixtures.binaries_files import write_bundle_components, write_bundle_curves
from fixtures.settings import BINARIES

from starsift.searches.binaries.dataset import Laboratory
from starsift.spectra.templates import load_grid


@pytest.fixture(scope="session")
def laboratory() -> Laboratory:
    return Laboratory.build(load_grid(), peaks=BINARIES["peaks"], **BINARIES["ccf"])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """CCFs of a bundle of five spectra."""
    path = tmp_path / "ccf.arrow"
    write_bundle_curves(path)
    return path


@pytest.fixture
def components(bundle: Path, tmp_path: Path) -> Path:
    """Components of the same bundle."""
    path = tmp_path / "components.parquet"
    write_bundle_components(path, bundle)
    return path
