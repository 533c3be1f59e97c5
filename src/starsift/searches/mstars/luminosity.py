"""Giants or dwarfs, by lines in planes of colours and of band strengths.

Guo et al. (2019, section 4.1) suggest H against J-K and CaOH against CaH1, and compare them with J-K against
W1-W2 and CaH2+CaH3 against TiO5 of Zhong et al. (2015). They show their lines in figures only (15 and 16), so
the lines of the settings (`settings.py`) are our own, half-way between where dwarfs and giants lie:

- Colours of dwarfs are those of Pecaut & Mamajek (2013, table of 2019): J-K 0.82 to 0.84 from M0 to M4, then
  0.89, 0.96, 1.00, 1.12, 1.23 from M5 to M9; W1-W2 from -0.04 (K7) to 0.17 (M5) and 0.27 (M9). Giants are
  redder in J-K, 0.98 at M0 and 1.19 at M5 (Bessell & Brett 1988, in the 2MASS system), and bluer in W1-W2 (Li
  et al. 2016, ApJ 823, 59). From M6 on dwarfs have the J-K of giants, but not their H: an M0 giant of H = 14
  would be 40 kpc away, and there are few, while errors and late types redden ever more of the faint dwarfs.
  So the line in H rises beyond the colours of M7 dwarfs at 14 and of M9 at 16. What it still takes for giants
  are late dwarfs of H < 13; a survey limited in magnitude has few (benchmarks/giants.py).
- Indices of dwarfs were measured on the mean SDSS spectra of Kesseli et al. (2017), K7 to M8. At TiO5 of 0.61
  and 0.32 they have CaH1 of 0.83 and 0.80, CaH2+CaH3 of 1.40 and 1.02, while Pickles' (1998) M2 I and M7 III
  have 1.03 and 1.03, 1.58 and 1.41. At M0 the two differ little, as the paper finds.

Reddening moves dwarfs towards the giants in both colour planes.

A spectrum of S/N 3 puts one M0 dwarf in three on the wrong side of a line, and of M stars in LAMOST one in
fourteen is a giant, so counting sides would make most "giants" dwarfs. Votes are therefore weighed by what
they are worth: with normal errors sigma, a star at a distance d beyond the line, from which giants and dwarfs
lie a distance g, is exp(2 g d / sigma^2) times likelier a giant than a dwarf.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from starsift.errors import SettingsError
from starsift.io.columns import floats

EVIDENCE = ("photometry", "indices")
GAIA_LIMIT = 5.0  # M_G, far from both: dwarfs are at 8.3 (M0) and fainter (Pecaut & Mamajek 2013)
CAP = 4.0  # log odds: 55 to 1

_TERMS = re.compile(r"[a-z]\w*(?:[+-][a-z]\w*)*")


@dataclass(frozen=True)
class Separator:
    """A line half-way between giants and dwarfs.

    Parameters
    ----------
    name : its votes are the column giant_<name>
    evidence : photometry or indices
    x, y : columns, or sums and differences of columns such as j-k, cah2+cah3
    points : (x, y of dwarfs, y of giants), x ascending; linear between them, and beyond as at the ends
    scatter : of the stars themselves, in y; it is added to the errors
    default_error : of a column that comes without an error `<column>_err`
    weight : of its vote
    """

    name: str
    evidence: str
    x: str
    y: str
    points: tuple[tuple[float, float, float], ...]
    scatter: float
    default_error: float = 0.03
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check the settings; lists of points become tuples."""
        where = f"separator {self.name}"
        try:
            points = np.array([(x, dwarfs, giants) for x, dwarfs, giants in self.points], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"{where}: each point has x, y of dwarfs and y of giants") from error
        object.__setattr__(self, "points", tuple(map(tuple, points.tolist())))
        if self.evidence not in EVIDENCE:
            raise SettingsError(f"{where}: evidence is {self.evidence!r}, expected {' or '.join(EVIDENCE)}")
        if len(points) < 2 or np.any(np.diff(points[:, 0]) <= 0):
            raise SettingsError(f"{where}: points must be two or more, with ascending x")
        if abs(np.sign(points[:, 2] - points[:, 1]).sum()) < len(points):
            raise SettingsError(f"{where}: giants must lie on one side of the dwarfs at all points")
        for term in (self.x, self.y):
            if not _TERMS.fullmatch(term):
                raise SettingsError(f"{where}: {term!r} is not a column, nor a sum or difference of columns")
        if not (min(self.scatter, self.weight) > 0 and self.default_error >= 0):
            raise SettingsError(f"{where}: scatter and weight must be positive, default_error not negative")

    @property
    def line(self) -> tuple[tuple[float, float], ...]:
        """Points (x, y) of the line between giants and dwarfs."""
        return tuple((x, (dwarfs + giants) / 2) for x, dwarfs, giants in self.points)

    @property
    def columns(self) -> list[str]:
        """Names of the columns that it reads, besides their errors."""
        return [name for term in (self.x, self.y) for name in re.split("[+-]", term)]

    def log_odds(
        self, x: npt.ArrayLike, y: npt.ArrayLike, x_error: npt.ArrayLike = 0.0, y_error: npt.ArrayLike = 0.0
    ) -> np.ndarray:
        """Log odds (n,), natural, of giants against dwarfs at x, y (n,); NaN where not measured."""
        x = np.asarray(x, dtype=np.float64)
        at, dwarfs, giants = np.array(self.points).T
        line, gap = (dwarfs + giants) / 2, (giants - dwarfs) / 2
        slope = np.concatenate([[0.0], np.diff(line) / np.diff(at), [0.0]])[np.searchsorted(at, x)]
        variance = np.square(y_error) + np.square(slope * x_error) + self.scatter**2
        beyond = np.asarray(y, dtype=np.float64) - np.interp(x, at, line)
        return 2 * np.interp(x, at, gap) * beyond / variance


