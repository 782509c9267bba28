"""Products by mantissa tables: the specification against arithmetic, every engine against it."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
from itertools import product
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.nn.engines import Conv2dGeometry, MantissaLookup, get_engine, native_library
from rtlgrad.nn.engines.isa import ISAS
from rtlgrad.nn.engines.mantissa_layout import mantissa_layout
from rtlgrad.nn.engines.mantissa_phases import input_phases
from rtlgrad.nn.engines.mantissa_reference import multiply
from rtlgrad.nn.engines.mantissa_types import SUM_BLOCK

REFERENCE, NATIVE = get_engine("numpy").mantissa, get_engine("native").mantissa
LIBRARY = native_library.library()
USABLE = LIBRARY.rtlgrad_isas_built() & LIBRARY.rtlgrad_isas_supported()
HERE = [isa.name for isa in ISAS.values() if USABLE >> isa.index & 1]
NAN = 0x7FC00000


@contextlib.contextmanager
def forced(isa):
    with mock.patch.dict(os.environ, RTLGRAD_ISA=isa):
        yield


def exact_table(bits):
    side = 1 << bits
    products = (side + np.arange(side)[:, None]) * (side + np.arange(side)[None, :])
    carry = products >= 2 * side * side
    mantissa = (products >> np.where(carry, bits + 1, bits)) & (side - 1)
    return MantissaLookup((carry.astype(np.uint16) << bits) | mantissa.astype(np.uint16))


def mitchell_table(bits):
    """Mitchell's logarithmic product: s = x1 + x2; 1 + s below 1, else 2 s."""
    side = 1 << bits
    s = np.arange(side)[:, None] + np.arange(side)[None, :]
    carry = s >= side
    return MantissaLookup((carry.astype(np.uint16) << bits) | (s % side).astype(np.uint16))


def random_table(bits, rng):
    """No product at all: not commutative, and entries below their operands."""
    return MantissaLookup(rng.integers(0, 2 << bits, (1 << bits,) * 2).astype(np.uint16))


def numbers(rng, shape, kind):
    x = rng.standard_normal(shape).astype(np.float32)
    if kind == "any bits":
        return rng.integers(0, 2**32, shape, dtype=np.uint64).astype(np.uint32).view(np.float32)
    if kind == "zeros":
        x[rng.random(shape) < 0.5] = 0
    elif kind == "tiny":
        x *= np.exp2(rng.integers(-140, -60, shape)).astype(np.float32)
    elif kind == "huge":
        x *= np.exp2(rng.integers(50, 127, shape)).astype(np.float32)
    elif kind == "special":
        chosen = rng.random(shape) < 0.03
        values = np.array([np.inf, -np.inf, np.nan, 0, -0.0, 1e-40, -1e-42], np.float32)
        x[chosen] = rng.choice(values, chosen.sum())
    return x


def same_bits(got, want):
    return (
        got.dtype == np.float32
        and got.shape == want.shape
        and np.array_equal(np.ascontiguousarray(got).view(np.uint32), want.view(np.uint32))
    )


KINDS = ("plain", "plain", "zeros", "tiny", "huge", "special", "any bits")
tables = st.builds(
    lambda make, bits, seed: make(bits, np.random.default_rng(seed)),
    st.sampled_from(
        [random_table, lambda bits, _: exact_table(bits), lambda bits, _: mitchell_table(bits)]
    ),
    st.sampled_from([1, 2, 4, 7, 7, 7, 8, 11]),
    st.integers(0, 2**32),
)
operand_kinds = st.tuples(*[st.sampled_from(KINDS)] * 2)


# ---- the specification --------------------------------------------------------------------------


def cut(x, bits):
    """x with its mantissa cut to so many bits, as a Python float; exact."""
    mantissa, exponent = math.frexp(abs(float(x)))
    return math.copysign(math.ldexp(math.floor(mantissa * 2 ** (bits + 1)), exponent - bits - 1), x)


