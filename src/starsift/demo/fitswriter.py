"""FITS files by the thousand: header cards and binary tables as bytes, the same bytes every time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from isal import igzip

from starsift.io.files import atomic_path

BLOCK = 2880
Value = bool | int | float | str
Card = tuple[str, Value, str]

_FORMATS = {"f4": "E", "f8": "D", "i2": "I", "i4": "J", "i8": "K"}


def format_card(card: Card) -> str:
    """One 80-character header card; text too long for it is cut."""
    key, value, comment = card
    if isinstance(value, bool):
        text = f"{'T' if value else 'F':>20}"
    elif isinstance(value, str):
        text = f"{repr_text(value):<20}"
    elif isinstance(value, float):
        text = f"{value:>20.10G}"
        if "." not in text and "E" not in text:
            text = f"{value:>20.1f}"
    else:
        text = f"{value:>20d}"
    return f"{key:<8}= {text} / {comment}"[:80].ljust(80)


def repr_text(value: str) -> str:
    """A FITS string: quoted, quotes doubled, at least eight characters."""
    return "'{:<8}'".format(value.replace("'", "''"))


def header(cards: Sequence[Card]) -> bytes:
    """A header unit, padded to whole blocks."""
    text = "".join(map(format_card, cards)) + "END".ljust(80)
    return text.ljust(-(-len(text) // BLOCK) * BLOCK).encode("ascii")


def primary(cards: Sequence[Card], *, bitpix: int = 8, lengths: Sequence[int] = ()) -> bytes:
    """A primary unit without data; `lengths` are axes that it names nevertheless, like LAMOST DR10."""
    mandatory: list[Card] = [
        ("SIMPLE", True, "conforms to FITS standard"),
        ("BITPIX", bitpix, "array data type"),
        ("NAXIS", 0, "number of array dimensions"),
        *((f"NAXIS{i}", length, "") for i, length in enumerate(lengths, 1)),
        ("EXTEND", True, "there are extensions"),
    ]
    return header([*mandatory, *cards])


def image(array: np.ndarray, cards: Sequence[Card], *, extension: bool = False) -> bytes:
    """A primary unit, or an extension, that holds a float32 image (rows, columns)."""
    first: Card = ("SIMPLE", True, "conforms to FITS standard")
    last: list[Card] = [("EXTEND", True, "there may be extensions")]
    if extension:
        first = ("XTENSION", "IMAGE", "image extension")
        last = [("PCOUNT", 0, "no heap"), ("GCOUNT", 1, "one group")]
    mandatory: list[Card] = [
        first,
        ("BITPIX", -32, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", array.shape[1], "columns"),
        ("NAXIS2", array.shape[0], "rows"),
        *last,
    ]
    data = array.astype(">f4").tobytes()
    return header([*mandatory, *cards]) + data + bytes(-len(data) % BLOCK)


def _format(dtype: np.dtype) -> str:
    """TFORM of one value."""
    return f"{dtype.itemsize}A" if dtype.kind == "S" else _FORMATS[dtype.str[1:]]


def table(name: str, columns: dict[str, np.ndarray], cards: Sequence[Card], *, tall: bool) -> bytes:
    """A binary-table extension of one-dimensional columns of equal length.

    Columns are float32, float64, int16, int32, int64, or in tall tables ASCII bytes. A `tall` table has a row
    a pixel, others one row of arrays. `cards` follow the mandatory ones.
    """
    pixels = len(next(iter(columns.values())))
    codes = {key: _format(array.dtype) for key, array in columns.items()}
    big = {key: array.astype(array.dtype.newbyteorder(">")) for key, array in columns.items()}
    if tall:
        rows = np.empty(pixels, dtype=[(key, array.dtype) for key, array in big.items()])
        for key, array in big.items():
            rows[key] = array
        data = rows.tobytes()
        row_bytes, n_rows = rows.dtype.itemsize, pixels
    else:
        data = b"".join(array.tobytes() for array in big.values())
        row_bytes, n_rows = len(data), 1
    mandatory: list[Card] = [
        ("XTENSION", "BINTABLE", "binary table extension"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", row_bytes, "bytes in a row"),
        ("NAXIS2", n_rows, "rows"),
        ("PCOUNT", 0, "no heap"),
        ("GCOUNT", 1, "one group"),
        ("TFIELDS", len(columns), "columns"),
    ]
    for i, (key, code) in enumerate(codes.items(), 1):
        mandatory.append((f"TTYPE{i}", key, ""))
        mandatory.append((f"TFORM{i}", code if tall else f"{pixels}{code}", ""))
    mandatory.append(("EXTNAME", name, "name of this extension"))
    return header([*mandatory, *cards]) + data + bytes(-len(data) % BLOCK)


def write(path: Path, parts: Sequence[bytes]) -> None:
    """Write bytes to `path`, complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(parts))


def write_gzip(path: Path, parts: Sequence[bytes]) -> None:
    """Write gzipped bytes to `path`; no time stamp, so equal parts, equal files."""
    write(path, [igzip.compress(b"".join(parts), compresslevel=1, mtime=0)])
