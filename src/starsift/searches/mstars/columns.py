"""Columns of the catalogue of M stars."""

import pyarrow as pa

from starsift.catalog.columns import (
    LABEL,
    LRS,
    VELOCITY_UCD,
    Column,
    TableSchema,
    astrometry,
    code,
    measured,
    probability,
    text,
    velocity,
    with_error,
)

_BANDS = ("tio1", "tio2", "tio3", "tio4", "tio5", "cah1", "cah2", "cah3", "caoh", "na")
_INFRARED = {
    "j": ("2MASS J", "em.IR.J"),
    "h": ("2MASS H", "em.IR.H"),
    "k": ("2MASS Ks", "em.IR.K"),
    "w1": ("WISE W1, 3.4 um", "em.IR.3-4um"),
    "w2": ("WISE W2, 4.6 um", "em.IR.4-8um"),
}
_SPEEDS = {"u": "Towards the Galactic centre", "v": "With the rotation", "w": "To the north Galactic pole"}


# Yes, no and unknown are 1, 0 and null in small integers: logicals that may be missing are read by few.
MSTARS = TableSchema(
    "mstars",
    "M stars found by hashing (Guo et al. 2019, Table 2)",
    ("spectrum_id",),
    (
        *LRS,
        Column(
            "snr", pa.float32(), "S/N a pixel, as the survey gives it", "stat.snr", nullable=True, decimals=2
        ),
        measured("snrr", "Median S/N a pixel in r", "stat.snr;em.opt.R", decimals=2),
        Column("n_bad", pa.int32(), "Bad pixels, interpolated for the search", "meta.number"),
        Column("defective", pa.bool_(), "The spectrum has gaps", "meta.code.qual"),
        Column("best_rank", pa.int64(), "Best rank among the neighbours of any query, from 1", "stat.rank"),
        Column("nearest_query", pa.string(), "Known M star with the nearest code", "meta.id.assoc"),
        Column("hamming_distance", pa.int16(), "Differing bits, from the nearest query", "stat.value"),
        Column("n_queries", pa.int32(), "Queries that have it among their neighbours", "meta.number"),
        measured("score", "Score of the search, larger for M stars", "stat.value", digits=5),
        probability("p_m", "Probability of being an M star"),
        text("subclass", "Spectral subtype, M0 to M9", "src.spType"),
        *with_error("subtype", "Spectral subtype as a number, 0 for M0", "src.spType", decimals=2),
        velocity("rv", "Heliocentric radial velocity", nullable=True),
        velocity("rv_err", "Error of rv", f"stat.error;{VELOCITY_UCD}", nullable=True),
        measured("ccf_max", "Highest value of the CCF, at most 1", "stat.correlation", decimals=4),
        text("template", "Template of the highest CCF", "meta.id.assoc"),
        *with_error(
            "ewha", "Equivalent width of H alpha", "spect.line.eqWidth;em.opt.R", "Angstrom", decimals=3
        ),
        measured("snr_ha", "S/N a pixel of the continuum at H alpha", "stat.snr;em.opt.R", decimals=2),
        code("active", "1 active, 0 not, by H alpha emission", "meta.code;spect.line.eqWidth"),
        *(
            column
            for name in _BANDS
            for column in with_error(name, f"Index {name.upper()}", "spect.index;em.opt.R", decimals=4)
        ),
        *with_error("zeta", "Metallicity index zeta of TiO5 and CaH", "spect.index;phys.abund.Z", decimals=4),
        measured("gaia_source_id", "Gaia source", "meta.id.cross", type=pa.int64()),
        measured(
            "match_separation", "Separation from the Gaia source", "pos.angDistance", "arcsec", decimals=3
        ),
        measured("phot_g_mean_mag", "Gaia G magnitude", "phot.mag;em.opt", "mag", decimals=4),
        measured("bp_rp", "Gaia BP - RP", "phot.color;em.opt.B;em.opt.R", "mag", decimals=4),
        *(
            measured(name, f"{band} magnitude", f"phot.mag;{ucd}", "mag", decimals=3)
            for name, (band, ucd) in _INFRARED.items()
        ),
        *astrometry("parallax", "Parallax", "pos.parallax.trig", "mas"),
        *astrometry("pmra", "Proper motion in ra, times cos(dec)", "pos.pm;pos.eq.ra", "mas/yr"),
        *astrometry("pmdec", "Proper motion in dec", "pos.pm;pos.eq.dec", "mas/yr"),
        code("giant", "1 giant, 0 dwarf"),
        Column("giant_evidence", pa.string(), "Evidence for the value of giant", "meta.code"),
        measured("giant_log_odds", "Log odds of a giant, without the prior", "stat.likelihood", decimals=3),
        code("giant_h_jk", "Vote of H against J-K, 1 giant"),
        code("giant_caoh_cah1", "Vote of CaOH against CaH1, 1 giant"),
        code("giant_jk_w1w2", "Vote of J-K against W1-W2, 1 giant"),
        code("giant_cah23_tio5", "Vote of CaH2+CaH3 against TiO5, 1 giant"),
        code("giant_gaia", "1 giant by m_g; a check without a vote"),
        measured("m_g", "Absolute G magnitude, no extinction", "phys.magAbs;em.opt", "mag", decimals=3),
        measured("distance", "Inverse parallax, if its error is small", "pos.distance", "pc", decimals=1),
        *(
            measured(name, f"{text}, LSR", "phys.veloc;pos.galactic", "km/s", decimals=2)
            for name, text in _SPEEDS.items()
        ),
        measured(
            "h_disc", "Height above the Galactic plane", "pos.cartesian.z;pos.galactic", "pc", decimals=1
        ),
        measured("l", "Galactic longitude", "pos.galactic.lon", "deg", pa.float64(), decimals=7),
        measured("b", "Galactic latitude", "pos.galactic.lat", "deg", pa.float64(), decimals=7),
        *LABEL,
        Column("file", pa.string(), "File of the spectrum", "meta.id;meta.file"),
    ),
)

CATALOGS = {schema.name: schema for schema in (MSTARS,)}
