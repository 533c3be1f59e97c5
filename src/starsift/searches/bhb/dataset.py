"""The data set: labelled spectra with images, split by star (Wei et al. 2023, sections 5 and 6)."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.catalog.crossmatch import group_exposures
from starsift.catalog.naming import designation
from starsift.errors import InputError
from starsift.io.columns import floats
from starsift.searches.bhb.inputs import BANDS, CLASSES, PIXELS, scale_images, windows
from starsift.searches.bhb.labelled import spectrum_keys
from starsift.spectra.batches import OK, read_rows
from starsift.survey.cutouts import cutout_status, read_cutouts

PathLike = str | os.PathLike[str]

SPLITS = ("train", "validation", "test")
HELD_OUT = SPLITS[1:]  # parts that no model is fitted to

_READ = 1024  # spectra or images read at a time
_CHUNK = 256  # rows of a data set read at a time
_KINDS = ("spectrum", "image")


def split_stars(stars: npt.ArrayLike, seed: int, shares: Sequence[float]) -> np.ndarray:
    """The split of each star, one of `SPLITS`, (n,) of str.

    It depends only on the seed and the name of the star, so that other stars do not change it.

    Parameters
    ----------
    stars : (n,) names
    shares : of the stars in each split, of sum 1

    Raises InputError: there are not three shares from 0 to 1, of sum 1.

    Source: Wei et al. 2023, section 6.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"split shares are {list(shares)}, expected one each for {', '.join(SPLITS)}, sum 1")
    digests = (hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in np.asarray(stars).tolist())
    place = np.array([int.from_bytes(digest[:6], "big") for digest in digests], dtype=np.float64) / 2**48
    return np.array(SPLITS, dtype=object)[np.searchsorted(np.cumsum(shares)[:-1], place, side="right")]


class BundleFiles(NamedTuple):
    """The files of one bundle: its manifest, packed spectra and cutouts (`pack_cutouts`)."""

    survey: str
    manifest: PathLike
    spectra: PathLike
    cutouts: PathLike


