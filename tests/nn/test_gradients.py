"""Gradients of table products: each against plain loops over its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, UnknownNameError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.table import code_values
from rtlgrad.nn import ApproxConv2d, ApproxLinear, approximate, calibrate
from rtlgrad.nn.gradients import (
    Gradient,
    approx_backward,
    lut_gradient,
    lut_gradients,
    parse_gradient,
    slopes,
)
from rtlgrad.nn.gradients.columns import Windows
from rtlgrad.nn.gradients.quantized import quantize_gradient
from rtlgrad.nn.quantize import OperandFormat, decode
from torch import nn

KINDS = ["lut:1", "lut:1:span", "slope", "table"]


def random_table(rng, wa, wb):
    return rng.integers(-3000, 9000, (1 << wa, 1 << wb)).astype(np.int32)


def code_of(value, width):
    return value % (1 << width)


def published(table, signed, h, border):
    """DATE 2025, formulas (4) to (6), value by value, for the operand of the rows."""
    widths = [side.bit_length() - 1 for side in table.shape]
    count = table.shape[0]
    lowest = -(count // 2) if signed[0] else 0
    got = np.zeros(table.shape)

    def entry(x, w):
        return int(table[code_of(x, widths[0]), w])

    def smooth(x, w):
        return sum(entry(x + d, w) for d in range(-h, h + 1)) / (2 * h + 1)

    for w, value in enumerate(code_values(widths[1], signed[1])):
        line = [entry(lowest + i, w) for i in range(count)]
        rise = (max(line) - min(line)) / (count if border == "published" else count - 1)
        for i in range(count):
            x = lowest + i
            inside = i - 1 - h >= 0 and i + 1 + h <= count - 1
            got[code_of(x, widths[0]), w] = (
                (smooth(x + 1, w) - smooth(x - 1, w)) / 2
                if inside
                else -rise
                if value < 0
                else rise
            )
    return got


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(*[st.integers(2, 5)] * 2),
    st.tuples(st.booleans(), st.booleans()),
    st.data(),
    st.integers(0, 2**32),
)
def test_lut_gradient_is_the_published_formula(widths, signed, data, seed):
    table = random_table(np.random.default_rng(seed), *widths)
    h = data.draw(st.integers(0, ((1 << min(widths)) - 3) // 2))
    border = data.draw(st.sampled_from(["published", "span"]))
    got = lut_gradients(table, signed, Gradient("lut", h, border))
    np.testing.assert_allclose(got.by_a, published(table, signed, h, border), rtol=1e-6)
    transposed = published(table.T, signed[::-1], h, border).T
    np.testing.assert_allclose(got.by_b, transposed, rtol=1e-6)


def test_smoothing_widens_the_step_of_a_staircase():
    # T[x, w] = 16 * (x >= 8): the difference at distance d of the step is 16 / (2h + 1) while the
    # windows at x - 1 and x + 1 differ by a whole side of the step, and 0 where neither sees it.
    table = np.repeat(np.where(np.arange(16) >= 8, 16, 0)[:, None], 4, axis=1).astype(np.int32)
    slope = lut_gradient(table, (False, False), Gradient("lut", 2))[:, 0]
    assert slope[3:13].tolist() == pytest.approx([0, 0, 1.6, 3.2, 3.2, 3.2, 3.2, 1.6, 0, 0])
    assert slope[:3].tolist() == slope[13:].tolist() == [1.0, 1.0, 1.0]  # rise 16 over 2^4


@pytest.mark.parametrize("signed", [(False, False), (True, True), (False, True), (True, False)])
def test_gradients_of_the_exact_table_are_the_other_operand(signed):
    a, b = code_values(6, signed[0]), code_values(5, signed[1])
    table = (a[:, None] * b[None, :]).astype(np.int32)
    found = lut_gradients(table, signed, parse_gradient("lut:3:span"))
    np.testing.assert_allclose(found.by_a, np.broadcast_to(b, table.shape), atol=1e-5)
    np.testing.assert_allclose(found.by_b, np.broadcast_to(a[:, None], table.shape), atol=1e-5)
    line = slopes(table, signed)
    np.testing.assert_allclose(line.by_a, b, atol=1e-5)
    np.testing.assert_allclose(line.by_b, a, atol=1e-5)
    # The published divisor is 2^B where 2^B - 1 steps lie between the borders.
    paper = lut_gradients(table, signed, parse_gradient("lut:3"))
    order = np.argsort(a)
    ascending = paper.by_a[order]
    for border in (ascending[:4], ascending[-4:]):
        np.testing.assert_allclose(border, np.broadcast_to(b * 63 / 64, (4, 32)), atol=1e-5)
    np.testing.assert_allclose(ascending[4:-4], np.broadcast_to(b, (56, 32)), atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.integers(2, 6)] * 2), st.booleans(), st.integers(0, 2**32))
def test_slopes_are_the_least_squares_lines(widths, signed, seed):
    table = random_table(np.random.default_rng(seed), *widths)
    found = slopes(table, (signed, not signed))
    a, b = code_values(widths[0], signed), code_values(widths[1], not signed)
    by_a = [np.polyfit(a, column, 1)[0] for column in table.T]
    by_b = [np.polyfit(b, row, 1)[0] for row in table]
    np.testing.assert_allclose(found.by_a, by_a, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.by_b, by_b, rtol=1e-4, atol=1e-3)


@st.composite
def cases(draw):
    """Everything that the backward of a convolution depends on, small."""
    seed = draw(st.integers(0, 2**32))
    generator = torch.Generator().manual_seed(seed)
    a = OperandFormat(draw(st.integers(3, 5)), draw(st.booleans()))
    b = OperandFormat(draw(st.integers(3, 5)), draw(st.booleans()))
    groups = draw(st.integers(1, 2))
    kernel = draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
    geometry = (
        draw(st.lists(st.integers(1, 2), min_size=2, max_size=2)),
        draw(st.lists(st.integers(0, 2), min_size=4, max_size=4)),
        draw(st.lists(st.integers(1, 2), min_size=2, max_size=2)),
        groups,
    )

    def codes(operand, *shape):
        drawn = torch.randint(0, 1 << operand.bits, shape, generator=generator)
        return drawn.to(operand.code_dtype)

    x = codes(a, draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), 5, 6)
    w = codes(b, groups * draw(st.integers(1, 2)), x.shape[1] // groups, *kernel)
    zero = 0 if a.signed else draw(st.integers(0, (1 << a.bits) - 1))
    scale = torch.rand(len(w), generator=generator) + 0.1
    top, bottom, left, right = geometry[1]
    size = [
        (side + more - d * (k - 1) - 1) // s + 1
        for side, more, d, k, s in zip(
            x.shape[2:], (top + bottom, left + right), geometry[2], kernel, geometry[0], strict=True
        )
    ]
    grad = torch.randn(len(x), len(w), *size, generator=generator)
    table = random_table(np.random.default_rng(seed), a.bits, b.bits)
    scalars = (torch.tensor(0.3), torch.tensor(zero, dtype=torch.int32), scale, b.weight_zero)
    return a, b, (grad, x, w, torch.from_numpy(table), *scalars, [a.signed, b.signed], *geometry)


def products_of(x, w, geometry):
    """Yield (output index, input index or None for padding, weight index) of every product."""
    (step_y, step_x), (top, bottom, left, right), (gap_y, gap_x), groups = geometry
    outputs, channels, kernel_h, kernel_w = w.shape
    height, width = x.shape[2:]
    out_h = (height + top + bottom - gap_y * (kernel_h - 1) - 1) // step_y + 1
    out_w = (width + left + right - gap_x * (kernel_w - 1) - 1) // step_x + 1
    for n, o, i, j in np.ndindex(x.shape[0], outputs, out_h, out_w):
        for c, p, q in np.ndindex(channels, kernel_h, kernel_w):
            row, column = i * step_y + p * gap_y - top, j * step_x + q * gap_x - left
            inside = 0 <= row < height and 0 <= column < width
            source = (n, o // (outputs // groups) * channels + c, row, column)
            yield (n, o, i, j), source if inside else None, (o, c, p, q)


@settings(max_examples=12, deadline=None)
@given(
    cases(), st.sampled_from(["lut:1", "lut:0:span", "slope"]), st.sampled_from(["numpy", "auto"])
)
def test_backward_is_the_formula_product_by_product(case, gradient, engine):
    a, b, arguments = case
    grad, x, w, table, x_scale, x_zero, w_scale, w_zero, _, *geometry = arguments
    choice, products = parse_gradient(gradient), table.numpy()
    if choice.kind == "lut":
        tables = lut_gradients(products, (a.signed, b.signed), choice)
        by_a, by_b = tables.by_a, tables.by_b
    else:
        tables = slopes(products, (a.signed, b.signed))
        by_a = np.broadcast_to(tables.by_a, products.shape)
        by_b = np.broadcast_to(tables.by_b[:, None], products.shape)
    want_x, want_w = np.zeros(x.shape), np.zeros(w.shape)
    for y, source, weight in products_of(x, w, geometry):
        pair = int(x[source]) if source else int(x_zero), int(w[weight])
        upstream = float(grad[y])
        if source:
            want_x[source] += upstream * float(w_scale[y[1]]) * (float(by_a[pair]) - w_zero)
        want_w[weight] += upstream * float(x_scale) * (float(by_b[pair]) - int(x_zero))
    got_x, got_w = approx_backward(*arguments, gradient, engine)
    np.testing.assert_allclose(got_x, want_x, rtol=1e-4, atol=0.05)
    np.testing.assert_allclose(got_w, want_w, rtol=1e-4, atol=0.05)


@pytest.mark.parametrize(
    ("products", "terms"),
    [
        (lambda a, b: a * b, 2),
        # Columns of partial products left out: a term for each bit of the other operand, at most.
        (lambda a, b: sum(((a >> i) & 1) * ((b << i) & 0x3F0) for i in range(6)), 7),
        # Operands rounded, each by itself.
        (lambda a, b: (a & 0x3C) * (b & 0x38), 1),
    ],
)
def test_gradients_of_structured_multipliers_separate_into_few_terms(products, terms):
    a, b = np.arange(64)[:, None], np.arange(64)[None, :]
    table = np.asarray(products(a, b), np.int32)
    tables = lut_gradients(table, (False, False), parse_gradient("lut:4"))
    assert tables.terms is not None
    for whole, parts in zip((tables.by_a, tables.by_b), tables.terms, strict=True):
        assert parts.of_a.shape[1] <= terms
        np.testing.assert_allclose(
            parts.of_a @ parts.of_b.T, whole, atol=3e-6 * np.abs(whole).max()
        )


def test_a_table_without_structure_does_not_separate():
    table = random_table(np.random.default_rng(0), 6, 6)
    assert lut_gradients(table, (False, False), parse_gradient("lut:1")).terms is None


@settings(max_examples=7, deadline=None)
@given(cases(), st.sampled_from(["numpy", "auto"]))
def test_approximate_backward_is_its_specification_product_by_product(case, engine):
    a, b, arguments = case
    grad, x, w, table, x_scale, x_zero, w_scale, w_zero, _, *geometry = arguments
    torch.manual_seed(3)
    got_x, got_w = approx_backward(*arguments, "table", engine)
    torch.manual_seed(3)
    on_a, step_a = quantize_gradient(grad * w_scale.view(1, -1, 1, 1), a)
    on_b, step_b = quantize_gradient(grad, b)
    products, zx = table.numpy().astype(np.int64), int(x_zero)
    values = {n: decode(t, f).numpy() for n, t, f in (("x", x, a), ("w", w, b))}
    ga, gb = decode(on_a, a).numpy(), decode(on_b, b).numpy()
    za, zb = a.weight_zero, b.weight_zero
    sums_x, sums_w = np.zeros(x.shape, np.int64), np.zeros(w.shape, np.int64)
    for y, source, weight in products_of(x, w, geometry):
        weight_value = values["w"][weight]
        if source:
            product = products[on_a[y], w[weight]]
            sums_x[source] += product - ga[y] * w_zero - weight_value * za + za * w_zero
        value, code = (values["x"][source], x[source]) if source else (zx, zx)
        product = products[code, on_b[y]]
        sums_w[weight] += product - value * zb - gb[y] * zx + zx * zb
    np.testing.assert_allclose(got_x, sums_x * float(step_a), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(got_w, sums_w * float(step_b * x_scale), rtol=1e-5, atol=1e-3)


def test_stochastic_rounding_has_the_gradient_as_its_mean_and_repeats_with_the_seed():
    torch.manual_seed(0)
    grad = torch.randn(50)
    operand = OperandFormat(4, False)
    draws = []
    for _ in range(2000):
        codes, step = quantize_gradient(grad, operand)
        draws.append((decode(codes, operand) - 8).float() * step)
    spread = float(step) / (2 * 2000**0.5)  # of the mean, at most
    assert (torch.stack(draws).mean(0) - grad).abs().max() < 5 * spread
    torch.manual_seed(1)
    first, _ = quantize_gradient(grad, operand)
    torch.manual_seed(1)
    assert torch.equal(first, quantize_gradient(grad, operand)[0])


def test_a_gradient_that_is_not_finite_stays_so():
    for bad in (float("nan"), float("inf")):
        grad = torch.tensor([1.0, bad])
        codes, step = quantize_gradient(grad, OperandFormat(8, False))
        assert not torch.isfinite(((decode(codes, OperandFormat(8, False)) - 128) * step).sum())
    codes, step = quantize_gradient(torch.zeros(3), OperandFormat(8, True))
    assert codes.tolist() == [0, 0, 0]
    assert step == 1


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2, groups=2),
        nn.Flatten(), nn.Linear(4 * 3 * 3, 5),
    )  # fmt: skip


def trained(gradient, table, steps=3, **options):
    model = network()
    approximate(model, table, gradient=gradient, **options)
    torch.manual_seed(1)
    x, labels = torch.randn(16, 2, 8, 8), torch.randint(0, 5, (16,))
    calibrate(model, [x])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("gradient", ["lut:16:span", "slope"])
def test_training_on_the_exact_table_is_exact_quantized_training(gradient, signed):
    exact, exact_losses = trained("ste", exact_table(8, 8, signed=signed))
    model, losses = trained(gradient, exact_table(8, 8, signed=signed))
    assert losses == pytest.approx(exact_losses, rel=1e-4)
    for mine, theirs in zip(model.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("signed", [False, True])
def test_approximate_backward_on_the_exact_table_is_exact_but_for_rounding_the_gradient(signed):
    # Wide operands: the rounding of the gradient is all that is left, and it is small.
    exact, _ = trained("ste", exact_table(11, 11, signed=signed), steps=1)
    model, _ = trained("table", exact_table(11, 11, signed=signed), steps=1)
    for mine, theirs in zip(model.parameters(), exact.parameters(), strict=True):
        assert (mine.grad - theirs.grad).abs().max() <= 8e-3 * theirs.grad.abs().max() + 1e-6
    # The mean over draws is the exact gradient, whatever the width.
    table = exact_table(4, 4, signed=signed)
    layer = ApproxLinear(6, 3, table=table, gradient="table")
    layer.activation.low.fill_(0.0)
    layer.activation.high.fill_(1.0)
    layer.eval()
    x, upstream = torch.rand(5, 6), torch.randn(5, 3)

    def gradients():
        return torch.autograd.grad((layer(x) * upstream).sum(), layer.weight)[0]

    mean = torch.stack([gradients() for _ in range(400)]).mean(0)
    layer.set_options(gradient="ste")
    want = gradients()
    assert (mean - want).abs().max() < 0.1 * want.abs().max()


@pytest.mark.parametrize("gradient", KINDS)
def test_native_and_reference_agree_and_threads_do_not_matter(gradient):
    rng = np.random.default_rng(0)
    table = torch.from_numpy(random_table(rng, 8, 8))
    x = torch.from_numpy(rng.integers(0, 256, (3, 4, 37, 29)).astype(np.uint8))
    w = torch.from_numpy(rng.integers(0, 256, (6, 2, 3, 3)).astype(np.uint8))
    grad = torch.randn(3, 6, 37, 29, generator=torch.Generator().manual_seed(0))
    arguments = (
        *(grad, x, w, table, torch.tensor(0.1), torch.tensor(7, dtype=torch.int32)),
        *(torch.rand(6) + 0.1, 128, [False, False], [1, 1], [1, 1, 1, 1], [1, 1], 2, gradient),
    )

    def run(engine, threads=1):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        try:
            return approx_backward(*arguments, engine)
        finally:
            torch.set_num_threads(before)

    one, three, reference = run("auto"), run("auto", 3), run("numpy")
    for mine, again, slow in zip(one, three, reference, strict=True):
        assert torch.equal(mine, again)
        torch.testing.assert_close(mine, slow, rtol=1e-3, atol=1e-2 * float(slow.abs().mean()))


def test_columns_and_images_are_adjoint():
    windows = Windows((7, 6), (2, 3), [2, 1], [1, 0, 2, 1], [2, 2], 2)
    x = torch.randn(3, 4, 7, 6, dtype=torch.float64)
    columns = windows.columns(x, 0.0)
    y = torch.randn_like(columns)
    assert torch.isclose((columns * y).sum(), (x * windows.image_of(y, 3)).sum())


@pytest.mark.parametrize("gradient", KINDS)
def test_custom_op_passes_torchs_own_checks(gradient):
    layer = ApproxConv2d(2, 3, 3, padding=1, table=exact_table(5, 5), gradient=gradient)
    a, w = layer._operands(torch.randn(2, 2, 6, 6))
    torch.library.opcheck(
        approx_backward,
        (
            *(torch.randn(2, 3, 6, 6), a.codes, w.codes, layer._products, a.params.scale),
            *(a.params.zero, w.params.scale, 16, [False, False]),
            *([1, 1], [1, 1, 1, 1], [1, 1], 1, gradient),
        ),
        # Random rounding differs from call to call, so traced and eager runs cannot be compared.
        test_utils=("test_schema", "test_faketensor")
        if gradient == "table"
        else ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic"),
    )


@pytest.mark.parametrize("gradient", ["lut", "slope", "table"])
def test_every_gradient_follows_the_table_and_not_the_exact_product(gradient):
    # A table that ignores a has no gradient with respect to a, whatever the weights.
    flat = np.tile(code_values(8, True) * 5, (256, 1))
    layer = ApproxLinear(4, 3, table=ProductTable(flat, True, True), gradient=gradient)
    layer.activation.low.fill_(-1.0)
    layer.activation.high.fill_(1.0)
    x = torch.rand(2, 4, requires_grad=True)
    layer.eval()(x).sum().backward()
    if gradient == "table":  # the product of a gradient and a weight is 5 times the weight
        assert x.grad.abs().max() > 0
    else:
        assert x.grad.abs().max() == 0
    layer.set_options(gradient="ste")
    x.grad = None
    layer(x).sum().backward()
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("lute", UnknownNameError),
        ("lut:x", ConfigError),
        ("lut:-1", ConfigError),
        ("ste:3", ConfigError),
        ("lut:3:wide", ConfigError),
        ("lut:3:span:1", ConfigError),
    ],
)
def test_a_gradient_that_makes_no_sense_is_refused(text, error):
    with pytest.raises(error):
        parse_gradient(text)
    with pytest.raises(error):
        ApproxLinear(2, 2, table=exact_table(8, 8), gradient=text)


def test_a_window_wider_than_the_operand_is_refused_with_the_numbers():
    with pytest.raises(ConfigError, match="0 to 6"):
        lut_gradients(exact_table(4, 4).products, (False, False), Gradient("lut", 7))
    for text in ("ste", "lut", "lut:4", "lut:4:span", "slope", "table"):
        assert str(parse_gradient(text)) == text