@pytest.mark.parametrize("bits", [1, 5, 7, 11])
@settings(max_examples=75, deadline=None)
@given(operands=st.tuples(*[st.floats(width=32, allow_subnormal=False)] * 2))
def test_exact_table_multiplies_cut_operands_and_cuts_the_product(bits, operands):
    x, w = (np.array([v], np.float32) for v in operands)
    got = multiply(x, w, exact_table(bits))[0]
    if not (np.isfinite(x[0]) and np.isfinite(w[0])):
        with np.errstate(invalid="ignore"):
            want = np.float32(x[0]) * np.float32(w[0])
        assert np.array_equal(got, want, equal_nan=True)
        return
    want = cut(cut(x[0], bits) * cut(w[0], bits), bits)
    if abs(want) < 2.0**-126:
        assert got == 0
    elif abs(want) >= 2.0**128:
        assert got == math.copysign(math.inf, want)
    else:
        assert float(got) == want
    assert np.signbit(got) == (np.signbit(x[0]) != np.signbit(w[0]))


# The first two and the last are what ApproxTrain's released kernels get wrong: 1.2e-38, -8.6e-38,
# and finite numbers.
@pytest.mark.parametrize(
    ("x", "w", "want"),
    [
        (0.0, 2.0, 0.0),
        (1e20, 1e20, math.inf),
        (-1e20, 1e20, -math.inf),
        (1e-20, -1e-20, -0.0),
        (1e-40, 1e30, 0.0),
        (math.inf, -2.0, -math.inf),
        (math.inf, 0.0, math.nan),
        (math.inf, 1e-40, math.nan),
        (math.nan, 0.0, math.nan),
        (math.nan, math.inf, math.nan),
    ],
)
def test_zeros_infinities_and_overflow(x, w, want):
    with np.errstate(over="ignore"):
        a, b = np.array([[x]], np.float32), np.array([[w]], np.float32)
    for one, other in ((a, b), (b, a)):
        got = multiply(one, other, exact_table(7))
        assert np.array_equal(got, [[np.float32(want)]], equal_nan=True)
        assert math.isnan(want) or np.signbit(got) == np.signbit(np.float32(want))
        for isa in HERE:
            with forced(isa):
                total = NATIVE.matmul(one, other, exact_table(7))
            assert np.array_equal(total, [[np.float32(want)]], equal_nan=True)


@pytest.mark.parametrize(
    ("bits", "table", "mre"), [(7, exact_table, 0.271), (7, mitchell_table, 3.849)]
)
def test_relative_errors_are_the_published_ones(bits, table, mre):
    # Over all mantissas; of the truncating product and of Mitchell's.
    values = (1 + np.arange(1 << bits) / (1 << bits)).astype(np.float32)
    got = multiply(values[:, None], values[None, :], table(bits)).astype(np.float64)
    exact = values.astype(np.float64)[:, None] * values[None, :]
    assert 100 * np.mean(np.abs(got - exact) / exact) == pytest.approx(mre, abs=5e-4)


def test_row_is_the_activation_and_column_the_weight():
    codes = exact_table(3).codes.copy()
    codes[2, 5] = 0
    x, w = np.array([[1 + 2 / 8]], np.float32), np.array([[1 + 5 / 8]], np.float32)
    for engine in (REFERENCE, NATIVE):
        assert engine.matmul(x, w, MantissaLookup(codes)).item() == 1.0
        assert engine.matmul(w, x, MantissaLookup(codes)).item() == 2.0


def test_sums_are_taken_in_blocks_in_order():
    # Adding ones to 2^24 one by one changes nothing in float32; block by block it does.
    a = np.ones((1, 3 * SUM_BLOCK), np.float32)
    a[0, 0] = 2.0**24
    b = np.ones((3 * SUM_BLOCK, 1), np.float32)
    for engine in (REFERENCE, NATIVE):
        assert engine.matmul(a, b, exact_table(7)).item() == 2.0**24 + 2 * SUM_BLOCK
        # The last block is 1023 + 2^24, a tie that goes to the even 1024 + 2^24.
        assert engine.matmul(a[:, ::-1], b, exact_table(7)).item() == 2.0**24 + 3 * SUM_BLOCK