def separators(settings: Sequence[Mapping[str, Any]]) -> tuple[Separator, ...]:
    """Separators of settings: one mapping each, with the names of `Separator`.

    Raises SettingsError if a setting is missing, unknown or wrong, or two separators have one name.
    """
    try:
        result = tuple(Separator(**one) for one in settings)
    except TypeError as error:
        raise SettingsError(f"settings of a separator: {error}") from error
    names = [one.name for one in result]
    if len(set(names)) < len(names):
        raise SettingsError(f"separators must have different names, found {', '.join(names)}")
    return result


def separate(
    table: pa.Table, separators: Sequence[Separator], *, giant_share: float, cap: float = CAP
) -> pa.Table:
    """Separate giants from dwarfs.

    The log odds of all separators that can be measured are added up, with their weights. Each counts at most
    `cap`, since lines, gaps and errors are not known well enough for more: none decides alone against two. A
    giant needs a sum that outweighs how rare giants are.

    Parameters
    ----------
    table : n rows with the columns of the separators, which may be null; of `<column>_err` those that there
        are
    giant_share : of giants among the stars; 0.5 makes no difference between giants and dwarfs

    Returns
    -------
    pyarrow.Table of n rows:
        giant : int8, 1 for a giant, 0 for a dwarf, null where no separator could be measured
        giant_evidence : evidence for the class: photometry, indices, both; "disagree, photometry" or
            "disagree, indices" where the two contradict each other (named is the one that prevails); weak
            where all would rather have a giant, but not surely enough; none
        giant_log_odds : float32, the sum, without the share
        giant_<name> : int8, side on which each separator has the star, null where it could not be measured

    Raises SettingsError: a column is missing; all are listed. The share is not between 0 and 1.
    """
    if not 0 < giant_share < 1:
        raise SettingsError(f"giant_share is {giant_share}, expected a number between 0 and 1")
    missing = sorted({c for one in separators for c in one.columns if c not in table.column_names})
    if missing:
        raise SettingsError(f"giants and dwarfs need columns that are missing: {', '.join(missing)}")
    n = table.num_rows
    sums = {kind: np.zeros(n) for kind in EVIDENCE}
    measured = {kind: np.zeros(n, dtype=bool) for kind in EVIDENCE}
    votes = {}
    for one in separators:
        x, x_error = _evaluate(table, one.x, one.default_error)
        y, y_error = _evaluate(table, one.y, one.default_error)
        odds = one.log_odds(x, y, x_error, y_error)
        known = np.isfinite(odds)
        sums[one.evidence] += np.where(known, one.weight * np.clip(odds, -cap, cap), 0)
        measured[one.evidence] |= known
        votes[f"giant_{one.name}"] = pa.array(odds > 0, mask=~known).cast(pa.int8())
    total = sum(sums.values(), np.zeros(n))
    giant = total + np.log(giant_share / (1 - giant_share)) > 0
    nothing = ~(measured["photometry"] | measured["indices"])
    evidence = _evidence(*(measured[k] for k in EVIDENCE), *((sums[k] > 0) == giant for k in EVIDENCE))
    return pa.table(
        {
            "giant": pa.array(giant, mask=nothing).cast(pa.int8()),
            "giant_evidence": pa.array(evidence.astype(object), pa.string()),
            "giant_log_odds": pa.array(total, pa.float32(), mask=nothing),
            **votes,
        }
    )


def _evidence(
    photometry: np.ndarray, indices: np.ndarray, photometry_agrees: np.ndarray, indices_agree: np.ndarray
) -> np.ndarray:
    """Texts (n,): which of the two could be measured, and which of these agree with the class."""
    colours, bands = photometry & photometry_agrees, indices & indices_agree
    return np.select(
        [colours & bands, colours & indices, bands & photometry, colours, bands, photometry | indices],
        ["both", "disagree, photometry", "disagree, indices", "photometry", "indices", "weak"],
        default="none",
    )


def _evaluate(table: pa.Table, term: str, default_error: float) -> tuple[np.ndarray, np.ndarray]:
    """Sum or difference of columns (n,), NaN where one is missing, and its error (n,)."""
    value, variance = np.zeros(table.num_rows), np.zeros(table.num_rows)
    for sign, name in re.findall(r"([+-]?)(\w+)", term):
        value += (-1 if sign == "-" else 1) * _floats(table, name)
        error = _floats(table, f"{name}_err")
        variance += np.where(np.isfinite(error), error, default_error) ** 2
    return value, np.sqrt(variance)


def _floats(table: pa.Table, name: str) -> np.ndarray:
    return floats(table, name) if name in table.column_names else np.full(table.num_rows, np.nan)


def giant_by_magnitude(m_g: npt.ArrayLike, limit: float = GAIA_LIMIT) -> pa.Array:
    """Luminosity class by Gaia, to validate the separators: 1 for a giant, 0 for a dwarf, null where unknown.

    Giants are brighter than the limit; `m_g` (n,) is that of `mstars.kinematics.absolute_magnitude`.
    """
    m_g = np.asarray(m_g, dtype=np.float64)
    return pa.array(m_g < limit, mask=~np.isfinite(m_g)).cast(pa.int8())
