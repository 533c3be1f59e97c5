"""Columns of the catalogue of blue horizontal branch stars."""

import pyarrow as pa

from starsift.catalog.columns import GROUP, LABEL, LRS, STAR, Column, TableSchema, measured, probability, text

_SDSS = {"u": "em.opt.U", "g": "em.opt.B", "r": "em.opt.R", "i": "em.opt.I", "z": "em.opt.I"}

BHB = TableSchema(
    "bhb",
    "Blue horizontal branch stars (Wei et al. 2023)",
    ("spectrum_id",),
    (
        *LRS[:8],
        Column("survey", pa.string(), "Survey, as the settings name it", "meta.dataset"),
        *LRS[8:],
        *STAR[2:],
        Column(
            "snr", pa.float32(), "S/N a pixel, as the survey gives it", "stat.snr", nullable=True, decimals=2
        ),
        text("class", "Class by the survey's pipeline", "src.class"),
        text("subclass", "Spectral type by the survey's pipeline", "src.spType"),
        probability("p_bhb", "Probability of a BHB star, calibrated"),
        text("modality", "Inputs of the probability: spectrum+image or spectrum", "meta.code"),
        text("image_status", "ok, or why there is no image", "meta.code.status"),
        Column("origin", pa.string(), "predicted, or people: added by a label", "meta.code"),
        text("split", "Split of the labelled stars that its star is in", "meta.code"),
        text("known_class", "Class in the labelled catalogue", "meta.code;src.class"),
        *(
            measured(
                f"psfmag_{band}",
                f"SDSS {band}, point source, as observed",
                f"phot.mag;{ucd}",
                "mag",
                decimals=3,
            )
            for band, ucd in _SDSS.items()
        ),
        measured("g_0", "g without extinction", "phot.mag;em.opt.B", "mag", decimals=3),
        measured("u_g_0", "u-g without extinction", "phot.color;em.opt.U;em.opt.B", "mag", decimals=3),
        measured("g_r_0", "g-r without extinction", "phot.color;em.opt.B;em.opt.R", "mag", decimals=3),
        measured(
            "absmag_g",
            "Absolute g magnitude of a BHB star of g_r_0",
            "phys.magAbs;em.opt.B",
            "mag",
            decimals=3,
        ),
        measured("distance", "Distance from the Sun of a BHB star", "pos.distance", "kpc", decimals=3),
        measured("distance_err", "Error of distance", "stat.error;pos.distance", "kpc", decimals=3),
        *GROUP,
        *LABEL,
        text("link", "Web page of the spectrum", "meta.ref.url"),
        Column("file", pa.string(), "File of the spectrum", "meta.id;meta.file"),
    ),
)

CATALOGS = {schema.name: schema for schema in (BHB,)}
