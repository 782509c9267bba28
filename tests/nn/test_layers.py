"""The layers: drop-in for torch's, exact with the exact table, and at home in torch's machinery."""

from __future__ import annotations

import copy
import gc
import io
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, DataError, UnknownNameError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.table import code_values
from rtlgrad.nn import ApproxConv2d, ApproxLinear
from rtlgrad.nn.quantize import (
    activation_params,
    decode,
    quantize_activation,
    quantize_weight,
)
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

EXACT = exact_table(8, 8)


def mixed_exact(wa, wb, signed_a, signed_b):
    products = code_values(wa, signed_a)[:, None] * code_values(wb, signed_b)[None, :]
    return ProductTable(products, signed_a, signed_b)


def random_table(seed, name="random", width=8):
    rng = np.random.default_rng(seed)
    return ProductTable(rng.integers(0, 60000, (1 << width, 1 << width)), name=name)


def ranged(layer, low=-2.0, high=2.2):
    layer.activation.low.fill_(low)
    layer.activation.high.fill_(high)
    return layer.eval()


# torch's own remark on even kernels.
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_exact_conv2d_layer_equals_integer_arithmetic_bit_for_bit(data, seed):
    torch.manual_seed(seed)
    widths = st.sampled_from([2, 4, 7, 8, 10])
    table = mixed_exact(*data.draw(st.tuples(widths, widths, st.booleans(), st.booleans())))
    groups, kernel = data.draw(st.integers(1, 2)), data.draw(st.tuples(*[st.integers(1, 3)] * 2))
    padding = data.draw(st.sampled_from(["same", "valid", 0, 1, (2, 1)]))
    layer = ApproxConv2d(
        2 * groups,
        3 * groups,
        kernel,
        stride=1 if padding == "same" else data.draw(st.integers(1, 2)),
        padding=padding,
        dilation=data.draw(st.integers(1, 2)),
        groups=groups,
        bias=data.draw(st.booleans()),
        padding_mode=data.draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
        table=table,
    )
    ranged(layer, -data.draw(st.floats(0, 3)), data.draw(st.floats(0, 3)))
    x = torch.randn(2, 2 * groups, 7, 6)
    a, b = layer.operands
    q = quantize_activation(x, activation_params(layer.activation.low, layer.activation.high, a), a)
    w = quantize_weight(layer.weight, b)
    # The same layer by torch, on integers in float64: exact below 2^53.
    plain = copy.deepcopy(layer.to_exact()).double()
    plain.weight = nn.Parameter((decode(w.codes, b) - b.weight_zero).double())
    plain.bias = None
    sums = plain((decode(q.codes, a) - q.params.zero).double())
    want = sums.float() * (q.params.scale * w.params.scale).view(1, -1, 1, 1)
    if layer.bias is not None:
        want = want + layer.bias.view(1, -1, 1, 1)
    assert torch.equal(layer(x), want)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.sampled_from([2, 5, 8, 11])] * 2, *[st.booleans()] * 2), st.integers(0, 2**32)
)
def test_exact_linear_layer_equals_integer_arithmetic_bit_for_bit(operands, seed):
    torch.manual_seed(seed)
    layer = ranged(ApproxLinear(9, 5, table=mixed_exact(*operands)))
    x = torch.randn(2, 3, 9)
    a, b = layer.operands
    q = quantize_activation(x, activation_params(layer.activation.low, layer.activation.high, a), a)
    w = quantize_weight(layer.weight, b)
    sums = (decode(q.codes, a) - q.params.zero).long() @ (
        decode(w.codes, b) - b.weight_zero
    ).T.long()
    assert torch.equal(layer(x), sums.float() * (q.params.scale * w.params.scale) + layer.bias)


def fake_quantized_twin(layer, x):
    """The exact layer on fake-quantized operands, by torch's own operations."""
    a, b = layer.operands
    params = activation_params(layer.activation.low, layer.activation.high, a)
    return layer.to_exact()._conv_forward(
        quantize_activation(x, params, a).x_hat, quantize_weight(layer.weight, b).x_hat, layer.bias
    )


