"""A fast reader of FITS files of spectra: only the headers and tables that are used are parsed.

A survey has millions of small gzipped files, and astropy spends most of its time on their headers. Here a
file is unpacked with ISA-L, and plain binary tables are views of its bytes. Files that are not plain (scaled
columns, heaps, compressed images) are read by astropy. Both ways give the same arrays.
"""

from __future__ import annotations

import bz2
import lzma
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib

from starsift.errors import SpectrumError
from starsift.survey.identity import MISSING

BLOCK = 2880
CARD = 80

# The mandatory cards of an extension are its first ones: eight for a table, more for an image of many axes.
_STRUCTURE = 16 * CARD
_MOST = 999  # axes or columns (FITS standard 4.0, sections 4.4.1 and 7.3.1)
_PIECE = 1 << 15  # packed bytes that are unpacked at a time
_PACKED_WHOLE = {b"BZh": bz2.decompress, b"\xfd7zXZ": lzma.decompress}
_ASTROPY_ONLY = (b"\x1f\x9d", b"PK\x03\x04")  # compress (.Z), zip
_END = b"END" + b" " * (CARD - 3)
_TYPES = {"L": "i1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "A": "S"}


class Header(Mapping[str, Any]):
    """The cards of one header, split on first use and parsed one by one.

    Most extensions of a survey file are skipped, and of the others only a few cards are used.
    """

    def __init__(self, block: bytes) -> None:
        self.block = block

    @cached_property
    def cards(self) -> dict[bytes, bytes]:
        """The 72 bytes after each keyword."""
        # From the last card to the first, so that the first of a repeated keyword stays, as in astropy.
        starts = range(len(self.block) - CARD, -1, -CARD)
        return {self.block[i : i + 8]: self.block[i + 8 : i + CARD] for i in starts}

    def __getitem__(self, key: str) -> Any:
        return _value(self.cards[key.ljust(8).encode()])

    def __iter__(self) -> Iterator[str]:
        for key, card in reversed(self.cards.items()):
            if card.startswith(b"= "):
                yield key.decode("ascii", "replace").rstrip()

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _value(card: bytes) -> Any:
    """Value of a card (its 72 bytes after the keyword): str, bool, int, float, or None."""
    text = card[2:].decode("ascii", "replace").strip() if card.startswith(b"= ") else ""
    if text.startswith("'"):
        # A quote inside a string is doubled.
        return text[1:].replace("''", "\0").split("'", 1)[0].replace("\0", "'").rstrip()
    text = text.split("/", 1)[0].strip()
    if text in ("T", "F"):
        return text == "T"
    for kind in (int, float):
        try:
            return kind(text.replace("D", "E"))
        except ValueError:
            continue
    return None


@dataclass(frozen=True)
class Hdu:
    """One header-data unit; its data are read on demand.

    ``columns(names)`` gives table columns by upper-case name, (rows,) or (rows, repeat), those present only;
    ``image()`` gives the image.
    """

    name: str
    header: Mapping[str, Any] = field(repr=False)
    columns: Callable[[Sequence[str]], dict[str, np.ndarray]] = field(repr=False)
    image: Callable[[], np.ndarray] = field(repr=False)


class _Unpacked:
    """Bytes of a plain or gzipped file, unpacked only as far as needed."""

    def __init__(self, path: Path, packed: bytes) -> None:
        self.path = path
        self._gzip = packed.startswith(b"\x1f\x8b")
        self.data: bytes | bytearray = bytearray() if self._gzip else packed
        self._packed = memoryview(packed)
        self._position = 0
        self._stream = isal_zlib.decompressobj(wbits=31)

    def reach(self, size: int) -> bool:
        """Unpack until there are ``size`` bytes; False where the file ends before."""
        if not self._gzip:
            return len(self.data) >= size
        try:
            while len(self.data) < size and self._position < len(self._packed):
                self.data += self._stream.decompress(self._packed[self._position : self._position + _PIECE])
                self._position += _PIECE
                if self._stream.eof:
                    # One gzip file may be several streams in a row; anything else after the end is padding.
                    self._position = min(self._position, len(self._packed)) - len(self._stream.unused_data)
                    if bytes(self._packed[self._position : self._position + 2]) != b"\x1f\x8b":
                        self._position = len(self._packed)
                    else:
                        self._stream = isal_zlib.decompressobj(wbits=31)
        except Exception as error:  # ISA-L's own class derives from nothing more useful
            raise SpectrumError("corrupt", f"{self.path}: the gzip stream is damaged ({error})") from error
        if len(self.data) < size and not self._stream.eof:
            raise SpectrumError("truncated", f"{self.path}: the gzip stream ends early; copy the file again")
        return len(self.data) >= size

    def reach_end(self) -> None:
        while self.reach(len(self.data) + _PIECE):
            pass


def open_fits(
    path: str | os.PathLike[str], extensions: Collection[str] | None = None, *, fast: bool = True
) -> list[Hdu]:
    """All header-data units of a FITS file, plain or gzipped.

    Parameters
    ----------
    extensions : names of extensions. Reading and unpacking stop after the last of them; the checksum at the
        end of a gzipped file is tested only if it is reached.
    fast : False reads everything with astropy, for comparison

    Raises SpectrumError: status missing_file, unreadable, not_fits, truncated or corrupt.
    """
    path = Path(path)
    packed = _unpack_whole(path, _read_bytes(path))
    if not fast or packed.startswith(_ASTROPY_ONLY):
        return _open_astropy(path)
    file = _Unpacked(path, packed)
    file.reach(BLOCK)
    if not file.data.startswith(b"SIMPLE  ="):
        raise SpectrumError("not_fits", f"{path}: not a FITS file (it does not start with SIMPLE)")
    hdus: list[Hdu] = []
    missing = None if extensions is None else set(extensions)
    position = 0
    while file.reach(position + 1) and (missing is None or missing):
        if hdus and not file.data.startswith(b"XTENSION", position):
            file.reach_end()
            if file.data.find(b"XTENSION= '", position) >= 0:
                raise SpectrumError(
                    "corrupt",
                    f"{path}: damaged, extension {len(hdus)} is not where it should be; copy the file again",
                )
            break  # FITS allows special records after the last extension
        end = _header_end(file, position)
        if end < 0:
            raise SpectrumError("truncated", f"{path}: cut short in header {len(hdus)}; copy the file again")
        header = Header(bytes(file.data[position:end]))
        if header.block.find(b"ZIMAGE  =") > 0:
            return _open_astropy(path)
        start = position + -(-(end + CARD - position) // BLOCK) * BLOCK
        with _damage(path):
            size = _data_size(header.block[:_STRUCTURE])
        if not file.reach(start + size):
            raise SpectrumError(
                "truncated",
                f"{path}: extension {len(hdus)} ends at byte {start + size}, the file at {len(file.data)}; "
                "copy the file again",
            )
        hdus.append(_fast_hdu(file, len(hdus), header, start))
        if missing is not None:
            missing.discard(hdus[-1].name)
        position = start + -(-size // BLOCK) * BLOCK
    return hdus


def unpacked(path: str | os.PathLike[str]) -> bytes:
    """All bytes of a file, without the compression around it: equal for copies that differ in that only.

    Raises SpectrumError: status missing_file, unreadable, truncated or corrupt.
    """
    path = Path(path)
    file = _Unpacked(path, _unpack_whole(path, _read_bytes(path)))
    file.reach_end()
    return bytes(file.data)


def _header_end(file: _Unpacked, position: int) -> int:
    """Where the END card of the header at ``position`` is, -1 if nowhere."""
    at = position
    while True:
        end = file.data.find(_END, at)
        while end >= 0 and (end - position) % CARD:
            end = file.data.find(_END, end + 1)
        if end >= 0:
            return end
        at = max(position, len(file.data) - CARD)
        if not file.reach(len(file.data) + 1):
            return -1


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn any error that a damaged header causes into a `SpectrumError` of the file."""
    try:
        yield
    except SpectrumError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise SpectrumError("corrupt", f"{path}: damaged, copy the file again ({what})") from error


def _unpack_whole(path: Path, packed: bytes) -> bytes:
    """The bytes of a file that was packed with bzip2 or xz; any other as it is."""
    unpack = next((way for magic, way in _PACKED_WHOLE.items() if packed.startswith(magic)), None)
    if unpack is None:
        return packed
    try:
        return unpack(packed)
    except ValueError as error:  # bzip2 that ends early
        raise SpectrumError("truncated", f"{path}: {error}; copy the file again") from error
    except (OSError, EOFError, lzma.LZMAError) as error:
        status = "truncated" if "ended before" in str(error) else "corrupt"
        raise SpectrumError(status, f"{path}: the compressed file is damaged ({error})") from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SpectrumError("missing_file", f"{path}: no such file") from None
    except OSError as error:
        raise SpectrumError("unreadable", f"{path}: cannot be read ({error.strerror})") from error


@lru_cache(maxsize=1024)
def _data_size(start: bytes) -> int:
    """Bytes of the data that follow a header, from its mandatory cards (FITS standard 4.0, equation 2)."""
    header = Header(start)
    for key in ("NAXIS", "TFIELDS"):
        if (header.get(key) or 0) != count_of(header, key):
            raise ValueError(f"{key} is {header.get(key)}")  # astropy would count that far
    axes = [int(header.get(f"NAXIS{i + 1}") or 0) for i in range(count_of(header, "NAXIS"))]
    if not axes:
        return 0
    elements = int(np.prod(axes, dtype=np.int64)) + int(header.get("PCOUNT") or 0)
    if min(*axes, elements) < 0:
        raise ValueError(f"a unit of {axes} elements")
    return abs(int(header.get("BITPIX") or 8)) // 8 * int(header.get("GCOUNT") or 1) * elements


def _fast_hdu(file: _Unpacked, index: int, header: Header, start: int) -> Hdu:
    def columns(names: Sequence[str]) -> dict[str, np.ndarray]:
        with _damage(file.path):
            kind = _row_type(header)
            if kind is None:
                return _open_astropy(file.path)[index].columns(names)
            rows = np.frombuffer(file.data, dtype=kind, count=int(header["NAXIS2"]), offset=start)
            return {name: rows[name] for name in names if name in (kind.names or ())}

    def image() -> np.ndarray:
        with _damage(file.path):
            shape = image_shape(header)
            kind = {-32: ">f4", -64: ">f8"}.get(header.get("BITPIX", 0))
            if kind is None or not shape or "BSCALE" in header or "BZERO" in header:
                return _open_astropy(file.path)[index].image()
            return np.frombuffer(file.data, kind, int(np.prod(shape)), start).reshape(shape)

    return Hdu(_extension_name(header.block), header, columns, image)


def _extension_name(block: bytes) -> str:
    at = block.find(b"EXTNAME =")
    while at >= 0 and at % CARD:
        at = block.find(b"EXTNAME =", at + 1)
    return str(_value(block[at + 8 : at + CARD]) or "").upper() if at >= 0 else ""


def _row_type(header: Header) -> np.dtype | None:
    """Type of one row of a plain binary table; None where the table is not plain."""
    # The same definitions come back in file after file.
    return _row_type_of(b"".join(k + v for k, v in header.cards.items() if k[:1] in b"TNPX"))


@lru_cache(maxsize=1024)
def _row_type_of(cards: bytes) -> np.dtype | None:
    header = Header(cards)
    if header.get("XTENSION") != "BINTABLE" or header.get("PCOUNT"):
        return None
    fields = range(1, count_of(header, "TFIELDS") + 1)
    if any(f"{key}{i}" in header for i in fields for key in ("TSCAL", "TZERO", "TDIM")):
        return None
    columns: list[Any] = []
    for i in fields:
        name, form = str(header.get(f"TTYPE{i}") or i).upper(), str(header[f"TFORM{i}"])
        repeat, letter = form[:-1], form[-1:]
        if letter not in _TYPES or not (repeat == "" or repeat.isdigit()):
            return None
        count = int(repeat or 1)
        if letter == "A":
            columns.append((name, f"S{count}"))
        else:
            columns.append((name, _TYPES[letter], () if count == 1 else (count,)))
    if len({name for name, *_ in columns}) < len(columns):
        return None
    kind = np.dtype(columns)
    return kind if kind.itemsize == header["NAXIS1"] else None


def _open_astropy(path: Path) -> list[Hdu]:
    from astropy.io import fits  # half a second to import, and most runs never need it

    def wrap(number: int) -> Hdu:
        def columns(names: Sequence[str]) -> dict[str, np.ndarray]:
            if headers[number].get("ZTABLE"):
                raise SpectrumError(
                    "compressed_table",
                    f"{path}[{number}]: a table that is compressed inside, which is not read; use funpack",
                )
            with _damage(path), fits.open(path, memmap=False) as opened:
                table = opened[number].data
                present = {name.upper(): name for name in getattr(table, "names", None) or ()}
                return {name: np.array(table[present[name]]) for name in names if name in present}

        def image() -> np.ndarray:
            with _damage(path), fits.open(path, memmap=False) as opened:
                return np.array(opened[number].data)

        return Hdu(names[number], headers[number], columns, image)

    try:
        with fits.open(path, memmap=False) as opened:
            names = [str(hdu.header.get("EXTNAME", "")).upper() for hdu in opened]
            headers = [dict(hdu.header) for hdu in opened]
            # A compressed image cannot be the primary unit: fpack puts an empty one before it.
            moved = (
                len(opened) > 1 and not headers[0].get("NAXIS") and isinstance(opened[1], fits.CompImageHDU)
            )
    except ModuleNotFoundError as error:  # astropy's optional decoders
        raise SpectrumError(
            "unreadable", f"{path}: this compression is not read ({error}); unpack the file"
        ) from error
    except Exception as error:
        raise SpectrumError("not_fits", f"{path}: astropy cannot read it as FITS ({error})") from error
    if moved:
        headers[1] = headers[0] | headers[1]
    return [wrap(number) for number in range(int(moved), len(headers))]


def image_shape(header: Mapping[str, Any]) -> tuple[int, ...]:
    """Shape of the image that a header describes, as numpy has it; () where it describes none."""
    axes = range(count_of(header, "NAXIS"), 0, -1)
    shape = tuple(n for n in (header.get(f"NAXIS{i}") for i in axes) if isinstance(n, int))
    return shape if len(shape) == len(axes) else ()


def column_names(header: Mapping[str, Any]) -> list[str]:
    """Upper-case names of a table's columns; none for an image."""
    fields = range(1, count_of(header, "TFIELDS") + 1)
    return [str(header.get(f"TTYPE{i}") or i).upper() for i in fields]


def count_of(header: Mapping[str, Any], key: str) -> int:
    """Number of axes or of columns that a header says, as far as the FITS standard allows it; else 0."""
    value = header.get(key)
    return value if isinstance(value, int) and 0 <= value <= _MOST else 0


def number(header: Mapping[str, Any], *keys: str) -> float:
    """The first of ``keys`` that holds a number, also one that is written as text, else NaN."""
    for key in keys:
        value = header.get(key)
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            try:
                found = float(value)
            except ValueError:
                continue
            if np.isfinite(found):
                return found
    return float("nan")


def float_card(header: Mapping[str, Any], *keys: str) -> float | None:
    """The number of `number`, None where it is missing."""
    value = number(header, *keys)
    return None if np.isnan(value) or value == MISSING else value


def int_card(header: Mapping[str, Any], *keys: str) -> int | None:
    """The whole number of `number`, None where it is missing."""
    value = float_card(header, *keys)
    return None if value is None else int(value)


def text_card(header: Mapping[str, Any], key: str) -> str | None:
    """The text of a card without blanks around it, None where there is none."""
    value = header.get(key)
    return value.strip() if isinstance(value, str) and value.strip() else None


def find_hdu(hdus: Sequence[Hdu], name: str) -> Hdu | None:
    """The first unit of a name, None where there is none."""
    return next((hdu for hdu in hdus if hdu.name == name), None)
