"""Every engine equals the NumPy specification, which equals loops written from the formula."""

from __future__ import annotations

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, EngineError, OverflowRiskError, UnknownNameError
from rtlgrad.nn.engines import (
    Conv2dGeometry,
    EngineFallbackWarning,
    LookupTable,
    check_accumulator,
    engine_names,
    get_engine,
    registry,
    resolve_engine,
)

ENGINES = [name for name in engine_names() if name not in ("auto", "cupy")]
FAST = [name for name in ENGINES if name != "numpy"]


def random_table(rng, wa, wb, *, wide=False):
    """A table that is no product: not commutative, T[0, b] != 0; wide: beyond a 16-bit range."""
    low, high = (-(10**6), 10**6) if wide else (-30000, 35000)
    table = rng.integers(low, high, (1 << wa, 1 << wb)).astype(np.int32)
    table[0, 0] = low
    return table


def random_codes(rng, width, shape):
    dtype = np.uint8 if width <= 8 else np.int16
    return rng.integers(0, 1 << width, shape).astype(dtype)


def naive_conv2d(x, w, table, g):
    """out[b, o, y, z]: one Python loop per index of the definition."""
    (images, _, height, width), (outputs, channels, kh, kw) = x.shape, w.shape
    out_h, out_w = g.output_size((height, width), (kh, kw))
    out = np.zeros((images, outputs, out_h, out_w), dtype=np.int64)
    for b, o, y, z in product(*map(range, out.shape)):
        group = o // (outputs // g.groups)
        for c, i, j in product(range(channels), range(kh), range(kw)):
            row = y * g.stride[0] - g.padding[0] + i * g.dilation[0]
            column = z * g.stride[1] - g.padding[2] + j * g.dilation[1]
            inside = 0 <= row < height and 0 <= column < width
            code = x[b, group * channels + c, row, column] if inside else g.pad_code
            out[b, o, y, z] += int(table[int(code), int(w[o, c, i, j])])
    return out


@st.composite
def convolutions(draw, *, small):
    limit = 3 if small else 9
    wa, wb = draw(st.tuples(*[st.sampled_from([2, 4, 7, 8, 9, 12])] * 2))
    groups = draw(st.integers(1, 3))
    per_group, outputs = draw(st.integers(1, limit)), draw(st.integers(1, 2 * limit))
    kernel = draw(st.tuples(*[st.integers(1, 3)] * 2))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * 2))
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [
        max(1, span - sum(pads)) + draw(st.integers(0, limit))
        for span, pads in zip(spans, (padding[:2], padding[2:]), strict=True)
    ]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    geometry = Conv2dGeometry(
        stride=draw(st.tuples(*[st.integers(1, 3)] * 2)),
        padding=padding,
        dilation=dilation,
        groups=groups,
        pad_code=draw(st.integers(0, (1 << wa) - 1)),
    )
    x = random_codes(rng, wa, (draw(st.integers(0, limit)), groups * per_group, *size))
    w = random_codes(rng, wb, (groups * outputs, per_group, *kernel))
    return x, w, random_table(rng, wa, wb, wide=draw(st.booleans())), geometry


@settings(max_examples=25, deadline=None)
@given(convolutions(small=True))
def test_specification_equals_naive_loops(case):
    x, w, table, geometry = case
    x = x[:1]
    got = get_engine("numpy").conv2d(x, w, table, geometry)
    assert np.array_equal(got, naive_conv2d(x, w, table, geometry))


@pytest.mark.parametrize("name", FAST)
@settings(max_examples=60, deadline=None)
@given(case=convolutions(small=False), threads=st.sampled_from([1, 2, 5]))
def test_conv2d_equals_specification(name, case, threads):
    x, w, table, geometry = case
    want = get_engine("numpy").conv2d(x, w, table, geometry)
    got = get_engine(name).conv2d(x, w, table, geometry, threads=threads)
    assert got.dtype == np.int32
    assert np.array_equal(got, want)


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(st.integers(0, 70), st.integers(0, 70), st.integers(0, 70)),
    widths=st.tuples(*[st.sampled_from([2, 4, 8, 10])] * 2),
    seed=st.integers(0, 2**32),
    wide=st.booleans(),
)
def test_matmul_is_the_sum_of_looked_up_products(name, sizes, widths, seed, wide):
    rng = np.random.default_rng(seed)
    (M, K, N), (wa, wb) = sizes, widths
    a, b = random_codes(rng, wa, (M, K)), random_codes(rng, wb, (K, N))
    table = random_table(rng, wa, wb, wide=wide)
    want = table[a[:, :, None], b[None, :, :]].sum(axis=1, dtype=np.int64)
    got = get_engine(name).matmul(a, b, table, threads=3)
    assert got.shape == (M, N)
    assert np.array_equal(got, want)


