"""Layers with a mantissa table: against a loop over single products, and among torch's machinery."""

from __future__ import annotations

import copy
import math
import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.mantissas import MANTISSA_MODELS, cut_off
from rtlgrad.core.errors import ConfigError, UnknownNameError
from rtlgrad.lutgen import exact_table
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.nn import approximate, calibrate, restore, table_ids
from rtlgrad.nn.mantissa_layers import (
    MantissaConv1d,
    MantissaConv2d,
    MantissaConv3d,
    MantissaConvTranspose2d,
    MantissaLinear,
    MantissaMatmul,
    MantissaProjection,
)
from rtlgrad.nn.mantissa_options import EVERY_PRODUCT, parse_products
from rtlgrad.nn.matmul_sites import approximate_matmuls
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

CHOICES = [",".join(names) for names in (["forward"], ["input-grad"], ["weight-grad"])]


def table_of(name):
    bits, products = MANTISSA_MODELS[name]
    return MantissaTable(bits, *cut_off(products(), bits), name=name)


MBM, MITCHELL = table_of("mant7_mbm"), table_of("mant7_mitchell")
EXACT10 = table_of("mant10_exact")


def single(x, w, table):
    """One product by ApproxTrain's definition, from the bits of two numbers."""
    a, b = (struct.unpack("<I", struct.pack("<f", value))[0] for value in (x, w))
    sign = -1.0 if (a ^ b) >> 31 else 1.0
    ea, eb, shift = a >> 23 & 255, b >> 23 & 255, 23 - table.mantissa_bits
    if math.isnan(x) or math.isnan(w) or {ea, eb} == {0, 255}:
        return math.nan
    if 255 in (ea, eb):
        return sign * math.inf
    i, j = (a & 0x7FFFFF) >> shift, (b & 0x7FFFFF) >> shift
    exponent = ea + eb - 127 + int(table.carry[i, j])
    if 0 in (ea, eb) or exponent <= 0:
        return sign * 0.0
    if exponent >= 255:
        return sign * math.inf
    fraction = 1 + int(table.mantissa[i, j]) / 2**table.mantissa_bits
    return sign * math.ldexp(fraction, exponent - 127)


def summed(pairs, table):
    """The sum of fewer than 1024 products, in order, each addition rounded to float32."""
    total = np.float32(0)
    with np.errstate(over="ignore", invalid="ignore"):
        for x, w in pairs:
            total += np.float32(single(float(x), float(w), table))
    return total


def matrix(a, b, table):
    """[M, K] times [K, N], product by product."""
    rows = [[summed(zip(row, column, strict=True), table) for column in b.T] for row in a]
    return torch.from_numpy(np.array(rows, np.float32))


def drawn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def same(mine, theirs):
    return torch.equal(
        mine.detach().contiguous().view(torch.int32), theirs.contiguous().view(torch.int32)
    )


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 9), st.integers(1, 4))
def test_linear_is_the_loop_over_single_products_in_all_three_passes(seed, rows, inputs, outputs):
    layer = MantissaLinear(inputs, outputs, bias=False, table=MBM)
    layer.weight.data = drawn(outputs, inputs, seed=seed)
    x, grad = (
        drawn(rows, inputs, seed=seed + 1).requires_grad_(),
        drawn(rows, outputs, seed=seed + 2),
    )
    y = layer(x)
    y.backward(grad)
    a, w, g = x.detach().numpy(), layer.weight.detach().numpy(), grad.numpy()
    assert same(y, matrix(a, w.T, MBM))
    assert same(x.grad, matrix(g, w, MBM))
    # The gradient of the weight pairs input (row of the table) with gradient (column).
    assert same(layer.weight.grad, matrix(a.T, g, MBM).t())