def build_dataset(
    labelled: pa.Table,
    bundles: Sequence[BundleFiles],
    *,
    seed: int,
    shares: Sequence[float],
    match_radius: float,
    min_good: float,
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Labelled spectra that have a window and an image, and the reasons why others were dropped.

    Spectra within `match_radius` of each other (friends of friends) belong to one star. The star has the
    designation of the first of them as its name, and all its spectra are in one split.

    Parameters
    ----------
    labelled : of `read_labelled`
    seed, shares : of `split_stars`
    match_radius : arcsec
    min_good : of `windows`

    Returns
    -------
    table : sorted by spectrum_id: spectrum_id, survey, bundle, row (in the packed bundle), star, label,
        class, split; spectrum (of `windows`) and image (of `scale_images`), fixed-size lists of float32
    counts : a row per class and a total: labelled; with_spectrum, those with a window; with_image, those of
        them with an image; train, validation, test. Source: Wei et al. 2023, Table 2.
    dropped : reason and number of each class; reasons of the spectrum come before those of the image

    Raises InputError: none of the spectra is in the survey, or has both a window and an image; a split lacks
    a class; files do not belong together.
    """
    rows = _find_labelled(labelled, bundles)
    spectra, status = _read_spectra(bundles, rows, min_good)
    usable = (status == OK).all(axis=1)
    dropped = _count_dropped(labelled, rows, status)
    kept = rows.filter(pa.array(usable))
    if not kept.num_rows:
        reasons = ", ".join(
            f"{row['reason']} {sum(row[name] for name in CLASSES)}" for row in dropped.to_pylist()
        )
        raise InputError(
            f"none of the {labelled.num_rows} labelled spectra has both a spectrum and an image: {reasons}"
        )
    star = _name_stars(rows, match_radius)[usable]
    split = split_stars(star, seed, shares)
    counts = _count_classes(labelled, rows, status, split)
    _check_splits(counts, seed, shares)
    files = [bundles[k] for k in kept["file"].to_pylist()]
    columns = {
        "spectrum_id": kept["spectrum_id"],
        "survey": pa.array([one.survey for one in files], pa.string()),
        "bundle": pa.array([Path(one.manifest).stem for one in files], pa.string()),
        "row": kept["row"],
        "star": pa.array(star, pa.string()),
        "label": kept["label"],
        "class": kept["class"],
        "split": pa.array(split, pa.string()),
        "spectrum": _fixed_lists(spectra[usable]),
        "image": _fixed_lists(_read_images(bundles, kept)),
    }
    return pa.table(columns), counts, dropped


def _find_labelled(labelled: pa.Table, bundles: Sequence[BundleFiles]) -> pa.Table:
    """The labelled spectra in the manifests, by spectrum_id; `file` is the number of the bundle."""
    wanted = spectrum_keys(labelled, labelled)
    parts = []
    for k, one in enumerate(bundles):
        manifest = pq.ParquetFile(one.manifest).read()
        at = pc.index_in(spectrum_keys(manifest, labelled), value_set=wanted)
        row = pc.indices_nonzero(pc.is_valid(at)).cast(pa.int64())
        part = manifest.select(["spectrum_id", "ra", "dec"]).take(row)
        part = part.append_column("file", pa.array([k] * len(row), pa.int64())).append_column("row", row)
        known = at.take(row)
        for name in ("label", "class"):
            part = part.append_column(name, labelled[name].take(known))
        parts.append(part)
    rows = pa.concat_tables(parts).sort_by("spectrum_id").combine_chunks() if parts else pa.table({})
    if not rows.num_rows:
        first = f"; the first labelled one is {wanted[0]}" if len(wanted) else ""
        raise InputError(
            f"none of {len(wanted)} labelled spectra is in the manifests of {len(bundles)} bundles{first}: "
            "check that the catalogue is of this survey, and the cuts of the survey"
        )
    names = rows["spectrum_id"].to_pylist()
    twice = next((i for i in range(1, len(names)) if names[i] == names[i - 1]), None)
    if twice is not None:
        first, second = (bundles[rows["file"][i].as_py()].manifest for i in (twice - 1, twice))
        raise InputError(f"spectrum {names[twice]} is in {first} and again in {second}; list it once")
    return rows


def _read_spectra(
    bundles: Sequence[BundleFiles], rows: pa.Table, min_good: float
) -> tuple[np.ndarray, np.ndarray]:
    """Windows of rows, (n, 3522), and the status of spectrum and image, (n, 2) of str."""
    bundle, place = rows["file"].to_numpy(), rows["row"].to_numpy()
    spectra = np.empty((rows.num_rows, PIXELS), np.float32)
    status = np.empty((rows.num_rows, 2), dtype=object)
    cutouts = {k: cutout_status(bundles[k].cutouts) for k in np.unique(bundle).tolist()}
    for k, at in _iter_bundles(bundle):
        batch = read_rows(bundles[k].spectra, place[at])
        _check_ids(bundles[k].spectra, rows, at, batch.identity)
        window = windows(batch, min_good=min_good)
        spectra[at], status[at, 0] = window.flux, window.status
        images = cutouts[k]
        if place[at].max() < images.num_rows:
            images = images.take(pa.array(place[at]))
        _check_ids(bundles[k].cutouts, rows, at, images)
        status[at, 1] = images["status"].to_pylist()
    return spectra, status


def _iter_bundles(bundle: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Number of each bundle and the places of its rows, a limited number at a time."""
    for k in np.unique(bundle):
        at = np.flatnonzero(bundle == k)
        for start in range(0, len(at), _READ):
            yield int(k), at[start : start + _READ]


def _check_ids(path: PathLike, rows: pa.Table, at: np.ndarray, found: pa.Table) -> None:
    if rows["spectrum_id"].take(pa.array(at)).to_pylist() != found["spectrum_id"].to_pylist():
        raise InputError(f"{path}: its spectra are not those of the manifest; delete it and run again")


def _name_stars(rows: pa.Table, radius: float) -> np.ndarray:
    """Name of the star of each spectrum, (n,) of str; without coordinates, the name of the spectrum."""
    ra, dec = (floats(rows, name) for name in ("ra", "dec"))
    group = group_exposures(ra, dec, radius)
    first = np.unique(group, return_index=True)[1]
    names = pc.coalesce(designation(ra[first], dec[first]), rows["spectrum_id"].combine_chunks().take(first))
    return np.array(names.to_pylist(), dtype=object)[group]


def _count_dropped(labelled: pa.Table, rows: pa.Table, status: np.ndarray) -> pa.Table:
    """Number of spectra of each class dropped for each reason, the first that applies."""
    found: dict[str, Counter[str]] = {"not_in_survey": Counter(labelled["class"].to_pylist())}
    found["not_in_survey"].subtract(rows["class"].to_pylist())
    for name, both in zip(rows["class"].to_pylist(), status.tolist(), strict=True):
        reasons = [f"{what}: {one}" for what, one in zip(_KINDS, both, strict=True) if one != OK]
        if reasons:
            found.setdefault(reasons[0], Counter())[name] += 1
    order = ("not_in_survey", *(f"{what}:" for what in _KINDS))
    names = sorted(
        (reason for reason, lost in found.items() if lost.total()),
        key=lambda reason: (order.index(reason.split(" ")[0]), reason),
    )
    columns = {
        name: pa.array([found[reason][name] for reason in names], pa.int64()) for name in CLASSES[::-1]
    }
    return pa.table({"reason": pa.array(names, pa.string()), **columns})


def _count_classes(labelled: pa.Table, rows: pa.Table, status: np.ndarray, split: np.ndarray) -> pa.Table:
    """Number of spectra of each class at each step, and in each split."""
    ok = status == OK
    usable = ok.all(axis=1)
    kind = np.array(rows["class"].to_pylist(), dtype=object)
    all_kinds = np.array(labelled["class"].to_pylist(), dtype=object)
    part = np.full(len(kind), "", dtype=object)
    part[usable] = split
    columns: dict[str, list[int]] = {}
    for name, of, counted in (
        ("labelled", all_kinds, np.ones(len(all_kinds), bool)),
        ("with_spectrum", kind, ok[:, 0]),
        ("with_image", kind, usable),
        *((name, kind, part == name) for name in SPLITS),
    ):
        each = [int((counted & (of == one)).sum()) for one in CLASSES[::-1]]
        columns[name] = [*each, sum(each)]
    return pa.table({"class": [*CLASSES[::-1], "total"], **columns})


def _check_splits(counts: pa.Table, seed: int, shares: Sequence[float]) -> None:
    """Refuse a split without one of the classes."""
    for row in counts.to_pylist()[:-1]:
        for name in SPLITS:
            if not row[name]:
                raise InputError(
                    f"class {row['class']} has no spectrum in the {name} set ({row['with_image']} in "
                    f"total, seed {seed}, shares {list(shares)}): label more stars of that class, or choose "
                    "another seed or other shares"
                )


def _read_images(bundles: Sequence[BundleFiles], rows: pa.Table) -> np.ndarray:
    """Scaled images of rows, (n, size, size, 5)."""
    place = rows["row"].to_numpy()
    out: np.ndarray | None = None
    for k, at in _iter_bundles(rows["file"].to_numpy()):
        images = scale_images(read_cutouts(bundles[k].cutouts, place[at])[1])
        if out is None:
            out = np.empty((rows.num_rows, *images.shape[1:]), np.float32)
        if images.shape[1:] != out.shape[1:]:
            raise InputError(
                f"{bundles[k].cutouts}: images of {images.shape[1]} x {images.shape[1]} pixels, others are "
                f"{out.shape[1]} x {out.shape[1]}; make them all again with one size"
            )
        out[at] = images
    assert out is not None, "there are rows"
    return out


def _fixed_lists(values: np.ndarray) -> pa.Array:
    flat = values.reshape(len(values), -1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])


