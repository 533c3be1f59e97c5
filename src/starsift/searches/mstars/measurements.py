"""Measurements of a candidate's spectrum: velocity, line indices, subtype, activity."""

import os

import numpy as np
import pyarrow as pa

from starsift.searches.mstars.dataset import Sample
from starsift.searches.mstars.indices import active, halpha, load_indices, measure_indices
from starsift.searches.mstars.preprocess import R_BAND, median_snr
from starsift.searches.mstars.subtypes import measure_subtypes
from starsift.searches.mstars.velocity import (
    Velocities,
    build_velocity_bank,
    mean_templates,
    measure_velocities,
)
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import IDENTITY_NAMES, ROWS, SpectrumBatch, read_rows
from starsift.spectra.ccf import TemplateBank

INDICES = ("tio1", "tio2", "tio3", "tio4", "tio5", "cah1", "cah2", "cah3", "caoh", "na")


def measure(
    batch: SpectrumBatch,
    bank: TemplateBank,
    *,
    velocity_floor: float,
    activity_snr: float,
    activity_width: float,
) -> pa.Table:
    """Measure candidates.

    Parameters
    ----------
    batch : SpectrumBatch of n spectra as observed
    bank : templates, from `starsift.searches.mstars.velocity.build_velocity_bank`
    velocity_floor : km/s, systematic error of velocities, in quadrature
    activity_snr, activity_width : S/N of the continuum at H alpha above which activity is known, and width
        of the line (Angstrom) that an active star exceeds

    Returns a Table of n rows: identity; rv, rv_err (km/s), ccf_max, template; snr_r; the indices, zeta and
    ewha with errors; snr_ha; subtype, subtype_err, subclass; active (1, 0). Null where something could not be
    measured. Indices of spectra without a velocity are those of the spectrum as observed.
    """
    velocities = measure_velocities(batch, bank, floor=velocity_floor)
    rest = batch.wavelength / (1.0 + np.nan_to_num(velocities.rv.astype(np.float64)) / C_KMS)[:, None]
    spectra = rest, batch.flux, batch.ivar
    definitions = load_indices()
    indices = measure_indices(*spectra, {name: definitions[name] for name in INDICES})
    width, width_error, snr_ha = halpha(*spectra)
    types = measure_subtypes(*spectra)
    columns = {name: batch.identity[name] for name in IDENTITY_NAMES}
    columns |= _velocity_columns(velocities, bank)
    columns["snr_r"] = _floats(median_snr(batch.wavelength, batch.flux, batch.ivar, R_BAND))
    for name in (*INDICES, "zeta"):
        columns[name], columns[f"{name}_err"] = map(_floats, indices[name])
    columns |= {"ewha": _floats(width), "ewha_err": _floats(width_error), "snr_ha": _floats(snr_ha)}
    columns |= {"subtype": _floats(types.subtype), "subtype_err": _floats(types.error)}
    columns["subclass"] = pa.array([label or None for label in types.label], pa.string())
    flags = active(width, snr_ha, min_snr=activity_snr, min_ew=activity_width)
    columns["active"] = pa.array([None if flag is None else int(flag) for flag in flags], pa.int8())
    return pa.table(columns)


def measure_rows(
    bundle: str | os.PathLike[str], rows: np.ndarray, bank: TemplateBank, **settings: float
) -> pa.Table:
    """Measure the spectra at `rows` of a packed bundle, in ascending order, a part at a time."""
    ordered = np.sort(rows)
    # At least one part, so that a bundle without any has a table too.
    parts = [ordered[start : start + ROWS] for start in range(0, max(1, len(ordered)), ROWS)]
    return pa.concat_tables([measure(read_rows(bundle, part), bank, **settings) for part in parts])


def velocity_bank(sample: Sample, *, minimum_members: int, velocity_max: float) -> TemplateBank:
    """Velocity templates up to `velocity_max` km/s: mean spectra of M stars by subtype and luminosity class.

    `minimum_members` spectra make a template.
    """
    names, templates = velocity_templates(sample, minimum_members)
    return build_velocity_bank(names, templates, velocity_max=velocity_max)


def velocity_templates(sample: Sample, minimum_members: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the velocity templates, and their flux (template, pixel) on `LAMOST_LRS` in the rest frame."""
    m = sample.is_m
    flux = sample.flux[m] - sample.zero[m, None]
    return mean_templates(flux, sample.ivar[m], sample.subclass[m], minimum=minimum_members)


def _velocity_columns(velocities: Velocities, bank: TemplateBank) -> dict[str, pa.Array]:
    names = [bank.names[i] if i >= 0 else None for i in velocities.template.tolist()]
    return {
        "rv": _floats(velocities.rv),
        "rv_err": _floats(velocities.rv_err),
        "ccf_max": _floats(velocities.ccf_max),
        "template": pa.array(names, pa.string()),
    }


def _floats(values: np.ndarray) -> pa.Array:
    """float32, null where not finite."""
    values = np.asarray(values, np.float64)
    return pa.array(values, pa.float32(), mask=~np.isfinite(values))
