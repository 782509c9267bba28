"""Narrow accumulators against a register that is stepped by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, EngineError, OverflowRiskError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.nn import ApproxConv2d, ApproxLinear
from rtlgrad.nn.accumulators import parse_accumulator
from rtlgrad.nn.op_arguments import Geometry
from rtlgrad.nn.ops import approx_conv2d, approx_linear
from rtlgrad.nn.table_sums import conv2d_sums, linear_sums


def register(products, mode, bits):
    """Add numbers one at a time into a two's complement register of ``bits`` bits."""
    low, high, total = -(1 << (bits - 1)), (1 << (bits - 1)) - 1, 0
    for product in products:
        total += int(product)
        if mode == "saturate":
            total = min(max(total, low), high)
        else:
            total = (total - low) % (1 << bits) + low
    return total


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["wrap", "saturate"]),
    st.integers(2, 32),
    st.integers(0, 2**32),
    st.tuples(*[st.integers(1, 6)] * 3),
    st.sampled_from(["numpy", "auto"]),
)
def test_linear_sums_equal_a_register_stepped_by_hand(mode, bits, seed, sizes, engine):
    rng = np.random.default_rng(seed)
    M, K, outputs = sizes
    reach = min(2**31 - 1, 3 << bits)
    table = rng.integers(-reach, reach, (16, 8)).astype(np.int32)
    x, w = rng.integers(0, 16, (M, K)), rng.integers(0, 8, (outputs, K))
    got = linear_sums(
        *(torch.from_numpy(codes.astype(np.uint8)) for codes in (x, w)),
        *(torch.from_numpy(table), engine, f"{mode}:{bits}"),
    )
    want = [[register(table[x[m], w[o]], mode, bits) for o in range(outputs)] for m in range(M)]
    assert got.tolist() == want


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["wrap:11", "saturate:11"]), st.integers(0, 2**32), st.integers(1, 2))
def test_convolutions_add_channel_by_channel_row_by_row(accumulator, seed, groups):
    rng = np.random.default_rng(seed)
    table = rng.integers(-700, 900, (16, 16)).astype(np.int32)
    x = rng.integers(0, 16, (2, 2 * groups, 5, 4)).astype(np.uint8)
    w = rng.integers(0, 16, (3 * groups, 2, 2, 3)).astype(np.uint8)
    pad = torch.tensor(9)
    got = conv2d_sums(
        *(torch.from_numpy(x), torch.from_numpy(w), torch.from_numpy(table), pad),
        *(Geometry([2, 1], [1, 0, 1, 2], [1, 1], groups), "auto", accumulator),
    )
    mode, bits = accumulator.split(":")
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (1, 2)), constant_values=9)
    for n, o, i, j in np.ndindex(*got.shape):
        first = o // 3 * 2
        window = padded[n, first : first + 2, 2 * i : 2 * i + 2, j : j + 3]
        assert got[n, o, i, j] == register(table[window, w[o]].ravel(), mode, int(bits))


def operands(layer, x):
    a, w = layer._operands(x)
    return (
        *(a.x_hat, w.x_hat, a.codes, w.codes, layer._products, a.params.scale, a.params.zero),
        *(w.params.scale, layer.operands[1].weight_zero, [o.signed for o in layer.operands]),
    )


@pytest.mark.parametrize("accumulator", ["wrap:32", "saturate:32", "wrap:26", "saturate:26"])
def test_an_accumulator_that_is_wide_enough_changes_nothing(accumulator):
    torch.manual_seed(0)
    linear = ApproxLinear(9, 4, table=exact_table(8, 8))
    conv = ApproxConv2d(2, 4, 3, padding=1, groups=2, table=exact_table(8, 8))
    images = operands(conv, torch.randn(2, 2, 5, 5))
    rows = operands(linear, torch.randn(3, 9))
    geometry = ([1, 1], [1, 1, 1, 1], [1, 1], 2)
    assert torch.equal(
        approx_conv2d(*images, *geometry, accumulator=accumulator),
        approx_conv2d(*images, *geometry),
    )
    assert torch.equal(approx_linear(*rows, accumulator=accumulator), approx_linear(*rows))


def test_saturation_depends_on_the_order_and_wrapping_does_not():
    table = np.array([[0, 0, 0, 0], [100, -100, 0, 0]] * 2, dtype=np.int32)
    x = torch.ones(1, 2, dtype=torch.uint8)
    up_down, down_up = (torch.tensor([w], dtype=torch.uint8) for w in ([0, 1], [1, 0]))

    def add(w, accumulator):
        return linear_sums(x, w, torch.from_numpy(table), "auto", accumulator).item()

    assert add(up_down, "saturate:7") == 63 - 100
    assert add(down_up, "saturate:7") == -64 + 100
    assert add(up_down, "wrap:7") == add(down_up, "wrap:7") == 0


def test_what_int32_refuses_a_register_that_wraps_takes():
    big = ProductTable(np.full((16, 16), 2**30), name="big")
    layer = ApproxLinear(4, 1, bias=False, table=big)
    layer.activation.low.fill_(0.0)
    layer.activation.high.fill_(1.0)
    layer.eval()
    with pytest.raises(OverflowRiskError):
        layer(torch.rand(1, 4))
    layer.set_options(accumulator="wrap:32")
    layer(torch.rand(1, 4))
    codes = torch.zeros(1, 4, dtype=torch.uint8)
    sums = linear_sums(codes, codes, torch.from_numpy(big.products.copy()), "auto", "wrap:32")
    assert sums.item() == 0  # 4 * 2^30 = 2^32


def test_an_engine_asked_for_by_name_does_not_pretend_to_saturate():
    layer = ApproxLinear(4, 1, table=exact_table(8, 8), accumulator="saturate:12", engine="native")
    with pytest.raises(EngineError, match="does not saturate"):
        layer(torch.randn(2, 4))


@pytest.mark.parametrize("text", ["int16", "wrap", "wrap:1", "wrap:33", "clip:8", "saturate:x"])
def test_an_accumulator_that_makes_no_sense_is_refused(text):
    with pytest.raises(ConfigError, match="accumulator"):
        parse_accumulator(text)
