"""Products of bit patterns are those of IEEE 754, as numpy's hardware types compute them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.cosim.float_format import number_format
from rtlgrad.lutgen.float_codes import (
    NumberClass,
    class_of,
    codes_from,
    fields_of,
    ieee_product,
    number_text,
)
from rtlgrad.lutgen.rounding import Rounding, rounded, rounding_of, significand_products

TYPES = {"float16": (np.float16, np.uint16), "float32": (np.float32, np.uint32)}
FORMATS = {"float16": number_format(5, 10), "float32": number_format(8, 23)}


@pytest.mark.parametrize("name", TYPES)
def test_products_are_those_of_the_hardware(name: str) -> None:
    kind, bits = TYPES[name]
    form = FORMATS[name]
    rng = np.random.default_rng(1)
    codes: Any = rng.integers(0, 1 << form.width, (2, 20_000), dtype=bits)
    with np.errstate(all="ignore"):
        products = (codes[0].view(kind) * codes[1].view(kind)).view(bits)
    for a, b, expected in zip(*codes.tolist(), products.tolist(), strict=True):
        found = ieee_product(a, b, form, nearest=True)
        if found is None:
            assert class_of(expected, form) is NumberClass.NAN
        else:
            assert found == expected, (number_text(a, form), number_text(b, form))


def test_fields_are_put_together_again() -> None:
    form = number_format(8, 7)
    codes = np.arange(1 << 16, dtype=np.uint64)
    parts = fields_of(codes, form)
    assert np.array_equal(codes_from(parts.sign, parts.exponent, parts.mantissa, form), codes)


def test_numbers_are_shown_with_pattern_and_value() -> None:
    form = number_format(8, 7)
    assert number_text(0x3F80, form) == "0x3f80 (1)"
    assert number_text(0xC040, form) == "0xc040 (-3)"
    assert number_text(0xFF80, form) == "0xff80 (-infinity)"


@given(st.integers(1, 52), st.data())
@settings(deadline=None, max_examples=150)
def test_truncation_lies_below_and_nearest_within_half_a_unit(
    bits: int, data: st.DataObject
) -> None:
    codes = st.integers(0, (1 << bits) - 1)
    i, j = np.array([data.draw(codes)]), np.array([data.draw(codes)])
    products = significand_products(i, j, bits)
    exact = (2**bits + int(i[0])) * (2**bits + int(j[0]))
    assert int(products[0]) == exact
    for rounding in (Rounding.TRUNCATED, Rounding.NEAREST_EVEN, Rounding.NEAREST_UP):
        mantissa, carry = rounded(products, bits, rounding)
        assert 0 <= mantissa[0] < 2**bits
        value = (2**bits + int(mantissa[0])) << (bits + int(carry[0]))
        unit = 1 << (bits + int(exact >= 1 << (2 * bits + 1)))
        if rounding is Rounding.TRUNCATED:
            assert 0 <= exact - value < unit
        else:
            assert 2 * abs(exact - value) <= unit
        assert rounding_of(products, bits, mantissa, carry) in Rounding


def test_the_rounding_of_a_table_is_found_out() -> None:
    codes = np.arange(16)
    products = significand_products(codes[:, None], codes[None, :], 4)
    for rounding in (Rounding.TRUNCATED, Rounding.NEAREST_EVEN, Rounding.NEAREST_UP):
        mantissa, carry = rounded(products, 4, rounding)
        assert rounding_of(products, 4, mantissa, carry) is rounding
    mantissa[3, 3] ^= 1
    assert rounding_of(products, 4, mantissa, carry) is Rounding.NEITHER
