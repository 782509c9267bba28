"""The CUDA kernels for integer tables equal the NumPy specification bit for bit."""

from __future__ import annotations

import os
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from cuda_cases import (
    DEVICES,
    SMALL,
    convolutions,
    engine_on,
    lowrank_table,
    random_codes,
    random_table,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import EngineError
from rtlgrad.nn.accumulators import Accumulator, saturating_sums
from rtlgrad.nn.engines import Conv2dGeometry, LookupTable, get_engine
from rtlgrad.nn.engines.cuda import plan
from rtlgrad.nn.engines.cuda.digit_layout import digit_layout
from rtlgrad.nn.engines.cuda.gpus import GPUS
from rtlgrad.nn.engines.cuda.problem import matmul
from rtlgrad.nn.engines.cuda.routes import TableRoute
from rtlgrad.nn.gradients.lookup import lut_backward

ROUTES = [str(route) for route in TableRoute]
SPECIFICATION = get_engine("numpy")


def forced(route):
    return mock.patch.dict(os.environ, {plan.VARIABLE: route})


def serves(route, wa, wb, *, wide):
    """Whether a route takes tables of wa-bit activations and wb-bit weights."""
    # Of 2-byte products, shared memory takes those of 8 x 8 bits, not those of 8 x 9.
    fits = not wide and wa <= 8 and wa + wb <= 16
    return {"shared": fits, "expanded": wa <= 8}.get(route, True)


def table_for(route, rng, wa, wb, *, wide=False):
    made = (lowrank_table if route == "lowrank" else random_table)(rng, wa, wb, wide=wide)
    return LookupTable.of(made)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=6, deadline=None)
@given(
    case=convolutions(),
    widths=st.tuples(*[st.sampled_from([2, 4, 8, 9])] * 2),
    wide=st.booleans(),
    pad=st.integers(0, 3),
)
def test_conv2d_equals_specification(device, route, case, widths, wide, pad):
    x_shape, w_shape, geometry, seed = case
    rng, (wa, wb) = np.random.default_rng(seed), widths
    if not serves(route, wa, wb, wide=wide):
        return
    x, w = random_codes(rng, wa, x_shape), random_codes(rng, wb, w_shape)
    table, geometry = table_for(route, rng, wa, wb, wide=wide), replace(geometry, pad_code=pad)
    with forced(route):
        got = engine_on(device).conv2d(x, w, table, geometry)
    assert np.array_equal(got, SPECIFICATION.conv2d(x, w, table, geometry))


# Sizes on both sides of each kernel's tiles and stages, and so deep that k is split.
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("sizes", "wide"), [((513, 9, 65), False), ((130, 33, 33), True), ((3, 300, 5), False)]
)
def test_matmul_equals_specification_across_tiles(device, route, sizes, wide):
    if not serves(route, 8, 8, wide=wide):
        pytest.skip("the route is for tables of 16-bit products")
    rng = np.random.default_rng(1)
    (M, K, N), table = sizes, table_for(route, rng, 8, 8, wide=wide)
    a, b = random_codes(rng, 8, (M, K)), random_codes(rng, 8, (K, N))
    with forced(route):
        got = engine_on(device).matmul(a, b, table)
    assert np.array_equal(got, SPECIFICATION.matmul(a, b, table))


@pytest.mark.parametrize("route", ROUTES)
def test_operands_may_be_strided_in_any_way(route):
    rng = np.random.default_rng(2)
    table = table_for(route, rng, 8, 8)
    a, b = random_codes(rng, 8, (20, 31)), random_codes(rng, 8, (31, 9))
    want = SPECIFICATION.matmul(a, b, table)
    sums = engine_on("ascending").tensors()
    left, right = torch.from_numpy(a), torch.from_numpy(b)
    with forced(route):
        for x in (left, left.t().contiguous().t(), left.repeat_interleave(2, 1)[:, ::2]):
            for w in (right, right.t().contiguous().t()):
                assert np.array_equal(sums.matmul(x, w, table).numpy(), want)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=4, deadline=None)
