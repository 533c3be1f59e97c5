"""Predictions of a bundle."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.emission_data import windows

from starsift.searches.emission.active import STRATEGIES
from starsift.searches.emission.classes import PIXELS
from starsift.searches.emission.predict import predict_bundle

pytestmark = pytest.mark.xdist_group("emission network")


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_bundle_is_predicted_by_numpy_as_by_keras(saved: Path, tmp_path: Path, strategy: str) -> None:
    x, _ = windows(40, 6, noise=0.5)
    usable = np.arange(40) % 5 > 0
    values = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), PIXELS, mask=pa.array(~usable))
    table = pa.table(
        {
            "spectrum_id": [f"s{i}" for i in range(40)],
            "row": np.arange(40),
            "status": np.where(usable, "ok", "no_window"),
            "window": values,
        }
    )
    path = tmp_path / "night.parquet"
    pq.write_table(table, path)
    ours, theirs = (
        predict_bundle(path, saved, strategy=strategy, seed=3, kind=kind, precision="float32")
        for kind in ("numpy", "keras")
    )
    assert ours["spectrum_id"].to_pylist() == [f"s{i}" for i in np.flatnonzero(usable)]
    assert ours["row"].to_pylist() == np.flatnonzero(usable).tolist()
    assert set(ours["bundle"].to_pylist()) == {"night"}
    for name in ("p_single", "p_double", "p_uninteresting", "score"):
        np.testing.assert_allclose(ours[name].to_numpy(), theirs[name].to_numpy(), atol=1e-4)
    assert ("features" in ours.column_names) == STRATEGIES[strategy].diverse
