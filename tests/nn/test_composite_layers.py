"""Attention and recurrent layers against loops over their products, and in torch's machinery."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.mantissas import MANTISSA_MODELS, cut_off
from rtlgrad.lutgen import ProductTable
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.lutgen.table import code_values
from rtlgrad.nn import ApproxMultiheadAttention, approximate, calibrate
from rtlgrad.nn.kinds import APPROX_OF
from torch import nn
from torch.utils.checkpoint import checkpoint

MBM = MantissaTable(7, *cut_off(MANTISSA_MODELS["mant7_mbm"][1](), 7), name="mbm")


def noisy(seed, signed):
    """Products that are wrong by up to a quarter, of unequal operands."""
    rng = np.random.default_rng(seed)
    x, w = code_values(6, signed[0]), code_values(5, signed[1])
    exact = x[:, None] * w[None, :]
    wrong = np.round(exact * rng.uniform(0.75, 1.25, exact.shape))
    return ProductTable(wrong.astype(np.int32), *signed)


def sums(table, a, b, codes):
    """The products of pairs of codes, zero points taken off, added over the last axis but one."""
    x, w = code_values(table.width_a, table.signed_a), code_values(table.width_b, table.signed_b)
    zx, zw = int(a.params.zero), int(b.params.zero)
    products = table.products - x[:, None] * zw - w[None, :] * zx + zx * zw
    left, right = codes
    total = products[left.numpy()[..., :, :, None], right.numpy()[..., None, :, :]].sum(axis=-2)
    return torch.from_numpy(total).float()


def projected(part, x, weight, bias):
    """A linear map through a layer's table, product by product."""
    formats = part.operands
    a, b = part.activation(x.detach(), formats[0]), part.weight_quantizer(weight, formats[1])
    y = sums(part.table, a, b, (a.codes, b.codes.t())) * (a.params.scale * b.params.scale)
    return y if bias is None else y + bias


def multiplied(part, left, right):
    """A product of two inputs through a layer's table, product by product."""
    formats = part.operands
    a, b = part.activation(left, formats[0]), part.right(right, formats[1])
    return sums(part.table, a, b, (a.codes, b.codes)) * (a.params.scale * b.params.scale)


signs = st.tuples(st.booleans(), st.booleans())


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    st.sampled_from([(2, 3), (4, 2)]), st.booleans(), st.booleans(), signs, st.integers(0, 2**32)
)
@torch.no_grad()
def test_attention_is_made_of_its_products(sizes, biased, masked, signed, seed):
    torch.manual_seed(seed)
    heads, each = sizes
    exact = nn.MultiheadAttention(heads * each, heads, bias=biased, batch_first=True)
    layer = ApproxMultiheadAttention.from_exact(exact, noisy(seed, signed))
    inputs = [torch.randn(2, n, heads * each) for n in (3, 4, 4)]
    mask = torch.randn(3, 4) if masked else None
    layer.train()(*inputs, attn_mask=mask)  # finds the ranges
    got, weights = layer.eval()(*inputs, attn_mask=mask)
    biases = (None,) * 3 if not biased else layer.in_proj_bias.chunk(3)
    parts = zip(
        (layer.query, layer.key, layer.value), inputs, layer.in_proj_weight.chunk(3), biases,
        strict=True,
    )  # fmt: skip
    q, k, v = (projected(*part).unflatten(-1, (heads, each)).transpose(1, 2) for part in parts)
    scores = multiplied(layer.scores, q, k.transpose(-2, -1)) / math.sqrt(each)
    shares = (scores if mask is None else scores + mask).softmax(-1)
    mixed = multiplied(layer.mixture, shares, v).transpose(1, 2).flatten(2)
    out = layer.out_proj
    a, w = out._operands(mixed)
    want = sums(out.table, a, w, (a.codes, w.codes.t())) * (a.params.scale * w.params.scale)
    torch.testing.assert_close(got, want if out.bias is None else want + out.bias)
    torch.testing.assert_close(weights, shares.mean(1))


