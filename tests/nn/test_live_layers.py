"""Layers by live products: any width, and what numpy makes of the design's own function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference import segments
from rtlgrad.core.errors import ConfigError, OverflowRiskError, UnknownNameError
from rtlgrad.lutgen import ProductTable
from rtlgrad.nn import approximate, calibrate
from rtlgrad.nn.live_layers import DistinctProducts, WideOperand, find_ranges, make_live
from torch import nn

WIDE = (WideOperand(16, False), WideOperand(16, False))


def drum(a, b):
    return segments.drum_operand(a, 6) * segments.drum_operand(b, 6)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, stride=2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    ).eval()


def test_a_16_bit_convolution_is_what_numpy_makes_of_the_design():
    model = network()
    exact = model[0]
    x = torch.rand(2, 2, 8, 8) * 3 - 1
    asked = DistinctProducts(drum)
    assert make_live(model, asked, WIDE, "0") == ("0",)
    find_ranges(model, [x])
    with torch.no_grad():
        made = model[0](x).double().numpy()

    low, high = float(x.min()), float(x.max())
    scale = np.float64(np.float32((high - low) / 65535))
    zero = round(-low / scale)
    codes = np.clip(np.round(x.double().numpy() / scale) + zero, 0, 65535).astype(np.int64)
    w = exact.weight.detach().double().numpy()
    steps = np.abs(w).max(axis=(1, 2, 3), keepdims=True) / 32767
    kernels = np.round(w / steps).astype(np.int64) + 32768
    padded = np.pad(codes, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=zero)
    expected = np.zeros(made.shape)
    for image, o, y, z in np.ndindex(*made.shape):
        taps = padded[image, o // 2, 2 * y : 2 * y + 3, 2 * z : 2 * z + 3].ravel()
        weights = kernels[o, 0].ravel()
        exactly = int(drum(taps, weights).sum())  # then (x - zx)(w - zw) with x * w replaced
        exactly += int((-taps * 32768 - weights * zero + zero * 32768).sum())
        expected[image, o, y, z] = exactly * scale * steps[o, 0, 0, 0] + float(
            exact.bias.detach()[o]
        )
    # Rounding to float32 alone may differ, and a code by one where float32 divides otherwise.
    assert np.abs(made - expected).max() < 1e-3 * np.abs(expected).max()
    assert asked.products == 2 * 4 * 16 * 9
    assert asked.asked <= asked.products


def test_with_exact_products_16_bits_are_nearly_float():
    model, x = network(), torch.randn(3, 2, 8, 8)
    with torch.no_grad():
        expected = model(x)
        make_live(model, DistinctProducts(lambda a, b: a * b), WIDE)
        find_ranges(model, [x])
        made = model(x)
    assert (made - expected).abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize("signed", [False, True])
def test_at_8_bits_live_layers_are_the_layers_with_a_table_bit_for_bit(signed):
    rng = np.random.default_rng(0)
    table = ProductTable(rng.integers(-9000, 9000, (256, 256)), signed, signed, name="any")
    x = torch.randn(3, 2, 8, 8)
    with_table, live = network(), network()
    approximate(with_table, table, engine="numpy")
    calibrate(with_table, [x])
    source = DistinctProducts(lambda a, b: table.products[a, b].astype(np.int64))
    make_live(live, source, (WideOperand(8, signed), WideOperand(8, signed)))
    find_ranges(live, [x])
    with torch.no_grad():
        assert torch.equal(live(x), with_table(x))


def test_each_distinct_pair_is_asked_once():
    seen = []

    def multiply(a, b):
        seen.append(len(a))
        return a * b

    a, b = np.array([3, 3, 5, 3]), np.array([7, 7, 0])
    assert np.array_equal(DistinctProducts(multiply).outer(a, b), a[:, None] * b)
    assert seen == [4]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="17 bits"):
        WideOperand(17, False)
    with pytest.raises(UnknownNameError, match="fc"):
        make_live(network(), DistinctProducts(drum), WIDE, "fc")
    model = network()
    make_live(model, DistinctProducts(lambda a, b: a * 0 + (1 << 62)), WIDE)
    with pytest.raises(ConfigError, match="range of this LiveConv2d is unknown"):
        model(torch.rand(1, 2, 8, 8))
    find_ranges(model, [torch.rand(1, 2, 8, 8)])
    with pytest.raises(OverflowRiskError, match="int64"):
        model(torch.rand(1, 2, 8, 8))