@pytest.mark.parametrize("table", [EXACT, random_table(1)], ids=["exact", "random"])
def test_gradients_equal_those_of_the_fake_quantized_layer(table):
    torch.manual_seed(0)
    layer = ranged(ApproxConv2d(4, 6, 3, padding=1, stride=2, groups=2, table=table))
    x = (2 * torch.randn(2, 4, 8, 8)).requires_grad_()  # some of it is clamped
    out, twin = layer(x), fake_quantized_twin(layer, x)
    upstream = torch.randn_like(out)
    leaves = (x, layer.weight, layer.bias)
    ours = torch.autograd.grad((out * upstream).sum(), leaves)
    theirs = torch.autograd.grad((twin * upstream).sum(), leaves)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)
    assert torch.equal(ours[0] == 0, theirs[0] == 0)
    outside = (x < layer.activation.low - 0.02) | (x > layer.activation.high + 0.02)
    assert outside.any()
    assert not ours[0][outside].any()


def test_padding_goes_through_the_table():
    # T = 1 where the activation is the zero point's code, else 0: the sum counts padded taps.
    products = np.zeros((256, 256), dtype=np.int32)
    table = ProductTable(products + (np.arange(256) == 0)[:, None])
    layer = ranged(ApproxConv2d(1, 1, 3, padding=1, bias=False, table=table), 0.0, 255.0)
    corrected_by_zero_points = ranged(
        ApproxConv2d.from_exact(layer.to_exact(), ProductTable(products)), 0.0, 255.0
    )
    x = torch.full((1, 1, 4, 4), 10.0)
    scale = quantize_weight(layer.weight, layer.operands[1]).params.scale
    counted = (layer(x) - corrected_by_zero_points(x)) / scale
    border = functional.conv2d(functional.pad(torch.zeros(1, 1, 4, 4), [1] * 4, value=1.0),
                               torch.ones(1, 1, 3, 3))  # fmt: skip
    torch.testing.assert_close(counted, border, atol=1e-2, rtol=0)


@pytest.mark.parametrize("signed", [False, True])
def test_layers_are_close_to_torch_and_keep_its_shapes(signed):
    torch.manual_seed(1)
    table = exact_table(8, 8, signed=signed)
    conv, linear = nn.Conv2d(3, 4, 3), nn.Linear(6, 2)
    for exact, shapes in ((conv, [(2, 3, 6, 6), (3, 6, 6)]), (linear, [(6,), (2, 3, 6), (0, 6)])):
        kind = ApproxConv2d if exact is conv else ApproxLinear
        layer = ranged(kind.from_exact(exact, table), -4.0, 4.0)
        assert layer.weight is exact.weight
        for shape in shapes:
            x = torch.randn(shape)
            assert layer(x).shape == exact(x).shape
            torch.testing.assert_close(layer(x), exact(x), atol=0.1, rtol=0)


def test_swapping_the_table_equals_a_layer_made_with_it():
    torch.manual_seed(2)
    layer = ranged(ApproxConv2d(3, 4, 3, table=EXACT))
    x = torch.randn(2, 3, 6, 6)
    for table in (random_table(3), exact_table(4, 4, signed=True), EXACT):
        layer.set_table(table)
        fresh = ranged(ApproxConv2d.from_exact(layer.to_exact(), table))
        assert layer.table == table
        assert torch.equal(layer(x), fresh(x))


def test_state_dict_holds_the_range_and_not_the_table():
    layer = ranged(ApproxLinear(3, 2, table=EXACT))
    assert set(layer.state_dict()) == {"weight", "bias", "activation.low", "activation.high"}
    other = ApproxLinear(3, 2, table=random_table(0))
    other.load_state_dict(layer.state_dict())
    assert other.activation.high == layer.activation.high
    other.load_state_dict(nn.Linear(3, 2).state_dict())  # strict, and the old range is void
    assert not other.activation.is_calibrated


def test_evaluation_before_calibration_is_refused():
    layer = ApproxLinear(3, 2, table=EXACT).eval()
    with pytest.raises(ConfigError, match="activation range of this ApproxLinear is unknown"):
        layer(torch.randn(1, 3))
    layer.train()
    layer(torch.randn(4, 3))
    assert torch.isfinite(layer.eval()(torch.randn(1, 3))).all()


def test_nan_is_refused_rather_than_coded():
    layer = ranged(ApproxLinear(3, 2, table=EXACT))
    with pytest.raises(DataError, match="NaN"):
        layer(torch.tensor([[1.0, float("nan"), 0.0]]))
    with pytest.raises(DataError, match="scale"):
        layer.train()(torch.tensor([[1.0, float("inf"), 0.0]]))


