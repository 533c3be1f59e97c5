"""Columns of the catalogue of blue horizontal branch stars."""

from dataclasses import replace

import pyarrow as pa

from starsift.catalog.columns import IDENTITY, STAR, Column, TableSchema, measured, probability

_SDSS = {"u": "em.opt.U", "g": "em.opt.B", "r": "em.opt.R", "i": "em.opt.I", "z": "em.opt.I"}

BHB = TableSchema(
    "bhb",
    "Blue horizontal branch stars (Wei et al. 2023)",
    ("spectrum_id",),
    (
        *(replace(column, nullable=column.nullable or column.name == "lmjm") for column in IDENTITY),
        Column("survey", pa.string(), "Survey, as the settings name it", "meta.dataset"),
        measured("designation", "Name after the coordinates", "meta.id;pos.eq", type=pa.string()),
        Column("obsdate", pa.string(), "Date of mjd, YYYY-MM-DD", "time.epoch;obs"),
        Column("mjd", pa.int32(), "Modified Julian day (UTC)", "time.epoch;obs", "d"),
        *(replace(column, nullable=True) for column in STAR),
        Column("snr", pa.float32(), "S/N a pixel, as the survey gives it", "stat.snr", nullable=True),
        measured("class", "Class by the survey's pipeline", "src.class", type=pa.string()),
        measured("subclass", "Spectral type by the survey's pipeline", "src.spType", type=pa.string()),
        probability("p_bhb", "Probability of a BHB star, calibrated"),
        measured(
            "modality", "Inputs of the probability: spectrum+image or spectrum", "meta.code", type=pa.string()
        ),
        measured("image_status", "ok, or why there is no image", "meta.code.status", type=pa.string()),
        Column("origin", pa.string(), "predicted, or people: added by a label", "meta.code"),
        measured("split", "Split of the labelled stars that its star is in", "meta.code", type=pa.string()),
        measured("known_class", "Class in the labelled catalogue", "meta.code;src.class", type=pa.string()),
        *(
            measured(f"psfmag_{band}", f"SDSS {band}, point source, as observed", f"phot.mag;{ucd}", "mag")
            for band, ucd in _SDSS.items()
        ),
        measured("g_0", "g without extinction", "phot.mag;em.opt.B", "mag"),
        measured("u_g_0", "u-g without extinction", "phot.color;em.opt.U;em.opt.B", "mag"),
        measured("g_r_0", "g-r without extinction", "phot.color;em.opt.B;em.opt.R", "mag"),
        measured("absmag_g", "Absolute g magnitude of a BHB star of g_r_0", "phys.magAbs;em.opt.B", "mag"),
        measured("distance", "Distance from the Sun of a BHB star", "pos.distance", "kpc"),
        measured("distance_err", "Error of distance", "stat.error;pos.distance", "kpc"),
        Column("group_id", pa.int32(), "Number of the star, shared by its spectra", "meta.id.parent"),
        measured(
            "group_name",
            "Name of the star: designation of its first spectrum",
            "meta.id.parent",
            type=pa.string(),
        ),
        Column("n_exposures", pa.int32(), "Spectra of the star in the catalogue", "meta.number;obs"),
        Column("vetted", pa.bool_(), "Whether a person has vetted it", "meta.code.status"),
        measured("vetted_by", "Who vetted it", "meta.curation", type=pa.string()),
        measured("label", "Label by that person", "meta.code;src.class", type=pa.string()),
        measured("link", "Web page of the spectrum", "meta.ref.url", type=pa.string()),
        Column("file", pa.string(), "File of the spectrum", "meta.id;meta.file"),
    ),
)

CATALOGS = {schema.name: schema for schema in (BHB,)}
