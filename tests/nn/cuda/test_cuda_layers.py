"""A layer's scales and zero points, stored by the kernels that make its sums, keep the CPU's bits."""

from __future__ import annotations

import os
from unittest import mock

import numpy as np
import pytest
import torch
from cuda_cases import DEVICES, engine_on, lowrank_table, random_codes, random_table
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.nn.cuda_ops import approx_conv2d_cuda
from rtlgrad.nn.engines import registry
from rtlgrad.nn.engines.cuda import plan
from rtlgrad.nn.engines.cuda.routes import TableRoute
from rtlgrad.nn.engines.types import Availability
from rtlgrad.nn.op_arguments import Choices, Geometry, Operands
from rtlgrad.nn.ops import approx_conv2d

ROUTES = [str(route) for route in TableRoute]
NOTHING = torch.empty(0)


def operands(rng, table, shapes, *, w_zero, signed=False):
    x, w = (torch.from_numpy(random_codes(rng, 8, shape)) for shape in shapes)
    outputs = shapes[1][0]
    return Operands(
        x_codes=x,
        w_codes=w,
        table=torch.from_numpy(table),
        x_scale=torch.tensor(rng.uniform(1e-3, 1e-1), dtype=torch.float32),
        x_zero=torch.tensor(0 if signed else int(rng.integers(1, 256)), dtype=torch.int32),
        w_scale=torch.from_numpy(rng.uniform(1e-4, 1e-1, outputs).astype(np.float32)),
        w_zero=w_zero,
        signed=(signed, signed),
    )


def layer_on(device, given, geometry, choices):
    """The layer by the CUDA ops of a device; returns it and the kernels that ran there."""
    engine = engine_on(device)
    place = engine.tensors().device.torch_device
    usable = registry.EngineEntry(
        str(place.type), lambda: Availability(True, "emulated"), lambda: engine
    )
    moved = [t.to(place) if isinstance(t, torch.Tensor) else t for t in given]
    moved[2] = given.table
    with mock.patch.object(registry, "ENGINES", {"cupy": usable}):
        got = approx_conv2d_cuda(NOTHING, NOTHING, *moved, *geometry, *choices)
    launched = getattr(engine.tensors().device, "launched", [])
    return got.cpu(), [launch.kernel.name for launch in launched]


def forced(route):
    return mock.patch.dict(os.environ, {plan.VARIABLE: route})


def products_for(route, rng):
    made = lowrank_table(rng, 8, 8).products if route == "lowrank" else random_table(rng, 8, 8)
    return np.array(made)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=3, deadline=None)
@given(
    seed=st.integers(0, 2**32), groups=st.integers(1, 3), signed=st.booleans(), w_zero=st.booleans()
)
def test_a_layer_is_stored_by_the_kernel_that_sums_it(device, route, seed, groups, signed, w_zero):
    rng = np.random.default_rng(seed)
    table = products_for(route, rng)
    w_zero = 1 if w_zero and not signed else 0
    shapes = ((1, 2 * groups, 9, 7), (9 * groups, 2, 3, 2))
    given = operands(rng, table, shapes, w_zero=w_zero, signed=signed)
    geometry = Geometry((2, 1), (1, 2, 0, 1), (1, 2), groups)
    want = approx_conv2d(NOTHING, NOTHING, *given, *geometry, *Choices())
    with forced(route):
        got, kernels = layer_on(device, given, geometry, Choices())
    assert torch.equal(got, want)
    if device != "gpu" and not w_zero:
        assert "finish" not in kernels
        assert kernels


@pytest.mark.parametrize("route", ROUTES)
def test_sums_of_several_blocks_are_scaled_in_a_pass_after(route):
    rng = np.random.default_rng(3)
    shapes = ((1, 300, 1, 1), (1, 300, 1, 1))
    given = operands(rng, products_for(route, rng), shapes, w_zero=0)
    want = approx_conv2d(NOTHING, NOTHING, *given, *Geometry(), *Choices())
    with forced(route):
        got, kernels = layer_on("ascending", given, Geometry(), Choices())
    assert torch.equal(got, want)
    assert kernels[-1] == "finish"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("accumulator", ["saturate:18", "wrap:18", "int32"])
@pytest.mark.parametrize("w_zero", [0, 7])
def test_accumulators_and_zero_points_of_weights_keep_their_bits(device, accumulator, w_zero):
    rng = np.random.default_rng(4)
    table = random_table(rng, 8, 8)
    given = operands(rng, table, ((1, 4, 6, 5), (6, 2, 3, 3)), w_zero=w_zero)
    geometry, choices = Geometry(padding=(1, 1, 1, 1), groups=2), Choices(accumulator=accumulator)
    want = approx_conv2d(NOTHING, NOTHING, *given, *geometry, *choices)
    got, kernels = layer_on(device, given, geometry, choices)
    assert torch.equal(got, want)
    fused = accumulator == "saturate:18" and not w_zero
    if device != "gpu" and (fused or accumulator == "wrap:18"):
        assert ("finish" in kernels) != fused


def test_a_layer_without_images_has_no_result():
    rng = np.random.default_rng(5)
    given = operands(rng, random_table(rng, 8, 8), ((0, 2, 5, 5), (3, 2, 3, 3)), w_zero=0)
    got, kernels = layer_on("ascending", given, Geometry(), Choices())
    assert (got.shape, got.dtype, kernels) == ((0, 3, 3, 3), torch.float32, [])


def test_a_difference_beyond_32_bits_is_rounded_once():
    """The sum is an int32, and the weights' sum times the zero point takes it below -2^31."""
    K, outputs = 2100, 5
    given = Operands(
        x_codes=torch.full((1, K, 1, 1), 255, dtype=torch.uint8),
        w_codes=torch.full((outputs, K, 1, 1), 255, dtype=torch.uint8),
        table=torch.full((256, 256), -1_000_003, dtype=torch.int32),
        x_scale=torch.tensor(1.0),
        x_zero=torch.tensor(255, dtype=torch.int32),
        w_scale=torch.ones(outputs),
        w_zero=0,
        signed=(False, False),
    )
    with forced("few"):
        got, kernels = layer_on("ascending", given, Geometry(), Choices())
    exact = -1_000_003 * K - K * 255 * 255
    assert exact < -(2**31)
    assert kernels == ["table_few"]
    assert got.flatten().tolist() == [float(np.float32(exact))] * outputs
