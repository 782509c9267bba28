"""Every kind of layer against loops over its products, and against torch's own."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.mantissas import MANTISSA_MODELS, cut_off
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.lutgen.table import code_values
from rtlgrad.nn import approximate, calibrate, restore, table_ids
from rtlgrad.nn.attention import approx_attention
from rtlgrad.nn.layers import ApproxConv1d, ApproxConv3d, ApproxConvTranspose2d
from rtlgrad.nn.mantissa_layers import MantissaMatmul
from rtlgrad.nn.matmul import ApproxMatmul
from torch import nn
from torch.nn import functional

FINE = exact_table(12, 12)
FINE_MANTISSAS = MantissaTable(10, *cut_off(MANTISSA_MODELS["mant10_exact"][1](), 10), name="fine")
MITCHELL = MantissaTable(7, *cut_off(MANTISSA_MODELS["mant7_mitchell"][1](), 7), name="mitchell")
NOTHING = ProductTable(np.zeros((4096, 4096), np.int32), name="nothing")
KINDS = {"integer": FINE, "float": FINE_MANTISSAS}


def random_table(seed, wa=5, wb=4, signed=(False, False)):
    rng = np.random.default_rng(seed)
    return ProductTable(rng.integers(-300, 900, (1 << wa, 1 << wb)), *signed, name="random")


def corrected(table, a, b):
    """T[x, w] - x*zw - w*zx + zx*zw, for all codes, as the sums of a layer add it up."""
    x, w = code_values(table.width_a, table.signed_a), code_values(table.width_b, table.signed_b)
    zx, zw = int(a.params.zero), int(b.params.zero)
    return table.products - x[:, None] * zw - w[None, :] * zx + zx * zw


def quantized(layer, x):
    a, w = layer._operands(x)
    return a, w, corrected(layer.table, a, w)


signs = st.tuples(st.booleans(), st.booleans())


@settings(max_examples=25, deadline=None)
@given(st.data(), signs, st.integers(0, 2**32))
def test_conv1d_is_the_sum_of_its_products(data, signed, seed):
    torch.manual_seed(seed)
    groups = data.draw(st.integers(1, 2))
    padding = data.draw(st.integers(0, 2))
    stride, gap = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    layer = ApproxConv1d(
        *(2 * groups, 3 * groups, 3),
        stride=stride,
        padding=padding,
        dilation=gap,
        groups=groups,
        bias=False,
        table=random_table(seed, signed=signed),
    )
    x = torch.randn(2, 2 * groups, 9)
    got = layer(x)
    a, w, products = quantized(layer.eval(), x)
    pad = ((0, 0), (0, 0), (padding, padding))
    codes = np.pad(a.codes.numpy(), pad, constant_values=int(a.params.zero))
    sums = np.zeros(got.shape, dtype=np.int64)
    for n, o, i in np.ndindex(*sums.shape):
        for c, k in np.ndindex(2, 3):
            channel = o // 3 * 2 + c
            sums[n, o, i] += products[codes[n, channel, i * stride + k * gap], w.codes[o, c, k]]
    scale = (a.params.scale * w.params.scale).view(1, -1, 1)
    assert torch.equal(got, torch.from_numpy(sums).float() * scale)


@settings(max_examples=12, deadline=None)
@given(st.data(), signs, st.integers(0, 2**32))
def test_conv3d_is_the_sum_of_its_products(data, signed, seed):
    torch.manual_seed(seed)
    groups = data.draw(st.integers(1, 2))
    geometry = {
        "stride": data.draw(st.tuples(*[st.integers(1, 2)] * 3)),
        "padding": data.draw(st.tuples(*[st.integers(0, 1)] * 3)),
        "dilation": data.draw(st.tuples(*[st.integers(1, 2)] * 3)),
        "groups": groups,
    }
    table = random_table(seed, signed=signed)
    layer = ApproxConv3d(groups, 2 * groups, (2, 1, 2), bias=False, table=table, **geometry)
    x = torch.randn(2, groups, 4, 3, 4)
    got = layer(x)
    a, w, products = quantized(layer.eval(), x)
    pad = [(0, 0), (0, 0), *[(p, p) for p in geometry["padding"]]]
    codes = np.pad(a.codes.numpy(), pad, constant_values=int(a.params.zero))
    sums = np.zeros(got.shape, dtype=np.int64)
    for n, o, *place in np.ndindex(*sums.shape):
        for tap in np.ndindex(2, 1, 2):
            at = [
                i * s + k * d
                for i, s, k, d in zip(
                    place, geometry["stride"], tap, geometry["dilation"], strict=True
                )
            ]
            sums[(n, o, *place)] += products[codes[(n, o // 2, *at)], w.codes[(o, 0, *tap)]]
    scale = (a.params.scale * w.params.scale).view(1, -1, 1, 1, 1)
    assert torch.equal(got, torch.from_numpy(sums).float() * scale)


@settings(max_examples=25, deadline=None)
@given(st.data(), signs, st.integers(0, 2**32))
def test_transposed_convolution_is_the_sum_of_its_products(data, signed, seed):
    torch.manual_seed(seed)
    groups = data.draw(st.integers(1, 2))
    stride = data.draw(st.tuples(*[st.integers(1, 3)] * 2))
    geometry = {
        "stride": stride,
        "padding": data.draw(st.tuples(*[st.integers(0, 1)] * 2)),
        "output_padding": tuple(data.draw(st.integers(0, s - 1)) for s in stride),
        "dilation": data.draw(st.tuples(*[st.integers(1, 2)] * 2)),
        "groups": groups,
    }
    table = random_table(seed, signed=signed)
    layer = ApproxConvTranspose2d(2 * groups, 3 * groups, (2, 3), table=table, **geometry)
    x = torch.randn(2, 2 * groups, 3, 4)
    got = layer(x)
    layer.eval()
    assert got.shape == layer.to_exact()(x).shape
    a = layer.activation(x, layer.operands[0])
    w = layer.weight_quantizer(layer._by_output(), layer.operands[1])
    products = corrected(table, a, w)
    (up, left), (down, across) = geometry["padding"], geometry["dilation"]
    want = layer.bias.detach().double().view(1, -1, 1, 1).expand(got.shape).clone().numpy()
    scales = (a.params.scale * w.params.scale).double().numpy()
    for n, o, c, i, j in np.ndindex(2, 3 * groups, 2, 3, 4):
        for p, q in np.ndindex(2, 3):
            y, z = i * stride[0] + p * down - up, j * stride[1] + q * across - left
            if 0 <= y < got.shape[2] and 0 <= z < got.shape[3]:
                code = a.codes[n, o // 3 * 2 + c, i, j]
                want[n, o, y, z] += scales[o] * products[code, w.codes[o, c, p, q]]
    np.testing.assert_allclose(
        got.detach().numpy(), want, rtol=1e-4, atol=1e-4 * np.abs(want).max()
    )


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([((3, 4), (4, 2)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 2), (3, 2, 4))]),
    signs,
    st.integers(0, 2**32),
)
def test_matmul_is_the_sum_of_its_products(shapes, signed, seed):
    torch.manual_seed(seed)
    layer = ApproxMatmul(random_table(seed, signed=signed))
    left, right = (torch.randn(shape) for shape in shapes)
    got = layer(left, right)
    layer.eval()
    a, b = layer.activation(left, layer.operands[0]), layer.right(right, layer.operands[1])
    products = corrected(layer.table, a, b)
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    x = np.broadcast_to(a.codes.numpy(), (*lead, *left.shape[-2:]))
    y = np.broadcast_to(b.codes.numpy(), (*lead, *right.shape[-2:]))
    sums = products[x[..., :, :, None], y[..., None, :, :]].sum(axis=-2)
    want = torch.from_numpy(sums).float() * (a.params.scale * b.params.scale)
    assert torch.equal(got, want)


def gradients_of(function, leaves):
    out = function()
    out = out[0] if isinstance(out, tuple) else out
    weight = torch.linspace(-1, 1, out.numel()).view(out.shape)
    return torch.autograd.grad((out * weight).sum(), leaves)


def close(got, want, share):
    assert (got - want).abs().max() <= share * want.abs().max()


LAYERS = {
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, padding=1, padding_mode="circular"), (2, 3, 8)),
    "conv1d-unbatched": (lambda: nn.Conv1d(3, 4, 3, stride=2), (3, 8)),
    "conv1d-same": (lambda: nn.Conv1d(3, 6, 3, padding="same", groups=3), (2, 3, 8)),
    "depthwise": (lambda: nn.Conv2d(6, 12, 3, padding=1, groups=6), (2, 6, 7, 7)),
    "dilated": (lambda: nn.Conv2d(3, 4, 3, padding=2, dilation=2), (2, 3, 8, 8)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2, padding=1, padding_mode="replicate"), (2, 2, 3, 4, 4)),
    "conv3d-unbatched": (lambda: nn.Conv3d(2, 3, 3, padding=1), (2, 4, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), (2, 4, 5, 4)),
    "transposed-unbatched": (lambda: nn.ConvTranspose2d(2, 3, 2, 2), (2, 5, 4)),
    "linear": (lambda: nn.Linear(7, 5), (2, 3, 7)),
    "lstm": (lambda: nn.LSTM(5, 6, 2, batch_first=True, bidirectional=True), (3, 4, 5)),
    "lstm-projected": (lambda: nn.LSTM(5, 6, proj_size=3), (4, 3, 5)),
    "lstm-unbatched": (lambda: nn.LSTM(5, 6, bias=False), (4, 5)),
    "gru": (lambda: nn.GRU(5, 6, 2, bidirectional=True), (4, 3, 5)),
    "lstm-cell": (lambda: nn.LSTMCell(5, 6), (3, 5)),
    "gru-cell": (lambda: nn.GRUCell(5, 6, bias=False), (3, 5)),
    "rnn-cell-unbatched": (lambda: nn.RNNCell(5, 6), (5,)),
    "rnn": (lambda: nn.RNN(5, 6, nonlinearity="relu"), (4, 3, 5)),
}


# torch's own remark on its own LSTM with projections.
@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LAYERS)
def test_with_fine_exact_products_a_layer_does_what_torchs_own_does(name, kind):
    (make, shape), table = LAYERS[name], KINDS[kind]
    torch.manual_seed(0)
    model = nn.ModuleList([make()])
    exact, x = copy.deepcopy(model), torch.randn(shape, requires_grad=True)
    state = model.state_dict()
    conversion = approximate(model, table)
    assert len(conversion.changed) == 1
    assert not conversion.exact
    assert set(state) <= set(model.state_dict())  # parameters keep their names
    calibrate(model, [x.detach()], forward=lambda m, batch: m[0](batch))
    model.eval(), exact.eval()
    mine, theirs = model[0](x), exact[0](x)
    flat = [t for part in (mine, theirs) for t in [part[0] if isinstance(part, tuple) else part]]
    close(*flat, 0.01)
    if isinstance(theirs, tuple):  # the last states, too
        ends = [m[1] if isinstance(m[1], tuple) else (m[1],) for m in (mine, theirs)]
        for one, other in zip(*ends, strict=True):
            close(one, other, 0.01)
    ours = gradients_of(
        lambda: model[0](x), [x, *[model.get_parameter(n) for n, _ in exact.named_parameters()]]
    )
    wanted = gradients_of(lambda: exact[0](x), [x, *exact.parameters()])
    for one, other in zip(ours, wanted, strict=True):
        # The greatest activation may be clamped, and then passes no gradient.
        assert (one - other).norm() <= 0.08 * other.norm()
    # A state taken here gives the same layer elsewhere; and the way back is exact.
    twin = nn.ModuleList([make()])
    approximate(twin, table)
    twin.load_state_dict(model.state_dict())
    twin.eval()
    other = twin[0](x)
    assert torch.equal(other[0] if isinstance(other, tuple) else other, flat[0])
    assert restore(model) == ("0",)
    assert set(model.state_dict()) == set(state)
    back = model[0](x)
    assert torch.equal(back[0] if isinstance(back, tuple) else back, flat[1])


MASKS = ("none", "bool", "float", "padding", "3d")
MHA = {
    "plain": {},
    "batch-first": {"batch_first": True},
    "other-sizes": {"kdim": 5, "vdim": 7, "bias": False},
}


@pytest.mark.parametrize(
    ("name", "masked", "kind"),
    [(name, masked, "integer") for name in MHA for masked in MASKS]
    + [
        ("plain", "3d", "float"),
        ("batch-first", "padding", "float"),
        ("other-sizes", "none", "float"),
    ],
)
def test_attention_module_does_what_torchs_own_does(name, masked, kind):
    torch.manual_seed(0)
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2, **MHA[name])})
    exact = copy.deepcopy(model)
    assert approximate(model, KINDS[kind]).changed[0].kind == "ApproxMultiheadAttention"
    L, S, B = 4, 6, 3
    sizes = [(L, 8), (S, MHA[name].get("kdim", 8)), (S, MHA[name].get("vdim", 8))]
    first = MHA[name].get("batch_first", False)
    inputs = [torch.randn((B, n, e) if first else (n, B, e)) for n, e in sizes]
    forbidden = torch.zeros(L, S, dtype=torch.bool)
    forbidden[:2, 3:] = True
    arguments = {
        "none": {},
        "bool": {"attn_mask": forbidden},
        "float": {"attn_mask": torch.randn(L, S)},
        "padding": {"key_padding_mask": torch.tensor([[False] * 5 + [True]] * B)},
        "3d": {"attn_mask": torch.randn(B * 2, L, S), "average_attn_weights": False},
    }[masked]
    call = lambda m, _: m["attention"](*inputs, **arguments)  # noqa: E731
    calibrate(model, [0], forward=call)
    model.eval(), exact.eval()
    mine, theirs = call(model, 0), call(exact, 0)
    for one, other in zip(mine, theirs, strict=True):
        close(one, other, 0.02)
    if masked == "none":
        parts = {f"attention.{part}" for part in ("query", "key", "value", "scores", "mixture")}
        assert set(table_ids(model)) == parts | {"attention.out_proj"}
        state = set(exact.state_dict())
        assert state <= set(model.state_dict())
        restore(model)
        assert set(model.state_dict()) == state
        torch.testing.assert_close(call(model, 0), theirs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_packed_sequences_do_what_torchs_own_do(sort, bidirectional, kind):
    torch.manual_seed(0)
    lengths = [5, 4, 2, 2] if sort else [2, 5, 2, 4]
    packed = nn.utils.rnn.pack_sequence([torch.randn(n, 3) for n in lengths], enforce_sorted=sort)
    model = nn.ModuleList([nn.LSTM(3, 4, 2, bidirectional=bidirectional)])
    exact = copy.deepcopy(model)
    begin = tuple(torch.randn(4 if bidirectional else 2, 4, 4) for _ in "hc")
    approximate(model, KINDS[kind])
    calibrate(model, [packed], forward=lambda m, batch: m[0](batch, begin))
    model.eval(), exact.eval()
    (mine, ends), (theirs, their_ends) = model[0](packed, begin), exact[0](packed, begin)
    close(mine.data, theirs.data, 0.01)
    assert torch.equal(mine.batch_sizes, theirs.batch_sizes)
    for one, other in zip(ends, their_ends, strict=True):
        close(one, other, 0.01)
    # Packing is bookkeeping: alone, each sequence gives the same numbers to the last bit.
    whole, _ = nn.utils.rnn.pad_packed_sequence(mine)
    for n, length in enumerate(lengths):
        alone = nn.utils.rnn.pad_packed_sequence(packed)[0][:length, n : n + 1]
        states = tuple(state[:, n : n + 1] for state in begin)
        assert torch.equal(model[0](alone, states)[0], whole[:length, n : n + 1])


def test_a_table_of_zeros_leaves_nothing_but_the_biases():
    nothing = ProductTable(np.zeros((256, 256), np.int32), True, True, name="nothing")
    torch.manual_seed(0)
    model = nn.ModuleList([nn.MultiheadAttention(8, 2), nn.GRU(8, 4)])
    approximate(model, nothing)
    x = torch.randn(3, 2, 8)
    out, weights = model[0](x, x, x)
    assert torch.equal(out, model[0].out_proj.bias.expand_as(out))
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 3))
    gru = model[1]
    gates = gru.bias_ih_l0 + gru.bias_hh_l0
    new = torch.tanh(gru.bias_ih_l0[8:] + torch.sigmoid(gates[:4]) * gru.bias_hh_l0[8:])
    first = (1 - torch.sigmoid(gates[4:8])) * new
    torch.testing.assert_close(gru(x)[0][0], first.expand(2, 4))


@pytest.mark.parametrize("product", [ApproxMatmul, MantissaMatmul])
@pytest.mark.parametrize("how", ["plain", "causal", "mask", "bias", "scale", "gqa"])
def test_attention_function_does_what_torchs_own_does(how, product):
    torch.manual_seed(0)
    heads = 2 if how == "gqa" else 4
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, heads, 5, 8), torch.randn(2, heads, 5, 6)
    options = {
        "plain": {},
        "causal": {"is_causal": True},
        "mask": {"attn_mask": torch.ones(5, 5).tril().bool()},
        "bias": {"attn_mask": torch.randn(4, 5, 5)},
        "scale": {"scale": 0.7},
        "gqa": {"enable_gqa": True},
    }[how]
    scores, mixture = (product(FINE if product is ApproxMatmul else FINE_MANTISSAS) for _ in "sm")
    got = approx_attention(q, k, v, scores, mixture, **options)
    close(got, functional.scaled_dot_product_attention(q, k, v, **options), 0.01)
    with pytest.raises(ConfigError, match="is_causal"):
        approx_attention(q, k, v, scores, mixture, attn_mask=q, is_causal=True)


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_layer_multiplies_through_tables_in_inference_too(kind):
    torch.manual_seed(0)
    model = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False
    ).eval()
    exact, x = copy.deepcopy(model), torch.randn(2, 5, 8)
    assert len(approximate(model, KINDS[kind]).changed) == 6
    calibrate(model, [x])
    with torch.no_grad():
        close(model(x), exact(x), 0.02)
        other = NOTHING if kind == "integer" else MITCHELL
        approximate(model, other)
        before = (model(x) - exact(x)).abs().max()
        assert before > 0.01  # the fused kernel would not notice


def test_what_a_layer_does_not_support_is_refused_or_left_with_the_reason():
    model = nn.ModuleDict(
        {
            "a": nn.MultiheadAttention(4, 2, add_zero_attn=True),
            "b": nn.Bilinear(2, 3, 2),
            "t": nn.ConvTranspose3d(2, 2, 1),
        }
    )
    conversion = approximate(model, FINE)
    reasons = {e.names[0]: e.reason for e in conversion.exact}
    assert reasons == {
        "a": "not supported: add_bias_kv or add_zero_attn",
        "b": "Bilinear has no approximate counterpart",
        "t": "ConvTranspose3d has no approximate counterpart",
    }
    with pytest.raises(ConfigError, match="do not fit"):
        ApproxMatmul(FINE)(torch.randn(2, 3), torch.randn(2, 3))


@pytest.mark.parametrize("name", ["lstm", "conv3d", "transposed"])
def test_copies_are_apart_and_equal(name):
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    model = nn.ModuleList([make()])
    approximate(model, FINE)
    x = torch.randn(shape)
    calibrate(model, [x], forward=lambda m, batch: m[0](batch))
    model.eval()
    twin = copy.deepcopy(model)
    first, second = model[0](x), twin[0](x)
    first, second = (t[0] if isinstance(t, tuple) else t for t in (first, second))
    assert torch.equal(first, second)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(2)
    again = model[0](x)
    assert torch.equal(again[0] if isinstance(again, tuple) else again, first)
    assert math.isfinite(float(first.detach().sum()))
