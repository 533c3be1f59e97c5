"""Columns of the catalogues of binaries."""

import pyarrow as pa

from starsift.catalog.columns import (
    IDENTITY,
    OBJECT_ID,
    STAR,
    VELOCITY_UCD,
    Column,
    TableSchema,
    probability,
    velocity,
)


def share(name: str, description: str, ucd: str) -> Column:
    return Column(name, pa.float32(), description, ucd, nullable=True, decimals=4)


_OBJECT = (Column("object_id", pa.string(), OBJECT_ID, "meta.id;meta.main"), *STAR)
_CLASSES = {"c1": (0, 1, 2, 3), "c2": (0, 1, 2, 3), "c3": (0, 1, 2), "c4": (0, 1, 3)}
_LINES = ("noise (L0)", "single-lined (L1)", "double-lined (L2)", "triple-lined (L3)")
BINARIES_SPECTRA = TableSchema(
    "binaries_spectra",
    "Double- and triple-lined exposures (Li et al. 2023, Table 3)",
    ("spectrum_id", "band"),
    (
        *IDENTITY,
        Column("object_id", pa.string(), OBJECT_ID, "meta.id.parent"),
        *STAR,
        Column("snr", pa.float32(), "Signal-to-noise ratio a pixel", "stat.snr", nullable=True, decimals=2),
        Column("multiplicity", pa.string(), "SB2 or SB3, by the method of the settings", "meta.code.multip"),
        probability("p_single", "Probability of one star, by the models"),
        probability("p_sb2", "Probability of two stars, by the models"),
        probability("p_sb3", "Probability of three stars, by the models"),
        Column("by_star", pa.bool_(), "SB2 for what the star's other exposures show", "meta.code.qual"),
        Column("vote", pa.string(), "SB2 or SB3: the vote on the CCF", "meta.code.multip", nullable=True),
        Column("model", pa.string(), "SB2 or SB3: by the models", "meta.code.multip", nullable=True),
        velocity("rv_1", "Lowest heliocentric radial velocity"),
        velocity("rv_2", "Second radial velocity, ascending"),
        velocity("rv_3", "Third radial velocity, ascending", nullable=True),
        *(velocity(f"rv_{i}_err", f"Error of rv_{i}", f"stat.error;{VELOCITY_UCD}", True) for i in (1, 2, 3)),
        *(
            column
            for i in (1, 2, 3)
            for column in (
                share(
                    f"light_{i}",
                    f"Share of the light of the star at rv_{i}, by the models",
                    "phys.luminosity;arith.ratio",
                ),
                share(f"light_{i}_err", f"Error of light_{i}", "stat.error;phys.luminosity;arith.ratio"),
            )
        ),
        Column(
            "primary",
            pa.int8(),
            "Of an SB2: 1 if rv_1 is that of the brighter star, else 2",
            "meta.code",
            nullable=True,
        ),
        Column("template", pa.int8(), "Best template: its place in the settings, from 0", "meta.code"),
        Column("n_ccf_components", pa.int16(), "Number of components found in the CCF", "meta.number"),
        velocity("sigma", "Last smoothing of the derivatives of the CCF", "stat.param"),
        Column("converged", pa.bool_(), "As many components as valleys of the derivative", "meta.code.qual"),
        Column(
            "ccf_max", pa.float32(), "Highest value of the CCF, at most 1", "stat.correlation", decimals=4
        ),
        *(
            probability(f"p_{name}_l{line}", f"Classifier {name.upper()}: P that the CCF is {_LINES[line]}")
            for name, lines in _CLASSES.items()
            for line in lines
        ),
        probability("reliability", "Share of noisy copies with the same number of components"),
        Column("suspect_moonlight", pa.bool_(), "A component is at rest for the observer", "meta.code.qual"),
        Column(
            "suspect_crosstalk", pa.bool_(), "A star on the next fibre has the same CCF", "meta.code.qual"
        ),
        Column(
            "crosstalk_partner", pa.string(), "Spectrum with the same CCF", "meta.id.assoc", nullable=True
        ),
        velocity(
            "barycentric_correction",
            "Barycentric correction, added to observed velocities",
            "phys.veloc;pos.barycenter",
            nullable=True,
        ),
        Column("label", pa.string(), "Label given by a person", "meta.code;src.class", nullable=True),
        Column("vetted_by", pa.string(), "Person who labelled it", "meta.curation", nullable=True),
        Column("file", pa.string(), "File of the spectrum", "meta.id;meta.file"),
    ),
)

