"""Layers in one pass equal, bit for bit, the same layers step by step, on every route."""

from __future__ import annotations

import os
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, DataError
from rtlgrad.lutgen.table import ProductTable, exact_table
from rtlgrad.nn import ApproxConv2d, ApproxLinear, Conv2dGeometry, get_engine
from rtlgrad.nn.engines import LookupTable, Rescaling, native_library
from rtlgrad.nn.engines.isa import ISAS
from rtlgrad.nn.engines.routes import Workload, choose_route
from rtlgrad.nn.fused import fused_conv2d
from rtlgrad.nn.ops import approx_conv2d, approx_linear
from rtlgrad.nn.quantize import OperandFormat
from rtlgrad.nn.quantize_ops import (
    _step_by_step,
    dequantize_codes,
    fake_quantize,
    gate_gradient,
    quantize_codes,
    values_of,
)

LIBRARY = native_library.library()
USABLE = LIBRARY.rtlgrad_isas_built() & LIBRARY.rtlgrad_isas_supported()
HERE = [isa for isa in ISAS.values() if USABLE >> isa.index & 1]

formats = st.builds(OperandFormat, st.sampled_from([2, 4, 7, 8, 8, 8, 9]), st.booleans())


def ways(table):
    """Every instruction set with every route that serves the table."""
    lookup = LookupTable(table.numpy())
    for isa in HERE:
        for estimate in choose_route(Workload(1, 1, 1), lookup, isa).estimates:
            if estimate.seconds is not None:
                yield mock.patch.dict(
                    os.environ, RTLGRAD_ISA=isa.name, RTLGRAD_ROUTE=estimate.route
                )


def codes(generator, operand, shape):
    return torch.randint(0, 1 << operand.bits, shape, generator=generator).to(operand.code_dtype)


@st.composite
def operands(draw, x_shape, w_shape):
    """Codes, any table with T[0, b] != 0, scales and zero points of a layer."""
    a, b = draw(formats), draw(formats)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    exact = np.outer(np.arange(1 << a.bits), np.arange(1 << b.bits))
    error, low = draw(st.sampled_from([(90, 1), (20000, -(2**15))]))
    table = exact * (error < 100) + rng.integers(low, low + error, exact.shape)
    zero = 0 if a.signed else draw(st.integers(0, (1 << a.bits) - 1))
    scales = torch.rand(w_shape[0] + 1, generator=generator) + 0.01
    x, w = codes(generator, a, x_shape), codes(generator, b, w_shape)
    numbers = torch.zeros(x_shape), torch.zeros(w_shape)
    given_table = torch.tensor(table.astype(np.int32))
    return (
        *(*numbers, x, w, given_table, scales[0], torch.tensor(zero, dtype=torch.int32)),
        *(scales[1:], b.weight_zero, [a.signed, b.signed]),
    )


@st.composite
def convolutions(draw):
    groups, per_group, outputs = draw(
        st.sampled_from([(1, 3, 5), (1, 20, 17), (2, 2, 3), (4, 1, 1)])
    )
    kernel = draw(st.tuples(*[st.integers(1, 3)] * 2))
    size = draw(st.tuples(*[st.integers(5, 14)] * 2))
    batch = draw(st.integers(0, 5))
    geometry = (
        draw(st.lists(st.integers(1, 3), min_size=2, max_size=2)),
        draw(st.lists(st.integers(0, 2), min_size=4, max_size=4)),
        draw(st.lists(st.integers(1, 2), min_size=2, max_size=2)),
        groups,
    )
    x_shape = (batch, groups * per_group, *size)
    return draw(operands(x_shape, (groups * outputs, per_group, *kernel))), geometry


@settings(max_examples=25, deadline=None)
@given(convolutions())
def test_every_route_makes_the_convolution_of_the_single_steps(case):
    given_operands, geometry = case
    want = approx_conv2d(*given_operands, *geometry, engine="numpy")
    for way in ways(given_operands[4]):
        with way:
            got = approx_conv2d(*given_operands, *geometry, engine="native")
        assert torch.equal(got, want), way.values


