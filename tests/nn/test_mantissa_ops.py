"""The torch ops of mantissa tables: gradients by convolutions of float64, opcheck, compilation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, UnknownNameError
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.nn.engines import Conv2dGeometry, get_engine
from rtlgrad.nn.mantissa_ops import (
    mantissa_conv2d,
    mantissa_conv2d_input_grad,
    mantissa_conv2d_weight_grad,
    mantissa_linear,
    mantissa_matmul,
)
from rtlgrad.nn.mantissa_tables import load_mantissa_table, mantissa_lookup_of
from torch.nn import functional

BITS = 3
SIDE = 1 << BITS
EVERY = list(product([False, True], repeat=3))


def exact_table():
    products = (SIDE + np.arange(SIDE)[:, None]) * (SIDE + np.arange(SIDE)[None, :])
    carry = products >= 2 * SIDE * SIDE
    mantissa = (products >> np.where(carry, BITS + 1, BITS)) & (SIDE - 1)
    return MantissaTable(BITS, mantissa, carry)


def other_table():
    rng = np.random.default_rng(0)
    return MantissaTable(
        BITS, rng.integers(0, SIDE, (SIDE, SIDE)), rng.integers(0, 2, (SIDE, SIDE)) > 0
    )


def halves(generator, shape):
    """Multiples of 1/2 below 2: products are exact in 3 bits of mantissa, and sums in float32."""
    return torch.randint(-2, 3, shape, generator=generator) / 2


@st.composite
def layers(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    groups = draw(st.integers(1, 2))
    kernel = draw(st.tuples(*[st.integers(1, 3)] * 2))
    x = halves(generator, (draw(st.integers(0, 3)), groups * draw(st.integers(1, 3)), 7, 8))
    w = halves(generator, (groups * draw(st.integers(1, 4)), x.shape[1] // groups, *kernel))
    geometry = (
        draw(st.lists(st.integers(1, 3), min_size=2, max_size=2)),
        draw(st.lists(st.integers(0, 2), min_size=4, max_size=4)),
        draw(st.lists(st.integers(1, 2), min_size=2, max_size=2)),
        groups,
    )
    return x, w, geometry, generator


def convolve(x, w, geometry):
    stride, (top, bottom, left, right), dilation, groups = geometry
    padded = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(padded, w, None, stride, 0, dilation, groups)


@settings(max_examples=60, deadline=None)
@given(layers(), st.sampled_from(EVERY))
def test_conv2d_with_an_exact_table_has_the_exact_gradients(case, approximate):
    x, w, geometry, generator = case
    table = load_mantissa_table(exact_table())
    ours = [x.clone().requires_grad_(), w.clone().requires_grad_()]
    theirs = [x.double().requires_grad_(), w.double().requires_grad_()]
    y, z = mantissa_conv2d(*ours, table, approximate, *geometry), convolve(*theirs, geometry)
    assert torch.equal(y.double(), z)
    grad = halves(generator, y.shape)
    y.backward(grad)
    z.backward(grad.double())
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.grad.double(), other.grad)


@pytest.mark.parametrize("approximate", EVERY)
def test_linear_with_an_exact_table_has_the_exact_gradients(approximate):
    generator = torch.Generator().manual_seed(0)
    x, w, grad = (halves(generator, shape) for shape in ((5, 40), (7, 40), (5, 7)))
    x, w = x.requires_grad_(), w.requires_grad_()
    y = mantissa_linear(x, w, load_mantissa_table(exact_table()), approximate)
    assert torch.equal(y, x @ w.t())
    y.backward(grad)
    assert torch.equal(x.grad, grad @ w)
    assert torch.equal(w.grad, grad.t() @ x)


@pytest.mark.parametrize("approximate", EVERY)
def test_each_product_goes_through_the_table_or_not(approximate):
    generator = torch.Generator().manual_seed(1)
    table = load_mantissa_table(other_table())
    x = torch.randn(2, 3, 6, 6, generator=generator).requires_grad_()
    w = torch.randn(4, 3, 3, 3, generator=generator).requires_grad_()
    geometry = ([1, 1], [1, 1, 1, 1], [1, 1], 1)
    engine, lookup = get_engine("numpy").mantissa, mantissa_lookup_of(table)
    plain = Conv2dGeometry(padding=(1, 1, 1, 1))
    exact = convolve(x, w, geometry)
    grad = torch.randn(exact.shape, generator=generator)
    exact_grads = torch.autograd.grad(exact, (x, w), grad)
    a, b, g = x.detach().numpy(), w.detach().numpy(), grad.numpy()
    by_table = (
        engine.conv2d(a, b, lookup, plain),
        engine.conv2d_input_grad(g, b, lookup, plain, (6, 6)),
        engine.conv2d_weight_grad(a, g, lookup, plain, (3, 3)),
    )
    y = mantissa_conv2d(x, w, table, approximate, *geometry)
    got = (y.detach(), *torch.autograd.grad(y, (x, w), grad))
    for value, approx, table_says, exactly in zip(
        got, approximate, by_table, (exact.detach(), *exact_grads), strict=True
    ):
        assert torch.equal(value, torch.from_numpy(table_says)) == approx
        assert torch.allclose(value, exactly, rtol=1e-4, atol=1e-4) != approx


def test_roles_in_the_three_products():
    # T counts only activation mantissa 2 with weight mantissa 5: each product has its own roles.
    carry = np.zeros((SIDE, SIDE), bool)
    carry[2, 5] = True
    table = load_mantissa_table(MantissaTable(BITS, np.zeros((SIDE, SIDE), int), carry))
    a, b = torch.tensor([[1 + 2 / 8]]), torch.tensor([[1 + 5 / 8]])
    ones = torch.ones(1, 1)
    for x, w, grad, want in (
        (a, b, ones, (2.0, 1.0, 1.0)),  # x, w
        (ones, b, a, (1.0, 2.0, 1.0)),  # grad, w
        (a, ones, b, (1.0, 1.0, 2.0)),  # x, grad
    ):
        x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
        y = mantissa_linear(x, w, table, [True] * 3)
        y.backward(grad)
        assert (y.item(), x.grad.item(), w.grad.item()) == want
        for part in (x, w):
            part.grad = None
        images = [part.detach().view(1, 1, 1, 1).requires_grad_() for part in (x, w)]
        y = mantissa_conv2d(*images, table, [True] * 3, [1, 1], [0, 0, 0, 0], [1, 1], 1)
        y.backward(grad.view(1, 1, 1, 1))
        assert (y.item(), *(part.grad.item() for part in images)) == want


def test_ops_are_registered_as_torch_wants_them():
    table = load_mantissa_table(other_table())
    x, w = torch.randn(2, 4, 6, 7), torch.randn(6, 2, 3, 2)
    geometry = ([2, 1], [1, 0, 2, 1], [1, 2], 2)
    grad = torch.randn(mantissa_conv2d(x, w, table, [True] * 3, *geometry).shape)
    cases = (
        (mantissa_matmul, (x[0, 0], w[0, 0].t()[:, :1].expand(2, 7).t().contiguous(), table)),
        (mantissa_conv2d_input_grad, (grad, w, table, [6, 7], *geometry)),
        (mantissa_conv2d_weight_grad, (x, grad, table, [3, 2], *geometry)),
        (mantissa_linear, (x[0, 0].requires_grad_(), torch.randn(3, 7), table, [True, False, True])),
        (mantissa_conv2d, (x.clone().requires_grad_(), w.clone().requires_grad_(), table, [True] * 3, *geometry)),
    )  # fmt: skip
    for op, arguments in cases:
        torch.library.opcheck(op, arguments)


def test_table_that_is_written_to_is_read_again():
    table = load_mantissa_table(exact_table()).clone()
    x = torch.ones(1, 1)
    assert mantissa_matmul(x, x, table).item() == 1.0
    table[0, 0] = 1 << BITS
    assert mantissa_matmul(x, x, table).item() == 2.0


def test_what_is_wrong_is_named():
    table = load_mantissa_table(exact_table())
    assert load_mantissa_table(exact_table()) is table
    x = torch.ones(2, 2)
    with pytest.raises(ConfigError, match="a has the wrong type"):
        mantissa_matmul(x.double(), x, table)
    with pytest.raises(ConfigError, match="not a mantissa table"):
        mantissa_matmul(x, x, table.int())
    with pytest.raises(ConfigError, match="not a mantissa table"):
        mantissa_matmul(x, x, table - 1)
    with pytest.raises(UnknownNameError, match="nativ"):
        mantissa_matmul(x, x, table, "nativ")
    y = mantissa_linear(x.clone().requires_grad_(), x, table, [True] * 3)
    with pytest.raises(NotImplementedError, match="no derivative of its own"):
        torch.autograd.grad(y.sum(), y.grad_fn.next_functions[0][0].variable, create_graph=True)