@given(case=convolutions(), counted=st.booleans())
def test_gradients_by_table_are_sums_over_the_forward_products(device, route, case, counted):
    """Each pair (x, y) that meets in the forward adds T[grad[y], w] to x and T[x, grad[y]] to w."""
    x_shape, w_shape, geometry, seed = case
    rng = np.random.default_rng(seed)
    if route == "lowrank":  # it looks up every product
        counted = True
        lookup = lowrank_table(rng, 8, 8, nothing=5)
    else:
        lookup = LookupTable(random_table(rng, 8, 8))
    table = lookup.products
    if counted:  # as if gradients and images went on, with codes of which the table makes nothing
        table[5] = 0
    outside = torch.tensor(5) if counted else None
    x, w = random_codes(rng, 8, x_shape), random_codes(rng, 8, w_shape)
    size = geometry.output_size(x_shape[2:], w_shape[2:])
    grad = random_codes(rng, 8, (x_shape[0], w_shape[0], *size))
    want_x, want_w = np.zeros(x_shape, np.int64), np.zeros(w_shape, np.int64)
    per_group = w_shape[0] // geometry.groups
    for b, o, y, z in np.ndindex(grad.shape):
        first = o // per_group * w_shape[1]
        for c, i, j in np.ndindex(w_shape[1:]):
            row = y * geometry.stride[0] - geometry.padding[0] + i * geometry.dilation[0]
            column = z * geometry.stride[1] - geometry.padding[2] + j * geometry.dilation[1]
            if 0 <= row < x_shape[2] and 0 <= column < x_shape[3]:
                at, g = (b, first + c, row, column), grad[b, o, y, z]
                want_x[at] += table[g, w[o, c, i, j]]
                want_w[o, c, i, j] += table[x[at], g]
    sums = engine_on(device).tensors()
    place = [torch.from_numpy(t).to(sums.device.torch_device) for t in (x, w, grad)]
    with forced(route):
        got_x = sums.conv2d_input_grad(place[2], place[1], lookup, geometry, x_shape[2:], outside)
        got_w = sums.conv2d_weight_grad(place[0], place[2], lookup, geometry, w_shape[2:], outside)
    assert np.array_equal(got_x.cpu().numpy(), want_x)
    assert np.array_equal(got_w.cpu().numpy(), want_w)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("bits", [9, 17, 32])
def test_saturating_sums_equal_specification(device, wide, bits):
    rng = np.random.default_rng(8)
    table = LookupTable(random_table(rng, 8, 8, wide=wide))
    a, b = random_codes(rng, 8, (70, 90)), random_codes(rng, 8, (90, 3))
    want = saturating_sums(a, b, table, Accumulator("saturate", bits))
    sums = engine_on(device).tensors()
    place = sums.device.torch_device
    x, w = (torch.from_numpy(np.ascontiguousarray(t)).to(place) for t in (a, b.T))
    images, kernels = x[:, :, None, None], w[:, :, None, None]
    got = sums.saturating_conv2d(
        images, kernels, table, Conv2dGeometry(), torch.tensor(0, device=place), bits
    )
    assert np.array_equal(got.cpu().numpy()[:, :, 0, 0], want)


# One position more than a block of the sums over positions, one output more than a block has.
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("sizes", [(2, 2049, 17), (5, 3, 1)])
def test_gradients_by_gradient_tables_have_the_cpus_bits(device, sizes):
    (K, M, outputs), rng = sizes, np.random.default_rng(9)
    x, w = rng.integers(0, 256, (K, M)), rng.integers(0, 64, (K, outputs))
    shapes = ((outputs, M), (outputs,), (64, 256), (64, 256))
    codes = [torch.from_numpy(part.astype(np.int32)) for part in (x, w)]
    floats = [torch.from_numpy(rng.standard_normal(s).astype(np.float32)) for s in shapes]
    want = lut_backward(*codes, *floats, engine=get_engine("native"))
    engine = engine_on(device)
    place = engine.tensors().device.torch_device
    there = [tensor.to(place) for tensor in (*codes, *floats)]
    there[0] = there[0].t().contiguous().t()
    got = lut_backward(*there, engine=engine)
    assert all(torch.equal(one.cpu(), other) for one, other in zip(got, want, strict=True))


