"""Codes of every spectrum, and the ranked pool against a naive search, spectrum by spectrum."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fixtures.figures import put
from fixtures.mstars_data import KINDS, WAVE, simulate_stars
from fixtures.survey_files import identity_rows
from scipy.special import expit

from starsift.errors import TrainingError
from starsift.searches.mstars.calibration import Calibration, pool_prior
from starsift.searches.mstars.dataset import Sample
from starsift.searches.mstars.hashing import codes_of
from starsift.searches.mstars.model import METHODS, Model, train
from starsift.searches.mstars.predict import CODES, POOL, encode_batch, encode_bundle, rank_pool
from starsift.searches.mstars.preprocess import prepare
from starsift.searches.mstars.training import REFERENCE
from starsift.spectra.batches import ROW_SCHEMA, SpectrumBatch, write_bundle

CALIBRATION = Calibration(-0.2, 0.6, 0.4)
CONTRAST: dict[str, Any] = {"fraction": 0.1, "probability": 0.1, "ranking": "contrast"}
Trained = tuple[Model, pa.Table, Calibration]
Codes = Sequence[np.ndarray | None]


@pytest.fixture(scope="module")
def model(sample: Sample) -> Model:
    """Of random projections: quick."""
    return train(sample.flux, np.array(KINDS)[:1].repeat(60), METHODS["random projections"], bits=64, seed=0)


@pytest.fixture(scope="module")
def batch() -> SpectrumBatch:
    """Nine spectra; the first four are of no use, each for another reason, the fifth has a gap."""
    _, flux, ivar = simulate_stars(np.random.default_rng(1), 9, 10.0)
    flux[0] = np.nan
    flux[1] = 7.0
    ivar[2, 1000:] = 0.0
    ivar[4, 500:800] = 0.0
    status = ["ok"] * 9
    status[3] = "truncated"
    return SpectrumBatch.from_arrays(
        identity_rows([f"s{i}" for i in range(9)], status=status), WAVE, flux, ivar
    )


def bits_apart(a: np.ndarray, b: np.ndarray) -> int:
    """Products of other sizes round differently, so that one bit at its threshold may change."""
    return int(np.bitwise_count(a ^ b).sum())


def test_codes_keep_every_spectrum(batch: SpectrumBatch, model: Model) -> None:
    table = encode_batch(batch, model)
    assert table.schema.equals(CODES)
    unusable = ["all_masked", "constant", "too_few_pixels", "truncated"]
    assert table["status"].to_pylist() == [*unusable, *["ok"] * 5]
    assert table["code"].is_null().to_pylist() == [True] * 4 + [False] * 5
    assert table["defective"].to_pylist() == [i == 4 for i in range(9)]
    assert table["n_bad"].to_pylist()[4] == 300
    assert table["measured_snr"].is_null().to_pylist() == [True] * 4 + [False] * 5
    np.testing.assert_allclose(table["measured_snr"].drop_null().to_numpy(), 10.0, rtol=0.1)
    for name in ROW_SCHEMA.names:
        if name != "status":
            assert table[name].equals(batch.identity[name]), name


def test_a_code_is_that_of_the_prepared_spectrum(batch: SpectrumBatch, model: Model) -> None:
    codes = codes_of(encode_batch(batch, model)["code"].drop_null())
    for i, code in enumerate(codes, 4):
        ready = prepare(batch.take([i]))
        assert bits_apart(model.encode(ready.flux, ready.ivar, ready.zero)[0], code) <= 1
    assert codes.shape == (5, 8)
    assert min(bits_apart(a, b) for a, b in combinations(codes, 2)) > 1


@pytest.mark.parametrize("rows", [2, 1024])
def test_codes_of_a_bundle(tmp_path: Path, batch: SpectrumBatch, model: Model, rows: int) -> None:
    write_bundle(tmp_path / "b.arrow", [batch], rows=rows)
    encode_bundle(tmp_path / "b.arrow", model, tmp_path / "codes.parquet")
    table = pq.read_table(tmp_path / "codes.parquet")
    assert table.schema.equals(CODES)
    expected = encode_batch(batch, model)
    others = ["n_bad", "code"]
    assert table.drop_columns(others).equals(expected.drop_columns(others))
    assert table["code"].is_null().equals(expected["code"].is_null())
    codes = [codes_of(one["code"].drop_null()) for one in (table, expected)]
    assert all(bits_apart(a, b) <= 1 for a, b in zip(*codes, strict=True))
    # The pixels of what could not be read are not stored, so how many were bad is no longer known.
    ok = pc.equal(expected["status"], "ok")
    assert table["n_bad"].filter(ok).equals(expected["n_bad"].filter(ok))
    write_bundle(tmp_path / "empty.arrow", [])
    encode_bundle(tmp_path / "empty.arrow", model, tmp_path / "codes.parquet")
    assert pq.read_table(tmp_path / "codes.parquet").equals(CODES.empty_table())


def test_m_stars_are_found_among_new_spectra(tmp_path: Path, trained: Trained) -> None:
    model, reference, calibration = trained
    kind, flux, ivar = simulate_stars(np.random.default_rng(5), 60, 5.0)
    names = [f"new-{i}" for i in range(60)]
    encode = encode_batch(SpectrumBatch.from_arrays(identity_rows(names), WAVE, flux, ivar), model)
    files = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    for part, file in zip((encode.slice(0, 25), encode.slice(25)), files, strict=True):
        pq.write_table(part, file)
    settings = CONTRAST | {"fraction": 0.5, "probability": 0.5}
    pool, candidates, _ = rank_pool(files, reference, calibration, **settings)
    is_m = dict(zip(names, kind != "negative", strict=True))
    found = [is_m[name] for name in candidates["spectrum_id"].to_pylist()]
    assert np.mean(found) > 0.9
    assert sum(found) > 0.9 * sum(is_m.values())
    # Of each row the place of its spectrum in its bundle.
    for row in candidates.to_pylist():
        part = encode.slice(25 * (row["bundle"] == "two"))
        assert part["spectrum_id"][row["row"]].as_py() == row["spectrum_id"]
    assert pool["spectrum_id"].to_pylist() == names


def random_codes(rng: np.random.Generator, n: int, size: int = 2, unusable: float = 0.0) -> list[Any]:
    codes = list(rng.integers(0, 256, (n, size), dtype=np.uint8))
    return [None if rng.random() < unusable else code for code in codes]


def write_codes(folder: Path, bundles: dict[str, Codes]) -> list[Path]:
    """A table of schema `CODES` a bundle."""
    files = []
    for name, codes in bundles.items():
        n = len(codes)
        status = ["constant" if code is None else "ok" for code in codes]
        rows = identity_rows([f"{name}-{i}" for i in range(n)], status=status)
        column = pa.array([None if code is None else code.tobytes() for code in codes], pa.binary())
        gap = [i % 3 == 0 for i in range(n)]
        snr = pa.nulls(n, pa.float32())
        table = pa.table(
            [*rows.columns, pa.array(gap, pa.bool_()), np.arange(n, dtype=np.int32), snr, column],
            schema=CODES,
        )
        files.append(folder / f"{name}.parquet")
        pq.write_table(table, files[-1])
    return files


def make_reference(roles: Sequence[str], codes: Codes, is_copy: Sequence[bool] | None = None) -> pa.Table:
    data = [code.tobytes() for code in codes if code is not None]
    copies = [False] * len(roles) if is_copy is None else is_copy
    names = [f"known-{i}" for i in range(len(roles))]
    return pa.table([names, roles, ["M0"] * len(roles), copies, data], schema=REFERENCE)


def apart(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.unpackbits(one ^ other).sum())


def naive_search(
    bundles: dict[str, Codes], reference: pa.Table, fraction: float, ranking: str
) -> dict[str, dict[str, Any]]:
    """What is to be found, by spectrum; every list is sorted and cut by itself."""
    known = [
        (row["spectrum_id"], row["role"] != "negative", row["is_copy"], np.frombuffer(row["code"], np.uint8))
        for row in reference.to_pylist()
    ]
    queries = [(name, code) for name, is_m, is_copy, code in known if is_m and not is_copy]
    pool = {f"{name}-{i}": c for name, codes in bundles.items() for i, c in enumerate(codes) if c is not None}
    found: dict[str, dict[str, Any]] = {}
    for key, code in pool.items():
        near, far = (sorted(apart(code, c) for _, m, _, c in known if m == is_m) for is_m in (True, False))
        score = -near[0] if ranking == "nearest" else np.mean(far[:10]) - np.mean(near[:10])
        found[key] = {"score": score, "n_queries": 0, "best_rank": 10**9, "hamming_distance": 10**9}
    for name, query in queries:
        distances = sorted(apart(code, query) for code in pool.values())
        cut = distances[max(1, int(fraction * len(pool))) - 1]
        for key, code in pool.items():
            distance, row = apart(code, query), found[key]
            if distance <= cut:
                row["n_queries"] += 1
                row["best_rank"] = min(row["best_rank"], 1 + sum(d < distance for d in distances))
                if distance < row["hamming_distance"]:
                    row |= {"hamming_distance": distance, "nearest_query": name}
    return found


@pytest.mark.parametrize("ranking", ["nearest", "contrast"])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.45, 1.0])
def test_the_search_equals_a_naive_one(tmp_path: Path, fraction: float, ranking: str) -> None:
    rng = np.random.default_rng(int(100 * fraction))
    bundles = {
        "a": random_codes(rng, 23, unusable=0.2),
        "none": [None, None],
        "b": random_codes(rng, 17, unusable=0.2),
        "empty": [],
        "c": random_codes(rng, 1),
    }
    roles = [*rng.permutation(["dwarf"] * 5 + ["giant"] * 2 + ["negative"] * 12), "dwarf", "negative"]
    copies = [False] * 19 + [True] * 2
    reference = make_reference(roles, random_codes(rng, 21), copies)
    expected = naive_search(bundles, reference, fraction, ranking)
    scores = np.array([row["score"] for row in expected.values()])
    prior = pool_prior(CALIBRATION.log_odds(scores), CALIBRATION.prior)
    odds = np.exp(-0.2 + 0.6 * scores) / (0.4 / 0.6) * prior / (1 - prior)
    for row, p_m in zip(expected.values(), odds / (1 + odds), strict=True):
        row["p_m"] = p_m
    union = {key: row["p_m"] for key, row in expected.items() if row["n_queries"]}
    limit = 0.5 * (min(union.values()) + max(union.values()))
    chosen = {key for key, p_m in union.items() if p_m >= limit}
    pool, candidates, funnel = rank_pool(
        write_codes(tmp_path, bundles),
        reference,
        CALIBRATION,
        fraction=fraction,
        probability=limit,
        ranking=ranking,
    )
    assert pool.schema.equals(POOL)
    rows = pool.to_pylist()
    names = [f"{name}-{i}" for name, codes in bundles.items() for i in range(len(codes))]
    assert [row["spectrum_id"] for row in rows] == names
    for row in rows:
        assert row["spectrum_id"] == f"{row['bundle']}-{row['row']}"
        wanted = expected.get(row["spectrum_id"], {"n_queries": 0, "score": None, "p_m": None})
        for name in ("score", "p_m"):
            assert row[name] == (None if wanted[name] is None else pytest.approx(wanted[name], rel=1e-5))
        for name in ("n_queries", "best_rank", "hamming_distance", "nearest_query"):
            assert row[name] == (wanted[name] if wanted["n_queries"] else None), (row["spectrum_id"], name)
    assert set(candidates["spectrum_id"].to_pylist()) == chosen
    assert list(funnel) == ["spectra", "usable", "in the union", "candidates"]
    assert list(funnel.values()) == [43, len(expected), len(union), len(chosen)]
    assert 0 < len(chosen) < len(union)


def test_candidates_by_probability_then_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    # One byte: many scores tie.
    files = write_codes(tmp_path, {"b": random_codes(rng, 30, 1), "a": random_codes(rng, 30, 1)})
    reference = make_reference(["dwarf", "negative"], random_codes(rng, 2, 1))
    settings = CONTRAST | {"fraction": 1.0, "probability": 0.0}
    pool, candidates, _ = rank_pool(files, reference, CALIBRATION, **settings)
    order = [(-row["p_m"], -row["score"], row["spectrum_id"]) for row in candidates.to_pylist()]
    assert order == sorted(order)
    assert len(order) == pool.num_rows == 60
    assert len({score for _, score, _ in order}) < 10
    # A threshold cuts the same list.
    limit = candidates["p_m"][20].as_py()
    fewer = rank_pool(files, reference, CALIBRATION, **settings | {"probability": limit})[1]
    assert fewer.equals(candidates.filter(pc.greater_equal(candidates["p_m"], limit)))
    assert 20 < fewer.num_rows < 60


def test_bright_spectra_have_odds_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    (file,) = write_codes(tmp_path, {"a": random_codes(rng, 30)})
    snr = pa.array([None, 2.0, 40.0] * 10, pa.float32())
    pq.write_table(put(pq.read_table(file), measured_snr=snr), file)
    calibration = Calibration(-0.2, 0.6, 0.4, bright_intercept=1.0, bright_slope=-0.6)
    reference = make_reference(["dwarf", "negative"], random_codes(rng, 2))
    pool, _, _ = rank_pool([file], reference, calibration, **CONTRAST)
    score = pool["score"].to_numpy()
    odds = calibration.log_odds(score, snr=snr.to_numpy(zero_copy_only=False))
    prior = pool_prior(odds, calibration.prior)
    np.testing.assert_allclose(pool["p_m"], expit(odds + np.log(prior / (1 - prior) * 1.5)), rtol=1e-4)
    assert pool["measured_snr"].equals(pa.chunked_array([snr]))


def test_order_of_bundles_does_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    files = write_codes(tmp_path, {name: random_codes(rng, 20, unusable=0.1) for name in "abc"})
    reference = make_reference(["dwarf"] * 4 + ["negative"] * 4, random_codes(rng, 8))
    settings = CONTRAST | {"fraction": 0.2}
    pool, candidates, funnel = rank_pool(files, reference, CALIBRATION, **settings)
    turned = rank_pool(files[::-1], reference, CALIBRATION, **settings)
    assert turned[0].sort_by("spectrum_id").equals(pool.sort_by("spectrum_id"))
    assert turned[1].equals(candidates)
    assert turned[2] == funnel


def test_copies_raise_scores_but_are_no_queries(tmp_path: Path) -> None:
    near, far = np.array([0b1], np.uint8), np.array([0b11111111], np.uint8)
    files = write_codes(tmp_path, {"a": [near, far]})
    known = [np.array([0], np.uint8), far, np.array([0b1111], np.uint8)]
    settings = {"fraction": 0.5, "probability": 0.0, "ranking": "nearest"}
    roles = ["dwarf", "dwarf", "negative"]
    pool, _, _ = rank_pool(files, make_reference(roles, known, [False, True, False]), CALIBRATION, **settings)
    assert pool["score"].to_pylist() == [-1.0, 0.0]  # the copy is at distance 0 from the second
    assert pool["n_queries"].to_pylist() == [1, None]
    assert pool["nearest_query"].to_pylist() == ["known-0", None]


def test_a_query_that_is_in_the_pool_finds_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    codes = random_codes(rng, 12, 8)
    files = write_codes(tmp_path, {"a": codes})
    reference = make_reference(["dwarf", "giant", "negative"], [codes[4], codes[7], codes[2]])
    reference = put(reference, spectrum_id=["a-4", "a-7", "a-2"])  # the same names in both
    pool, candidates, funnel = rank_pool(files, reference, CALIBRATION, **CONTRAST | {"probability": 0.0})
    rows = {row["spectrum_id"]: row for row in pool.to_pylist()}
    assert funnel == {"spectra": 12, "usable": 12, "in the union": 2, "candidates": 2}
    for name in ("a-4", "a-7"):
        assert (rows[name]["nearest_query"], rows[name]["hamming_distance"]) == (name, 0)
        assert (rows[name]["best_rank"], rows[name]["n_queries"]) == (1, 1)
    assert rows["a-2"]["nearest_query"] is None
    assert candidates.num_rows == 2


@pytest.mark.parametrize("bundles", [{}, {"a": []}, {"a": [None, None]}, {"a": [None], "b": []}])
def test_a_pool_of_no_use_says_so(tmp_path: Path, bundles: dict[str, Codes]) -> None:
    reference = make_reference(["dwarf", "negative"], random_codes(np.random.default_rng(7), 2))
    with pytest.raises(TrainingError, match="none of the pool's spectra can be used"):
        rank_pool(write_codes(tmp_path, bundles), reference, CALIBRATION, **CONTRAST)


@pytest.mark.parametrize(
    ("sizes", "known", "message"),
    [
        ({"a": [2, 4]}, 2, "codes of 16, 32 bits are mixed; encode all spectra with one hasher"),
        ({"a": [2], "b": [4]}, 2, "codes of the pool have 32 bits, those of the queries 16"),
    ],
)
def test_codes_of_different_lengths_are_an_error(
    tmp_path: Path, sizes: dict[str, list[int]], known: int, message: str
) -> None:
    rng = np.random.default_rng(8)
    bundles = {name: [random_codes(rng, 1, size)[0] for size in each] for name, each in sizes.items()}
    reference = make_reference(["dwarf", "negative"], random_codes(rng, 2, known))
    with pytest.raises(TrainingError, match=message):
        rank_pool(write_codes(tmp_path, bundles), reference, CALIBRATION, **CONTRAST)


def test_codes_of_a_column() -> None:
    column = pa.chunked_array([[b"\x01\x02"], [b"\xff\x00"]], pa.binary())
    np.testing.assert_array_equal(codes_of(column), [[1, 2], [255, 0]])
    assert codes_of(column.slice(0, 0), 2).shape == (0, 2)
