"""What the networks see: spectra of 3 522 pixels and images in five bands (Wei et al. 2023, section 5)."""

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

from starsift.catalog.crossmatch import RADIUS, group_exposures
from starsift.catalog.naming import designation
from starsift.errors import InputError
from starsift.io.columns import cast_column, whole_numbers
from starsift.io.tables import read_table
from starsift.parallel import map_chunks
from starsift.searches.bhb.search import SEARCH
from starsift.spectra.batches import MASK_PAD, OK, SpectrumBatch, read_rows
from starsift.spectra.resample import SNAP, LogGrid, interpolate_gaps, min_max, resample
from starsift.spectra.windows import Windows, give_reasons
from starsift.survey.cutouts import cutout_status, read_cutouts
from starsift.survey.names import without_endings

PathLike = str | os.PathLike[str]

CLASSES = ("not BHB", "BHB")  # class numbers 0 and 1
BANDS = "ugriz"
GRID = LogGrid(3.6021, 1e-4, 3522)  # 4000-9000 Angstrom, vacuum
PIXELS = GRID.pixels
SEGMENTS, SEGMENT = 7, 503  # the last pixel is dropped
FUSED, SINGLE = "spectrum+image", "spectrum"  # modalities: what a probability rests on
SPLITS = ("train", "validation", "test")
JUDGED = SPLITS[1:]  # what a model has not learned from
SHARES = (0.7, 0.2, 0.1)
MIN_GOOD = 0.9  # of a window's pixels
# Mean and standard deviation of ImageNet's pixels, averaged over its channels (0.485, 0.456, 0.406; 0.229,
# 0.224, 0.225): the paper gives all bands the same.
MEAN, STD = 0.449, 0.226

_CHUNK = 256  # spectra or images that a thread takes at a time
_READ = 1024  # spectra or images read at a time
_KINDS = ("spectrum", "image")
# What plate, night and fibre are called, in lower case; SDSS counts nights by mjd, LAMOST by lmjd too.
_PLATE, _NIGHT, _FIBRE = ("plate", "plateid", "planid"), ("mjd", "lmjd"), ("fiberid", "fiber", "fiber_id")


def windows(batch: SpectrumBatch, *, min_good: float = MIN_GOOD) -> Windows:
    """Cut the windows of a batch of n spectra and scale each to [0, 1].

    Spectra of SDSS and LAMOST are sampled as `GRID`, so their pixels stay as they are; others are
    interpolated linearly. Bad pixels are interpolated between the good ones around them.

    Parameters
    ----------
    min_good : share of the window's pixels that must be good

    Returns
    -------
    Windows. A spectrum without one says so in its status: the batch's own, ``not_covered`` (it does not reach
    from the first to the last pixel of `GRID`), ``too_few_pixels``, ``constant``.

    Source: Wei et al. 2023, section 5.2 and equation 16.
    """
    flux = np.empty((batch.n, PIXELS), np.float32)
    status = np.array(batch.identity["status"].to_pylist(), dtype=object)

    def work(part: slice) -> None:
        wavelength, mask = batch.wavelength[part], batch.mask[part]
        cut, ivar = resample(wavelength, batch.flux[part], batch.ivar[part], GRID)
        good = (ivar > 0).mean(axis=1)
        cut = interpolate_gaps(cut, ivar)
        span = np.ptp(cut, axis=1)
        flux[part] = min_max(cut)
        reasons = (
            (~_covers(wavelength, mask), "not_covered"),
            (good < min_good, "too_few_pixels"),
            (~((span > 0) & np.isfinite(span)), "constant"),
        )
        give_reasons(status[part], reasons)

    map_chunks(work, batch.n, _CHUNK)
    flux[status != OK] = 0.0
    return Windows(flux, status)