@st.composite
def convolutions(draw, *, limit):
    groups = draw(st.integers(1, 2))
    per_group, outputs = draw(st.integers(1, limit)), draw(st.integers(1, limit))
    kernel = draw(st.tuples(*[st.integers(1, 3)] * 2))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * 2))
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = tuple(
        max(1, span - sum(pads)) + draw(st.integers(0, 4 * limit))
        for span, pads in zip(spans, (padding[:2], padding[2:]), strict=True)
    )
    geometry = Conv2dGeometry(
        stride=draw(st.tuples(*[st.integers(1, 3)] * 2)),
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = draw(operand_kinds)
    images = draw(st.integers(0, 3))
    x = numbers(rng, (images, groups * per_group, *size), kinds[0])
    w = numbers(rng, (groups * outputs, per_group, *kernel), kinds[1])
    grad = numbers(
        rng, (images, len(w), *geometry.output_size(size, kernel)), kinds[draw(st.integers(0, 1))]
    )
    return x, w, grad, geometry


def naive_convolution(x, w, grad, g, table):
    """All three products by loops over the definition; sums in the order of the loops."""
    out, dx, dw = (np.zeros(a.shape, np.float32) for a in (grad, x, w))
    per_group, outputs = w.shape[1], len(w) // g.groups
    for b, o, y, z in product(*map(range, grad.shape)):
        for c, i, j in product(*map(range, w.shape[1:])):
            row = y * g.stride[0] - g.padding[0] + i * g.dilation[0]
            column = z * g.stride[1] - g.padding[2] + j * g.dilation[1]
            channel = o // outputs * per_group + c
            inside = 0 <= row < x.shape[2] and 0 <= column < x.shape[3]
            pixel = x[b, channel, row, column, None] if inside else np.zeros(1, np.float32)
            weight, slope = w[o, c, i, j, None], grad[b, o, y, z, None]
            out[b, o, y, z] += multiply(pixel, weight, table)[0]
            dw[o, c, i, j] += multiply(pixel, slope, table)[0]
            if inside:
                dx[b, channel, row, column] += multiply(slope, weight, table)[0]
    return out, dx, dw


@settings(max_examples=12, deadline=None)
@given(convolutions(limit=2), st.integers(0, 2**32))
def test_specification_equals_loops(case, seed):
    x, w, grad, geometry = case
    # Finite operands alone: the loops leave out what lies outside the output's gradient.
    x, w, grad = (
        np.nan_to_num(a[:2] if a is not w else a, nan=1, posinf=2, neginf=3) for a in (x, w, grad)
    )
    x, w, grad = (np.clip(a, -100, 100) for a in (x, w, grad))
    table = random_table(4, np.random.default_rng(seed))
    out, dx, dw = naive_convolution(x, w, grad, geometry, table)
    assert same_bits(REFERENCE.conv2d(x, w, table, geometry), out)
    assert same_bits(REFERENCE.conv2d_weight_grad(x, grad, table, geometry, w.shape[2:]), dw)
    assert same_bits(REFERENCE.conv2d_input_grad(grad, w, table, geometry, x.shape[2:]), dx)


# ---- every instruction set against the specification ----------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    table=tables,
    kinds=operand_kinds,
    sizes=st.tuples(st.integers(0, 70), st.sampled_from([0, 1, 7, 64, 65, 200, 1024, 1025, 2100]), st.integers(0, 70)),
    transposed=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 2**32),
    threads=st.sampled_from([1, 2, 5]),
)  # fmt: skip
def test_matmul_equals_specification(table, kinds, sizes, transposed, seed, threads):
    rng = np.random.default_rng(seed)
    M, K, N = sizes if sizes[1] <= 200 else (sizes[0] // 5, sizes[1], sizes[2] // 5)
    a = numbers(rng, (K, M), kinds[0]).T if transposed[0] else numbers(rng, (M, K), kinds[0])
    b = numbers(rng, (N, K), kinds[1]).T if transposed[1] else numbers(rng, (K, N), kinds[1])
    want = REFERENCE.matmul(a, b, table)
    for isa in HERE:
        with forced(isa):
            assert same_bits(NATIVE.matmul(a, b, table, threads=threads), want), isa


@settings(max_examples=25, deadline=None)
@given(case=convolutions(limit=6), table=tables, threads=st.sampled_from([1, 2, 5]))
def test_convolutions_equal_specification(case, table, threads):
    x, w, grad, geometry = case
    kernel, image = w.shape[2:], x.shape[2:]
    wants = (
        REFERENCE.conv2d(x, w, table, geometry),
        REFERENCE.conv2d_input_grad(grad, w, table, geometry, image),
        REFERENCE.conv2d_weight_grad(x, grad, table, geometry, kernel),
    )
    for isa in HERE:
        with forced(isa):
            gots = (
                NATIVE.conv2d(x, w, table, geometry, threads=threads),
                NATIVE.conv2d_input_grad(grad, w, table, geometry, image, threads=threads),
                NATIVE.conv2d_weight_grad(x, grad, table, geometry, kernel, threads=threads),
            )
        assert [same_bits(*pair) for pair in zip(gots, wants, strict=True)] == [True] * 3, isa


# Sizes that cross the bounds of tiles, panels, blocks of sums and chunks of outputs.
@pytest.mark.parametrize("bits", [7, 9])
@pytest.mark.parametrize("kind", ["plain", "zeros", "special"])
@pytest.mark.parametrize(
    ("images", "channels", "size", "outputs", "kernel", "stride"),
    [(3, 5, 29, 33, 3, 1), (2, 130, 6, 3, 3, 2), (1, 2, 70, 300, 1, 1)],
)
def test_tile_bounds_change_nothing(bits, kind, images, channels, size, outputs, kernel, stride):
    rng = np.random.default_rng(5)
    table = random_table(bits, rng)
    x = numbers(rng, (images, channels, size, size + 3), kind)
    w = numbers(rng, (outputs, channels, kernel, kernel), kind)
    geometry = Conv2dGeometry(stride=(stride, stride), padding=(kernel // 2,) * 4)
    want = REFERENCE.conv2d(x, w, table, geometry)
    grad = numbers(rng, want.shape, kind)
    input_grad = weight_grad = None
    for isa in HERE:
        for threads in (1, 4):
            with forced(isa):
                assert same_bits(NATIVE.conv2d(x, w, table, geometry, threads=threads), want)
                dx = NATIVE.conv2d_input_grad(
                    grad, w, table, geometry, x.shape[2:], threads=threads
                )
                dw = NATIVE.conv2d_weight_grad(
                    x, grad, table, geometry, w.shape[2:], threads=threads
                )
            if input_grad is None:  # by the portable kernels; smaller cases compare with NumPy
                input_grad, weight_grad = dx, dw
            assert same_bits(dx, input_grad), (isa, threads)
            assert same_bits(dw, weight_grad), (isa, threads)


def test_every_nan_is_the_same_one():
    a = np.array([[np.inf, 1]], np.float32)
    b = np.array([[1, 0xFFFFFFFF, np.inf], [2, 1, -np.inf]], np.float32)
    b.view(np.uint32)[0, 1] = 0xFFC12345
    for engine in (REFERENCE, NATIVE):
        bits = engine.matmul(a, b, exact_table(7)).view(np.uint32)
        assert bits.tolist() == [[0x7F800000, NAN, NAN]]


# ---- tables, layouts, phases --------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(tables)
def test_layouts_say_what_the_table_says(table):
    for layout, codes in ((table.by_activation, table.codes), (table.by_weight, table.codes.T)):
        assert np.array_equal(layout.codes(), codes)
        if layout.deltas is not None:
            sixteens = layout.deltas.reshape(-1, 8, 16)
            assert np.array_equal(
                np.bitwise_xor.accumulate(sixteens, axis=1).reshape(-1, 128), layout.entries
            )


def test_products_are_lifted_by_their_operand_and_other_tables_are_not():
    assert mantissa_layout(exact_table(7).codes).keep == 0xFFFF
    assert mantissa_layout(mitchell_table(7).codes).keep == 0xFFFF
    assert mantissa_layout(random_table(7, np.random.default_rng(0)).codes).keep == 0xFF80


def test_a_mantissa_table_and_its_codes_are_one():
    codes = random_table(5, np.random.default_rng(1)).codes
    table = MantissaTable(5, codes & 31, codes >= 32)
    assert np.array_equal(MantissaLookup.of(table).codes, codes)
    x = np.array([[1.5, -3.25]], np.float32)
    for engine in (REFERENCE, NATIVE):
        assert same_bits(engine.matmul(x, x.T, table), engine.matmul(x, x.T, MantissaLookup(codes)))


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((3, 3), np.uint16),
        np.zeros((4, 8), np.uint16),
        np.zeros((4, 4), np.int32),
        np.full((4, 4), 8, np.uint16),
        np.zeros((4096, 4096), np.uint16),
    ],
)
def test_other_arrays_are_no_mantissa_tables(codes):
    with pytest.raises(ConfigError, match="not a mantissa table"):
        MantissaLookup(codes)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 4), st.integers(1, 4), st.integers(0, 4), st.integers(1, 4)
)
def test_phases_hold_every_element_once_and_every_tap_that_meets_it(size, kernel, stride, pad, gap):
    meets = {
        (y * stride - pad + i * gap, i, y)
        for y in range(-20, 40)
        for i in range(kernel)
        if 0 <= y * stride - pad + i * gap < size
    }
    seen, found = [], set()
    for phase in input_phases(size, kernel, stride, pad, gap):
        for n in range(phase.count):
            h = phase.first + n * stride
            seen.append(h)
            found |= {
                (h, i, phase.offset + n + t * phase.dilation) for t, i in enumerate(phase.taps)
            }
    assert sorted(seen) == list(range(size))
    assert found == meets


