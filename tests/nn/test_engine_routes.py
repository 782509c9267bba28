"""Every route of the native engine on every instruction set equals the NumPy specification."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, EngineError, UnknownNameError
from rtlgrad.nn.engines import (
    Conv2dGeometry,
    LookupTable,
    calibrate_routes,
    calibration,
    get_engine,
    native,
    native_build,
    native_library,
    routes,
)
from rtlgrad.nn.engines.calibrate_routes import calibrate
from rtlgrad.nn.engines.isa import ISAS, choose_isa, possible_isas
from rtlgrad.nn.engines.plane_layout import plane_layout, residual_layout
from rtlgrad.nn.engines.routes import (
    Route,
    Workload,
    choose_route,
    explain_route,
    forget_choices,
)

LIBRARY = native_library.library()
USABLE = LIBRARY.rtlgrad_isas_built() & LIBRARY.rtlgrad_isas_supported()
HERE = [isa for isa in ISAS.values() if USABLE >> isa.index & 1]


@contextlib.contextmanager
def forced(isa="", route=""):
    with mock.patch.dict(os.environ, RTLGRAD_ISA=isa, RTLGRAD_ROUTE=str(route)):
        yield


def legal_routes(table, isa):
    choice = choose_route(Workload(1, 1, 1), table, isa)
    return [estimate.route for estimate in choice.estimates if estimate.seconds is not None]


def combinations(table):
    return [(isa.name, route) for isa in HERE for route in legal_routes(table, isa)]


# ---- tables -------------------------------------------------------------------------------------


def values(bits, signed):
    codes = np.arange(1 << bits)
    return np.where(signed & (codes >= 1 << (bits - 1)), codes - (1 << bits), codes)


def near_exact(rng, wa, wb, signed, error, unit=1):
    product = values(wa, signed[0])[:, None] * values(wb, signed[1])[None, :]
    return product + unit * rng.integers(-error, error + 1, product.shape)


def make_table(kind, wa, wb, seed):
    rng = np.random.default_rng(seed)
    shape = (1 << wa, 1 << wb)
    if kind == "near exact":
        signed = rng.integers(0, 2, 2).astype(bool)
        return near_exact(rng, wa, wb, signed, error=int(rng.integers(0, 128)))
    if kind == "truncated":
        return near_exact(rng, wa, wb, rng.integers(0, 2, 2).astype(bool), 3) & ~63
    if kind == "near exact in steps":
        return near_exact(rng, wa, wb, rng.integers(0, 2, 2).astype(bool), error=100, unit=48)
    low, high = {
        "16 bits": (-30000, 35000),
        "byte": (7, 7 + 256),
        "at 2^15": (-(2**15) - 1, 2**15 + 2),
        "at 2^23": (-(2**23) - 1, 2**23 + 2),
        "all of int32": (-(2**31), 2**31),
        "constant": (-5, -4),
    }[kind]
    table = rng.integers(low, high, shape)
    table[0, 0], table[-1, -1] = low, high - 1  # T[0, b] != 0, and both limits are there
    return table


KINDS = (
    *("16 bits", "byte", "at 2^15", "at 2^23", "all of int32", "constant"),
    *("near exact", "near exact in steps", "truncated"),
)
tables = st.builds(
    lambda kind, wa, wb, seed: LookupTable(make_table(kind, wa, wb, seed).astype(np.int32)),
    kind=st.sampled_from(KINDS),
    wa=st.sampled_from([2, 3, 4, 7, 8, 8, 8, 9, 10]),
    wb=st.sampled_from([2, 4, 7, 8, 8, 9]),
    seed=st.integers(0, 2**32),
)


def random_codes(rng, side, shape):
    return rng.integers(0, side, shape).astype(np.uint8 if side <= 256 else np.int16)


# ---- equality with the specification --------------------------------------------------------------


@st.composite
def convolutions(draw):
    table = draw(tables)
    groups, per_group = draw(st.sampled_from([(1, 3), (1, 20), (2, 2), (5, 1)]))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * 2))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * 2))
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [
        max(1, span - sum(pads)) + draw(st.integers(0, 20))
        for span, pads in zip(spans, (padding[:2], padding[2:]), strict=True)
    ]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    geometry = Conv2dGeometry(
        stride=draw(st.tuples(*[st.integers(1, 4)] * 2)),
        padding=padding,
        dilation=dilation,
        groups=groups,
        pad_code=draw(st.integers(0, table.products.shape[0] - 1)),
    )
    outputs = groups * draw(st.sampled_from([1, 2, 5, 8, 17]))
    x = random_codes(
        rng, table.products.shape[0], (draw(st.integers(1, 4)), groups * per_group, *size)
    )
    w = random_codes(rng, table.products.shape[1], (outputs, per_group, *kernel))
    return x, w, table, geometry


@settings(max_examples=60, deadline=None)
@given(case=convolutions(), threads=st.sampled_from([1, 2, 5]))
def test_every_route_convolves_as_specified(case, threads):
    x, w, table, geometry = case
    want = get_engine("numpy").conv2d(x, w, table, geometry)
    for isa, route in combinations(table):
        with forced(isa, route):
            got = get_engine("native").conv2d(x, w, table, geometry, threads=threads)
        assert np.array_equal(got, want), (isa, route)


@settings(max_examples=40, deadline=None)
@given(
    table=tables,
    sizes=st.tuples(st.integers(0, 150), st.integers(0, 300), st.integers(0, 30)),
    seed=st.integers(0, 2**32),
    threads=st.sampled_from([1, 3]),
)
def test_every_route_multiplies_matrices_as_specified(table, sizes, seed, threads):
    rng = np.random.default_rng(seed)
    M, K, N = sizes
    a = random_codes(rng, table.products.shape[0], (M, K))
    b = random_codes(rng, table.products.shape[1], (K, N))
    want = get_engine("numpy").matmul(a, b, table)
    for isa, route in combinations(table):
        with forced(isa, route):
            got = get_engine("native").matmul(a, b, table, threads=threads)
        assert np.array_equal(got, want), (isa, route)


# Sizes that cross the bounds of tiles, panels, blocks of taps, and chunks of outputs.
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("images", "channels", "size", "outputs", "kernel", "stride"),
    [
        (3, 5, 41, 70, 3, 1),
        (1, 33, 20, 19, 3, 2),
        (70, 40, 4, 9, 3, 1),
        (2, 300, 9, 3, 1, 1),
        (1, 2, 40, 3, 17, 1),
    ],
)
def test_every_route_is_right_across_tile_bounds(
    kind, images, channels, size, outputs, kernel, stride
):
    rng = np.random.default_rng(7)
    table = LookupTable(make_table(kind, 8, 8, 5).astype(np.int32))
    x = random_codes(rng, 256, (images, channels, size, size + 3))
    w = random_codes(rng, 256, (outputs, channels, kernel, kernel))
    pad = kernel // 2
    geometry = Conv2dGeometry(stride=(stride, stride), padding=(pad,) * 4, pad_code=131)
    want = get_engine("numpy").conv2d(x, w, table, geometry)
    for isa, route in combinations(table):
        for threads in (1, 4):
            with forced(isa, route):
                got = get_engine("native").conv2d(x, w, table, geometry, threads=threads)
            assert np.array_equal(got, want), (isa, route, threads)


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("widths", [(8, 8), (4, 8)])
@settings(max_examples=20, deadline=None)
@given(
    images=st.integers(1, 9),
    size=st.tuples(*[st.sampled_from([6, 8, 17, 40, 70])] * 2),
    kernel=st.tuples(*[st.integers(1, 5)] * 2),
    padding=st.tuples(*[st.integers(0, 4)] * 4),
    dilation=st.sampled_from([(1, 1), (1, 1), (2, 1)]),
    int16=st.booleans(),
)
def test_depthwise_is_as_specified(
    multiplier, widths, images, size, kernel, padding, dilation, int16
):
    rng = np.random.default_rng(9)
    table = LookupTable(make_table("16 bits", *widths, 1).astype(np.int32))
    x = random_codes(rng, 1 << widths[0], (images, 2, *size))
    w = random_codes(rng, 1 << widths[1], (2 * multiplier, 1, *kernel))
    if int16:
        x = x.astype(np.int16)
    try:
        geometry = Conv2dGeometry(padding=padding, dilation=dilation, groups=2, pad_code=11)
        geometry.output_size(size, kernel)
    except ConfigError:
        return
    want = get_engine("numpy").conv2d(x, w, table, geometry)
    for isa, route in combinations(table):
        with forced(isa, route):
            got = get_engine("native").conv2d(x, w, table, geometry, threads=2)
        assert np.array_equal(got, want), (isa, route)


@pytest.mark.parametrize("largest", [255, 65535, 2**24 - 1])
@pytest.mark.parametrize("taps", [256, 257, 258, 771, 1500])
def test_partial_sums_do_not_overflow_between_spills(largest, taps):
    # Every looked-up byte is 255, the most that 16-bit partial sums can meet.
    products = np.full((256, 256), largest, np.int32)
    products[0] = 0
    a, b = np.full((70, taps), 255, np.uint8), np.ones((taps, 2), np.uint8)
    for isa, route in combinations(LookupTable(products)):
        with forced(isa, route):
            got = get_engine("native").matmul(a, b, products)
        expected = np.int64(largest) * taps
        assert np.array_equal(got, np.full((70, 2), expected).astype(np.uint32).view(np.int32))


def test_padding_of_a_single_pixel_is_looked_up():
    # A padded 1x1 image whose only output lies on the padding is no matrix product.
    table = np.zeros((256, 256), np.int32)
    table[9, 4], table[3, 4] = 1, 100
    x, w = np.full((2, 1, 1, 1), 3, np.uint8), np.full((5, 1, 1, 1), 4, np.uint8)
    geometry = Conv2dGeometry(stride=(3, 3), padding=(1, 1, 1, 1), pad_code=9)
    for isa, route in combinations(LookupTable(table)):
        with forced(isa, route):
            got = get_engine("native").conv2d(x, w, table, geometry)
        assert np.array_equal(got, np.ones((2, 5, 1, 1))), (isa, route)


@pytest.mark.parametrize(("wa", "wb"), [(4, 4), (7, 8), (10, 9)])
def test_codes_outside_the_table_read_their_low_bits(wa, wb):
    # Callers refuse such codes; the library itself must not read beyond the table either.
    rng = np.random.default_rng(1)
    table = LookupTable(make_table("16 bits", wa, wb, 3).astype(np.int32))
    x = rng.integers(-(2**15), 2**15, (2, 3, 9, 9)).astype(np.int16)
    w = rng.integers(-(2**15), 2**15, (4, 3, 3, 3)).astype(np.int16)
    if max(wa, wb) <= 8:
        x, w = x.astype(np.uint8), w.astype(np.uint8)
    geometry = Conv2dGeometry(padding=(1, 1, 1, 1))
    low = ((1 << wa) - 1, (1 << wb) - 1)
    want = get_engine("numpy").conv2d(x & low[0], w & low[1], table, geometry)
    for isa, route in combinations(table):
        with forced(isa, route):
            got = np.empty(want.shape, dtype=np.int32)
            native._call(x, w, table, geometry, got, None, 1)
        assert np.array_equal(got, want), (isa, route)


def test_swapped_tables_do_not_share_layouts():
    rng = np.random.default_rng(2)
    a, b = random_codes(rng, 256, (70, 20)), random_codes(rng, 256, (20, 6))
    pair = [LookupTable(make_table("16 bits", 8, 8, seed).astype(np.int32)) for seed in (0, 1)]
    wants = [get_engine("numpy").matmul(a, b, table) for table in pair]
    assert not np.array_equal(*wants)
    for isa, route in combinations(pair[0]):
        with forced(isa, route):
            for turn in (0, 1, 0):
                assert np.array_equal(get_engine("native").matmul(a, b, pair[turn]), wants[turn])


# ---- layouts ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(tables)
def test_layouts_say_what_the_table_says(table):
    for make in (plane_layout, residual_layout):
        layout = make(table.products)
        if layout is not None:
            assert np.array_equal(layout.table(), table.products)
            assert layout.count == 0 or layout.planes.ctypes.data % 64 == 0


@pytest.mark.parametrize("signed", [(False, False), (True, True), (True, False), (False, True)])
def test_planes_needed_follow_the_error(signed):
    rng = np.random.default_rng(0)
    exact = near_exact(rng, 8, 8, signed, error=0).astype(np.int32)
    assert residual_layout(exact).count == 0
    assert plane_layout(exact).count == 2
    # A shift of whole columns and a common factor cost nothing.
    shifted = exact + np.arange(256, dtype=np.int32) * 1000
    shifted[::2] += 64 * 255
    assert residual_layout(shifted).count == 1
    assert residual_layout(shifted).unit == 64 * 255
    assert residual_layout(shifted).scale == 1
    shifted[1, 1] += 1
    assert residual_layout(shifted) is None


def test_slopes_follow_tables_in_coarse_steps():
    # Products without their low six bits: steps of 64 and up to 1016 of them in a column, of
    # which a line of integer slope leaves 255 / 2 at each end and the truncation.
    truncated = ((np.arange(256)[:, None] * np.arange(256)[None, :]) & ~63).astype(np.int32)
    assert plane_layout(truncated).count == 2
    layout = residual_layout(truncated)
    assert (layout.count, layout.scale, layout.unit) == (1, 64, 1)
    assert np.array_equal(layout.table(), truncated)
    assert np.abs(layout.slopes - np.arange(256) / 64).max() < 1
    # A partial product that is left out is a matter of slopes alone.
    perforated = (np.arange(256)[:, None] * (np.arange(256)[None, :] & ~4)).astype(np.int32)
    assert residual_layout(perforated).count == 0


def test_truncated_products_take_a_single_plane():
    # Dropping the low eight result bits leaves multiples of 256 up to 254 * 256.
    truncated = (np.arange(256)[:, None] * np.arange(256)[None, :]) & ~255
    layout = plane_layout(truncated.astype(np.int32))
    assert (layout.count, layout.unit) == (1, 256)


# ---- choosing -----------------------------------------------------------------------------------


def test_instruction_set_is_the_best_unless_named():
    with forced():
        assert choose_isa(0b111, 0b011).name == "avx2"
        assert choose_isa(0b001, 0b111).name == "portable"
    with forced("avx2"):
        assert choose_isa(0b111, 0b111).name == "avx2"
        with pytest.raises(EngineError, match="this CPU does not run it"):
            choose_isa(0b111, 0b001)
        with pytest.raises(EngineError, match="compiled library lacks it") as refusal:
            choose_isa(0b001, 0b111)
        assert "-mavx2" in str(refusal.value)
    with forced("avx3"), pytest.raises(UnknownNameError, match="avx2, portable, vbmi"):
        choose_isa(0b111, 0b111)


def test_missing_instruction_set_fails_the_call(monkeypatch):
    codes, table = np.zeros((2, 2), np.uint8), np.zeros((4, 4), np.int32)
    monkeypatch.setattr(
        native_library,
        "library",
        lambda: mock.Mock(rtlgrad_isas_built=lambda: 7, rtlgrad_isas_supported=lambda: 1),
    )
    with forced("vbmi"), pytest.raises(EngineError, match="AVX-512 F, BW, VL, DQ, VBMI and VNNI"):
        native.NativeEngine().matmul(codes, codes, table)


def test_route_is_refused_where_it_cannot_serve_the_table():
    work, wide = Workload(8, 9, 1000), LookupTable(np.zeros((1024, 4), np.int32))
    with forced(route="planes"):
        with pytest.raises(EngineError, match="cannot serve this table") as refusal:
            choose_route(work, wide, ISAS["vbmi"])
        assert "more than 256 activation codes" in str(refusal.value)
        with pytest.raises(EngineError, match="byte permutations, which avx2 lacks"):
            explain_route(work, LookupTable(np.zeros((4, 4), np.int32)), ISAS["avx2"])
    with forced(route="expand"), pytest.raises(UnknownNameError, match="did you mean 'expanded'"):
        choose_route(work, wide, ISAS["portable"])


@pytest.fixture
def uncalibrated(tmp_path, monkeypatch):
    """A cache in which nothing was measured; the library itself stays where it is."""
    monkeypatch.setattr(calibration, "cache_folder", lambda: tmp_path)
    forget_choices()
    yield tmp_path
    forget_choices()


@pytest.mark.usefixtures("uncalibrated")
def test_router_takes_what_the_table_allows():
    rng = np.random.default_rng(0)
    work, vbmi = Workload(64, 576, 2048), ISAS["vbmi"]
    any_table = LookupTable(make_table("16 bits", 8, 8, 0).astype(np.int32))
    near = LookupTable(near_exact(rng, 8, 8, (True, True), error=60).astype(np.int32))
    truncated = LookupTable((any_table.products & ~255) & 0xFFFF)
    with forced():
        assert choose_route(work, any_table, vbmi).route is Route.PLANES
        assert choose_route(work, near, vbmi).route is Route.RESIDUAL
        assert choose_route(work, truncated, vbmi).route is Route.PLANES
        assert choose_route(work, any_table, ISAS["avx2"]).route is Route.EXPANDED
        assert choose_route(Workload(1, 9, 50), any_table, ISAS["avx2"]).route is Route.ROWS


def test_router_reads_what_was_measured_on_this_machine(uncalibrated):
    work, isa = Workload(16, 144, 4096), native_library.current_isa()
    table = LookupTable(make_table("16 bits", 8, 8, 0).astype(np.int32))
    with forced():
        before = choose_route(work, table, isa)
        assert not before.calibrated
        slow = {e.way: 1e3 for e in before.estimates if e.way and e.route is not Route.ROWS}
        made = calibration.Calibration(
            calibration.cpu_model(), calibration.build_name(), isa.name, {**slow, "rows": 2.0}
        )
        made.store()
        forget_choices()
        after = choose_route(work, table, isa)
        assert after.calibrated
        assert after.route is Route.ROWS
        assert after.estimates[0].seconds == 2 * before.estimates[0].seconds
        assert "figures of this machine" in explain_route(work, table, isa)
        for damaged in (
            "",
            "[]",
            '{"format": 0, "ratios": {}}',
            '{"format": 1, "ratios": {"rows": 0}}',
        ):
            made.path.write_text(damaged)
            forget_choices()
            assert not choose_route(work, table, isa).calibrated


@pytest.mark.usefixtures("uncalibrated")
@pytest.mark.parametrize(("setting", "measured"), [("", 1), ("0", 0)])
def test_a_long_run_calibrates_once_unless_told_not_to(setting, measured, monkeypatch):
    calls = []
    monkeypatch.setattr(calibrate_routes, "calibrate", lambda: calls.append(forget_choices()))
    monkeypatch.setattr(routes, "_spent_s", {})
    monkeypatch.setenv(routes.CALIBRATE_VARIABLE, setting)
    table, isa = LookupTable(make_table("16 bits", 8, 8, 0).astype(np.int32)), ISAS["portable"]
    with forced():
        for _ in range(3):
            choose_route(Workload(8, 8, 8), table, isa)  # microseconds of work
        assert not calls
        for _ in range(3):
            choose_route(Workload(512, 4608, 100000), table, isa)  # many seconds each
        assert len(calls) == measured


def test_calibration_times_every_way_and_keeps_it(uncalibrated):
    with forced():
        made = calibrate()
        isa = native_library.current_isa()
        assert calibration.load_calibration(isa) == made
    assert made.path.parent.parent == uncalibrated
    assert min(made.ratios.values()) > 0
    planes = {"planes-1", "planes-2", "planes-3", "planes-4", "residual-0", "residual-1"}
    always = {"rows", "expanded-16", "expanded-32", "lowrank"}
    assert set(made.ratios) == always | (planes if isa.name == "vbmi" else set())


def test_explanation_names_every_route_and_the_one_taken():
    table = LookupTable(make_table("16 bits", 8, 8, 0).astype(np.int32))
    with forced():
        text = get_engine("native").explain(Workload(16, 144, 4096), table)
    assert "16x144x4096" in text
    assert all(f"  {route}" in text for route in Route)
    with forced(route="rows"):
        text = get_engine("native").explain(Workload(16, 144, 4096), table)
    assert "rows (named by RTLGRAD_ROUTE; " in text


# ---- building and memory ------------------------------------------------------------------------


@pytest.mark.slow
def test_compiler_without_an_instruction_set_builds_the_others(monkeypatch, tmp_path):
    compiler = tmp_path / "cxx"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *-mavx512vbmi*) echo "unknown option" >&2; exit 1;; esac\n'
        'exec g++ "$@"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("RTLGRAD_CACHE", str(tmp_path / "cache"))
    table = make_table("16 bits", 8, 8, 0).astype(np.int32)
    codes = np.arange(256, dtype=np.uint8)[:, None]
    with forced():
        assert native_library.current_isa().name != "vbmi"
        got = get_engine("native").matmul(codes, codes.T, table)
    assert np.array_equal(got, table)
    with forced("vbmi"), pytest.raises(EngineError, match=r"this CPU does not|library lacks it"):
        native_library.current_isa()


@pytest.mark.slow
def test_other_machines_get_the_portable_kernels(monkeypatch, tmp_path):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setenv("RTLGRAD_CACHE", str(tmp_path / "cache"))
    table = make_table("16 bits", 8, 8, 0).astype(np.int32)
    codes = np.arange(256, dtype=np.uint8)[:, None]
    assert [isa.name for isa in possible_isas()] == ["portable"]
    with forced():
        assert native_library.current_isa().name == "portable"
        assert np.array_equal(get_engine("native").matmul(codes, codes.T, table), table)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm (binutils)")
@pytest.mark.parametrize("isa", HERE, ids=lambda isa: isa.name)
def test_kernels_share_no_code_with_other_instruction_sets(isa, tmp_path):
    # Of a library function compiled for several instruction sets the linker keeps any one.
    made = tmp_path / "kernels.o"
    source = native_build.FOLDER / isa.source
    command = [*native_build.find_compiler().command, *native_build.FLAGS, *isa.flags]
    macros = [f"-D{other.macro}" for other in ISAS.values() if other.macro]
    subprocess.run([*command, *macros, "-c", str(source), "-o", str(made)], check=True)
    symbols = subprocess.run(
        ["nm", "-C", "--defined-only", str(made)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    shared = [line.split(maxsplit=2)[2] for line in symbols if line.split()[1] not in "trdb"]
    assert len(shared) == 1
    assert shared[0].endswith("Kernels")


@pytest.mark.parametrize("route", ["planes", "expanded", "rows"])
def test_memory_beside_operands_stays_below_64_mib(route):
    script = (
        "import ctypes\nimport numpy as np\n"
        "from rtlgrad.nn.engines import get_engine, LookupTable, Conv2dGeometry\n"
        "e, t = get_engine('native'), LookupTable(np.arange(65536, dtype=np.int32).reshape(256, 256))\n"
        "t.planes, t.compact, t.columns, t.residual\n"
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
    with forced(route=route if route != "planes" or HERE[-1].name == "vbmi" else "rows"):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
    # Columns of the whole layer would take 72 MiB; kilobytes are what Linux counts in.
    assert 0 < int(done.stdout) < 64 * 1024
