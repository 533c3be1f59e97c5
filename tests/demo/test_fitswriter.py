"""The writer of FITS tables agrees with astropy."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from starsift.demo import fitswriter


def test_writer_agrees_with_astropy(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    columns = {
        "FLUX": rng.normal(size=77).astype(np.float32),
        "N": np.arange(77, dtype=np.int64),
        "D": rng.normal(size=77),
    }
    cards: list[fitswriter.Card] = [
        ("WHO", "O'Brien", "a quote"),
        ("X", 1.5, ""),
        ("BIG", 2_000_000_000_000, ""),
        ("YES", True, ""),
    ]
    for tall in (True, False):
        path = tmp_path / f"{tall}.fits.gz"
        table = fitswriter.table("T", columns, cards, tall=tall)
        fitswriter.write_gzip(path, [fitswriter.primary([]), table])
        with fits.open(path) as hdus:
            hdus.verify("exception")
            for name, values in columns.items():
                np.testing.assert_array_equal(np.ravel(hdus["T"].data[name]), values)
            header = hdus["T"].header
            assert [header[key] for key, _, _ in cards] == [value for _, value, _ in cards]
