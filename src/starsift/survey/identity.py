"""The identity of a spectrum, and the statuses of unusable files."""

import pyarrow as pa

MISSING = -9999  # how LAMOST and SDSS write a missing number
OK = "ok"
# Statuses of files that are not at fault: no spectrum of a survey that starsift reads, or copies of one.
NOT_A_SPECTRUM, UNSUPPORTED, DUPLICATE = "not_a_spectrum", "unsupported_spectrum", "duplicate"
OTHER_FILES = (NOT_A_SPECTRUM, UNSUPPORTED)


def described(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    """A field whose metadata has its description, and its unit if it has one."""
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, metadata=metadata)


IDENTITY = pa.schema(
    [
        described("spectrum_id", pa.string(), "file stem, and /lmjm for one exposure"),
        described("obsid", pa.int64(), "identifier of the observation in the survey, if it has one"),
        described("planid", pa.string(), "observing plan (SDSS: plate)"),
        described("spid", pa.int8(), "spectrograph"),
        described("fiberid", pa.int16(), "fibre"),
        described("lmjd", pa.int32(), "local modified Julian day of the night", "d"),
        described("lmjm", pa.int64(), "local modified Julian minute of the exposure", "min"),
        described("band", pa.string(), "arm: B, R, or empty where the arms are joined"),
    ]
)
IDENTITY_NAMES = tuple(IDENTITY.names)
