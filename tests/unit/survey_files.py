"""Small LAMOST-MRS files for tests, in both layouts, and where the real files are."""

import gzip
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

DATA = Path(__file__).parents[3] / "shared" / "data"
ROWS = "a row a pixel"  # DR6 to DR8
ARRAYS = "one row"  # DR9 on
LAYOUTS = (ROWS, ARRAYS)


def real(name: str) -> Path:
    """A folder or file of real data, or the test is skipped."""
    if not (DATA / name).exists():
        pytest.skip(f"no real spectra: {DATA / name} is absent")
    return DATA / name


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, by its path there."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def identity_of(names: Sequence[str]) -> dict[str, Any]:
    """Identity columns of spectra of one partition, without an exposure."""
    n = len(names)
    return {
        "spectrum_id": list(names),
        "obsid": range(n),
        "planid": ["P"] * n,
        "spid": [1] * n,
        "fiberid": range(n),
        "lmjd": [56_000] * n,
        "lmjm": pa.nulls(n, pa.int64()),
        "band": [""] * n,
    }


def mrs_name(planid: str = "HD1", spid: int = 1, fiberid: int = 1, lmjd: int = 58625) -> str:
    return f"med-{lmjd}-{planid}_sp{spid:02d}-{fiberid:03d}.fits.gz"


def mrs_table(
    extname: str, layout: str, pixel: int = 300, seed: int = 0, **columns: np.ndarray
) -> fits.BinTableHDU:
    """One extension; ``columns`` replace its arrays, None drops one."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0.0, 1.0, pixel)
    low = 4898.0 if "B" in extname.replace("COADD_", "")[:1] else 6300.0
    wavelength = low + 491.0 * (x + 0.03 * x**2)
    arrays: dict[str, Any] = {
        "FLUX": rng.normal(1000.0, 20.0, pixel).astype(np.float32),
        "IVAR": np.full(pixel, 0.0025, np.float32),
    }
    if layout == ROWS:
        arrays["LOGLAM"] = np.log10(wavelength).astype(np.float32)
    else:
        arrays["WAVELENGTH"] = wavelength
    mask = (rng.random(pixel) < 0.02).astype(np.int32)
    if extname.startswith("COADD"):
        arrays |= {"ANDMASK": np.zeros(pixel, np.int32), "ORMASK": mask}
    else:
        arrays["PIXMASK"] = mask
    arrays = {name: array for name, array in (arrays | columns).items() if array is not None}
    letters = {"f4": "E", "f8": "D", "i4": "J"}
    made = []
    for name, array in arrays.items():
        letter = letters[array.dtype.str[1:]]
        made.append(
            fits.Column(name, letter, array=array)
            if layout == ROWS
            else fits.Column(name, f"{len(array)}{letter}", array=array[None])
        )
    table = fits.BinTableHDU.from_columns(made, name=extname)
    table.header["SNR"] = (25.5 + seed, "median S/N")
    table.header["EXPTIME"] = 1200.0
    if not extname.startswith("COADD"):
        table.header["LMJM"] = int(extname[2:])
    return table


def mrs_tables(
    lmjms: Sequence[int] = (84420171, 84420194), layout: str = ROWS, pixel: int = 300
) -> list[fits.BinTableHDU]:
    names = ["COADD_B", "COADD_R", *(f"{band}-{m}" for band in "BR" for m in lmjms)]
    return [mrs_table(name, layout, pixel, seed) for seed, name in enumerate(names)]


def write_mrs(
    path: Path, tables: Sequence[fits.BinTableHDU], *, planid: str = "HD1", spid: int = 1, fiberid: int = 1
) -> Path:
    primary = fits.PrimaryHDU()
    cards = {
        "OBSID": 700_000_000 + 1000 * spid + fiberid,
        "PLANID": planid,
        "SPID": spid,
        "FIBERID": fiberid,
        "LMJD": 58625,
        "MJD": 58624,
        "RA": 290.5 + 0.01 * fiberid,
        "DEC": 42.25,
        "FIB_MASK": 0,
        "OBJNAME": "it's a star",
    }
    for key, value in cards.items():
        primary.header[key] = value
    buffer = io.BytesIO()
    fits.HDUList([primary, *tables]).writeto(buffer)
    data = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, 4, mtime=0) if path.suffix == ".gz" else data)
    return path


def assert_cards_of(made: Path, model: Path) -> None:
    """A simulated file has no card, unit or column, nor kind of value, that the real file does not have."""
    with fits.open(made) as ours, fits.open(model) as theirs:
        for unit in ours:
            stem = unit.name.split("-")[0]
            real_unit = next(u for u in theirs if u.name.split("-")[0] == stem)
            assert unit.header.get("BITPIX") == real_unit.header["BITPIX"]
            known = {card.keyword: card for card in real_unit.header.cards}
            for card in unit.header.cards:
                if card.keyword.startswith(("TTYPE", "TFORM", "LMJMLIS")):
                    continue
                assert card.keyword in known, f"{unit.name}: {card.keyword}"
                kinds = [type(c.value) for c in (card, known[card.keyword])]
                assert kinds[0] is kinds[1], f"{unit.name}: {card.keyword} is {kinds}"
            if unit.is_image:
                continue
            assert unit.columns.names == real_unit.columns.names
            for one, other in zip(unit.columns.formats, real_unit.columns.formats, strict=True):
                assert one.lstrip("0123456789") == other.lstrip("0123456789")
