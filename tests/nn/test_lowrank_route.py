"""Sums of tables of low rank as products of digits equal the specification on every instruction set."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import EngineError
from rtlgrad.nn.engines import (
    Conv2dGeometry,
    LookupTable,
    Rescaling,
    Workload,
    calibration,
    get_engine,
    native_library,
)
from rtlgrad.nn.engines.isa import ISAS
from rtlgrad.nn.engines.native_lowrank import native_digits
from rtlgrad.nn.engines.routes import Route, choose_route, explain_route, forget_choices

LIBRARY = native_library.library()
USABLE = LIBRARY.rtlgrad_isas_built() & LIBRARY.rtlgrad_isas_supported()
HERE = [isa.name for isa in ISAS.values() if USABLE >> isa.index & 1]


@contextlib.contextmanager
def forced(isa="", route=Route.LOWRANK):
    with mock.patch.dict(os.environ, RTLGRAD_ISA=isa, RTLGRAD_ROUTE=str(route)):
        yield


def values(bits, signed):
    codes = np.arange(1 << bits)
    return np.where(signed & (codes >= 1 << bits - 1), codes - (1 << bits), codes)


def make_table(kind, wa, wb, seed):
    """Return a table of low rank: of random factors, or of a circuit that leaves something out."""
    rng = np.random.default_rng(seed)
    a = values(wa, bool(rng.integers(2)))[:, None]
    b = values(wb, bool(rng.integers(2)))[None, :]
    if kind == "exact":
        return a * b
    if kind == "perforated":  # bits of b that have no row of partial products
        return a * (b & ~int(rng.integers(1, 1 << wb - 1)))
    if kind == "truncated":  # a column of the lowest partial products left out
        depth = int(rng.integers(1, 4))
        low = sum(((a >> i & 1) * (b & (1 << depth - i) - 1)) << i for i in range(depth))
        return a * b - low
    if kind == "segments":  # operands cut to their upper bits, and a constant for the rest
        return ((a >> 2) << 2) * ((b >> 1) << 1) + int(rng.integers(-9, 9))
    rank, largest = int(rng.integers(0, 4)), int(rng.choice([1, 127, 130, 5000]))
    u = rng.integers(-largest, largest + 1, (rank, 1 << wa))
    v = rng.integers(-largest, largest + 1, (rank, 1 << wb))
    ends = rng.integers(-99, 99, 1 << wa)[:, None] + rng.integers(-99, 99, 1 << wb)
    return u.T @ v + (ends if kind == "random and ends" else a * b)


KINDS = ("exact", "perforated", "truncated", "segments", "random", "random and ends")


def drawn(kinds, wa, wb):
    return st.builds(
        lambda kind, wa, wb, seed: LookupTable(make_table(kind, wa, wb, seed).astype(np.int32)),
        kind=st.sampled_from(kinds),
        wa=st.sampled_from(wa),
        wb=st.sampled_from(wb),
        seed=st.integers(0, 2**32),
    )


# A narrow table is factorised only if its rank is a quarter of its shorter side or less.
tables = st.one_of(
    drawn(KINDS, [5, 8, 8, 8, 9], [5, 7, 8, 8, 8, 10]), drawn(KINDS[:2], [2, 3], [3, 4, 8])
)


def random_codes(rng, side, shape):
    return rng.integers(0, side, shape).astype(np.uint8 if side <= 256 else np.int16)


@settings(max_examples=30, deadline=None)
@given(
    table=tables,
    images=st.integers(1, 4),
    size=st.tuples(*[st.integers(4, 24)] * 2),
    channels=st.sampled_from([(1, 1), (1, 3), (1, 30), (2, 2), (5, 1)]),
    outputs=st.sampled_from([1, 2, 5, 7, 13]),
    kernel=st.tuples(*[st.integers(1, 4)] * 2),
    stride=st.tuples(*[st.integers(1, 3)] * 2),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    seed=st.integers(0, 2**32),
    threads=st.sampled_from([1, 3]),
)
def test_convolutions_are_as_specified(
    table, images, size, channels, outputs, kernel, stride, padding, seed, threads
):
    rng, (groups, per_group) = np.random.default_rng(seed), channels
    sides = table.products.shape
    x = random_codes(rng, sides[0], (images, groups * per_group, *size))
    w = random_codes(rng, sides[1], (groups * outputs, per_group, *kernel))
    geometry = Conv2dGeometry(stride, padding, (1, 1), groups, int(rng.integers(sides[0])))
    want = get_engine("numpy").conv2d(x, w, table, geometry)
    for isa in HERE:
        with forced(isa):
            got = get_engine("native").conv2d(x, w, table, geometry, threads=threads)
        assert np.array_equal(got, want), isa


@settings(max_examples=30, deadline=None)
@given(
    table=tables,
    sizes=st.tuples(st.integers(0, 150), st.integers(0, 600), st.integers(0, 40)),
    seed=st.integers(0, 2**32),
)
def test_matrix_products_are_as_specified(table, sizes, seed):
    rng, (M, K, N) = np.random.default_rng(seed), sizes
    a = random_codes(rng, table.products.shape[0], (M, K))
    b = random_codes(rng, table.products.shape[1], (K, N))
    want = get_engine("numpy").matmul(a, b, table)
    for isa in HERE:
        with forced(isa):
            assert np.array_equal(get_engine("native").matmul(a, b, table, threads=2), want), isa


# Sizes that cross the bounds of items, blocks of taps and blocks of outputs.
@pytest.mark.parametrize("kind", ["truncated", "random and ends"])
@pytest.mark.parametrize(
    ("images", "channels", "size", "outputs", "kernel"),
    [(3, 5, 41, 29, 3), (2, 300, 5, 3, 1), (70, 30, 1, 540, 1), (1, 2, 30, 3, 17)],
)
def test_sums_are_right_across_tile_bounds(kind, images, channels, size, outputs, kernel):
    rng = np.random.default_rng(7)
    table = LookupTable(make_table(kind, 8, 8, 11).astype(np.int32))
    x = random_codes(rng, 256, (images, channels, size, size))
    w = random_codes(rng, 256, (outputs, channels, kernel, kernel))
    geometry = Conv2dGeometry(padding=(kernel // 2,) * 4, pad_code=131)
    want = get_engine("numpy").conv2d(x, w, table, geometry)
    for isa in HERE:
        for threads in (1, 4):
            with forced(isa):
                got = get_engine("native").conv2d(x, w, table, geometry, threads=threads)
            assert np.array_equal(got, want), (isa, threads)


@pytest.mark.parametrize("largest", [2**15 - 1, -(2**15)])
def test_the_greatest_digits_wrap_as_int32_does(largest):
    # Two products of 2^30 at once are 2^31, which a signed 32-bit sum does not hold.
    u = np.zeros(256, np.int64)
    u[7], u[9] = largest, -(2**15)
    table = LookupTable(np.multiply.outer(u, u).astype(np.int32))
    a = np.full((65, 6), 7, np.uint8)
    a[::2, 3:] = 9
    b = np.full((6, 7), 7, np.uint8)
    b[:, 3:] = 9
    want = get_engine("numpy").matmul(a, b, table)
    for isa in HERE:
        with forced(isa):
            assert np.array_equal(get_engine("native").matmul(a, b, table), want), isa


@pytest.mark.parametrize("pixels", [1, 6])
def test_layers_take_the_same_sums(pixels):
    rng = np.random.default_rng(3)
    table = LookupTable(make_table("truncated", 8, 8, 1).astype(np.int32))
    x = random_codes(rng, 256, (70, 20, pixels, pixels))
    w = random_codes(rng, 256, (19, 20, 1, 1))
    factors = rng.random(19, dtype=np.float32)
    terms = rng.integers(0, 2**32, 19).astype(np.uint32)
    sums = get_engine("numpy").conv2d(x, w, table, Conv2dGeometry()).astype(np.int64)
    windows = (x ^ 128).astype(np.int64).sum(axis=1, keepdims=True)
    whole = sums + terms[:, None, None].astype(np.int64) - 77 * windows
    want = whole.astype(np.uint32).view(np.int32).astype(np.float32) * factors[:, None, None]
    for isa in HERE:
        with forced(isa):
            rescaling = Rescaling(factors, terms, 77, 128)
            got = get_engine("native").layer(x, w, table, Conv2dGeometry(), rescaling)
        assert np.array_equal(got, want), isa


@settings(max_examples=20, deadline=None)
@given(tables)
def test_what_the_library_is_given_says_the_same_as_the_table(table):
    for isa in ISAS.values():
        given_digits = native_digits(table, isa)
        left, right, pairs, weights, common, bias, base = (
            array.astype(np.int64) for array in given_digits.arrays
        )
        # Digits of 8 bits may be stored shifted; what that adds is in the base, or told.
        rows, columns = table.products.shape
        left, right = (left - bias[:, None])[:, :rows], right[:, :columns]
        terms = [
            w * np.multiply.outer(left[p], right[q])
            for (p, q), w in zip(pairs, weights, strict=True)
        ]
        total = sum(terms, (common @ left)[:, None] + base)
        assert np.array_equal(total.astype(np.uint32).view(np.int32), table.products)


def test_router_takes_products_of_digits_where_they_are_few(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "cache_folder", lambda: tmp_path)  # with nothing measured
    forget_choices()
    work = Workload(64, 576, 2048)
    truncated = LookupTable(make_table("truncated", 8, 8, 0).astype(np.int32))
    with forced(route=""):
        text = explain_route(work, truncated, ISAS["vbmi"])
    assert "G = " in text
    assert "rank " in text
    drum = LookupTable(make_table("segments", 8, 8, 0).astype(np.int32))
    rng = np.random.default_rng(0)
    full = LookupTable(rng.integers(0, 65026, (256, 256)).astype(np.int32))
    for isa in ISAS.values():
        with forced(route=""):
            assert choose_route(work, drum, isa).route is Route.LOWRANK
            assert choose_route(work, full, isa).route is not Route.LOWRANK
        with forced(), pytest.raises(EngineError, match="cannot serve") as refusal:
            choose_route(work, full, isa)
        assert "rank above 16" in str(refusal.value)
    forget_choices()


def test_router_knows_that_a_single_plane_is_dear_where_positions_are_few(tmp_path, monkeypatch):
    # A broken array without its four low rows and eight low columns: rank 4, and one plane.
    a, b = np.arange(256)[:, None], np.arange(256)[None, :]
    table = sum(
        (((a >> i & 1) << i) * (b & 0xF0 & -(1 << max(0, 8 - i))) for i in range(8)),
        np.zeros((256, 256), np.int64),
    )
    monkeypatch.setattr(calibration, "cache_folder", lambda: tmp_path)
    forget_choices()
    with forced(route=""):
        choice = choose_route(
            Workload(256, 1024, 128), LookupTable(table.astype(np.int32)), ISAS["vbmi"]
        )
    forget_choices()
    assert choice.route is Route.LOWRANK
    assert "1 byte planes" in choice.estimates[2].note


def test_memory_beside_operands_stays_below_64_mib():
    script = (
        "import ctypes\nimport numpy as np\n"
        "from rtlgrad.nn.engines import get_engine, LookupTable, Conv2dGeometry\n"
        "e, c = get_engine('native'), np.arange(256)\n"
        "t = LookupTable((np.multiply.outer(c, c) - np.multiply.outer(c & 1, c & 7)).astype(np.int32))\n"
        "t.factors.bytes, t.factors.halves, t.columns\n"
        "x = np.ones((8, 256, 64, 64), np.uint8); w = np.ones((2, 256, 3, 3), np.uint8)\n"
        "g = Conv2dGeometry(padding=(1, 1, 1, 1))\n"
        "e.conv2d(x[:1, :, :8, :8], w, t, g)\n"
        # Not ru_maxrss, which begins with what the parent had.
        "def peak(): return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        # What was freed must neither serve again nor count.
        "ctypes.CDLL(None).malloc_trim(0)\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "before = peak()\n"
        "e.conv2d(x, w, t, g, threads=2)\n"
        "print(peak() - before)\n"
    )
    with forced():
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
    # Columns of the whole layer would take 72 MiB; kilobytes are what Linux counts in.
    assert 0 < int(done.stdout) < 64 * 1024