# Sizes that take each route of the native engine and cross the bounds of its tiles.
@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize(
    ("images", "channels", "size", "outputs", "widths", "wide"),
    [
        (3, 5, 40, 70, (8, 8), False),  # expanded, several tiles, two chunks of outputs
        (3, 5, 40, 20, (8, 8), True),  # expanded, 32-bit entries
        (2, 19, 30, 3, (8, 8), False),  # rows: few outputs
        (1, 4, 11, 40, (12, 4), True),  # rows: wide activation operand, two chunks
        (2, 3, 33, 9, (4, 12), False),  # expanded, 12-bit weights
    ],
)
def test_large_shapes_equal_specification(name, images, channels, size, outputs, widths, wide):
    rng = np.random.default_rng(7)
    wa, wb = widths
    x = random_codes(rng, wa, (images, channels, size, size + 1))
    w = random_codes(rng, wb, (outputs, channels, 3, 3))
    table = random_table(rng, wa, wb, wide=wide)
    geometry = Conv2dGeometry(padding=(1, 1, 1, 1), pad_code=3)
    want = get_engine("numpy").conv2d(x, w, table, geometry)
    for threads in (1, 2, 4):
        got = get_engine(name).conv2d(x, w, table, geometry, threads=threads)
        assert np.array_equal(got, want)


@pytest.mark.parametrize("name", ENGINES)
def test_activation_is_the_row_and_weight_the_column(name):
    table = np.zeros((4, 8), dtype=np.int32)
    table[1, 5] = 1
    a, b = np.array([[1]], np.uint8), np.array([[5]], np.uint8)
    assert get_engine(name).matmul(a, b, table).tolist() == [[1]]
    image, kernel = a.reshape(1, 1, 1, 1), b.reshape(1, 1, 1, 1)
    assert get_engine(name).conv2d(image, kernel, table, Conv2dGeometry()).item() == 1


@pytest.mark.parametrize("name", ENGINES)
def test_padding_is_looked_up_and_tiles_add_nothing(name):
    # Only the pair (padding code, weight) has a product, so the output counts padded taps.
    table = np.zeros((256, 256), dtype=np.int32)
    table[9, 4] = 1
    x = np.zeros((2, 1, 5, 5), np.uint8)
    w = np.full((7, 1, 3, 3), 4, np.uint8)
    out = get_engine(name).conv2d(x, w, table, Conv2dGeometry(padding=(1, 1, 1, 1), pad_code=9))
    counts = [[5, 3, 3, 3, 5], *[[3, 0, 0, 0, 3]] * 3, [5, 3, 3, 3, 5]]
    assert np.array_equal(out, np.broadcast_to(counts, (2, 7, 5, 5)))
    # With T[0, 0] != 0 and no padding each output is K * T[0, 0], whatever the tile.
    table[:] = 0
    table[0, 0] = 32
    out = get_engine(name).matmul(np.zeros((13, 5), np.uint8), np.zeros((5, 3), np.uint8), table)
    assert np.array_equal(out, np.full((13, 3), 160))


@pytest.mark.parametrize("name", ENGINES)
def test_sums_wrap_modulo_2_to_32_alike(name):
    table = np.full((4, 4), 2**31 - 1, dtype=np.int32)
    out = get_engine(name).matmul(np.zeros((2, 3), np.uint8), np.zeros((3, 5), np.uint8), table)
    assert np.array_equal(out, np.full((2, 5), 3 * (2**31 - 1) - 2**32))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("role", ["activation", "weight"])
@pytest.mark.parametrize("bad", [-1, 16])
def test_codes_outside_the_table_are_refused(name, role, bad):
    codes = {"activation": np.zeros((2, 3), np.int16), "weight": np.zeros((3, 2), np.int16)}
    codes[role][1, 1] = bad
    with pytest.raises(ConfigError, match=f"{role} codes lie outside"):
        get_engine(name).matmul(codes["activation"], codes["weight"], np.zeros((16, 16), np.int32))


@pytest.mark.parametrize("name", ENGINES)
def test_operands_that_do_not_fit_are_refused(name):
    engine, table = get_engine(name), np.zeros((4, 4), np.int32)
    x, w = np.zeros((1, 2, 3, 3), np.uint8), np.zeros((1, 2, 5, 5), np.uint8)
    with pytest.raises(ConfigError, match="kernel does not fit"):
        engine.conv2d(x, w, table, Conv2dGeometry())
    with pytest.raises(ConfigError, match="do not fit each other"):
        engine.conv2d(x, w[:, :1], table, Conv2dGeometry())
    with pytest.raises(ConfigError, match="wrong type"):
        engine.matmul(np.zeros((1, 1)), np.zeros((1, 1), np.uint8), table)
    with pytest.raises(ConfigError, match="not a product table"):
        engine.matmul(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8), table[:3])
    with pytest.raises(ConfigError, match="padding code"):
        engine.conv2d(x, w[..., :1, :1], table, Conv2dGeometry(pad_code=4))


