"""Error metrics against loops over every pair, published figures, and identities."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import MODELS, trees
from rtlgrad.lutgen.metrics import error_metrics
from rtlgrad.lutgen.table import ProductTable, exact_table


def value(code: int, width: int, signed: bool) -> int:
    return code - (1 << width) if signed and code >> (width - 1) else code


def by_loops(table: ProductTable) -> dict[str, float]:
    """Compute every metric pair by pair, in exact fractions."""
    pairs = 1 << (table.width_a + table.width_b)
    total = squares = bias = wrong = worst = largest = 0
    relative_nonzero = relative_all = Fraction(0)
    nonzero = 0
    for i in range(1 << table.width_a):
        for j in range(1 << table.width_b):
            exact = value(i, table.width_a, table.signed_a) * value(
                j, table.width_b, table.signed_b
            )
            error = int(table.products[i, j]) - exact
            total += abs(error)
            squares += error * error
            bias += error
            wrong += error != 0
            worst = max(worst, abs(error))
            largest = max(largest, abs(exact))
            relative_all += Fraction(abs(error), max(1, abs(exact)))
            if exact:
                nonzero += 1
                relative_nonzero += Fraction(abs(error), abs(exact))
    mae = Fraction(total, pairs)
    exactly = {
        "mae": mae,
        "mae_pct": 100 * mae / pairs,
        "wce": worst,
        "wce_pct": Fraction(100 * worst, pairs),
        "mse": Fraction(squares, pairs),
        "ep_pct": Fraction(100 * wrong, pairs),
        "bias": Fraction(bias, pairs),
        "nmed": mae / largest,
        "mre_nonzero_pct": 100 * relative_nonzero / nonzero,
        "mre_all_pct": 100 * relative_all / pairs,
    }
    return {name: float(number) for name, number in exactly.items()}


@st.composite
def tables(draw: st.DrawFn, bound: int = 1 << 20) -> ProductTable:
    widths = draw(st.tuples(st.integers(2, 5), st.integers(2, 5)))
    seed = draw(st.integers(0, 2**32 - 1))
    low, high = sorted(draw(st.tuples(st.integers(-bound, bound), st.integers(-bound, bound))))
    products = np.random.default_rng(seed).integers(
        low, high + 1, size=(1 << widths[0], 1 << widths[1])
    )
    return ProductTable(products, draw(st.booleans()), draw(st.booleans()))


@settings(max_examples=30, deadline=None)
@given(tables())
def test_metrics_equal_loops_over_every_pair(table: ProductTable) -> None:
    assert asdict(error_metrics(table)) == pytest.approx(by_loops(table), rel=1e-12, abs=1e-12)


def test_metrics_of_the_largest_errors_do_not_overflow() -> None:
    table = ProductTable(np.full((1 << 12, 1 << 12), -(2**31)))
    metrics = error_metrics(table)
    exact_mean = ((2**12 - 1) / 2) ** 2
    assert metrics.mae == pytest.approx(2**31 + exact_mean)
    assert metrics.bias == -metrics.mae
    assert metrics.wce == 2**31 + (2**12 - 1) ** 2


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("widths", [(2, 2), (8, 8), (8, 4), (3, 7)])
def test_an_exact_table_has_no_error(widths: tuple[int, int], signed: bool) -> None:
    assert set(asdict(error_metrics(exact_table(*widths, signed=signed))).values()) == {0}


def test_a_table_of_zeros_misses_everything() -> None:
    metrics = error_metrics(ProductTable(np.zeros((256, 256), dtype=np.int64)))
    assert metrics.mae == 127.5**2
    assert metrics.bias == -metrics.mae
    assert metrics.wce == 255**2
    assert metrics.nmed == 0.25
    assert metrics.mre_nonzero_pct == 100
    # The 511 pairs with a zero are right, and count in one of the two definitions alone.
    assert metrics.mre_all_pct == metrics.ep_pct == pytest.approx(100 * 255**2 / 256**2)


def test_percentages_divide_by_the_number_of_codes_not_by_the_largest_product() -> None:
    metrics = error_metrics(ProductTable(exact_table(8, 8, signed=True).products + 1, True, True))
    assert metrics.mae == metrics.bias == metrics.wce == metrics.mse == 1
    assert metrics.mae_pct == metrics.wce_pct == 100 / 65536
    assert metrics.nmed == 1 / 128**2
    assert metrics.ep_pct == 100


def test_the_underdesigned_block_has_its_published_mean_relative_error() -> None:
    # Kulkarni et al., VLSI Design 2011: 1.39 % for 2x2; one entry in 16 errs, by 2/9.
    metrics = error_metrics(ProductTable(trees.underdesigned(2)))
    assert metrics.mre_all_pct == pytest.approx(100 * 2 / 9 / 16)
    assert metrics.mre_all_pct == pytest.approx(1.39, abs=0.005)
    assert metrics.ep_pct == 6.25
    assert metrics.wce == 2


@pytest.mark.parametrize(
    ("columns", "name"), [(4, "mul8u_trunc4"), (6, "mul8u_trunc6"), (8, "mul8u_trunc8")]
)
def test_truncation_errs_by_a_quarter_of_the_dots_left_out(columns: int, name: str) -> None:
    dots = sum((q + 1) * 2**q for q in range(columns))
    metrics = error_metrics(ProductTable(MODELS[name]()))
    assert metrics.mae == dots / 4
    assert metrics.bias == -dots / 4
    assert metrics.wce == dots


@settings(max_examples=30, deadline=None)
@given(tables())
def test_a_transposed_table_has_the_metrics_of_the_table(table: ProductTable) -> None:
    transposed = ProductTable(table.products.T, table.signed_b, table.signed_a)
    assert asdict(error_metrics(transposed)) == pytest.approx(asdict(error_metrics(table)))


@settings(max_examples=30, deadline=None)
@given(tables(bound=1 << 10), st.integers(2, 9))
def test_an_error_that_is_scaled_scales_its_metrics(table: ProductTable, factor: int) -> None:
    scaled = ProductTable(table.exact + factor * table.error, table.signed_a, table.signed_b)
    one, many = error_metrics(table), error_metrics(scaled)
    for name in (
        "mae",
        "mae_pct",
        "wce",
        "wce_pct",
        "bias",
        "nmed",
        "mre_nonzero_pct",
        "mre_all_pct",
    ):
        assert getattr(many, name) == pytest.approx(factor * getattr(one, name))
    assert many.mse == pytest.approx(factor**2 * one.mse)
    assert many.ep_pct == one.ep_pct


@settings(max_examples=30, deadline=None)
@given(tables())
def test_an_error_of_the_other_sign_turns_the_bias_alone(table: ProductTable) -> None:
    mirrored = ProductTable(table.exact - table.error, table.signed_a, table.signed_b)
    one, other = asdict(error_metrics(table)), asdict(error_metrics(mirrored))
    assert other == pytest.approx({**one, "bias": -one["bias"]})


@settings(max_examples=30, deadline=None)
@given(tables())
def test_the_metrics_are_ordered(table: ProductTable) -> None:
    metrics = error_metrics(table)
    assert abs(metrics.bias) <= metrics.mae <= metrics.wce
    assert metrics.mae**2 <= metrics.mse * (1 + 1e-12)
    assert metrics.mse <= metrics.wce**2 * (1 + 1e-12)
    assert 0 <= metrics.ep_pct <= 100
