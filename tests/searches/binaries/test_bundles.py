"""Stages of one bundle must fit."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fixtures.binaries_files import write_stages

from starsift.errors import ResultsError
from starsift.searches.binaries.bundles import join_stages


def test_stages_of_different_spectra_do_not_join(components: Path, tmp_path: Path) -> None:
    paths = write_stages(components, tmp_path)
    other = pq.read_table(paths["manifest"][0]).slice(1)
    pq.write_table(other, paths["manifest"][0])
    with pytest.raises(
        ResultsError, match=r"classes\.parquet and .*manifest\.parquet hold different spectra"
    ):
        join_stages(paths)