@pytest.mark.parametrize("engine", [REFERENCE, NATIVE], ids=["numpy", "native"])
def test_operands_that_do_not_fit_are_refused(engine):
    table, plain = exact_table(3), Conv2dGeometry()
    x, w = np.zeros((1, 2, 5, 5), np.float32), np.zeros((4, 2, 3, 3), np.float32)
    with pytest.raises(ConfigError, match="do not fit each other"):
        engine.matmul(x[0, 0], w[0, 0], table)
    with pytest.raises(ConfigError, match="wrong type"):
        engine.matmul(np.zeros((2, 2)), np.zeros((2, 2), np.float32), table)
    with pytest.raises(ConfigError, match="pad_code 3"):
        engine.conv2d(x, w, table, Conv2dGeometry(pad_code=3))
    with pytest.raises(ConfigError, match="do not fit each other"):
        engine.conv2d(x, w[:, :1], table, plain)
    with pytest.raises(ConfigError, match="not the shape of the convolution's output"):
        engine.conv2d_input_grad(x, w[:2], table, plain, (5, 5))
    with pytest.raises(ConfigError, match="not the shape of the convolution's output"):
        engine.conv2d_weight_grad(x, x, table, plain, (3, 3))


@pytest.mark.parametrize("what", ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"])
def test_memory_beside_operands_and_result_stays_below_64_mib(what):
    script = (
        "import numpy as np, sys\n"
        "from rtlgrad.nn.engines import get_engine, MantissaLookup, Conv2dGeometry\n"
        "e, t = get_engine('native').mantissa, MantissaLookup(np.zeros((128, 128), np.uint16))\n"
        "def peak(): return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "g = Conv2dGeometry(padding=(1, 1, 1, 1))\n"
        "w = np.ones((2, 256, 3, 3), np.float32)\n"
        "def call(b, size):\n"
        "    x, grad = np.ones((b, 256, size, size), np.float32), np.ones((b, 2, size, size), np.float32)\n"
        "    pair = {'conv2d': (x, w), 'conv2d_input_grad': (grad, w), 'conv2d_weight_grad': (x, grad)}[sys.argv[1]]\n"
        "    rest = {'conv2d': (), 'conv2d_input_grad': ((size, size),), 'conv2d_weight_grad': ((3, 3),)}[sys.argv[1]]\n"
        "    before = peak()\n"
        "    out = getattr(e, sys.argv[1])(*pair, t, g, *rest, threads=2)\n"
        "    return peak() - before - out.nbytes // 1024\n"
        "call(1, 8); print(call(8, 64))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, what], capture_output=True, text=True, check=True
    )
    # Columns of the whole layer would take 288 MiB; kilobytes are what Linux counts in.
    assert int(done.stdout) < 64 * 1024
