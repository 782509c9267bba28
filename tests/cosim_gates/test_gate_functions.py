"""Liberty functions: precedence, every way to write an operator, and evaluation."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError
from rtlgrad.cosim.gates.functions import (
    Binary,
    Const,
    Function,
    Not,
    Pin,
    compiled,
    evaluate,
    format_function,
    parse_function,
    pins_of,
    truth_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

PINS = ("A", "B1", "C_n", "D[0]")
# From loose to tight: the Liberty Reference Manual's order.
LEVEL = {"|": 0, "&": 1, "^": 2}
SPELLINGS = {"|": (" | ", "+"), "&": ("&", " * ", " "), "^": ("^", " ^ ")}


def by_hand(function: Function, values: Mapping[str, bool]) -> bool:
    """Evaluate on single bits, without any of the code under test."""
    if isinstance(function, Const):
        return function.value
    if isinstance(function, Pin):
        return values[function.name]
    if isinstance(function, Not):
        return not by_hand(function.operand, values)
    left, right = by_hand(function.left, values), by_hand(function.right, values)
    return {"|": left or right, "&": left and right, "^": left != right}[function.operator]


def spelled(function: Function, draw: st.DrawFn, level: int = 0) -> str:
    """Write a function with as few parentheses as the precedence allows."""
    if isinstance(function, Const):
        return "1" if function.value else "0"
    if isinstance(function, Pin):
        return function.name
    if isinstance(function, Not):
        inner = spelled(function.operand, draw, 3)
        # !A' would be !(A'): the same, but let each spelling stand alone.
        return f"({inner})'" if draw(st.booleans()) else f"!{inner}"
    own = LEVEL[function.operator]
    join = draw(st.sampled_from(SPELLINGS[function.operator]))
    text = spelled(function.left, draw, own) + join + spelled(function.right, draw, own + 1)
    return f"({text})" if own < level else text


functions = st.recursive(
    st.sampled_from([Pin(name) for name in PINS]) | st.booleans().map(Const),
    lambda inner: (
        inner.map(Not) | st.builds(Binary, st.sampled_from(["&", "|", "^"]), inner, inner)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(functions, st.data())
def test_a_function_reads_as_it_was_written(function: Function, data: st.DataObject) -> None:
    text = data.draw(st.composite(lambda draw: spelled(function, draw))())
    parsed = parse_function(text)
    for bits in itertools.product((False, True), repeat=len(PINS)):
        values = dict(zip(PINS, bits, strict=True))
        assert by_hand(parsed, values) == by_hand(function, values), text


@settings(deadline=None, max_examples=100)
@given(functions, st.integers(0, 2**32 - 1))
def test_words_hold_64_vectors_each(function: Function, seed: int) -> None:
    vectors = 192
    bits = np.random.default_rng(seed).integers(0, 2, (len(PINS), vectors), dtype=np.uint8)
    words = {
        pin: np.packbits(row, bitorder="little").view(np.uint64)
        for pin, row in zip(PINS, bits, strict=True)
    }
    result = evaluate(function, words)
    assert np.array_equal(compiled(function, PINS)(*words.values()), result)
    got = np.unpackbits(result.view(np.uint8), bitorder="little")
    for vector in range(0, vectors, 7):
        values = {pin: bool(row[vector]) for pin, row in zip(PINS, bits, strict=True)}
        assert bool(got[vector]) == by_hand(function, values)


@settings(deadline=None, max_examples=100)
@given(functions)
def test_formatting_and_parsing_undo_each_other(function: Function) -> None:
    assert parse_function(format_function(function)) == function


@pytest.mark.parametrize(
    ("text", "ones"),
    [
        # Pins A, B, C; states numbered A + 2 B + 4 C.
        ("A B ^ C", {3, 5}),  # A & (B ^ C): XOR before AND
        ("A ^ B C", {5, 6}),  # (A ^ B) & C
        ("A + B C", {1, 3, 5, 6, 7}),
        ("!A B", {2, 6}),
        ("A' B'", {0, 4}),
        ("!(A B)'", {3, 7}),
        ("(A)(B)", {3, 7}),
        ("A ^ B ^ C", {1, 2, 4, 7}),
        ("1 A", {1, 3, 5, 7}),
        ("0", set()),
    ],
)
def test_precedence_is_that_of_the_reference_manual(text: str, ones: set[int]) -> None:
    table = truth_table(parse_function(text), ("A", "B", "C"))
    assert {state for state, value in enumerate(table) if value} == ones


def test_quoted_pins_may_start_with_a_digit() -> None:
    assert pins_of(parse_function(r"\"1A\" + \"1B\"'")) == {"1A", "1B"}


@pytest.mark.parametrize("text", ["", "A +", "(A B", "A)", "A ? B", "+ A", "'A", "A ^ ^ B", "2 A"])
def test_what_is_no_function_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot read the Liberty function"):
        parse_function(text)