def test_tables_of_12_bits_stay_outside_shared_memory():
    rng = np.random.default_rng(3)
    table = random_table(rng, 12, 12, wide=True)
    a, b = random_codes(rng, 12, (40, 30)), random_codes(rng, 12, (30, 20))
    want = SPECIFICATION.matmul(a, b, table)
    for route in ("cached", "few"):
        with forced(route):
            assert np.array_equal(engine_on("ascending").matmul(a, b, table), want)
    for route in ("shared", "expanded"):
        with forced(route), pytest.raises(EngineError, match="cannot serve this table"):
            engine_on("ascending").matmul(a, b, table)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.tuples(*[st.integers(2, 5)] * 2), st.booleans())
def test_passes_of_digits_are_the_table(seed, widths, wide):
    table = lowrank_table(np.random.default_rng(seed), *widths, wide=wide)
    layout = digit_layout(table.factors.bytes)
    assert np.array_equal(layout.table(), table.products)
    assert layout.width in (4, 8, 16)


def test_a_table_of_low_rank_takes_tensor_cores_unasked():
    rng = np.random.default_rng(7)
    a, b = random_codes(rng, 8, (70, 100)), random_codes(rng, 8, (100, 12))
    exact = LookupTable(np.multiply.outer(np.arange(256), np.arange(-128, 128)).astype(np.int32))
    engine = engine_on("ascending")
    assert np.array_equal(engine.matmul(a, b, exact), SPECIFICATION.matmul(a, b, exact))
    names = [launch.kernel.name for launch in engine.tensors().device.launched]
    assert names == ["lowrank_weights", "table_lowrank"]


def test_gpus_of_little_shared_memory_expand_the_table():
    rng = np.random.default_rng(4)
    x, w = random_codes(rng, 8, (2, 5, 20, 30)), random_codes(rng, 8, (70, 5, 3, 3))
    table, geometry = random_table(rng, 8, 8), Conv2dGeometry(padding=(1, 1, 1, 1), pad_code=9)
    engine = engine_on("ascending", SMALL)
    want = SPECIFICATION.conv2d(x, w, table, geometry)
    assert np.array_equal(engine.conv2d(x, w, table, geometry), want)
    assert engine.tensors().device.launched[0].kernel.name == "table_expanded"
    with forced("shared"), pytest.raises(EngineError, match="cannot serve this table"):
        engine.conv2d(x, w, table, geometry)


def test_depthwise_layers_take_the_kernel_for_few_outputs():
    rng = np.random.default_rng(5)
    x, w = random_codes(rng, 8, (1, 6, 32, 32)), random_codes(rng, 8, (6, 1, 3, 3))
    table, geometry = random_table(rng, 8, 8), Conv2dGeometry(padding=(1, 1, 1, 1), groups=6)
    engine = engine_on("ascending")
    want = SPECIFICATION.conv2d(x, w, table, geometry)
    assert np.array_equal(engine.conv2d(x, w, table, geometry), want)
    assert engine.tensors().device.launched[0].kernel.name == "table_few"


def test_every_route_that_is_offered_fits_the_gpu():
    rng = np.random.default_rng(6)
    for gpu in GPUS.values():
        for wide in (False, True):
            for wa in (2, 8, 12):
                table = LookupTable(random_table(rng, wa, 8, wide=wide))
                problem = matmul((4096, 576, 64), (576, 1), (64, 1))
                found = plan.table_estimates(problem, table, gpu, kinds=(0, 0))
                assert all(e.launch.shared_bytes <= gpu.shared_bytes for e in found.values())
                assert TableRoute.CACHED in found
                # 130 KiB of table fit A100, H100 and B200 alone.
                roomy = gpu.shared_bytes > 130 << 10
                assert (TableRoute.SHARED in found) == (wa <= 8 and not wide and (roomy or wa == 2))
