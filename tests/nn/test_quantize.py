"""Quantization: codes, zero points, gradients and ranges, against torch and by definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, DataError, UnknownNameError
from rtlgrad.lutgen.table import code_values
from rtlgrad.nn.activation import ActivationQuantizer
from rtlgrad.nn.calibrate import OBSERVERS, get_observer
from rtlgrad.nn.quantize import (
    OperandFormat,
    activation_params,
    decode,
    dequantize,
    quantize_activation,
    quantize_weight,
)
from rtlgrad.nn.quantize_ops import dequantize_codes, fake_quantize, quantize_codes

formats = st.builds(OperandFormat, st.integers(2, 12), st.booleans())
bounds = st.floats(-(2.0**100), 2.0**100, width=32)
U8, S8 = OperandFormat(8, False), OperandFormat(8, True)


def params_of(low, high, operand):
    return activation_params(torch.tensor(low), torch.tensor(high), operand)


@pytest.mark.parametrize("bits", range(2, 13))
@pytest.mark.parametrize("signed", [False, True])
def test_decode_agrees_with_the_table_side(bits, signed):
    operand = OperandFormat(bits, signed)
    codes = torch.arange(1 << bits).to(operand.code_dtype)
    assert np.array_equal(decode(codes, operand).numpy(), code_values(bits, signed))


@settings(max_examples=200, deadline=None)
@given(bounds, bounds, formats)
def test_zero_is_represented_exactly_and_scales_are_positive(low, high, operand):
    params = params_of(min(low, high), max(low, high), operand)
    assert math.isfinite(params.scale)
    assert params.scale > 0
    least, greatest = operand.activation_limits
    assert least <= params.zero <= greatest
    quantized = quantize_activation(torch.zeros(3), params, operand)
    assert torch.equal(quantized.x_hat, torch.zeros(3))
    assert torch.equal(decode(quantized.codes, operand), params.zero.expand(3))


@settings(max_examples=100, deadline=None)
@given(formats, st.integers(0, 2**32), st.floats(-3, 3, width=32), st.floats(0.125, 8, width=32))
def test_activations_inside_the_range_are_off_by_at_most_a_step(operand, seed, centre, spread):
    x = centre + spread * torch.randn(50, generator=torch.Generator().manual_seed(seed))
    params = params_of(float(x.min()), float(x.max()), operand)
    quantized = quantize_activation(x, params, operand)
    # Half a step of rounding, and as much for the zero point's own rounding at the ends.
    assert (quantized.x_hat - x).abs().max() <= 1.0001 * params.scale
    assert torch.equal(
        dequantize(quantized.codes, operand, params.scale, params.zero), quantized.x_hat
    )


@pytest.mark.parametrize("bits", [2, 5, 8, 12])
def test_weights_are_symmetric_in_both_signednesses(bits):
    weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    signed = quantize_weight(weight, OperandFormat(bits, True))
    unsigned = quantize_weight(weight, OperandFormat(bits, False))
    reach = (1 << (bits - 1)) - 1
    q = decode(signed.codes, OperandFormat(bits, True))
    assert torch.equal(q + (1 << (bits - 1)), decode(unsigned.codes, OperandFormat(bits, False)))
    assert torch.equal(signed.x_hat, unsigned.x_hat)
    assert torch.equal(q.flatten(1).abs().amax(dim=1), torch.full((4,), reach, dtype=torch.int32))
    assert torch.equal(quantize_weight(-weight, OperandFormat(bits, True)).x_hat, -signed.x_hat)


def test_rounding_is_half_to_even():
    params = params_of(0.0, 255.0, U8)
    assert params.scale == 1
    x = torch.tensor([0.5, 1.5, 2.5, 254.5])
    assert quantize_activation(x, params, U8).codes.tolist() == [0, 2, 2, 254]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([2.0**-3, 0.75, 2.0**4]),
    st.integers(0, 255),
)
def test_values_and_gradient_equal_torchs_fake_quantize(seed, scale, zero):
    generator = torch.Generator().manual_seed(seed)
    x = (300 * scale * torch.randn(64, generator=generator)).requires_grad_()
    ours, _, _ = fake_quantize(
        x, torch.tensor(scale), torch.tensor(zero, dtype=torch.int32), 0, 255, 8
    )
    (grad,) = torch.autograd.grad(ours.sum(), x)
    # torch multiplies by 1/scale; with 0.75 a value may round to the other side of a tie.
    theirs = torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)
    (expected,) = torch.autograd.grad(theirs.sum(), x)
    if scale == 0.75:
        assert (ours - theirs).abs().max() <= scale
    else:
        assert torch.equal(ours, theirs)
        assert torch.equal(grad, expected)


@pytest.mark.parametrize("operand", [U8, S8])
def test_degenerate_ranges(operand):
    for low, high in [(0.0, 0.0), (3.0, 3.0), (-3.0, -3.0), (0.0, 1e-45), (-1e-45, 0.0)]:
        params = params_of(low, high, operand)
        assert params.scale > 0
        x = torch.tensor([low, 0.0, high])
        assert torch.isfinite(quantize_activation(x, params, operand).x_hat).all()
    zeros = quantize_weight(torch.zeros(2, 3), operand)
    assert torch.equal(zeros.x_hat, torch.zeros(2, 3))
    assert quantize_weight(torch.zeros(0, 3), operand).codes.shape == (0, 3)
    assert quantize_weight(torch.zeros(2, 0), operand).codes.shape == (2, 0)


def test_infinite_activations_clamp_and_nan_is_refused():
    params = params_of(-1.0, 1.0, U8)
    infinite = torch.tensor([float("-inf"), float("inf")])
    assert quantize_activation(infinite, params, U8).codes.tolist() == [0, 255]
    with pytest.raises(DataError, match="NaN"):
        quantize_activation(torch.tensor([0.0, float("nan")]), params, U8)
    with pytest.raises(DataError, match="scale"):
        quantize_weight(torch.tensor([[1.0, float("inf")]]), U8)


@pytest.mark.parametrize("bits", [1, 13])
def test_unsupported_widths_are_refused(bits):
    with pytest.raises(ConfigError, match="unsupported width"):
        OperandFormat(bits, False)


# ---- ranges -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(OBSERVERS))
def test_observers_see_all_batches_and_stay_inside(method):
    generator = torch.Generator().manual_seed(2)
    batches = [torch.randn(500, generator=generator) * factor for factor in (1, 4, 0.5)]
    observer = get_observer(method)(S8)
    assert observer.range() is None
    observer.observe(torch.zeros(0))
    assert observer.range() is None
    for batch in batches:
        observer.observe(batch)
    low, high = observer.range()
    seen = torch.cat(batches)
    assert seen.min() <= low < -3
    assert 3 < high <= seen.max()


@pytest.mark.parametrize("method", sorted(OBSERVERS))
def test_observers_of_constant_activations(method):
    for constant in (0.0, 2.5, -2.5):
        observer = get_observer(method)(U8)
        observer.observe(torch.full((10,), constant))
        low, high = observer.range()
        params = params_of(low, high, U8)
        got = quantize_activation(torch.tensor([constant]), params, U8).x_hat
        assert got.item() == pytest.approx(constant, rel=1e-3)


def test_percentile_leaves_out_its_share_of_outliers():
    generator = torch.Generator().manual_seed(3)
    body = torch.rand(100_000, generator=generator)
    observer = get_observer("percentile")(U8)
    observer.observe(torch.cat([body, torch.full((5,), 1000.0)]))
    low, high = observer.range()
    assert high < 1.3  # within a bin (1024 / 4096) of the body's end
    assert low >= 0


def test_mse_range_has_the_least_error_of_the_ranges_tried():
    generator = torch.Generator().manual_seed(4)
    x = torch.distributions.Laplace(0.0, 1.0)
    torch.manual_seed(4)
    sample = x.sample((20_000,))
    del generator
    narrow = OperandFormat(4, True)
    observer = get_observer("mse")(narrow)
    observer.observe(sample)

    def error(high):
        params = params_of(-high, high, narrow)
        return float((quantize_activation(sample, params, narrow).x_hat - sample).square().mean())

    low, high = observer.range()
    found = max(-low, high)
    peak = float(sample.abs().max())
    direct = min(error(peak * step / 50) for step in range(1, 51))
    assert error(found) <= 1.02 * direct
    assert error(found) < 0.5 * error(peak)


def test_unknown_method_and_infinite_activations():
    with pytest.raises(UnknownNameError, match="minmax, mse, percentile"):
        get_observer("minmaxx")
    with pytest.raises(DataError, match="not finite"):
        get_observer("minmax")(U8).observe(torch.tensor([1.0, float("inf")]))


def test_training_range_is_the_moving_average_and_eval_freezes_it():
    quantizer = ActivationQuantizer(momentum=0.25)
    assert not quantizer.is_calibrated
    quantizer(torch.tensor([-1.0, 3.0]), U8)
    assert (quantizer.low, quantizer.high) == (-1, 3)
    quantizer(torch.tensor([1.0, 7.0]), U8)
    assert (quantizer.low, quantizer.high) == (-0.5, 4)
    quantizer.eval()
    quantizer(torch.tensor([-100.0, 100.0]), U8)
    assert (quantizer.low, quantizer.high) == (-0.5, 4)
    quantizer.half()
    assert quantizer.high.dtype == torch.float32
    with pytest.raises(ConfigError, match="momentum"):
        ActivationQuantizer(momentum=0.0)


@pytest.mark.parametrize("rows", [3, 200])
def test_a_scale_broadcast_to_rows_is_that_scale_for_each(rows):
    """As products of two inputs have it: one scale, expanded without memory of its own."""
    torch.manual_seed(0)
    codes = torch.randint(0, 256, (rows, 50), dtype=torch.uint8)
    scale, zero = torch.tensor([[0.25]]).expand(rows, 1), torch.tensor(128, dtype=torch.int32)
    numbers = dequantize_codes(codes, scale, zero, 8, False)
    assert torch.equal(numbers, (codes.float() - 128) * 0.25)
    assert torch.equal(quantize_codes(numbers, scale, zero, 0, 255, 8), codes)
