"""A survey of labelled spectra: classes, velocities, and its spectra at rest.

Classes are those of LAMOST's catalogue: STAR with a subclass, GALAXY, QSO, and UNKNOWN for spectra that a
person saw not to be M stars. Velocities are `rv` of the catalogue, or c z of a star where that is missing;
none beyond `MAX_VELOCITY`. Spectra without a velocity, and all of class UNKNOWN, stay as observed.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError
from starsift.searches.mstars.preprocess import Prepared, prepare
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import OK, read_bundle, read_identity

MAX_VELOCITY = 3000.0  # km/s: no star of the Galaxy is faster, and releases write -9999 for unknown
DWARF = re.compile(r"d?M\d")
GIANT = re.compile(r"gM\d")

PathLike = str | os.PathLike[str]


def role_of(class_: str | None, subclass: str | None) -> str:
    """Role of a spectrum in the sample: "dwarf" (M0, dM0 ...), "giant" (gM0 ...) or "negative"."""
    if (class_ or "").strip().upper() != "STAR":
        return "negative"
    name = (subclass or "").strip()
    return "dwarf" if DWARF.match(name) else "giant" if GIANT.match(name) else "negative"


@dataclass(frozen=True)
class LabelledSurvey:
    """The n spectra of a labelled survey, in the order of its bundles.

    Attributes
    ----------
    bundles : files of packed spectra; bundle i holds the spectra `starts[i]` to `starts[i + 1]`
    table : spectrum_id, class, subclass
    role : object (n,), as from `role_of`
    unknown, ok : bool (n,): of class UNKNOWN; not damaged
    snr : float32 (n,), NaN where there is none
    rv : float64 (n,), km/s, NaN where there is none
    """

    bundles: Sequence[PathLike]
    starts: np.ndarray
    table: pa.Table
    role: np.ndarray
    unknown: np.ndarray
    ok: np.ndarray
    snr: np.ndarray
    rv: np.ndarray

    def spectra(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Prepared, pa.Table]]:
        """The spectra at `rows` (ascending), batch by batch: rows, prepared spectra at rest, identity."""
        for bundle, (start, end) in zip(self.bundles, pairwise(self.starts), strict=True):
            if np.searchsorted(rows, start) == np.searchsorted(rows, end):
                continue
            at = start
            for batch in read_bundle(bundle):
                low, high = np.searchsorted(rows, [at, at + batch.n])
                if high > low:
                    here = rows[low:high]
                    part = batch if len(here) == batch.n else batch.take(here - at)
                    yield here, prepare(part, self.rv[here]), part.identity
                at += batch.n


def read_labelled(bundles: Sequence[PathLike], manifests: Sequence[PathLike]) -> LabelledSurvey:
    """Read classes and velocities of a labelled survey.

    Parameters
    ----------
    bundles : packed spectra
    manifests : of each bundle, the same spectra in the same order: spectrum_id, class, subclass, and rv
        (km/s) or z or both

    Raises InputError: bundles and manifests do not fit, or a column is missing.
    """
    if not bundles or len(bundles) != len(manifests):
        raise InputError(
            f"{len(bundles)} bundles and {len(manifests)} manifests of the labelled survey: expected one "
            "manifest a bundle, and at least one"
        )
    parts = [_read_manifest(*paths) for paths in zip(bundles, manifests, strict=True)]
    table = pa.concat_tables(parts)
    # A survey has a few hundred classes: parse each once.
    names = pa.table({"class": table["class"].fill_null(""), "subclass": table["subclass"].fill_null("")})
    pairs = pc.binary_join_element_wise(names["class"], names["subclass"], "\t").combine_chunks()
    pairs = (pairs.chunk(0) if isinstance(pairs, pa.ChunkedArray) else pairs).dictionary_encode()
    distinct = [pair.split("\t", 1) for pair in pairs.dictionary.to_pylist()]
    place = pairs.indices.to_numpy()
    role = np.array([role_of(*pair) for pair in distinct], dtype=object)[place]
    unknown = np.array([name.strip().upper() == "UNKNOWN" for name, _ in distinct], dtype=bool)[place]
    star = np.array([name.strip().upper() == "STAR" for name, _ in distinct], dtype=bool)[place]
    rv, z = (_floats(table[name]) for name in ("rv", "z"))
    rv = np.where(np.abs(rv) <= MAX_VELOCITY, rv, np.where(star, C_KMS * z, np.nan))
    rv[unknown | ~(np.abs(rv) <= MAX_VELOCITY)] = np.nan
    return LabelledSurvey(
        bundles,
        np.concatenate([[0], np.cumsum([part.num_rows for part in parts])]),
        table.select(["spectrum_id", "class", "subclass"]),
        role,
        unknown,
        pc.equal(table["status"], OK).to_numpy(),
        _floats(table["snr"]),
        rv,
    )


def _read_manifest(bundle: PathLike, path: PathLike) -> pa.Table:
    """Of one bundle spectrum_id, class, subclass, rv, z (null where the manifest has none), snr, status."""
    manifest, identity = pq.ParquetFile(path).read(), read_identity(bundle)
    velocities = [name for name in ("rv", "z") if name in manifest.column_names]
    texts = ["spectrum_id", "class", "subclass"]
    missing = [name for name in texts if name not in manifest.column_names]
    missing += [] if velocities else ["rv or z"]
    if missing:
        raise InputError(
            f"{path}: the labelled survey's manifest lacks {', '.join(missing)}; name the catalogue "
            "columns to carry along in the config"
        )
    if not manifest["spectrum_id"].cast(pa.string()).equals(identity["spectrum_id"]):
        raise InputError(f"{bundle} and {path} hold different spectra; delete both and run again")
    columns = {name: manifest[name].cast(pa.string()) for name in texts}
    for name in ("rv", "z"):
        nothing = pa.nulls(manifest.num_rows, pa.float64())
        columns[name] = manifest[name].cast(pa.float64()) if name in velocities else nothing
    return pa.table(columns | {name: identity[name] for name in ("snr", "status")})


def known_m_stars(manifest: PathLike, bundle: PathLike) -> np.ndarray:
    """Rows (m,) of the usable M stars of a labelled bundle, as its catalogue calls them."""
    table = pq.ParquetFile(manifest).read(["class", "subclass"])
    status = read_identity(bundle)["status"].to_pylist()
    kinds = zip(table["class"].to_pylist(), table["subclass"].to_pylist(), status, strict=True)
    return np.flatnonzero([state == OK and role_of(*names) != "negative" for *names, state in kinds])


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """A column of floating numbers as an array of its own, NaN in place of null."""
    return np.array(column.to_numpy(), copy=True)
