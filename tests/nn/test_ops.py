"""The torch ops: integers against float64 convolutions (exact below 2^53), gradients, opcheck."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, EngineError, OverflowRiskError, UnknownNameError
from rtlgrad.lutgen.table import code_values
from rtlgrad.nn.ops import approx_conv2d, approx_linear
from rtlgrad.nn.quantize import OperandFormat, decode, dequantize
from rtlgrad.nn.table_ops import table_conv2d, table_matmul
from torch.nn import functional


def exact(a, b):
    """The exact table for two formats, mixed signedness included."""
    products = code_values(a.bits, a.signed)[:, None] * code_values(b.bits, b.signed)[None, :]
    return torch.tensor(products.astype(np.int32))


def random_codes(generator, operand, shape):
    return torch.randint(0, 1 << operand.bits, shape, generator=generator).to(operand.code_dtype)


formats = st.builds(OperandFormat, st.sampled_from([2, 3, 4, 5, 6, 7, 8, 9, 10]), st.booleans())


@st.composite
def layers(draw):
    """Operands of approx_conv2d: any codes, zero points, signedness, widths and geometry."""
    a, b = draw(formats), draw(formats)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    groups = draw(st.integers(1, 2))
    channels, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    size = draw(st.tuples(st.integers(6, 9), st.integers(6, 9)))
    x_codes = random_codes(generator, a, (draw(st.integers(0, 3)), groups * channels, *size))
    w_codes = random_codes(generator, b, (groups * outputs, channels, *kernel))
    x_zero = torch.tensor(0 if a.signed else draw(st.integers(0, (1 << a.bits) - 1)))
    geometry = (
        draw(st.lists(st.integers(1, 3), min_size=2, max_size=2)),
        draw(st.lists(st.integers(0, 2), min_size=4, max_size=4)),
        draw(st.lists(st.integers(1, 2), min_size=2, max_size=2)),
        groups,
    )
    x_scale = torch.rand((), generator=generator) + 0.01
    w_scale = torch.rand(groups * outputs, generator=generator) + 0.01
    return a, b, x_codes, w_codes, x_scale, x_zero.int(), w_scale, geometry


def carriers(a, b, x_codes, w_codes, x_scale, x_zero, w_scale):
    per_output = w_scale.view(-1, *[1] * (w_codes.ndim - 1))
    return (
        dequantize(x_codes, a, x_scale, x_zero).requires_grad_(),
        dequantize(w_codes, b, per_output, b.weight_zero).requires_grad_(),
    )


def convolve(x, w, geometry):
    stride, (top, bottom, left, right), dilation, groups = geometry
    padded = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(padded, w, None, stride, 0, dilation, groups)


@settings(max_examples=80, deadline=None)
@given(layers())
def test_exact_conv2d_equals_integer_arithmetic_bit_for_bit(case):
    a, b, x_codes, w_codes, x_scale, x_zero, w_scale, geometry = case
    x_hat, w_hat = carriers(*case[:-1])
    operands = (x_hat, w_hat, x_codes, w_codes, exact(a, b), x_scale, x_zero, w_scale)
    got = approx_conv2d(*operands, b.weight_zero, [a.signed, b.signed], *geometry)
    centred_x = (decode(x_codes, a) - x_zero).double()
    centred_w = (decode(w_codes, b) - b.weight_zero).double()
    sums = convolve(centred_x, centred_w, geometry)  # integers below 2^53: exact
    want = sums.float() * (x_scale * w_scale).view(1, -1, 1, 1)
    assert torch.equal(got, want)


@settings(max_examples=80, deadline=None)
@given(formats, formats, st.integers(0, 2**32), *[st.integers(0, 9)] * 3)
def test_exact_linear_equals_integer_arithmetic_bit_for_bit(a, b, seed, M, K, O):  # noqa: E741
    generator = torch.Generator().manual_seed(seed)
    x_codes, w_codes = random_codes(generator, a, (M, K)), random_codes(generator, b, (O, K))
    zero = 0 if a.signed else int(torch.randint(0, 1 << a.bits, (), generator=generator))
    x_zero, x_scale = torch.tensor(zero, dtype=torch.int32), torch.tensor(0.37)
    w_scale = torch.rand(O, generator=generator) + 0.01
    x_hat, w_hat = carriers(a, b, x_codes, w_codes, x_scale, x_zero, w_scale)
    operands = (x_hat, w_hat, x_codes, w_codes, exact(a, b), x_scale, x_zero, w_scale)
    got = approx_linear(*operands, b.weight_zero, [a.signed, b.signed])
    centred_x = decode(x_codes, a).long() - zero
    centred_w = decode(w_codes, b).long() - b.weight_zero
    assert torch.equal(got, (centred_x @ centred_w.T).float() * (x_scale * w_scale))


@settings(max_examples=40, deadline=None)
@given(layers(), st.integers(0, 2**32))
def test_any_table_equals_the_formula_tap_by_tap(case, seed):
    a, b, x_codes, w_codes, x_scale, x_zero, w_scale, geometry = case
    rng = np.random.default_rng(seed)
    table = rng.integers(-5000, 5000, (1 << a.bits, 1 << b.bits)).astype(np.int32)
    got = approx_conv2d(
        *carriers(*case[:-1]), x_codes, w_codes, torch.tensor(table), x_scale, x_zero, w_scale,
        b.weight_zero, [a.signed, b.signed], *geometry,
    )  # fmt: skip
    # T - x*zw - w*zx + zx*zw is itself a table; sum that over the unfolded taps, groups apart.
    x_values, w_values = code_values(a.bits, a.signed), code_values(b.bits, b.signed)
    zx, zw = int(x_zero), b.weight_zero
    corrected = table - x_values[:, None] * zw - w_values[None, :] * zx + zx * zw
    stride, (top, bottom, left, right), dilation, groups = geometry
    padded = functional.pad(x_codes.double(), (left, right, top, bottom), value=zx)
    sums = []
    for x, w in zip(padded.chunk(groups, 1), w_codes.chunk(groups, 0), strict=True):
        taps = functional.unfold(x, w.shape[2:], dilation, 0, stride).long().numpy()
        flat = w.flatten(1).long().numpy()
        sums.append(corrected[taps[:, None], flat[None, :, :, None]].sum(axis=2))
    want = torch.tensor(np.concatenate(sums, axis=1)).view(got.shape)
    assert torch.equal(got, want.float() * (x_scale * w_scale).view(1, -1, 1, 1))


@settings(max_examples=40, deadline=None)
@given(layers())
def test_conv2d_gradient_is_that_of_the_exact_convolution(case):
    a, b, x_codes, w_codes, x_scale, x_zero, w_scale, geometry = case
    x_hat, w_hat = carriers(*case[:-1])
    table = exact(a, b) // 3 + 1  # the gradient does not see the table
    got = approx_conv2d(
        x_hat, w_hat, x_codes, w_codes, table, x_scale, x_zero, w_scale, b.weight_zero,
        [a.signed, b.signed], *geometry,
    )  # fmt: skip
    want = convolve(x_hat, w_hat, geometry)
    weight = torch.rand(got.shape, generator=torch.Generator().manual_seed(0))
    ours = torch.autograd.grad((got * weight).sum(), (x_hat, w_hat))
    theirs = torch.autograd.grad((want * weight).sum(), (x_hat, w_hat))
    for mine, exact_one in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, exact_one, rtol=1e-5, atol=1e-5 * (1 << a.bits))


def test_linear_gradient_is_that_of_the_exact_product():
    a, b = OperandFormat(8, False), OperandFormat(7, True)
    generator = torch.Generator().manual_seed(5)
    x_codes, w_codes = random_codes(generator, a, (6, 9)), random_codes(generator, b, (4, 9))
    scales = (torch.tensor(0.1), torch.tensor(31, dtype=torch.int32), torch.rand(4) + 0.1)
    x_hat, w_hat = carriers(a, b, x_codes, w_codes, *scales)
    table = torch.zeros(256, 128, dtype=torch.int32)
    got = approx_linear(x_hat, w_hat, x_codes, w_codes, table, *scales, 0, [False, True])
    ours = torch.autograd.grad(got.square().sum() + got.sum(), (x_hat, w_hat))
    upstream = (2 * got + 1).detach()
    theirs = torch.autograd.grad((upstream * (x_hat @ w_hat.T)).sum(), (x_hat, w_hat))
    for mine, exact_one in zip(ours, theirs, strict=True):
        assert torch.equal(mine, exact_one)


def test_second_derivatives_are_refused_rather_than_wrong():
    a = OperandFormat(4, True)
    codes = torch.ones(2, 2, dtype=torch.uint8)
    hat = torch.ones(2, 2, requires_grad=True)
    scales = (torch.tensor(1.0), torch.tensor(0, dtype=torch.int32), torch.ones(2))
    y = approx_linear(hat, hat, codes, codes, exact(a, a), *scales, 0, [True, True])
    with pytest.raises(NotImplementedError, match="create_graph"):
        torch.autograd.grad(y.sum(), hat, create_graph=True)


@pytest.mark.parametrize("engine", ["native", "numpy"])
def test_opcheck(engine):
    a, b = OperandFormat(8, False), OperandFormat(8, True)
    generator = torch.Generator().manual_seed(6)
    x, w = random_codes(generator, a, (2, 4, 6, 7)), random_codes(generator, b, (6, 2, 3, 2))
    scales = (torch.tensor(0.1), torch.tensor(7, dtype=torch.int32), torch.rand(6) + 0.1)
    geometry = ([2, 1], [1, 0, 2, 1], [1, 2], 2)
    table = exact(a, b)
    ops = torch.ops.rtlgrad
    # Shapes for compilation and gradients are the same for all engines.
    further = ("test_autograd_registration", "test_aot_dispatch_dynamic")
    utils = ("test_schema", "test_faketensor", *(further if engine == "native" else ()))
    check = partial(torch.library.opcheck, test_utils=utils)
    check(ops.table_conv2d.default, (x, w, table, scales[1], *geometry, engine))
    check(
        ops.approx_conv2d.default,
        (*carriers(a, b, x, w, *scales), x, w, table, *scales, 0, [False, True], *geometry, engine),
    )
    x, w = x.flatten(1), random_codes(generator, b, (6, 168))
    check(ops.table_matmul.default, (x, w.t(), table, engine))
    check(
        ops.approx_linear.default,
        (*carriers(a, b, x, w, *scales), x, w, table, *scales, 0, [False, True], engine),
    )
    if engine == "numpy":
        return  # quantization knows no engines
    real = torch.randn(3, 5, generator=generator).requires_grad_()
    for low, high, bits in [(0, 255, 8), (-127, 127, 8), (0, 4095, 12)]:
        check(ops.fake_quantize.default, (real, scales[0], scales[1], low, high, bits))


def test_overflow_is_refused_with_the_numbers_before_the_run():
    a = OperandFormat(12, False)
    x, w = torch.zeros(1, 129, dtype=torch.int16), torch.full((129, 1), 4095, dtype=torch.int16)
    with pytest.raises(OverflowRiskError, match=str(129 * 4095 * 4095)):
        table_matmul(x, w, exact(a, a))
    kernel = w.view(1, 129, 1, 1)
    with pytest.raises(OverflowRiskError, match="129 products"):
        table_conv2d(
            x.view(1, 129, 1, 1), kernel, exact(a, a), torch.tensor(0), [1, 1], [0] * 4, [1, 1], 1
        )
    assert table_matmul(x, torch.ones_like(w), exact(a, a)).item() == 0  # light weights may


def test_corrections_beyond_int32_are_exact():
    # Products fit int32, the corrections do not: 100 * 4095 * 2048 + ... > 2^31.
    a = OperandFormat(12, False)
    x_codes = torch.full((1, 100), 4095, dtype=torch.int16)
    w_codes = torch.full((1, 100), 4095, dtype=torch.int16)
    one, zero = torch.tensor(1.0), torch.tensor(4000, dtype=torch.int32)
    got = approx_linear(
        x_codes.float(), w_codes.float(), x_codes, w_codes, exact(a, a), one, zero, one[None],
        2048, [False, False],
    )  # fmt: skip
    assert got.item() == 100 * 95 * 2047


def test_a_table_written_to_in_place_is_read_again():
    codes = torch.ones(1, 1, dtype=torch.uint8)
    table = torch.zeros(4, 4, dtype=torch.int32)
    assert table_matmul(codes, codes, table).item() == 0
    table[1, 1] = 5
    assert table_matmul(codes, codes, table).item() == 5


def test_inputs_are_checked():
    codes, table = torch.ones(1, 1, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.int32)
    with pytest.raises(UnknownNameError, match="native"):
        table_matmul(codes, codes, table, "nativ")
    with pytest.raises(EngineError, match="cupy"):
        table_matmul(codes, codes, table, "cupy")
    with pytest.raises(ConfigError, match="outside the table"):
        table_matmul(codes * 4, codes, table)
    with pytest.raises(ConfigError, match="not a product table"):
        table_matmul(codes, codes, table.long())