BINARIES_OBJECTS = TableSchema(
    "binaries_objects",
    "Double- and triple-lined stars (Li et al. 2023, Table 4)",
    ("object_id",),
    (
        *_OBJECT,
        Column("multiplicity", pa.string(), "SB3 if any exposure is, else SB2", "meta.code.multip"),
        Column("n_exposures", pa.int32(), "Usable exposures, with and without detection", "meta.number;obs"),
        Column("n_detections", pa.int32(), "Exposures that are SB2 or SB3", "meta.number;obs"),
        Column("n_sb2", pa.int32(), "Exposures that are SB2", "meta.number;obs"),
        Column("n_sb3", pa.int32(), "Exposures that are SB3", "meta.number;obs"),
        velocity("rv_separation_max", "Largest difference within one exposure", f"{VELOCITY_UCD};stat.max"),
        velocity("rv_range", "Highest minus lowest velocity in all detections", f"{VELOCITY_UCD};stat.max"),
        probability("p_binary", "Probability of two stars, by all exposures"),
        share(
            "mass_ratio", "Mass of the fainter star over that of the brighter one", "phys.mass;arith.ratio"
        ),
        share("mass_ratio_err", "Error of mass_ratio", "stat.error;phys.mass;arith.ratio"),
        velocity("systemic_velocity", "Velocity of the centre of mass", nullable=True),
        velocity("systemic_velocity_err", "Error of systemic_velocity", f"stat.error;{VELOCITY_UCD}", True),
        Column(
            "snr_max", pa.float32(), "Best S/N of a detection", "stat.snr;stat.max", nullable=True, decimals=2
        ),
        Column("n_suspect_moonlight", pa.int32(), "Detections that may be moonlight", "meta.number"),
        Column("n_suspect_crosstalk", pa.int32(), "Detections that may be cross-talk", "meta.number"),
        Column("suspect", pa.bool_(), "Every detection is a suspect of either kind", "meta.code.qual"),
        Column("best_spectrum_id", pa.string(), "Best example of the multiplicity", "meta.id.assoc"),
    ),
)

BINARIES_VARIABLES = TableSchema(
    "binaries_variables",
    "Single-lined stars of variable velocity",
    ("object_id",),
    (
        *_OBJECT,
        Column("n_velocities", pa.int32(), "Exposures with one velocity", "meta.number;obs"),
        velocity("rv", "Mean velocity", f"{VELOCITY_UCD};stat.mean"),
        velocity("rv_err", "Error of the mean, were the velocity constant", f"stat.error;{VELOCITY_UCD}"),
        velocity("rv_range", "Highest minus lowest velocity", f"{VELOCITY_UCD};stat.max"),
        Column("chi2", pa.float32(), "Chi-square of a constant velocity", "stat.fit.chi2", digits=5),
        Column(
            "p_value", pa.float64(), "Chance of a constant star to vary as much", "stat.probability", digits=4
        ),
    ),
)


def element(
    name: str,
    description: str,
    ucd: str,
    unit: str = "",
    *,
    decimals: int | None = None,
    digits: int | None = None,
) -> tuple[Column, Column]:
    """An element of an orbit and its error, which has the same decimals, or three digits."""
    error = Column(
        f"{name}_err",
        pa.float64(),
        f"Error of {name}, of this period",
        f"stat.error;{ucd}",
        unit,
        nullable=True,
        decimals=decimals,
        digits=None if digits is None else 3,
    )
    return Column(name, pa.float64(), description, ucd, unit, True, decimals, digits), error


