"""The tables that pass between the stages of the binaries path.

All tables of a bundle have one row a spectrum, in the order of the packed bundle, so stages join by position.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import ResultsError
from starsift.io.parquet import write_parquet
from starsift.searches.binaries.curves import Curves
from starsift.searches.binaries.peaks import Components
from starsift.spectra.batches import IDENTITY, IDENTITY_NAMES, OK, ROW_SCHEMA

COMPONENTS = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field("template", pa.int8()),
        pa.field("ccf_max", pa.float32()),
        pa.field("n_components", pa.int16()),
        pa.field("rv", pa.list_(pa.float32())),
        pa.field("sigma", pa.float32()),
        pa.field("converged", pa.bool_()),
    ]
)
ERRORS = pa.schema(
    [*IDENTITY, pa.field("rv_err", pa.list_(pa.float32())), pa.field("reliability", pa.float32())]
)


def write_components(path: str | os.PathLike[str], found: Iterable[tuple[Curves, Components]]) -> None:
    """Write the components of a bundle's CCFs, one row a spectrum."""
    tables = [COMPONENTS.empty_table(), *(_components_table(curves, part) for curves, part in found)]
    write_parquet(pa.concat_tables(tables), path)


def _components_table(curves: Curves, components: Components) -> pa.Table:
    nothing = curves.template < 0
    columns = [column.cast(field.type) for column, field in zip(curves.rows.columns, ROW_SCHEMA, strict=True)]
    columns += [
        pa.array(curves.template, pa.int8(), mask=nothing),
        pa.array(curves.ccf.max(axis=1), pa.float32(), mask=nothing),
        pa.array(components.count, pa.int16()),
        _ragged(components.rv, components.count),
        pa.array(components.sigma, pa.float32(), mask=nothing),
        pa.array(components.converged, pa.bool_()),
    ]
    return pa.table(columns, schema=COMPONENTS)


def _ragged(values: np.ndarray, count: np.ndarray) -> pa.ListArray:
    """The first `count` (n,) values of each row of `values` (n, width); NaN becomes null."""
    flat = values[np.arange(values.shape[1]) < count[:, None]]
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.float32(), mask=np.isnan(flat)))


def rectangle(column: pa.ChunkedArray, width: int = 3) -> np.ndarray:
    """A column of lists as (n, at least `width`) float32, NaN where there is no value."""
    lists = column.combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    count = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    values = np.full((len(count), max([width, *count.tolist()])), np.nan, np.float32)
    values[np.arange(values.shape[1]) < count[:, None]] = lists.flatten().to_numpy(zero_copy_only=False)
    return values


def read_components(path: str | os.PathLike[str]) -> tuple[pa.Table, Components]:
    """The table of a bundle's components, and the same as arrays."""
    table = pq.read_table(path, schema=COMPONENTS)
    components = Components(
        table["n_components"].to_numpy(),
        rectangle(table["rv"]),
        table["sigma"].to_numpy(),
        table["converged"].to_numpy(),
    )
    return table, components


def with_components(components: Components, counts: Collection[int]) -> np.ndarray:
    """Positions of the spectra with so many components, such as 2 and 3 for the candidates."""
    return np.flatnonzero(np.isin(components.count, list(counts)))


def take(components: Components, rows: np.ndarray) -> Components:
    """The components of the spectra at `rows`."""
    return Components(
        components.count[rows], components.rv[rows], components.sigma[rows], components.converged[rows]
    )


def write_errors(
    path: str | os.PathLike[str],
    table: pa.Table,
    rows: np.ndarray,
    rv_err: np.ndarray,
    reliability: np.ndarray,
) -> None:
    """Write velocity errors, one row a spectrum, null where there is no candidate.

    Parameters
    ----------
    table : of the bundle's components
    rows : (m,) positions of the candidates in it
    rv_err : (m, width) km/s; reliability : (m,); as `binaries.errors.monte_carlo` gives them
    """
    count = np.zeros(table.num_rows, np.int16)
    count[rows] = table["n_components"].to_numpy()[rows]
    errors = np.full((table.num_rows, max(3, rv_err.shape[1])), np.nan, np.float32)
    errors[rows, : rv_err.shape[1]] = rv_err
    share = np.full(table.num_rows, np.nan, np.float32)
    share[rows] = reliability
    columns = [table[name] for name in IDENTITY_NAMES]
    columns += [_ragged(errors, count), pa.array(share, pa.float32(), mask=np.isnan(share))]
    write_parquet(pa.table(columns, schema=ERRORS), path)