@settings(max_examples=6, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(0, 1),
    st.integers(1, 2),
)
def test_conv2d_is_the_loop_over_single_products(seed, groups, stride, padding, dilation):
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    layer = MantissaConv2d(2, 2, (3, 2), bias=False, table=MITCHELL, **geometry)
    layer.weight.data = drawn(*layer.weight.shape, seed=seed)
    x = drawn(2, 2, 6, 5, seed=seed + 1).requires_grad_()
    y = layer(x)
    image = functional.pad(x.detach(), [padding] * 4).numpy()
    w = layer.weight.detach().numpy()
    per = 2 // groups
    for b, o, i, j in np.ndindex(*y.shape):
        taps = [
            (image[b, o // per * per + c, i * stride + p * dilation, j * stride + q * dilation],
             w[o, c, p, q])
            for c, p, q in np.ndindex(*w.shape[1:])
        ]  # fmt: skip
        assert float(y.detach()[b, o, i, j]) == summed(taps, MITCHELL)
    # The weight's gradient, over images, rows and columns.
    grad = drawn(*y.shape, seed=seed + 2)
    y.backward(grad)
    for o, c, p, q in np.ndindex(*w.shape):
        pairs = [
            (image[b, o // per * per + c, i * stride + p * dilation, j * stride + q * dilation],
             grad[b, o, i, j])
            for b, i, j in np.ndindex(y.shape[0], *y.shape[2:])
        ]  # fmt: skip
        assert float(layer.weight.grad[o, c, p, q]) == summed(pairs, MITCHELL)
    # The input's gradient, over output channels, rows and columns of the output.
    for b, channel, row, column in np.ndindex(*x.shape):
        pairs = [
            (grad[b, o, i, j], w[o, channel % per, p, q])
            for o, i, j in np.ndindex(*y.shape[1:])
            for p, q in np.ndindex(*w.shape[2:])
            if o // per == channel // per
            and i * stride + p * dilation == row + padding
            and j * stride + q * dilation == column + padding
        ]
        assert float(x.grad[b, channel, row, column]) == summed(pairs, MITCHELL)


def taps_of(layer, image, place):
    """The (input, weight) pairs of one output of a convolution, in the order of a weight's entries."""
    b, o, *where = place
    per_group, kernel = layer.weight.shape[1], layer.weight.shape[2:]
    first = o // (layer.out_channels // layer.groups) * per_group
    w = layer.weight.detach().numpy()
    for c, *tap in np.ndindex(per_group, *kernel):
        steps = zip(where, layer.stride, tap, layer.dilation, strict=True)
        at = tuple(i * s + k * d for i, s, k, d in steps)
        yield image[(b, first + c, *at)], w[(o, c, *tap)]


@settings(max_examples=8, deadline=None)
@given(st.data(), st.integers(0, 2**32), st.sampled_from([MantissaConv1d, MantissaConv3d]))
def test_conv1d_and_conv3d_are_the_loop_over_single_products(data, seed, kind):
    dims = 1 if kind is MantissaConv1d else 3
    each = lambda low, high: data.draw(st.tuples(*[st.integers(low, high)] * dims))  # noqa: E731
    groups, padding = data.draw(st.integers(1, 2)), each(0, 1)
    geometry = {"stride": each(1, 2), "padding": padding, "dilation": each(1, 2), "groups": groups}
    layer = kind(2, 2, (2, 1, 2)[-dims:], bias=False, table=MBM, **geometry)
    layer.weight.data = drawn(*layer.weight.shape, seed=seed)
    x = drawn(1, 2, *(4, 3, 4)[-dims:], seed=seed + 1)
    y = layer(x).detach()
    image = np.pad(x.numpy(), [(0, 0), (0, 0), *[(p, p) for p in padding]])
    for place in np.ndindex(*y.shape):
        assert float(y[place]) == summed(taps_of(layer, image, place), MBM)


@settings(max_examples=8, deadline=None)
@given(st.data(), st.integers(0, 2**32))
def test_transposed_convolution_is_the_loop_over_single_products(data, seed):
    groups, stride = data.draw(st.integers(1, 2)), data.draw(st.tuples(*[st.integers(1, 2)] * 2))
    padding = data.draw(st.tuples(*[st.integers(0, 1)] * 2))
    layer = MantissaConvTranspose2d(
        *(2 * groups, groups, (2, 3), stride, padding), groups=groups, bias=False, table=MITCHELL
    )
    layer.weight.data = drawn(*layer.weight.shape, seed=seed)
    x = drawn(1, 2 * groups, 3, 2, seed=seed + 1)
    y = layer(x).detach()
    assert y.shape == layer.to_exact()(x).shape
    want = np.zeros(y.shape)
    for o, i, j, p, q in np.ndindex(groups, 3, 2, 2, 3):
        down, across = i * stride[0] + p - padding[0], j * stride[1] + q - padding[1]
        if 0 <= down < y.shape[2] and 0 <= across < y.shape[3]:
            pairs = [(x[0, 2 * o + c, i, j], layer.weight.detach()[2 * o + c, 0, p, q])
                     for c in range(2)]  # fmt: skip
            want[0, o, down, across] += summed(pairs, MITCHELL)
    # Taps that meet in one output are added in float32, in an order of torch's own.
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "w", "expected"),
    [
        # The three cases that the released code of ApproxTrain gets wrong, and what surrounds them.
        (0.0, 2.0, 0.0),
        (-0.0, 2.0, -0.0),
        (1e20, 1e20, math.inf),
        (-1e20, 1e20, -math.inf),
        (math.inf, -2.0, -math.inf),
        (math.inf, 0.0, math.nan),
        (math.inf, 1e-40, math.nan),
        (math.nan, 0.0, math.nan),
        (1e-40, 1e30, 0.0),  # a subnormal operand counts as zero
        (1e-20, -1e-20, -0.0),  # a subnormal product becomes one
        (1.5, 1.5, 2.25),
    ],
)
def test_specials_are_those_of_the_definition(x, w, expected):
    assert math.isnan(expected) or single(x, w, EXACT10) == expected
    layer = MantissaLinear(1, 1, bias=False, table=EXACT10)
    layer.weight.data = torch.tensor([[w]])
    y = float(layer(torch.tensor([[x]])).detach())
    # A sum begins with +0, so a product of -0 comes out as 0.
    assert math.isnan(y) if math.isnan(expected) else y == expected