BINARIES_ORBITS = TableSchema(
    "binaries_orbits",
    "Orbits of binaries (The Joker, Price-Whelan et al. 2017)",
    ("object_id",),
    (
        *_OBJECT,
        Column("multiplicity", pa.string(), "SB2, or SB1: single-lined", "meta.code.multip"),
        Column("n_velocities", pa.int32(), "Exposures with velocities", "meta.number;obs"),
        Column("n_pairs", pa.int32(), "Exposures with velocities of both stars", "meta.number;obs"),
        Column("n_nights", pa.int32(), "Nights with such exposures", "meta.number;obs"),
        Column(
            "time_span",
            pa.float64(),
            "From the first exposure to the last",
            "time.duration;obs",
            "d",
            decimals=5,
        ),
        *element("period", "Most probable orbital period", "time.period", "d", digits=9),
        probability("period_probability", "Share of the posterior that has this period"),
        *element("eccentricity", "Eccentricity", "src.orbital.eccentricity", decimals=4),
        *element(
            "arg_periastron", "Argument of periastron of star 1", "src.orbital.periastron", "deg", decimals=2
        ),
        *element(
            "t_periastron",
            "A periastron: barycentric modified Julian date (TDB)",
            "time.epoch;src.orbital.periastron",
            "d",
            decimals=5,
        ),
        *element("systemic_velocity", "Velocity of the centre of mass", VELOCITY_UCD, "km/s", decimals=2),
        *element(
            "semi_amplitude_1",
            "Semi-amplitude of star 1: the brighter, or heavier one",
            VELOCITY_UCD,
            "km/s",
            decimals=2,
        ),
        *element("semi_amplitude_2", "Semi-amplitude of star 2", VELOCITY_UCD, "km/s", decimals=2),
        *element("mass_ratio", "Mass of star 2 over that of star 1", "phys.mass;arith.ratio", decimals=4),
        *element("m1_sin3i", "Minimum mass of star 1", "phys.mass;stat.min", "solMass", digits=5),
        *element("m2_sin3i", "Minimum mass of star 2", "phys.mass;stat.min", "solMass", digits=5),
        *element("mass_function", "Mass function of a single-lined binary", "phys.mass", "solMass", digits=5),
        Column("chi2", pa.float64(), "Chi-square of the velocities", "stat.fit.chi2", digits=5),
        Column("dof", pa.int32(), "Velocities minus the numbers that are fitted", "stat.fit.dof"),
    ),
)

BINARIES_COMPLETENESS = TableSchema(
    "binaries_completeness",
    "Share of double-lined spectra that the models find",
    ("source", "delta_rv", "light_ratio", "snr", "vsini"),
    (
        Column("source", pa.string(), "Pairs: simulated, or made of exposures of the survey", "meta.code"),
        Column(
            "delta_rv",
            pa.float32(),
            "Difference of the velocities",
            f"{VELOCITY_UCD};arith.diff",
            "km/s",
            digits=6,
        ),
        Column(
            "light_ratio",
            pa.float32(),
            "Light of the fainter star over the other's",
            "phys.luminosity;arith.ratio",
            digits=6,
        ),
        Column("snr", pa.float32(), "Signal-to-noise ratio a pixel", "stat.snr", digits=6),
        Column(
            "vsini",
            pa.float32(),
            "Projected rotation of both stars",
            "phys.veloc.rotat",
            "km/s",
            True,
            digits=6,
        ),
        Column("trials", pa.int32(), "Pairs", "meta.number"),
        Column("found", pa.int32(), "Those that are SB2 at the right velocities", "meta.number"),
    ),
)

CATALOGS = {
    schema.name: schema
    for schema in (
        BINARIES_SPECTRA,
        BINARIES_OBJECTS,
        BINARIES_VARIABLES,
        BINARIES_ORBITS,
        BINARIES_COMPLETENESS,
    )
}