def _covers(wavelength: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Which spectra (n, pixel) reach from the first to the last pixel of `GRID`, bool (n,)."""
    last = np.maximum(((mask & MASK_PAD) == 0).sum(axis=1) - 1, 0)
    here = np.arange(len(last))
    blue, red = wavelength[:, 0], wavelength[here, last]
    # As much as `resample` forgives: a fraction of the spectrum's own first and last pixel.
    blue = blue - SNAP * (wavelength[:, 1] - blue)
    red = red + SNAP * (red - wavelength[here, np.maximum(last - 1, 0)])
    ends = GRID.wavelength[[0, -1]]
    return np.asarray((blue <= ends[0]) & (red >= ends[1]))


def scale_images(images: np.ndarray) -> np.ndarray:
    """Scale images as the network wants them.

    The least and the greatest pixel of all bands of one object become 0 and 1, so that its colours stay; then
    `MEAN` and `STD` of ImageNet are taken off, alike in all bands.

    Parameters
    ----------
    images : (n, 5, h, w), nanomaggies

    Returns
    -------
    (n, h, w, 5) float32

    Raises
    ------
    InputError : the shape is another, or an image is not finite or constant (`read_cutout` lets none
        through that is).

    Source: Wei et al. 2023, section 5.1, equations 14 and 15.
    """
    if images.ndim != 4 or images.shape[1] != len(BANDS) or not all(images.shape[2:]):
        raise InputError(
            f"images have shape {images.shape}, expected (n, {len(BANDS)}, h, w), in the bands {BANDS}"
        )
    least = images.min(axis=(1, 2, 3))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        span = images.max(axis=(1, 2, 3)) - least
    for bad, what in ((~np.isfinite(span), "not finite"), (span <= 0, "constant")):
        if bad.any():
            raise InputError(
                f"image {np.flatnonzero(bad)[0]} of {len(images)} is {what} ({bad.sum()} are); leave out "
                "those whose status is not ok"
            )
    factor, start = 1 / (span * STD), least + span * MEAN
    out = np.empty((len(images), *images.shape[2:], len(BANDS)), np.float32)

    def work(part: slice) -> None:
        values = np.moveaxis(images[part], 1, -1)
        np.subtract(values, start[part, None, None, None], out=out[part])
        out[part] *= factor[part, None, None, None]

    map_chunks(work, len(images), _CHUNK)
    return out


def read_labelled(path: PathLike) -> pa.Table:
    """Read a catalogue of labelled spectra.

    Parameters
    ----------
    path : a table with `label`, and `spectrum_id` or plate, mjd (or lmjd) and fiberid.
        A label is one of the search's words.

    Returns
    -------
    Table in the order of the file: `spectrum_id`, or `planid` (without leading zeros), `mjd` or `lmjd`,
    `fiberid`; `label`, `class`

    Raises
    ------
    InputError : the file cannot be read, or a plate, night or fibre is no whole number.
    InputError : a column is missing, a row lacks a value or has an unknown label, or a spectrum is there
        twice.
    """
    kinds = {word.label: word.label_class for word in SEARCH.words}
    columns = ("spectrum_id", "label", *_PLATE, *_NIGHT, *_FIBRE)
    table = read_table(path, columns, ("spectrum_id", "label", *_PLATE))
    present = {name.lower(): table[name] for name in table.column_names}
    if "spectrum_id" in present:
        keys = {"spectrum_id": "spectrum_id"}
    else:
        keys = {}
        for name, aliases in (("planid", _PLATE), ("", _NIGHT), ("fiberid", _FIBRE)):
            found = next((alias for alias in aliases if alias in present), "")
            keys[name or found] = found
    missing = [name or "mjd" for name, found in keys.items() if not found]
    missing += ["label"] if "label" not in present else []
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; expected label, and spectrum_id or plate, mjd and "
            f"fiberid; it has: {', '.join(table.column_names)}"
        )
    made = {
        name: cast_column(
            path, found, present[found], pa.int64() if name in (*_NIGHT, "fiberid") else pa.string()
        )
        for name, found in (keys | {"label": "label"}).items()
    }
    if "planid" in made:
        made["planid"] = pc.utf8_ltrim(whole_numbers(path, keys["planid"], made["planid"]), "0")
    else:
        made["spectrum_id"] = without_endings(made["spectrum_id"])
    for name, values in made.items():
        empty = pc.indices_nonzero(pc.or_kleene(pc.is_null(values), pc.equal(values.cast(pa.string()), "")))
        if len(empty):
            raise InputError(f"{path}: row {empty[0].as_py() + 1}: no {name}; fill it in, or delete the row")
    result = pa.table(made)
    for row, label in enumerate(result["label"].to_pylist(), 1):
        if label not in kinds or kinds[label] not in CLASSES:
            raise InputError(f"{path}: row {row}: label {label!r} is none of {', '.join(kinds)}")
    seen: dict[str, int] = {}
    for row, name in enumerate(spectrum_keys(result, result).to_pylist(), 1):
        if seen.setdefault(name, row) != row:
            raise InputError(
                f"{path}: spectrum {name} is in row {seen[name]} and in row {row}; keep one label a spectrum"
            )
    classes = [kinds[label] for label in result["label"].to_pylist()]
    return result.append_column("class", pa.array(classes, pa.string()))


def spectrum_keys(table: pa.Table, labelled: pa.Table) -> pa.Array:
    """What tells the spectra of a manifest, or of the labelled ones, apart, by the columns of the latter."""
    if "spectrum_id" in labelled.column_names:
        return table["spectrum_id"].combine_chunks()
    # Manifests of SDSS have the night as lmjd; others may carry the mjd of their catalogue along.
    night = "mjd" if "mjd" in labelled.column_names and "mjd" in table.column_names else "lmjd"
    parts = [pc.utf8_ltrim(table["planid"].cast(pa.string()), "0")]
    parts += [table[name].cast(pa.string()) for name in (night, "fiberid")]
    return pc.binary_join_element_wise(*parts, "-").combine_chunks()


def split_of(stars: npt.ArrayLike, seed: int, shares: Sequence[float] = SHARES) -> np.ndarray:
    """The part that each star belongs to, of `SPLITS`, (n,) of str.

    It depends on the seed and the star's name alone, so a star keeps its part whatever else there is.

    Parameters
    ----------
    stars : (n,) names
    shares : of the stars that come to each part, of sum 1

    Raises
    ------
    InputError : the shares are no shares.

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
    shares: Sequence[float] = SHARES,
    match_radius: float = RADIUS,
    min_good: float = MIN_GOOD,
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Labelled spectra that have a window and an image, ready for training, and what became of the others.

    Spectra within `match_radius` of each other, friends of friends, show one star. It is named after the
    designation of the first of them, and all are in one part.

    Parameters
    ----------
    labelled : of `read_labelled`
    seed, shares : of `split_of`
    match_radius : arcsec
    min_good : of `windows`

    Returns
    -------
    table : sorted by spectrum_id: spectrum_id, survey, bundle, row (in the packed bundle), star, label,
        class, split; spectrum (of `windows`) and image (of `scale_images`), fixed-size lists of float32
    counts : a row a class and one for all: labelled; with_spectrum, those with a window; with_image, those of
        them with an image; train, validation, test. Source: Wei et al. 2023, Table 2.
    dropped : reason and how many of each class; the spectrum's reasons come before the image's

    Raises
    ------
    InputError : none of the spectra is in the survey, or has both a window and an image; a class is absent
        from a part; files do not belong together.
    """
    rows = _found(labelled, bundles)
    n = rows.num_rows
    bundle, place = rows["file"].to_numpy(), rows["row"].to_numpy()
    spectra = np.empty((n, PIXELS), np.float32)
    status = np.empty((n, 2), dtype=object)  # of the spectrum and of the image
    imaged = {k: cutout_status(bundles[k].cutouts) for k in np.unique(bundle).tolist()}
    for k, at in _pieces(bundle):
        batch = read_rows(bundles[k].spectra, place[at])
        _check_ids(bundles[k].spectra, rows, at, batch.identity)
        ready = windows(batch, min_good=min_good)
        spectra[at], status[at, 0] = ready.flux, ready.status
        images = imaged[k]
        if place[at].max() < images.num_rows:
            images = images.take(pa.array(place[at]))
        _check_ids(bundles[k].cutouts, rows, at, images)
        status[at, 1] = images["status"].to_pylist()
    usable = (status == OK).all(axis=1)
    dropped = _dropped(labelled, rows, status)
    kept = rows.filter(pa.array(usable))
    if not kept.num_rows:
        reasons = ", ".join(
            f"{row['reason']} {sum(row[name] for name in CLASSES)}" for row in dropped.to_pylist()
        )
        raise InputError(
            f"none of the {labelled.num_rows} labelled spectra has both a spectrum and an image: {reasons}"
        )
    star = _stars(rows, match_radius)[usable]
    split = split_of(star, seed, shares)
    counts = _counts(labelled, rows, status, split)
    _check_parts(counts, seed, shares)
    image = _images(bundles, kept)
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
        "image": _fixed_lists(image),
    }
    return pa.table(columns), counts, dropped


def _found(labelled: pa.Table, bundles: Sequence[BundleFiles]) -> pa.Table:
    """The labelled spectra that the manifests have, by spectrum_id; `file` is the number of the bundle."""
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
            "check that catalogue and survey belong together, and the survey's cuts"
        )
    names = rows["spectrum_id"].to_pylist()
    twice = next((i for i in range(1, len(names)) if names[i] == names[i - 1]), None)
    if twice is not None:
        first, second = (bundles[rows["file"][i].as_py()].manifest for i in (twice - 1, twice))
        raise InputError(f"spectrum {names[twice]} is in {first} and again in {second}; list it once")
    return rows


def _pieces(bundle: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Number of each bundle and where its rows are, a limited number at a time."""
    for k in np.unique(bundle):
        at = np.flatnonzero(bundle == k)
        for start in range(0, len(at), _READ):
            yield int(k), at[start : start + _READ]


def _check_ids(path: PathLike, rows: pa.Table, at: np.ndarray, found: pa.Table) -> None:
    if rows["spectrum_id"].take(pa.array(at)).to_pylist() != found["spectrum_id"].to_pylist():
        raise InputError(f"{path}: its spectra are not those of the manifest; make it again")


def _stars(rows: pa.Table, radius: float) -> np.ndarray:
    """Name of each spectrum's star, (n,) of str; of the spectrum where there are no coordinates."""
    ra, dec = (rows[name].cast(pa.float64()).to_numpy() for name in ("ra", "dec"))
    group = group_exposures(ra, dec, radius)
    first = np.unique(group, return_index=True)[1]
    names = pc.coalesce(designation(ra[first], dec[first]), rows["spectrum_id"].combine_chunks().take(first))
    return np.array(names.to_pylist(), dtype=object)[group]


def _dropped(labelled: pa.Table, rows: pa.Table, status: np.ndarray) -> pa.Table:
    """How many spectra of each class are lost for each reason, the first that applies."""
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


def _counts(labelled: pa.Table, rows: pa.Table, status: np.ndarray, split: np.ndarray) -> pa.Table:
    ok = status == OK
    usable = ok.all(axis=1)
    kind = np.array(rows["class"].to_pylist(), dtype=object)
    given = np.array(labelled["class"].to_pylist(), dtype=object)
    part = np.full(len(kind), "", dtype=object)
    part[usable] = split
    columns: dict[str, list[int]] = {}
    for name, of, counted in (
        ("labelled", given, np.ones(len(given), bool)),
        ("with_spectrum", kind, ok[:, 0]),
        ("with_image", kind, usable),
        *((name, kind, part == name) for name in SPLITS),
    ):
        each = [int((counted & (of == one)).sum()) for one in CLASSES[::-1]]
        columns[name] = [*each, sum(each)]
    return pa.table({"class": [*CLASSES[::-1], "total"], **columns})


def _check_parts(counts: pa.Table, seed: int, shares: Sequence[float]) -> None:
    """Each class must be in each part, to learn from, to choose by and to test on."""
    for row in counts.to_pylist()[:-1]:
        for name in SPLITS:
            if not row[name]:
                raise InputError(
                    f"class {row['class']} has no spectrum in the {name} part (it has {row['with_image']} in "
                    f"all, seed {seed}, shares {list(shares)}): label more stars of that class, or choose "
                    "another seed or other shares"
                )


def _images(bundles: Sequence[BundleFiles], rows: pa.Table) -> np.ndarray:
    """Scaled images of rows, (n, size, size, 5)."""
    place = rows["row"].to_numpy()
    out: np.ndarray | None = None
    for k, at in _pieces(rows["file"].to_numpy()):
        images = scale_images(read_cutouts(bundles[k].cutouts, place[at])[1])
        if out is None:
            out = np.empty((rows.num_rows, *images.shape[1:]), np.float32)
        if images.shape[1:] != out.shape[1:]:
            raise InputError(
                f"{bundles[k].cutouts}: images of {images.shape[1]} pixels a side, others have "
                f"{out.shape[1]}; make them all again with one size"
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
    spectrum_id, star, split : (n,) of str; `star` is the same for all spectra of one star
    """

    spectrum: np.ndarray
    image: np.ndarray
    label: np.ndarray
    spectrum_id: np.ndarray
    star: np.ndarray
    split: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def part(self, name: str) -> Dataset:
        """One of `SPLITS`."""
        if name not in SPLITS:
            raise InputError(f"part {name!r}: expected one of {', '.join(SPLITS)}")
        here = self.split == name
        return Dataset(**{key: values[here] for key, values in vars(self).items()})


def read_dataset(path: PathLike) -> Dataset:
    """Read a data set; memory holds it once, and a little of it a second time.

    Raises
    ------
    InputError : the file is no data set.
    """
    try:
        # Otherwise a whole column is fetched ahead.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file, or cut short; make it again ({error})") from error
    wanted = ("spectrum_id", "star", "class", "split", "spectrum", "image")
    missing = [name for name in wanted if name not in file.schema_arrow.names]
    if missing:
        raise InputError(f"{path}: not a data set, it lacks {', '.join(missing)}; make it again")
    lists = [file.schema_arrow.field(name).type for name in ("spectrum", "image")]
    if not all(pa.types.is_fixed_size_list(kind) for kind in lists) or lists[0].list_size != PIXELS:
        raise InputError(f"{path}: not a data set of spectra of {PIXELS} pixels and images; make it again")
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


def judged(dataset: Dataset, probability: Callable[[Dataset], np.ndarray]) -> pa.Table:
    """Table of what a model says of the validation and test parts: see predictions.parquet in docs/bhb.md."""
    tables = []
    for name in JUDGED:
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
