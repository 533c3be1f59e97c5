"""The kind of a FITS file: a spectrum that a reader reads, another spectrum, or none.

A file is taken for a survey's only where it says so itself. All others are named as their headers allow.
"""

from __future__ import annotations

from collections.abc import Sequence

from starsift.errors import SpectrumError
from starsift.survey.fitsfile import Hdu, column_names, image_shape, number
from starsift.survey.identity import NOT_A_SPECTRUM, UNSUPPORTED
from starsift.survey.readers import registry
from starsift.survey.readers.base import Reader
from starsift.survey.readers.lamost import is_lamost

_WAVELENGTHS = {"WAVE", "WAVELENGTH", "LAMBDA", "LOGLAM", "SPECTRAL", "SPECTRAL_AXIS", "WL", "WAVELENGTH_AIR"}
_FLUXES = {"FLUX", "FLUX_REDUCED", "FLUX_DENSITY", "SPEC", "SPECTRUM", "INTENSITY", "COUNTS"}
_MANY_COLUMNS = 1000  # an image so wide and much less high holds spectra in its rows


def recognize(hdus: Sequence[Hdu]) -> Reader:
    """The reader of an opened file.

    Raises SpectrumError if no reader reads it: status not_a_spectrum, unsupported_spectrum (another
    instrument or layout) or missing_extension (LAMOST, without a spectrum); the message says what the file
    seems to be.
    """
    header = hdus[0].header
    target = str(header.get("OBS_TYPE") or "OBJ").strip().upper()
    if is_lamost(header) and target in ("ARC", "FLAT", "BIAS", "DARK"):
        raise SpectrumError(NOT_A_SPECTRUM, f"an exposure of a lamp or of nothing (OBS_TYPE is {target})")
    found = next((reader for reader in registry.READERS if reader.recognizes(hdus)), None)
    if found is not None:
        return found
    if is_lamost(header) and (hdus[0].name == "INFORMATION" or "COMBIN_B" in header):
        names = ", ".join(hdu.name for hdu in hdus[1:]) or "none"
        raise SpectrumError(
            "missing_extension",
            f"a LAMOST MRS file without a spectrum: no table COADD_B, COADD_R, B-..., R-...; it has {names}",
        )
    raise SpectrumError(*_describe(hdus))


def _describe(hdus: Sequence[Hdu]) -> tuple[str, str]:
    """Status and probable kind of a file that no reader reads."""
    source = _source(hdus)
    if any(hdu.name == "FIBERMAP" for hdu in hdus):
        return UNSUPPORTED, f"spectra of many fibres in one file, as DESI has them{source}"
    found = [(column_names(hdu.header), image_shape(hdu.header), hdu) for hdu in hdus]
    for names, shape, hdu in found:
        place = f" in extension {hdu.name}" if hdu.name else ""
        wave, flux = sorted(_WAVELENGTHS & set(names)), sorted(_FLUXES & set(names))
        if wave and flux:
            return UNSUPPORTED, (
                f"a table of wavelengths and fluxes ({wave[0].lower()}, {flux[0].lower()}){place}{source}; "
                "neither LAMOST nor SDSS"
            )
        if not names and len(shape) == 1 and number(hdu.header, "CRVAL1") > 0:
            return UNSUPPORTED, f"a one-dimensional spectrum of {shape[0]} pixels{place}{source}"
        if not names and len(shape) == 2 and _rows_of_spectra(hdu, shape):
            return UNSUPPORTED, (
                f"spectra in the rows of an image of {shape[0]} x {shape[1]} pixels{place}{source}; neither "
                "LAMOST's image (5, n) nor SDSS's (4 or 5, n) with the cards that go with it"
            )
    for names, shape, hdu in found:
        if names:
            some = ", ".join(name.lower() for name in names[:6]) + (", ..." if len(names) > 6 else "")
            return NOT_A_SPECTRUM, (
                f"a table of {hdu.header.get('NAXIS2')} rows ({some}){source}; a catalogue belongs in "
                "surveys.<name>.catalog"
            )
        if shape and shape[-1]:
            word = {1: "a row", 2: "an image", 3: "a cube"}.get(len(shape), "an array")
            size = " x ".join(str(n) for n in shape)
            return NOT_A_SPECTRUM, f"{word} of {size} pixels{source}, without wavelengths"
    return NOT_A_SPECTRUM, f"headers without data{source}"


def _rows_of_spectra(hdu: Hdu, shape: tuple[int, ...]) -> bool:
    axis = str(hdu.header.get("CTYPE1") or "").upper()
    spectral = axis.startswith(("WAVE", "AWAV", "LAMBDA", "LINEAR", "MULTISPE"))
    named = "COEFF0" in hdu.header or "PLATEID" in hdu.header
    return spectral or named or (shape[1] >= _MANY_COLUMNS and 10 * shape[0] <= shape[1])


def _source(hdus: Sequence[Hdu]) -> str:
    """Where a file says that it is from, to end a sentence with."""
    for key in ("INSTRUME", "TELESCOP", "ORIGIN", "OBJECT"):
        for hdu in hdus[:2]:
            value = hdu.header.get(key)
            if isinstance(value, str) and value.strip():
                return f", {key} {value.strip()}"
    return ""
