"""Every known mistake, made here entry by entry, is found and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from reference.multipliers import MODELS
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.exchange import Operands, Order
from rtlgrad.lutgen.exchange.diagnose import check_kind, diagnose
from rtlgrad.lutgen.exchange.imported import from_file
from rtlgrad.lutgen.exchange.mistakes import MISTAKES
from rtlgrad.lutgen.exchange.registry import TableFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtlgrad.lutgen.record import Characterization

SIDE, HALF = 16, 8


def design(
    products: np.ndarray, signed: bool, name: str = "right", out_bits: int | None = None
) -> Characterization:
    """A characterization of products by code."""
    table = ProductTable(products, signed, signed, name=name)
    operands = Operands(table.width_a, table.width_b, signed, signed)
    made = from_file(
        TableFile(table, Path(name), "0" * 64, "npy", Order.AB, True, operands, True), name
    )
    if out_bits is None:
        return made
    interface = replace(made.interface, out=replace(made.interface.out, width=out_bits))
    return replace(made, interface=interface)


def random_design(signed: bool) -> Characterization:
    """4 x 4 bits with nothing regular about it: no two mistakes come to the same."""
    rng = np.random.default_rng(11)
    low, high = (-127, 128) if signed else (0, 256)
    return design(rng.integers(low, high, (SIDE, SIDE)), signed)


SIGNED, UNSIGNED = random_design(True), random_design(False)


def v(code: int) -> int:
    """The value of a signed 4-bit code."""
    return code - SIDE if code >= HALF else code


def sign_magnitude(code: int) -> int:
    """The value of a 4-bit code of sign and magnitude."""
    return -(code - HALF) if code >= HALF else code


def table_of(right: Characterization, entry: Callable[[np.ndarray, int, int], int]) -> ProductTable:
    """A table made entry by entry from the right one: (right products, a, b) -> entry."""
    t = right.table.products.astype(int)
    made = [[entry(t, a, b) for b in range(SIDE)] for a in range(SIDE)]
    return ProductTable(np.array(made), right.table.signed_a, right.table.signed_b)


def of_magnitudes(t: np.ndarray, a: int, b: int) -> int:
    return int(t[abs(v(a)), abs(v(b))])


def where_negative(t: np.ndarray, a: int, b: int) -> int:
    return of_magnitudes(t, a, b) if v(a) < 0 and v(b) < 0 else int(t[a, b])


def sign_after(t: np.ndarray, a: int, b: int) -> int:
    return of_magnitudes(t, a, b) * (-1 if (v(a) < 0) != (v(b) < 0) else 1)


def swapped(entry: int, size: int, signed: bool) -> int:
    return int.from_bytes(entry.to_bytes(size, "little", signed=signed), "big", signed=signed)


def sign_magnitude_read_as_twos(entry: int) -> int:
    code = 128 + abs(entry) if entry < 0 else entry
    return code - 256 if code >= 128 else code


CASES: dict[str, tuple[Characterization, Callable[[np.ndarray, int, int], int]]] = {
    "transposed": (UNSIGNED, lambda t, a, b: t[b, a]),
    "magnitudes-where-negative": (SIGNED, where_negative),
    "sign-times-magnitudes": (SIGNED, sign_after),
    "rolled": (SIGNED, lambda t, a, b: t[(a - HALF) % SIDE, (b - HALF) % SIDE]),
    "rolled-a": (SIGNED, lambda t, a, b: t[(a - HALF) % SIDE, b]),
    "rolled-b": (UNSIGNED, lambda t, a, b: t[a, (b - HALF) % SIDE]),
    "out-as-signed": (UNSIGNED, lambda t, a, b: t[a, b] - 256 if t[a, b] >= 128 else t[a, b]),
    "out-as-unsigned": (SIGNED, lambda t, a, b: t[a, b] + 256 if t[a, b] < 0 else t[a, b]),
    "a-as-signed": (UNSIGNED, lambda t, a, b: t[a, b] - a * b + v(a) * b),
    "a-as-unsigned": (SIGNED, lambda t, a, b: t[a, b] - v(a) * v(b) + a * v(b)),
    "b-as-signed": (UNSIGNED, lambda t, a, b: t[a, b] - a * b + a * v(b)),
    "b-as-unsigned": (SIGNED, lambda t, a, b: t[a, b] - v(a) * v(b) + v(a) * b),
    "sign-magnitude-operands": (
        SIGNED,
        lambda t, a, b: t[sign_magnitude(a) % SIDE, sign_magnitude(b) % SIDE],
    ),
    "sign-magnitude-a": (SIGNED, lambda t, a, b: t[sign_magnitude(a) % SIDE, b]),
    "sign-magnitude-b": (SIGNED, lambda t, a, b: t[a, sign_magnitude(b) % SIDE]),
    "sign-magnitude-out": (SIGNED, lambda t, a, b: sign_magnitude_read_as_twos(int(t[a, b]))),
    "bytes-swapped-16": (SIGNED, lambda t, a, b: swapped(int(t[a, b]), 2, True)),
    "bytes-swapped-32": (SIGNED, lambda t, a, b: swapped(int(t[a, b]), 4, True)),
    "zeroed-a": (UNSIGNED, lambda t, a, b: t[a, b] if a else 0),
    "zeroed-b": (UNSIGNED, lambda t, a, b: t[a, b] if b else 0),
    "zeroed": (UNSIGNED, lambda t, a, b: t[a, b] if a and b else 0),
}


def test_every_known_mistake_is_made_here() -> None:
    assert set(CASES) == set(MISTAKES)


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_recognized_and_nothing_else_is(name: str) -> None:
    right, entry = CASES[name]
    diagnosis = diagnose(table_of(right, entry), right)
    assert not diagnosis.equal
    assert [explained.mistakes for explained in diagnosis.explanations] == [(name,)]
    assert diagnosis.explanations[0].texts == (MISTAKES[name].text,)


@pytest.mark.parametrize(
    ("right", "entry", "names"),
    [
        (
            UNSIGNED,
            lambda t, a, b: t[b, a] - 256 if t[b, a] >= 128 else t[b, a],
            {"transposed", "out-as-signed"},
        ),
        (
            SIGNED,
            lambda t, a, b: t[(b - HALF) % SIDE, (a - HALF) % SIDE],
            {"transposed", "rolled"},
        ),
        (
            UNSIGNED,
            lambda t, a, b: swapped(int(t[b, a]), 2, False),
            {"transposed", "bytes-swapped-16"},
        ),
        (
            SIGNED,
            lambda t, a, b: where_negative(t, b, a),
            {"transposed", "magnitudes-where-negative"},
        ),
    ],
)
def test_two_mistakes_at_once_are_recognized(
    right: Characterization, entry: Callable[[np.ndarray, int, int], int], names: set[str]
) -> None:
    (explained,) = diagnose(table_of(right, entry), right).explanations
    assert set(explained.mistakes) == names


def test_swapped_bytes_of_unsigned_words() -> None:
    right = design(exact_table(8, 8).products, signed=False)
    wrong = ProductTable(exact_table(8, 8).products.astype("<u2").byteswap().astype(int))
    assert diagnose(wrong, right).explanations[0].mistakes == ("bytes-swapped-16",)


def test_the_magnitude_mistake_of_adapt_on_a_circuit_of_rtl() -> None:
    # AdaPT's generator calls the multiplier with 256 - i and 256 - j where both codes are 128 or
    # more: with magnitudes, not with the negative values.
    products = MODELS["mul8s_bwtrunc6"]()
    wrong = products.copy()
    for i in range(128, 256):
        for j in range(128, 256):
            wrong[i, j] = products[256 - i, 256 - j]
    right = design(products, signed=True, out_bits=16)
    diagnosis = diagnose(ProductTable(wrong, True, True), right)
    (explained,) = diagnosis.explanations
    assert explained.mistakes == ("magnitudes-where-negative",)
    comparison = diagnosis.comparison
    assert comparison is not None
    assert comparison.differing == np.count_nonzero(wrong != products) > 0
    assert [region.where for region in comparison.regions] == ["a < 0, b < 0"]


def test_other_operand_signs_on_an_exact_multiplier_are_the_other_exact_multiplier() -> None:
    right = design(exact_table(6, 6, signed=True).products, signed=True)
    wrong = exact_table(6, 6)
    diagnosis = diagnose(wrong, right)
    assert len(diagnosis.signs) == 2
    assert "operand a is unsigned in the table, signed in the design" in diagnosis.signs
    assert {explained.mistakes for explained in diagnosis.explanations} == {
        ("a-as-unsigned", "b-as-unsigned")
    }


def test_equal_entries_with_other_signs_are_not_equal() -> None:
    products = SIGNED.table.products
    diagnosis = diagnose(ProductTable(products, True, False), SIGNED)
    assert not diagnosis.equal
    assert diagnosis.signs == ("operand b is unsigned in the table, signed in the design",)
    assert diagnosis.comparison is not None
    assert diagnosis.comparison.differing == 0
    assert diagnosis.explanations == ()


def test_the_table_of_another_design_is_named() -> None:
    other = replace(random_design(True), name="other")
    rng = np.random.default_rng(5)
    right = design(rng.integers(-100, 100, (SIDE, SIDE)), signed=True)
    (explained,) = diagnose(other.table, right, [right, other]).explanations or (None,)
    assert explained is None, "a table is not explained by being itself"
    copy = ProductTable(other.table.products, True, True)
    (explained,) = diagnose(copy, right, [right, other]).explanations
    assert (explained.design, explained.mistakes) == ("other", ())
    assert str(explained) == "it is the table of other"
    turned = ProductTable(other.table.products.T, True, True)
    (explained,) = diagnose(turned, right, [right, other]).explanations
    assert (explained.design, explained.mistakes) == ("other", ("transposed",))


def test_an_equal_table_is_equal() -> None:
    diagnosis = diagnose(ProductTable(SIGNED.table.products, True, True), SIGNED, [UNSIGNED])
    assert diagnosis.equal
    assert diagnosis.explanations == ()


def test_an_unknown_mistake_is_measured_and_not_explained() -> None:
    products = exact_table(8, 4).products.copy()
    products[3, 5] += 2
    products[200, 9] -= 6
    right = design(exact_table(8, 4).products, signed=False)
    diagnosis = diagnose(ProductTable(products), right)
    comparison = diagnosis.comparison
    assert comparison is not None
    assert (comparison.differing, comparison.max_abs, comparison.mean_abs) == (2, 6, 4.0)
    assert (comparison.rows, comparison.columns, comparison.mean_signed) == (2, 2, -2.0)
    assert [(entry.a, entry.b, entry.found, entry.expected) for entry in comparison.first] == [
        (3, 5, 17, 15),
        (200, 9, 1794, 1800),
    ]
    assert [(region.where, region.differing) for region in comparison.regions] == [
        ("a < 128, b < 8", 1),
        ("a >= 128, b >= 8", 1),
    ]
    assert diagnosis.explanations == ()
    assert diagnosis.pairs_tried


def test_a_transpose_of_unequal_widths_has_another_shape() -> None:
    right = design(exact_table(6, 3).products + np.arange(8), signed=False)
    diagnosis = diagnose(ProductTable(right.table.products.T), right)
    assert diagnosis.comparison is None
    assert (diagnosis.shape, diagnosis.expected_shape) == ((8, 64), (64, 8))
    assert [explained.mistakes for explained in diagnosis.explanations] == [("transposed",)]


def test_tables_of_other_operands_are_not_compared() -> None:
    with pytest.raises(ConfigError, match="cannot be a table of") as refused:
        check_kind(exact_table(8, 8), exact_table(8, 4))
    assert "8 and 4 bits" in str(refused.value)
    check_kind(exact_table(4, 8), exact_table(8, 4))