def stepped(kind, from_input, from_state, state):
    """One step by the formulas that torch documents."""
    sigmoid, tanh = torch.sigmoid, torch.tanh
    if kind is nn.RNN:
        return (tanh(from_input + from_state),)
    if kind is nn.LSTM:
        i, f, g, o = (from_input + from_state).chunk(4, -1)
        c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c
    r, z, _ = (
        sigmoid(a + b)
        for a, b in zip(from_input.chunk(3, -1), from_state.chunk(3, -1), strict=True)
    )
    n = tanh(from_input.chunk(3, -1)[2] + r * from_state.chunk(3, -1)[2])
    return ((1 - z) * n + z * state[0],)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.sampled_from([nn.RNN, nn.LSTM, nn.GRU]),
    *[st.integers(1, 2)] * 2,
    *[st.booleans()] * 2,
    signs,
    st.integers(0, 2**32),
)
@torch.no_grad()
def test_recurrent_layers_are_made_of_their_products(kind, layers, batch, both, bias, signed, seed):
    torch.manual_seed(seed)
    exact = kind(3, 2, layers, bias=bias, bidirectional=both)
    layer = APPROX_OF[kind].from_exact(exact, noisy(seed, signed))
    x = torch.randn(3, batch, 3)
    layer.train()(x)
    got, ends = layer.eval()(x)

    def product(which, name, values):
        offset = getattr(layer, f"bias_{which}_{name}") if bias else None
        weight = getattr(layer, f"weight_{which}_{name}")
        return projected(layer.products[f"{which}_{name}"], values, weight, offset)

    last = []
    for depth in range(layers):
        outputs = []
        for name in [f"l{depth}"] + ([f"l{depth}_reverse"] if both else []):
            state = (torch.zeros(batch, 2),) * (2 if kind is nn.LSTM else 1)
            seen = {}
            for time in sorted(range(3), reverse=name.endswith("reverse")):
                state = stepped(
                    kind, product("ih", name, x[time]), product("hh", name, state[0]), state
                )
                seen[time] = state[0]
            outputs.append(torch.stack([seen[time] for time in range(3)]))
            last.append(state)
        x = torch.cat(outputs, -1)
    torch.testing.assert_close(got, x)
    for mine, theirs in zip(
        ends if kind is nn.LSTM else (ends,), zip(*last, strict=True), strict=True
    ):
        torch.testing.assert_close(mine, torch.stack(theirs))


# --- torch's machinery ------------------------------------------------------------------------


class EveryKind(nn.Module):
    """One layer of each kind, in a line."""

    def __init__(self):
        super().__init__()
        self.line = nn.Conv1d(2, 4, 3, padding=1)
        self.block = nn.Conv3d(1, 2, 2)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.sequence = nn.LSTM(4, 3)
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x):
        y = self.line(x).unflatten(2, (3, 3)).unsqueeze(1)
        y = self.up(self.block(y).flatten(1, 2)).flatten(2).transpose(1, 2)
        y = self.attention(y, y, y)[0]
        return self.cell(self.sequence(y)[0][-1])


def prepared(kind):
    torch.manual_seed(0)
    model = EveryKind()
    report = approximate(model, noisy(0, (True, True)) if kind == "integer" else MBM)
    assert len(report.changed) == 6
    calibrate(model, [inputs()])
    return model.eval()


def inputs():
    return torch.randn(2, 2, 9, generator=torch.Generator().manual_seed(1))


def gradients(model, run=None):
    model.zero_grad()
    out = (model if run is None else run)(inputs())  # a compiled module has no truth value
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return out.detach(), [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("kind", ["integer", "float"])
def test_checkpointing_autocast_and_copies_change_nothing_in_any_layer(kind):
    model = prepared(kind)
    out, wanted = gradients(model)
    ways = [
        gradients(copy.deepcopy(model)),
        gradients(model, lambda x: checkpoint(model, x, use_reentrant=False)),
    ]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ways.append(gradients(model))
    for again, got in ways:
        assert torch.equal(again, out)
        assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


# torch.compile looks at every attribute of the tensors that it traces, .grad included.
@pytest.mark.filterwarnings("ignore:The .grad attribute")
@pytest.mark.parametrize("kind", ["integer", "float"])
def test_every_layer_compiles(kind):
    model = prepared(kind)
    out, wanted = gradients(model)
    torch.compiler.reset()
    again, got = gradients(model, torch.compile(model, backend="aot_eager"))
    torch.testing.assert_close(again, out)
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)
