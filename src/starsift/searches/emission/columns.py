"""Columns of the catalogue of emission-line spectra."""

import pyarrow as pa

from starsift.catalog.columns import (
    GROUP,
    LABEL,
    LRS,
    STAR,
    VELOCITY_UCD,
    Column,
    TableSchema,
    measured,
    probability,
    text,
    velocity,
    with_error,
)

PREDICTED, ORACLE = "predicted", "oracle"  # origins of candidates
_PROFILE = "single peak, double peak or uninteresting"

EMISSION = TableSchema(
    "emission",
    "Spectra with H alpha in emission (Skoda et al. 2020)",
    ("spectrum_id",),
    (
        *LRS,
        *STAR[2:],
        Column(
            "snr", pa.float32(), "S/N a pixel, as the survey gives it", "stat.snr", nullable=True, decimals=2
        ),
        measured("snrr", "S/N a pixel in r, as the survey gives it", "stat.snr;em.opt.R", decimals=2),
        text("class", "Class by the survey's pipeline", "src.class"),
        text("subclass", "Spectral type by the survey's pipeline", "src.spType"),
        Column(
            "profile", pa.string(), "H alpha: by people, else by the network", "meta.code;spect.line.profile"
        ),
        Column("predicted", pa.string(), f"By the network: {_PROFILE}", "meta.code;spect.line.profile"),
        probability("p_single", "Probability of a single peak, calibrated"),
        probability("p_double", "Probability of a double peak, calibrated"),
        probability("p_uninteresting", "Probability of no emission, calibrated"),
        probability("p_emission", "Probability of either peak, calibrated"),
        Column("origin", pa.string(), "predicted, or oracle: labelled for training", "meta.code"),
        measured("round", "Round in which the oracle labelled it, from 0", "meta.number", type=pa.int16()),
        *LABEL,
        *GROUP,
        *with_error(
            "ewha",
            "Equivalent width of H alpha, emission positive",
            "spect.line.eqWidth;em.opt.R",
            "Angstrom",
            decimals=3,
        ),
        measured("snr_ha", "S/N a pixel of the continuum at H alpha", "stat.snr;em.opt.R", decimals=2),
        measured(
            "peak_wavelength", "Most prominent peak, vacuum", "em.wl;spect.line", "Angstrom", decimals=3
        ),
        velocity("peak_velocity", "Heliocentric velocity of that peak", nullable=True),
        velocity(
            "peak_separation",
            "Between the peaks of a double one",
            f"{VELOCITY_UCD};arith.diff",
            nullable=True,
        ),
        text("link", "Web page of the spectrum", "meta.ref.url"),
        Column("file", pa.string(), "File of the spectrum", "meta.id;meta.file"),
    ),
)

CATALOGS = {schema.name: schema for schema in (EMISSION,)}