def test_compact_layout_is_refused_where_it_would_wrap():
    assert LookupTable(np.array([[0, 65535], [1, 2]], np.int32)).compact is not None
    assert LookupTable(np.array([[-1, 65535], [1, 2]], np.int32)).compact is None


def test_native_library_serves_threads_of_python_at_once():
    rng = np.random.default_rng(3)
    a, b, table = random_codes(rng, 8, (300, 40)), random_codes(rng, 8, (40, 30)), None
    table = random_table(rng, 8, 8)
    want = get_engine("numpy").matmul(a, b, table)
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda _: get_engine("native").matmul(a, b, table), range(16))
        assert all(np.array_equal(got, want) for got in results)


# ---- overflow -----------------------------------------------------------------------------------


def test_accumulator_bound_is_the_largest_reachable_sum():
    rng = np.random.default_rng(11)
    table = LookupTable(random_table(rng, 3, 3) * 20000)
    w = random_codes(rng, 3, (2, 4))
    assert 4 * table.max_abs > 2**31 - 1
    with pytest.raises(OverflowRiskError) as refusal:
        check_accumulator(w, table)
    columns = table.products.astype(np.int64)[:, w]  # [activation, output, k]
    reachable = max(
        np.maximum(columns.max(axis=0), 0).sum(axis=1).max(),
        -np.minimum(columns.min(axis=0), 0).sum(axis=1).min(),
    )
    assert str(reachable) in str(refusal.value)


def test_weights_decide_where_the_simple_bound_fails():
    table = LookupTable(np.array([[0, 2**30], [0, 2**30]], np.int32))
    assert check_accumulator(np.array([[0, 0, 0, 1]], np.uint8), table) == 2**30
    with pytest.raises(OverflowRiskError, match="could overflow"):
        check_accumulator(np.array([[1, 1]], np.uint8), table)


# ---- registry -----------------------------------------------------------------------------------


def test_unknown_engine_lists_the_legal_names():
    for look_up in (get_engine, resolve_engine):
        with pytest.raises(UnknownNameError, match="cupy, native, numpy") as error:
            look_up("nativ")
        assert "did you mean 'native'" in str(error.value)


def test_cupy_says_why_it_cannot_run():
    if registry.ENGINES["cupy"].availability().usable:
        pytest.skip("it can")
    with pytest.raises(EngineError, match=r"CuPy is not installed|CuPy does not work|no CUDA"):
        get_engine("cupy")
    with pytest.raises(EngineError, match="no engine computes on cuda"):
        resolve_engine("auto", device="cuda")


def test_engine_of_another_device_is_refused():
    with pytest.raises(EngineError, match="does not compute on cuda"):
        resolve_engine("numpy", device="cuda")


def test_auto_takes_the_native_engine():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_engine("auto").name == "native"


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RTLGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "_warned", set())
    return tmp_path


def test_missing_compiler_is_an_error_by_name_and_a_warning_for_auto(monkeypatch, empty_cache):
    monkeypatch.setenv("CXX", "/nonexistent/g++")
    with pytest.raises(EngineError, match="/nonexistent/g\\+\\+") as error:
        get_engine("native")
    assert "CXX" in str(error.value)
    with pytest.warns(EngineFallbackWarning, match="/nonexistent/g\\+\\+"):
        assert resolve_engine("auto").name == "numpy"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_engine("auto").name == "numpy"  # said once


def test_failing_compiler_shows_its_message(monkeypatch, empty_cache):
    compiler = empty_cache / "cxx"
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "no such thing" >&2\nexit 3\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(EngineError, match="no such thing") as error:
        get_engine("native").matmul(None, None, None)
    assert "exit status 3" in str(error.value)
    left = list((empty_cache / "cache" / "native").iterdir())
    assert left == []  # nothing half-built stays


@pytest.mark.slow
def test_processes_may_build_at_the_same_time(monkeypatch, empty_cache):
    script = (
        "import numpy as np; from rtlgrad.nn.engines import get_engine;"
        "o = np.ones((2, 2), np.uint8); t = np.full((4, 4), 7, np.int32);"
        "print(get_engine('native').matmul(o, o, t).sum())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["56", "56"]
    built = [path.name for path in (empty_cache / "cache" / "native").iterdir()]
    assert len(built) == 1
    assert not built[0].startswith(".")