def write_classes(path: str | os.PathLike[str], table: pa.Table, classes: pa.Table) -> None:
    """Write what `starsift.searches.binaries.voting.classify` says of the spectra of a components table."""
    for name in reversed(IDENTITY_NAMES):
        classes = classes.add_column(0, IDENTITY.field(name), table[name])
    write_parquet(classes, path)


def join_bundles(stages: Mapping[str, Iterable[str | os.PathLike[str]]]) -> Iterator[pa.Table]:
    """Join the tables of several stages by position, one table a bundle.

    Parameters
    ----------
    stages : for each stage the files of all bundles, in the same order of bundles; of columns that several
        stages have, the first one's is kept

    Raises
    ------
    ResultsError : the files of a bundle hold different spectra; names them.
    """
    for files in zip(*stages.values(), strict=True):
        joined = pq.read_table(files[0])
        for file in files[1:]:
            table = pq.read_table(file)
            if any(not table[key].equals(joined[key]) for key in ("spectrum_id", "band")):
                raise ResultsError(f"{files[0]} and {file} hold different spectra; delete both and run again")
            for field in table.schema:
                if field.name not in joined.column_names:
                    joined = joined.append_column(field, table[field.name])
        yield joined


def join_stages(stages: Mapping[str, Iterable[str | os.PathLike[str]]]) -> pa.Table:
    """All bundles of `join_bundles` in one table."""
    return pa.concat_tables(join_bundles(stages))


def gather_catalog(
    stages: Mapping[str, Iterable[str | os.PathLike[str]]],
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """What the catalogues are made of, bundle by bundle, so that memory holds few columns of most spectra.

    Parameters
    ----------
    stages : as in `join_bundles`: components, errors, classes, suspects, and the manifests

    Returns
    -------
    spectra : those that are SB2 or SB3, as `starsift.searches.binaries.objects.make_objects` wants them
    exposures : every usable exposure, as `starsift.searches.binaries.objects.make_objects` wants it
    candidates : the classifiers' columns of all candidates, as `binaries.voting.funnel` wants it
    """
    spectra, exposures, candidates = [], [], []
    for table in join_bundles(stages):
        usable = table.filter(pc.equal(table["status"], OK))
        exposures.append(usable.select([*IDENTITY_NAMES, "ra", "dec", "gaia_source_id"]))
        asked = table.filter(pc.is_in(table["n_components"], pa.array([2, 3], pa.int16())))
        classes = [name for name in asked.column_names if name.startswith("p_c")]
        candidates.append(asked.select(["n_components", "multiplicity", *classes]))
        spectra.append(asked.filter(pc.is_valid(asked["multiplicity"])))
    return _numbered(pa.concat_tables(spectra)), pa.concat_tables(exposures), pa.concat_tables(candidates)


def _numbered(table: pa.Table) -> pa.Table:
    """Lists of velocities and errors as columns rv_1 to rv_3, rv_err_1 to rv_err_3."""
    for name in ("rv", "rv_err"):
        values = rectangle(table[name])
        for i in range(3):
            column = pa.array(values[:, i], pa.float32(), mask=np.isnan(values[:, i]))
            table = table.append_column(f"{name}_{i + 1}", column)
    names = ["n_ccf_components" if name == "n_components" else name for name in table.column_names]
    return table.rename_columns(names).drop_columns(["rv", "rv_err"])


def read_training(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """The training set: CCFs (n, velocity) float32 and labels (n,) int, 0 to 3 for L0 to L3."""
    table = pq.read_table(path, columns=["ccf", "label"])
    lists = table["ccf"].combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    return lists.flatten().to_numpy().reshape(table.num_rows, -1), table["label"].to_numpy().astype(np.int64)