@settings(max_examples=12, deadline=None)
@given(
    st.tuples(st.integers(0, 150), st.integers(0, 300), st.integers(0, 20)).flatmap(
        lambda size: operands(size[:2], (size[2], size[1]))
    )
)
def test_every_route_makes_the_matrix_product_of_the_single_steps(case):
    want = approx_linear(*case, engine="numpy")
    for way in ways(case[4]):
        with way:
            assert torch.equal(approx_linear(*case, engine="native"), want), way.values


def small_layer(table, accumulator="int32"):
    a, b = OperandFormat(8, False), OperandFormat(8, False)
    generator = torch.Generator().manual_seed(0)
    x, w = codes(generator, a, (2, 3, 8, 8)), codes(generator, b, (4, 3, 3, 3))
    return fused_conv2d(
        *(x, w, table, (a, b), (7, 128), torch.rand(4) + 0.1, Conv2dGeometry(pad_code=7)),
        *("native", accumulator),
    )


def test_only_plain_sums_that_int32_holds_are_made_in_one_pass():
    table = torch.tensor(exact_table(8, 8).products)
    assert small_layer(table) is not None
    assert small_layer(table, "wrap:20") is None
    assert small_layer(table, "saturate:20") is None
    assert small_layer(table * 0 + 2**31 // 27) is None  # with the corrections beyond int32
    assert small_layer(table * 0 + 2**31 // 28) is not None


def test_a_rescaling_for_another_layer_is_refused():
    rescaling = Rescaling(np.ones(3, np.float32), np.zeros(3, np.uint32), 0, 0)
    x, w = np.zeros((1, 1, 4, 4), np.uint8), np.zeros((2, 1, 3, 3), np.uint8)
    with pytest.raises(ConfigError, match="does not fit its layer"):
        get_engine("native").layer(x, w, exact_table(8, 8).products, Conv2dGeometry(), rescaling)


# ---- quantization -------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    operand=st.builds(OperandFormat, st.integers(2, 12), st.booleans()),
    shape=st.sampled_from([(), (5,), (3, 300), (70000,), (4, 3, 100)]),
    spread=st.sampled_from([1e-30, 0.3, 5.0, 1e30]),
    per_row=st.booleans(),
    data=st.data(),
)
def test_codes_made_in_one_pass_are_those_of_the_single_steps(
    operand, shape, spread, per_row, data
):
    low, high = operand.activation_limits
    zero = torch.tensor(0 if operand.signed else data.draw(st.integers(low, high)))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    x = torch.randn(shape, generator=generator) * spread
    special = torch.tensor([float("inf"), -float("inf"), -0.0, 0.25, -0.75])
    x.view(-1)[: min(5, x.numel())] = special[: x.numel()]
    scale = torch.tensor(0.5)  # quotients at ties, too
    if per_row and shape:
        scale = (torch.rand(shape[0], generator=generator) + 0.01).view(-1, *[1] * (len(shape) - 1))
    call = (x, scale, zero.int(), low, high, operand.bits)
    want = _step_by_step(*call)
    for isa in HERE:
        with mock.patch.dict(os.environ, RTLGRAD_ISA=isa.name):
            got = fake_quantize(*call)
            assert torch.equal(quantize_codes(*call), want[1])
        for mine, wanted in zip(got, want, strict=True):
            assert mine.dtype == wanted.dtype
            assert torch.equal(mine, wanted), isa.name


@settings(deadline=None, max_examples=20)
@given(
    formats,
    st.sampled_from([(), (0,), (3, 5), (2, 33, 9), (70000,)]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_numbers_of_codes_equal_the_formula_bit_for_bit(operand, shape, per_row, seed):
    generator = torch.Generator().manual_seed(seed)
    given_codes = codes(generator, operand, shape)
    zero = torch.randint(0, 1 << operand.bits, (), generator=generator).int()
    scale = torch.rand((), generator=generator)
    if per_row and shape:
        scale = torch.rand(shape[0], generator=generator).view(-1, *[1] * (len(shape) - 1))
    want = (values_of(given_codes, operand.bits, signed=operand.signed) - zero).float() * scale
    grad = torch.randn(shape, generator=generator)
    inside = torch.rand(shape, generator=generator) < 0.7
    for isa in HERE:
        with mock.patch.dict(os.environ, RTLGRAD_ISA=isa.name):
            got = dequantize_codes(given_codes, scale, zero, operand.bits, operand.signed)
            gated = gate_gradient(grad, inside)
        assert torch.equal(got, want), isa.name
        assert torch.equal(gated, grad * inside), isa.name
    strided, one = codes(generator, operand, (4, 6)).t(), torch.tensor(0.3)
    others = (one, zero, operand.bits, operand.signed)
    assert torch.equal(
        dequantize_codes(strided, *others), dequantize_codes(strided.contiguous(), *others)
    )


def test_a_scale_expanded_to_all_rows_lies_in_memory_once():
    generator, zero = torch.Generator().manual_seed(0), torch.tensor(7, dtype=torch.int32)
    x, one = torch.randn(500, 3, generator=generator), torch.tensor(0.03)
    every = one.expand(500).view(-1, 1)
    assert every.stride(0) == 0
    found, wanted = (fake_quantize(x, scale, zero, 0, 255, 8) for scale in (every, one))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, wanted, strict=True))
    numbers = [dequantize_codes(found[1], scale, zero, 8, False) for scale in (every, one)]
    assert torch.equal(*numbers)


@pytest.mark.parametrize("quantize", [fake_quantize, quantize_codes])
def test_nan_and_bad_scales_are_refused(quantize):
    zero = torch.tensor(0, dtype=torch.int32)
    x = torch.zeros(1000)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(DataError, match="scale"):
            quantize(x, torch.tensor(bad), zero, 0, 255, 8)
    for place in (0, 255, 256, 999):
        spoilt = x.clone()
        spoilt[place] = float("nan")
        with pytest.raises(DataError, match="1 NaN among 1000"):
            quantize(spoilt, torch.tensor(1.0), zero, 0, 255, 8)


def test_codes_are_an_op_that_torch_can_compile():
    x, scale = torch.randn(3, 40), torch.tensor(0.1)
    zero = torch.tensor(9, dtype=torch.int32)
    torch.library.opcheck(torch.ops.rtlgrad.quantize_codes.default, (x, scale, zero, 0, 255, 8))
    codes_of = quantize_codes(x, scale, zero, 0, 255, 8)
    dequantized = (codes_of, scale, zero, 8, False)
    torch.library.opcheck(torch.ops.rtlgrad.dequantize_codes.default, dequantized)
    torch.library.opcheck(torch.ops.rtlgrad.gate_gradient.default, (x, x > 0))


# ---- layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantizer", ["range", "lsq"])
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_a_layer_computes_the_same_with_and_without_gradient(kind, quantizer):
    rng = np.random.default_rng(3)
    table = ProductTable(rng.integers(0, 60000, (256, 256)).astype(np.int32))
    options = {"table": table, "quantizer": quantizer}
    layer = ApproxConv2d(3, 4, 3, **options) if kind == "conv" else ApproxLinear(9, 4, **options)
    x = torch.randn((2, 3, 9, 9) if kind == "conv" else (5, 9))
    layer(x)
    layer.eval()
    with torch.no_grad():
        want = layer(x)
    y = layer(x.requires_grad_())
    assert torch.equal(y.detach(), want)
    y.sum().backward()
    assert x.grad is not None
    assert layer.bias.grad is not None
    assert torch.equal(layer.bias.grad, torch.full((4,), float(y[:, 0].numel())))
