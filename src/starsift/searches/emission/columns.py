"""Columns of the catalogue of emission-line spectra."""

from dataclasses import replace

import pyarrow as pa

from starsift.catalog.columns import (
    IDENTITY,
    STAR,
    VELOCITY_UCD,
    Column,
    TableSchema,
    measured,
    probability,
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
        *(replace(column, nullable=column.nullable or column.name == "lmjm") for column in IDENTITY),
        measured("designation", "Name after the coordinates", "meta.id;pos.eq", type=pa.string()),
        Column("obsdate", pa.string(), "Date of mjd, YYYY-MM-DD", "time.epoch;obs"),
        Column("mjd", pa.int32(), "Modified Julian day (UTC)", "time.epoch;obs", "d"),
        *(replace(column, nullable=True) for column in STAR),
        Column("snr", pa.float32(), "S/N a pixel, as the survey gives it", "stat.snr", nullable=True),
        measured("snrr", "S/N a pixel in r, as the survey gives it", "stat.snr;em.opt.R"),
        measured("class", "Class by the survey's pipeline", "src.class", type=pa.string()),
        measured("subclass", "Spectral type by the survey's pipeline", "src.spType", type=pa.string()),
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
        Column("vetted", pa.bool_(), "Whether a person has vetted it", "meta.code.status"),
        measured("vetted_by", "Who has", "meta.curation", type=pa.string()),
        measured("label", "Label by that person", "meta.code;src.class", type=pa.string()),
        Column("group_id", pa.int32(), "Number of the star, shared by its spectra", "meta.id.parent"),
        measured(
            "group_name",
            "Name of the star: designation of its first spectrum",
            "meta.id.parent",
            type=pa.string(),
        ),
        Column("n_exposures", pa.int32(), "Spectra of the star in the catalogue", "meta.number;obs"),
        *with_error(
            "ewha",
            "Equivalent width of H alpha, emission positive",
            "spect.line.eqWidth;em.opt.R",
            "Angstrom",
        ),
        measured("snr_ha", "S/N a pixel of the continuum at H alpha", "stat.snr;em.opt.R"),
        measured("peak_wavelength", "Most prominent peak, vacuum", "em.wl;spect.line", "Angstrom"),
        velocity("peak_velocity", "Heliocentric velocity of that peak", nullable=True),
        velocity(
            "peak_separation",
            "Between the peaks of a double one",
            f"{VELOCITY_UCD};arith.diff",
            nullable=True,
        ),
        measured("link", "Web page of the spectrum", "meta.ref.url", type=pa.string()),
        Column("file", pa.string(), "File of the spectrum", "meta.id;meta.file"),
    ),
)

CATALOGS = {schema.name: schema for schema in (EMISSION,)}