@pytest.mark.parametrize(
    "shapes", [((3, 4), (4, 2)), ((2, 1, 3, 4), (3, 4, 2)), ((2, 2, 3), (3, 5))]
)
def test_matmul_is_that_of_single_products(shapes):
    layer = MantissaMatmul(MBM)
    left, right = (
        drawn(*shapes[0], seed=1).requires_grad_(),
        drawn(*shapes[1], seed=2).requires_grad_(),
    )
    y = layer(left, right)
    exact = torch.matmul(left, right)
    assert y.shape == exact.shape
    a, b = left.detach(), right.detach()
    leading = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = a.expand(*leading, *a.shape[-2:]).flatten(0, -3) if leading else a[None]
    b = b.expand(*leading, *b.shape[-2:]).flatten(0, -3) if leading else b[None]
    grad = drawn(*y.shape, seed=3)
    y.backward(grad)
    g = grad.view(-1, *grad.shape[-2:])
    want = [matrix(p.numpy(), q.numpy(), MBM) for p, q in zip(a, b, strict=True)]
    assert same(y.detach().reshape(-1, *y.shape[-2:]), torch.stack(want))
    by_left = torch.stack([matrix(p.numpy(), q.numpy().T, MBM) for p, q in zip(g, b, strict=True)])
    by_right = torch.stack([matrix(p.numpy().T, q.numpy(), MBM) for p, q in zip(a, g, strict=True)])
    for found, parts, one in ((left.grad, by_left, left), (right.grad, by_right, right)):
        whole = parts.view(*leading, *one.shape[-2:]).sum_to_size(one.shape)
        torch.testing.assert_close(found, whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("chosen", CHOICES)
def test_each_pass_is_approximate_alone(chosen):
    mine = MantissaLinear(6, 4, bias=False, table=MBM, approximate=chosen)
    every = MantissaLinear(6, 4, bias=False, table=MBM)
    plain = nn.Linear(6, 4, bias=False)
    found = []
    for layer in (mine, every, plain):
        layer.weight.data = drawn(4, 6, seed=0)
        x = drawn(5, 6, seed=1).requires_grad_()
        y = layer(x)
        y.backward(drawn(5, 4, seed=2))
        found.append((y.detach(), x.grad, layer.weight.grad))
    for value, all_, exact, name in zip(*found, EVERY_PRODUCT.split(","), strict=True):
        assert torch.equal(value, all_ if name == chosen else exact)
        assert not torch.equal(all_, exact)


def test_bfloat16_is_computed_as_the_same_numbers_in_float32_and_rounded():
    layer = MantissaConv2d(2, 3, 3, table=table_of("bf16_mbm")).bfloat16()
    x = drawn(2, 2, 5, 5, seed=0).bfloat16()
    y = layer(x)
    assert y.dtype == torch.bfloat16
    wide = copy.deepcopy(layer).float()
    assert torch.equal(y, wide(x.float()).bfloat16())
    # Cutting to 7 bits leaves a bfloat16 as it is: a table of 7 bits reads it whole.
    assert torch.equal(wide(x.float()), wide(x))


@pytest.mark.parametrize("make", [
    lambda: (nn.MultiheadAttention(8, 2), lambda m, x: m(x, x, x)[0]),
    lambda: (nn.LSTM(8, 4), lambda m, x: m(x)[0]),
])  # fmt: skip
def test_composite_layers_take_bfloat16(make):
    torch.manual_seed(0)
    layer, run = make()
    model = nn.ModuleList([layer])
    approximate(model, table_of("bf16_mbm"))
    x = drawn(3, 2, 8, seed=0)
    wide = run(model[0], x)
    narrow = run(model.bfloat16()[0], x.bfloat16())
    assert narrow.dtype == torch.bfloat16
    # Intermediate results are rounded to 8 bits.
    torch.testing.assert_close(narrow.float(), wide, rtol=0.05, atol=0.02)


def test_a_projection_is_the_linear_layer_of_its_weight():
    layer = MantissaLinear(6, 4, table=MBM)
    x = drawn(2, 3, 6, seed=0)
    assert torch.equal(MantissaProjection(MBM)(x, layer.weight, layer.bias), layer(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_types_are_refused(dtype):
    with pytest.raises(ConfigError, match="float32 or bfloat16"):
        MantissaLinear(2, 2, table=MBM)(torch.ones(1, 2, dtype=dtype))


# --- conversion -------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular")
        self.deep = nn.Conv2d(4, 4, 3, groups=2, stride=2)
        self.line = nn.ConvTranspose1d(4, 4, 1)
        self.fc = nn.Linear(16, 3)

    def forward(self, x):
        x = self.deep(self.conv(x).relu())
        return self.fc(self.line(x.flatten(2)).flatten(1))


def inputs():
    return drawn(5, 1, 6, 6, seed=1)


def gradients(model, run=None):
    model.zero_grad()
    out = model(inputs()) if run is None else run(inputs())
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return out.detach(), [parameter.grad.clone() for parameter in model.parameters()]


def test_conversion_says_what_it_did_and_keeps_the_state():
    model = Net()
    state = copy.deepcopy(model.state_dict())
    done = approximate(model, MBM, rules={"conv": "exact"})
    assert [(c.names, c.kind, c.table) for c in done.changed] == [
        (("deep",), "MantissaConv2d", MBM),
        (("fc",), "MantissaLinear", MBM),
    ]
    assert {e.names: e.reason for e in done.exact} == {
        ("conv",): "a rule leaves it exact",
        ("line",): "ConvTranspose1d has no approximate counterpart",
    }
    assert "mant7_mbm" in str(done)
    assert table_ids(model) == {"deep": MBM.id, "fc": MBM.id}
    assert model.state_dict().keys() == state.keys()
    other = Net()
    approximate(other, MBM, rules={"conv": None})
    for parameter in other.parameters():
        parameter.data.zero_()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(inputs()), model(inputs()))
    assert calibrate(model, []) == {}
    plain = Net()
    assert not torch.equal(plain(inputs()), model(inputs()))
    assert restore(model) == ("deep", "fc")
    assert torch.equal(plain(inputs()), model(inputs()))


def test_both_kinds_of_table_meet_in_one_model_and_replace_each_other():
    model, integer = Net(), exact_table(8, 8)
    done = approximate(model, MBM, rules=[("conv", integer)], gradient="lut", approximate="forward")
    assert [c.kind for c in done.changed] == ["ApproxConv2d", "MantissaConv2d", "MantissaLinear"]
    assert set(calibrate(model, [inputs()])) == {"conv"}
    gradients(model)
    approximate(model, MBM)
    assert [type(m) for m in (model.conv, model.fc)] == [MantissaConv2d, MantissaLinear]
    approximate(model, integer)
    assert not table_ids(model).keys() - {"conv", "deep", "line", "fc"}
    assert set(table_ids(model).values()) == {integer.id}


def test_options_that_concern_no_table_given_are_refused():
    with pytest.raises(ConfigError, match="gradient concerns integer operands"):
        approximate(Net(), MBM, gradient="lut")
    with pytest.raises(ConfigError, match="mantissa table alone"):
        approximate(Net(), exact_table(8, 8), approximate="forward")
    with pytest.raises(UnknownNameError, match="weight-grad"):
        parse_products("forward,weight-gradient")
    with pytest.raises(ConfigError, match="once"):
        parse_products("forward,forward")


def test_products_of_function_calls_are_taken_over():
    class Attention(nn.Module):
        def forward(self, x):
            return x @ x.transpose(-1, -2)

    model = nn.Sequential(Attention())
    x = drawn(2, 3, 4, seed=0)
    (site,) = approximate_matmuls(model, MBM, x)
    assert site.calls == ("matmul",)
    assert torch.equal(model(x), MantissaMatmul(MBM)(x, x.transpose(-1, -2)))


# --- torch's machinery ------------------------------------------------------------------------


def converted():
    model = Net()
    approximate(model, MBM)
    return model


def test_copies_checkpointing_and_autocast_change_nothing():
    model = converted()
    model.line = nn.Identity()  # an exact layer would compute in bfloat16 under autocast
    wanted = gradients(model)
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    ways = [gradients(twin) for twin in twins]
    ways.append(gradients(model, lambda x: checkpoint(model, x, use_reentrant=False)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ways.append(gradients(model))
    for out, grads in ways:
        assert torch.equal(out, wanted[0])
        assert all(torch.equal(a, b) for a, b in zip(grads, wanted[1], strict=True))
    assert twins[0].fc.table is model.fc.table
    assert twins[0].fc._products.data_ptr() == model.fc._products.data_ptr()


def test_compiled_equals_eager():
    model = converted()
    out, wanted = gradients(model)
    torch.compiler.reset()
    again, got = gradients(model, torch.compile(model, backend="aot_eager"))
    torch.testing.assert_close(again, out)
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_table_swapped_in_place_counts_at_once():
    model = converted()
    other = Net()
    approximate(other, MITCHELL)
    for layer in (model.conv, model.deep, model.fc):
        layer.set_table(MITCHELL)
    assert torch.equal(model(inputs()), other(inputs()))