@dataclass(frozen=True)
class Dataset:
    """Labelled spectra with their images, n of them, sorted by `spectrum_id`.

    Attributes
    ----------
    spectrum : float32 (n, 3522), of `windows`
    image : float32 (n, h, w, 5), of `scale_images`
    label : int64 (n,), class number
    spectrum_id, star, split : (n,) of str
    """

    spectrum: np.ndarray
    image: np.ndarray
    label: np.ndarray
    spectrum_id: np.ndarray
    star: np.ndarray
    split: np.ndarray

    @property
    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Spectra and images."""
        return self.spectrum, self.image

    def part(self, name: str) -> Dataset:
        """One of `SPLITS`."""
        if name not in SPLITS:
            raise InputError(f"part {name!r}: expected one of {', '.join(SPLITS)}")
        here = self.split == name
        return Dataset(**{key: values[here] for key, values in vars(self).items()})


def read_dataset(path: PathLike) -> Dataset:
    """Read a data set. Memory holds it once: the file is read in small batches.

    Raises InputError if the file is not a data set.
    """
    try:
        # Otherwise all of a column is fetched ahead.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path}: not a Parquet file, or cut short; delete it and run again ({error})"
        ) from error
    wanted = ("spectrum_id", "star", "class", "split", "spectrum", "image")
    missing = [name for name in wanted if name not in file.schema_arrow.names]
    if missing:
        raise InputError(f"{path}: not a data set, it lacks {', '.join(missing)}; delete it and run again")
    lists = [file.schema_arrow.field(name).type for name in ("spectrum", "image")]
    if not all(pa.types.is_fixed_size_list(kind) for kind in lists) or lists[0].list_size != PIXELS:
        raise InputError(
            f"{path}: not a data set of spectra of {PIXELS} pixels and images; delete it and run again"
        )
    size = isqrt(lists[1].list_size // len(BANDS))
    n = file.metadata.num_rows
    arrays = {
        "spectrum": np.empty((n, PIXELS), np.float32),
        "image": np.empty((n, size, size, len(BANDS)), np.float32),
    }
    at = 0
    for batch in file.iter_batches(_CHUNK, columns=list(arrays)):
        for name, array in arrays.items():
            values = batch[name].flatten().to_numpy()
            array[at : at + batch.num_rows] = values.reshape(batch.num_rows, *array.shape[1:])
        at += batch.num_rows
    rest = file.read(columns=list(wanted[:4]))
    text = {name: np.array(rest[name].to_pylist(), dtype=object) for name in wanted[:4]}
    number = {name: i for i, name in enumerate(CLASSES)}
    label = np.array([number[name] for name in text.pop("class")], dtype=np.int64)
    return Dataset(**arrays, label=label, **text)


def held_out_predictions(dataset: Dataset, probability: Callable[[Dataset], np.ndarray]) -> pa.Table:
    """Predictions of a model for the validation and test sets, sorted by `spectrum_id` in each.

    `probability` gives that of BHB, (n,), for a part of the data set.
    """
    tables = []
    for name in HELD_OUT:
        part = dataset.part(name)
        tables.append(
            pa.table(
                {
                    "spectrum_id": pa.array(part.spectrum_id, pa.string()),
                    "star": pa.array(part.star, pa.string()),
                    "split": pa.array([name] * len(part.label), pa.string()),
                    "class": pa.array([CLASSES[number] for number in part.label], pa.string()),
                    "p_bhb": pa.array(probability(part), pa.float32()),
                }
            )
        )
    return pa.concat_tables(tables)
