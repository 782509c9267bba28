"""Tables of low rank as integer products, exactly; and the cache that keeps them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.nn.engines import LookupTable, lowrank_cache
from rtlgrad.nn.engines.lattice import pivots, reduced, row_basis
from rtlgrad.nn.engines.lowrank_search import MOST, find_factors
from rtlgrad.nn.engines.lowrank_types import LowRankFactors, NoFactors


def values(bits, signed):
    codes = np.arange(1 << bits)
    return np.where(signed & (codes >= 1 << bits - 1), codes - (1 << bits), codes)


def exact(wa=8, wb=8, signed=(False, False)):
    return np.multiply.outer(values(wa, signed[0]), values(wb, signed[1]))


def truncated(columns, bits=8):
    """Return products without the partial products of the low columns: AND gates left out."""
    a, b = (values(bits, False)[:, None], values(bits, False)[None, :])
    left_out = sum(
        ((a >> i & 1) * (b >> j & 1)) << (i + j)
        for i in range(bits)
        for j in range(bits)
        if i + j < columns
    )
    return a * b - left_out


def low_rank(seed, wa, wb, rank, largest, beside):
    rank = min(rank, (1 << min(wa, wb)) // 4)  # beyond this it does not pay, and is not looked for
    rng = np.random.default_rng(seed)
    u = rng.integers(-largest, largest + 1, (rank, 1 << wa))
    v = rng.integers(-largest, largest + 1, (rank, 1 << wb))
    ends = rng.integers(-1000, 1000, 1 << wa)[:, None] + rng.integers(-1000, 1000, 1 << wb)
    return u.T @ v + (ends if beside == "ends" else 0 if beside is None else exact(wa, wb, beside))


low_rank_tables = st.builds(
    low_rank,
    seed=st.integers(0, 2**32),
    wa=st.sampled_from([2, 5, 8, 8, 9]),
    wb=st.sampled_from([3, 8, 8, 10]),
    rank=st.integers(0, 6),
    largest=st.sampled_from([1, 100, 127, 128, 3000]),
    beside=st.sampled_from([None, "ends", (False, False), (True, True), (True, False)]),
)


@settings(max_examples=20, deadline=None)
@given(low_rank_tables)
def test_factors_and_their_digits_give_back_the_table(table):
    factors = find_factors(table.astype(np.int32))
    assert isinstance(factors, LowRankFactors)
    assert np.array_equal(factors.table(), table)
    assert factors.rank <= 7  # that of the error and one for the exact product
    for digits, dtype in ((factors.bytes, np.int8), (factors.halves, np.int16)):
        assert np.array_equal(digits.table(), table)
        assert digits.left.dtype == digits.right.dtype == dtype
        assert len(digits.pairs) == len(digits.weights) == digits.count
    assert factors.halves.count <= factors.bytes.count


@pytest.mark.parametrize(
    ("table", "count"),
    [
        (exact(), 1),
        (exact(signed=(True, True)), 1),
        (exact(signed=(True, False)), 1),
        (exact(5, 9), 2),
        (np.multiply.outer(values(8, False), values(8, False) & ~4), 1),
        (exact() + 7 * values(8, False)[:, None] - values(8, True)[None, :], 1),
        (np.full((256, 256), -9), 0),
        (truncated(4), 5),
        (truncated(6), 7),
    ],
)
def test_products_of_bytes_that_take_the_place_of_look_ups(table, count):
    # k columns without their partial products are k bits of a, each with the b that it loses; what is
    # left of the exact product is one more. A ninth bit takes another digit.
    factors = find_factors(table.astype(np.int32))
    assert isinstance(factors, LowRankFactors)
    assert factors.bytes.count == count


def test_digits_are_right_modulo_2_to_32_at_its_ends():
    u, v = np.array([-(2**15), 2**15 - 1, 0, 1]), np.array([2**15, -(2**15), 3, -1])
    factors = LowRankFactors(
        columns=np.array([2**31 - 1, -(2**31), 0, 5]),
        rows=np.array([0, 1, 2**30, 7]),
        u=u[None],
        v=v[None],
    )
    want = factors.table().astype(np.uint32).view(np.int32)
    assert np.array_equal(factors.bytes.table(), want)
    assert np.array_equal(factors.halves.table(), want)


def test_tables_of_full_rank_are_given_up():
    rng = np.random.default_rng(0)
    for shape in ((256, 256), (4096, 64)):
        outcome = find_factors(rng.integers(0, 65026, shape).astype(np.int32))
        assert isinstance(outcome, NoFactors)
        assert f"rank above {MOST}" in outcome.reason
    # One entry that a sample of the table does not see, and the next rank.
    table = low_rank(3, 8, 8, MOST, 5, None)
    assert isinstance(find_factors(table.astype(np.int32)), LowRankFactors)
    table += 9 * np.eye(256, dtype=np.int64) * (np.arange(256) == 131)
    assert isinstance(find_factors(table.astype(np.int32)), NoFactors)


# ---- lattices -----------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(rank=st.integers(1, 5), largest=st.sampled_from([1, 9, 500]), seed=st.integers(0, 2**32))
def test_a_basis_spans_the_rows_and_no_more(rank, largest, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-largest, largest + 1, (20, rank)) @ rng.integers(-3, 4, (rank, 12))
    rows, columns = pivots(matrix, 12)
    assert len(rows) == np.linalg.matrix_rank(matrix)
    if not rows:
        return
    U, V = row_basis(matrix, rows, columns)
    assert np.array_equal(U @ V, matrix)
    # That the rows generate no less than the basis does: no prime divides all minors of U.
    for p in (2, 3, 5, 7):
        assert pivots_mod(U, p) == len(V)


def pivots_mod(matrix, prime):
    """Return the rank of a matrix modulo a prime."""
    rest, rank = matrix % prime, 0
    while np.any(rest):
        i, j = np.argwhere(rest)[0]
        inverse = pow(int(rest[i, j]), -1, prime)
        rest = (rest - np.multiply.outer(rest[:, j] * inverse % prime, rest[i])) % prime
        rank += 1
    return rank


def test_reduction_finds_short_vectors():
    # Multiples of one another but for a short difference, measured about their means.
    short = np.array([[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 2, -2]])
    mixed = np.array([[1, 0, 0], [40, 1, 0], [-77, 13, 1]]) @ short
    found = reduced(mixed)
    assert np.abs(found).max() <= 2
    assert abs(round(np.linalg.det(found @ found.T))) == round(np.linalg.det(short @ short.T))


# ---- the cache ----------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and what was searched since."""
    searched = []
    monkeypatch.setattr(lowrank_cache, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(
        lowrank_cache,
        "find_factors",
        lambda products, most: searched.append(1) or find_factors(products, most),
    )
    return searched


def test_factors_are_searched_once(cache):
    products = (truncated(4) + values(8, True)).astype(np.int32)
    first = LookupTable(products).factors
    again = LookupTable(products.copy()).factors
    assert len(cache) == 1
    for name in ("columns", "rows", "u", "v"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert lowrank_cache.cache_path(products) != lowrank_cache.cache_path(products.T)
    LookupTable(np.ascontiguousarray(products.T)).factors  # noqa: B018
    assert len(cache) == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "other table", "shape", "type", "text"])
