"""CCF files: what is written is what is read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fixtures.binaries_files import VELOCITIES, peak, rows

from starsift.errors import ResultsError
from starsift.searches.binaries.curves import read_curves


def test_curves_come_back_with_their_velocities_and_statuses(bundle: Path) -> None:
    first, second = read_curves(bundle)
    np.testing.assert_array_equal(first.velocities, VELOCITIES)
    np.testing.assert_array_equal(first.ccf[1], peak(-80, 70))
    assert first.rows["status"].to_pylist() == ["ok", "ok", "ok", "few_pixels"]
    assert second.rows["status"].to_pylist() == ["truncated"]
    assert first.template.tolist() == [0, 1, 2, -1]
    assert second.template.tolist() == [-1]


def test_another_arrow_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.arrow"
    table = rows(1)
    with pa.ipc.new_file(str(path), table.schema) as sink:
        sink.write_table(table)
    with pytest.raises(ResultsError, match=r"other\.arrow: an Arrow file, but not one of CCFs"):
        list(read_curves(path))
