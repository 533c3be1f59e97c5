"""Names and dates as surveys publish them."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from starsift.catalog.naming import dates, designation
from starsift.sky.dates import obsdate

FOLDER = Path(__file__).parents[2].parent / "shared/data"


def test_names_of_the_published_examples():
    # Guo et al. 2019, Table 2.
    ra = [13.365946, 13.213834, 12.538397, 13.09896, 9.3263115]
    dec = [39.292626, 38.825212, 38.44155, 40.916401, 39.820105]
    assert designation(ra, dec).to_pylist() == [
        "J005327.82+391733.4",
        "J005251.32+384930.7",
        "J005009.21+382629.5",
        "J005223.75+405459.0",
        "J003718.31+394912.3",
    ]


def test_names_are_cut_not_rounded_and_keep_their_sign():
    names = designation([10, 0, 360, 359.9999999, -0.001, np.nan], [-45.5, -0.00001, 90, -90, 0.99999999, 1])
    assert names.to_pylist() == [
        "J004000.00-453000.0",
        "J000000.00-000000.0",
        "J000000.00+900000.0",
        "J235959.99-900000.0",
        "J235959.76+005959.9",
        None,
    ]
    # 10.00 s and 20.0 arcsec do not become 9.99 and 19.9.
    seconds = np.arange(6000) / 100
    names = designation(seconds / 240, np.arange(6000) / 10 / 3600).to_pylist()
    assert [name[5:10] for name in names] == [f"{x:05.2f}" for x in seconds]
    assert designation([], []).to_pylist() == []


def test_dates():
    np.testing.assert_array_equal(obsdate([55858, 0]), ["2011-10-24", "1858-11-17"])
    days = np.arange(50000, 60000, 37)
    assert obsdate(days).tolist() == [str(date(1858, 11, 17) + timedelta(day)) for day in days.tolist()]


def test_nights_of_both_surveys():
    """LAMOST's local day is that on which the night ends; SDSS counts nights by mjd."""
    listed = pa.table(
        {
            "spectrum_id": ["spec-55859-F5902_sp01-001", "spec-55859-90001_sp16-250", "spec-2303-53700-0640"],
            "lmjd": pa.array([55859, 55859, 53700], pa.int32()),
        }
    )
    found = dates(listed)
    assert found["mjd"].to_pylist() == [55858, 55858, 53700]
    assert found["obsdate"].to_pylist() == ["2011-10-24", "2011-10-24", "2005-11-26"]
    given = dates(listed.append_column("mjd", pa.array([55860, None, None], pa.int64())))
    assert given["mjd"].to_pylist() == [55860, 55858, 53700]
    assert given["mjd"].type == pa.int32()
    assert [len(values) for values in dates(listed.slice(0, 0)).values()] == [0, 0]


@pytest.mark.skipif(not FOLDER.exists(), reason=f"needs real spectra in {FOLDER}")
def test_names_and_nights_of_real_files():
    files = sorted((FOLDER / "lamost-lrs-dr10").glob("*.fits"))
    files += sorted((FOLDER / "ondrejov-lamost/lamost").glob("*.fits"))
    headers = [fits.getheader(file) for file in files]
    names = designation([h["RA"] for h in headers], [h["DEC"] for h in headers]).to_pylist()
    assert [f"LAMOST {name}" for name in names] == [h["DESIG"].strip() for h in headers]
    # The night's local day is one after the date of universal time.
    assert [d[:10] for d in (h["DATE-OBS"] for h in headers)] == list(
        obsdate([h["LMJD"] - 1 for h in headers])
    )