def test_a_file_that_does_not_give_back_the_table_is_replaced(cache, damage):
    products = truncated(4).astype(np.int32)
    good = lowrank_cache.table_factors(products)
    path = lowrank_cache.cache_path(products)
    whole = path.read_bytes()
    arrays = {name: getattr(good, name) for name in ("columns", "rows", "u", "v")}
    if damage == "other table":
        arrays["v"] = arrays["v"].copy()
        arrays["v"][0, 200] += 1
    elif damage == "shape":
        arrays["rows"] = np.zeros((256, 256), np.int64)
    elif damage == "type":
        arrays["u"] = arrays["u"].astype(np.float64)
    if damage in ("empty", "cut", "text"):
        path.write_bytes({"empty": b"", "cut": whole[:-100], "text": b"factors"}[damage])
    else:
        with path.open("wb") as stream:
            np.savez(stream, **arrays)
    found = lowrank_cache.table_factors(products)
    assert len(cache) == 2
    assert np.array_equal(found.table(), products)
    assert path.read_bytes() == whole or np.array_equal(
        lowrank_cache.table_factors(products).v, good.v
    )
    assert len(cache) == 2


def test_threads_may_search_for_the_same_table_at_once(cache):
    products = truncated(3).astype(np.int32)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(lowrank_cache.table_factors(products)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.array_equal(one.table(), products) for one in found)
    left = list(lowrank_cache.cache_path(products).parent.iterdir())
    assert left == [lowrank_cache.cache_path(products)]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "native").write_text("in the way")
    monkeypatch.setattr(lowrank_cache, "cache_folder", lambda: tmp_path)
    products = truncated(4).astype(np.int32)
    assert np.array_equal(lowrank_cache.table_factors(products).table(), products)


def test_that_there_are_no_factors_is_found_once(cache):
    # A sample of rows looks like a product; what lies between them does not.
    products = exact().astype(np.int32)
    products[1:90:4] += np.random.default_rng(0).integers(0, 99, (23, 256)).astype(np.int32)
    first, again = (lowrank_cache.table_factors(products) for _ in range(2))
    assert isinstance(first, NoFactors)
    assert first.searched
    assert again == first
    assert len(cache) == 1


def test_what_takes_no_search_to_refuse_is_not_kept(cache, tmp_path):
    products = np.random.default_rng(0).integers(0, 65536, (256, 256)).astype(np.int32)
    assert not lowrank_cache.table_factors(products).searched
    assert len(cache) == 1
    assert not list(tmp_path.rglob("*.npz"))