def test_unknown_names_are_refused_at_once():
    with pytest.raises(UnknownNameError, match="unknown engine"):
        ApproxLinear(3, 2, table=EXACT, engine="nativ")
    with pytest.raises(UnknownNameError, match="calibration method"):
        ApproxLinear(3, 2, table=EXACT, calibration="minmx")
    with pytest.raises(UnknownNameError, match="unknown engine"):
        ApproxLinear(3, 2, table=EXACT).set_engine("cuda")


# ---- torch's machinery --------------------------------------------------------------------------


def network(table=EXACT):
    torch.manual_seed(4)
    return nn.Sequential(
        ApproxConv2d(2, 4, 3, padding="same", table=table),
        nn.ReLU(),
        ApproxConv2d(4, 4, 2, padding="same", groups=2, padding_mode="circular", table=table),
        nn.Flatten(),
        ApproxLinear(4 * 25, 3, table=table),
    )


def test_compiled_model_equals_eager_and_outlives_a_table_swap():
    model, x = network(), torch.randn(3, 2, 5, 5)
    model(x)
    model.eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), model(x))
    before = model(x)
    with torch._dynamo.config.patch(error_on_recompile=True):
        model[0].set_table(random_table(5))  # one layer of three that shared a table
        assert torch.equal(compiled(x), model(x))
        assert not torch.equal(before, model(x))
    torch._dynamo.reset()


def test_compiled_training_step_equals_eager():
    model, x = network(), torch.randn(3, 2, 5, 5)
    twin = copy.deepcopy(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for runner in (compiled, twin):
        runner(x).square().sum().backward()
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)
    for mine, other in zip(model.buffers(), twin.buffers(), strict=True):
        assert torch.equal(mine, other)
    torch._dynamo.reset()


def test_activation_checkpointing_changes_nothing():
    model, x = network(), torch.randn(3, 2, 5, 5)
    model(3 * x)  # a range that the next batch moves
    twin = copy.deepcopy(model)
    model(x).square().sum().backward()
    checkpoint(twin, x, use_reentrant=False).square().sum().backward()
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)
    for mine, other in zip(model.buffers(), twin.buffers(), strict=True):
        assert torch.equal(mine, other)  # ranges moved once


def test_autocast_computes_in_float32():
    model, x = network(), torch.randn(3, 2, 5, 5)
    twin = copy.deepcopy(model)
    plain = model(x)
    plain.square().sum().backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = twin(x)
        assert mixed.dtype == torch.float32
        mixed.square().sum().backward()
    assert torch.equal(mixed, plain)
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_output_follows_the_weights_dtype(dtype):
    layer = ranged(ApproxLinear(3, 2, table=EXACT)).to(dtype)
    assert layer(torch.randn(2, 3, dtype=dtype)).dtype == dtype
    assert layer.activation.high.dtype == torch.float32


def test_copies_share_the_table_and_nothing_else():
    layer = ranged(ApproxLinear(3, 2, table=random_table(6)))
    stored = io.BytesIO()
    torch.save(layer, stored)
    stored.seek(0)
    for twin in (copy.deepcopy(layer), torch.load(stored, weights_only=False)):
        x = torch.randn(4, 3)
        assert torch.equal(twin(x), layer(x))
        assert twin.table == layer.table
        assert not twin.table.products.flags.writeable
        assert twin._products.data_ptr() == layer._products.data_ptr()
        twin.set_table(EXACT)
        twin.activation.high.fill_(9.0)
        assert layer.table != EXACT
        assert layer.activation.high != 9.0


def test_a_table_that_nobody_uses_is_freed():
    layer = ranged(ApproxLinear(3, 2, table=random_table(9)))
    layer(torch.randn(4, 3))
    held = weakref.ref(layer._loaded.products), weakref.ref(layer._products)
    layer.set_table(EXACT)
    gc.collect()
    assert [reference() for reference in held] == [None, None]


def test_inference_mode_equals_no_grad():
    layer = ranged(ApproxLinear(3, 2, table=random_table(7)))
    x = torch.randn(4, 3)
    with torch.inference_mode():
        inside = layer(x)
    assert torch.equal(inside, layer(x))


def test_engines_give_the_same_layer_output():
    layer = ranged(ApproxConv2d(3, 4, 3, table=random_table(8)))
    x, outputs = torch.randn(2, 3, 9, 9), []
    for engine in ("native", "numpy", "auto"):
        layer.set_engine(engine)
        outputs.append(layer(x))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
