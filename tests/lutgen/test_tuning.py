"""Weight tuning after ALWANN, against a search that is written out in full."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen.table import ProductTable, exact_table
from rtlgrad.lutgen.tuning import tuned, weight_map


def searched(table: ProductTable, counts: np.ndarray) -> list[int]:
    """The map by three loops over Python integers."""
    found = []
    for w, value in enumerate(table.values_b.tolist()):
        distances = [
            sum(
                int(count) * abs(x * value - int(product))
                for x, count, product in zip(
                    table.values_a.tolist(), counts, table.products[:, other], strict=True
                )
            )
            for other in range(1 << table.width_b)
        ]
        least = min(distances)
        found.append(w if distances[w] == least else distances.index(least))
    return found


@st.composite
def tables(draw: st.DrawFn) -> ProductTable:
    wa, wb = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    signed = draw(st.booleans()), draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return ProductTable(rng.integers(-200, 200, (1 << wa, 1 << wb)), *signed)


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(0, 2**32 - 1), st.booleans())
def test_the_map_is_the_best_of_all(table: ProductTable, seed: int, uniform: bool) -> None:
    counts = np.random.default_rng(seed).integers(0, 9, 1 << table.width_a)
    counts[0] += 1
    if uniform:
        counts[:] = 3
    found = weight_map(table, None if uniform else counts)
    assert found.codes.tolist() == searched(table, counts)
    assert found.distance_after <= found.distance_before
    after = np.abs(tuned(table, found).error) * (counts / counts.sum())[:, None]
    assert found.distance_after == pytest.approx(after.sum() / (1 << table.width_b))


def test_an_exact_multiplier_needs_no_tuning() -> None:
    table = exact_table(8, 8, signed=True)
    found = weight_map(table)
    assert found.changed == 0
    assert tuned(table, found) == table


def test_between_equals_the_weight_itself_is_kept_else_the_first() -> None:
    # Every column answers the same: no weight is better than another.
    assert weight_map(ProductTable(np.zeros((4, 4), int))).changed == 0
    # Columns 1 and 2 both hold the products of 3: for 2 they are equally wrong, for 3 both right.
    products = np.array([[0, 0, 0, 0], [0, 3, 3, 9], [0, 6, 6, 9], [0, 9, 9, 99]])
    assert weight_map(ProductTable(products)).codes.tolist() == [0, 0, 2, 1]


def test_a_tuned_table_is_known_by_its_circuit_and_its_map() -> None:
    products = exact_table(4, 4).products + np.eye(16, dtype=int)
    one, two = (ProductTable(products, id=letter * 64) for letter in "12")
    found = weight_map(one)
    assert len({one.id, tuned(one, found).id, tuned(two, found).id}) == 3
    assert tuned(one, found).id == tuned(one, weight_map(one)).id


def test_weights_that_no_activation_meets_do_not_count() -> None:
    # Only x = 1 occurs: whatever the multiplier answers elsewhere, columns are judged by row 1.
    products = np.array([[7, 7, 7, 7], [3, 2, 1, 0], [0, 0, 0, 0], [9, 9, 9, 9]])
    assert weight_map(ProductTable(products), [0, 5, 0, 0]).codes.tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("counts", [[1, 2], [[1] * 4], [1, 1, 1, -1], [0, 0, 0, 0], [np.nan] * 4])
def test_a_distribution_that_does_not_fit_is_refused(counts: list[float]) -> None:
    with pytest.raises(ConfigError, match="distribution"):
        weight_map(exact_table(2, 2), counts)
