"""A small sample of M stars, and a hasher trained with it."""

import pyarrow as pa
import pytest
from fixtures.mstars_data import simulate_sample

from starsift.searches.mstars.calibration import Calibration
from starsift.searches.mstars.dataset import Sample
from starsift.searches.mstars.model import Model
from starsift.searches.mstars.training import train_reference


@pytest.fixture(scope="session")
def sample() -> Sample:
    return simulate_sample()


@pytest.fixture(scope="session")
def trained(sample: Sample) -> tuple[Model, pa.Table, Calibration]:
    return train_reference(sample, method="discriminant", bits=64, copies=1, copy_snr=(1.0, 4.0), seed=3)
