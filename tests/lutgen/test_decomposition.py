"""Floating-point multipliers are taken apart, or refused with operands that show why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rtlgrad.core.errors import DesignError
from rtlgrad.cosim.float_format import FloatFormat, number_format
from rtlgrad.lutgen.decomposition import Decomposition, decompose, plan, predict
from rtlgrad.lutgen.float_codes import NumberClass, class_of, fields_of, ieee_product
from rtlgrad.lutgen.float_metrics import table_rounding
from rtlgrad.lutgen.rounding import Rounding
from rtlgrad.lutgen.special_operands import Behaviour, SpecialClass, remarks

if TYPE_CHECKING:
    from rtlgrad.lutgen.mantissa import MantissaTable

FORM = number_format(4, 3)
PLAN = plan(FORM, pairs=6000)
NAN = 0x7F
Multiplier = Callable[[int, int], int]


def ieee(a: int, b: int, *, nearest: bool = True) -> int:
    product = ieee_product(a, b, FORM, nearest=nearest)
    return NAN if product is None else product


def flushed(code: int) -> int:
    return code & 0x80 if class_of(code, FORM) is NumberClass.SUBNORMAL else code


def flushing(a: int, b: int) -> int:
    return flushed(ieee(flushed(a), flushed(b), nearest=False))


def saturating(a: int, b: int) -> int:
    product = ieee(a, b, nearest=False)
    finite = all(class_of(code, FORM) is not NumberClass.INFINITY for code in (a, b))
    return product - 1 if finite and class_of(product, FORM) is NumberClass.INFINITY else product


def without_nan(a: int, b: int) -> int:
    product = ieee_product(a, b, FORM, nearest=False)
    return 0 if product is None else product


def check(multiply: Multiplier) -> tuple[MantissaTable, Decomposition]:
    pairs = PLAN.pairs
    products = [multiply(int(a), int(b)) for a, b in zip(pairs.a, pairs.b, strict=True)]
    return decompose(PLAN, np.array(products, dtype=np.uint64), FORM, "it")


def behaviours(found: Decomposition) -> dict[SpecialClass, Behaviour]:
    return {case.operands: case.behaviour for case in found.specials}


def test_an_ieee_multiplier_is_recognized_as_one() -> None:
    table, found = check(ieee)
    assert table_rounding(table) is Rounding.NEAREST_EVEN
    assert behaviours(found) == dict.fromkeys(SpecialClass, Behaviour.IEEE)
    assert all(case.other_than_ieee == 0 and case.pairs > 50 for case in found.specials)
    # Subnormal numbers are computed, which users of the table do not do.
    assert len(list(remarks(found.specials))) == 2


def test_one_that_flushes_subnormals_is_told_from_it() -> None:
    table, found = check(flushing)
    assert table_rounding(table) is Rounding.TRUNCATED
    told = behaviours(found)
    flushes = {SpecialClass.SUBNORMAL, SpecialClass.UNDERFLOW, SpecialClass.INFINITY_SUBNORMAL}
    for kind in SpecialClass:
        assert told[kind] is (Behaviour.FLUSH if kind in flushes else Behaviour.IEEE), kind
    assert list(remarks(found.specials)) == []


def test_saturation_is_named_and_remarked_on() -> None:
    _, found = check(saturating)
    assert behaviours(found)[SpecialClass.OVERFLOW] is Behaviour.SATURATE
    assert any("largest finite" in remark for remark in remarks(found.specials))


def test_a_missing_nan_is_shown_with_operands() -> None:
    _, found = check(without_nan)
    for case in found.specials:
        if case.operands in (SpecialClass.NAN, SpecialClass.INFINITY_ZERO):
            assert case.behaviour is Behaviour.OTHER
            assert case.other_than_ieee == case.pairs
            assert case.counter_example is not None
            assert (case.counter_example.got, case.counter_example.expected) == ("0x00 (0)", "NaN")


def sign_dependent(a: int, b: int) -> int:
    product = flushing(a, b)
    negative = product & 0x80 and class_of(product, FORM) is NumberClass.NORMAL
    return product ^ 1 if negative else product


def exponent_dependent(a: int, b: int) -> int:
    product = flushing(a, b)
    return (
        product ^ 1
        if (a >> 3 & 15) == 3 and class_of(product, FORM) is NumberClass.NORMAL
        else product
    )


def wrong_at_the_edge(a: int, b: int) -> int:
    product = flushing(a, b)
    return product | 0x78 if (product >> 3 & 15) == 14 else product


@pytest.mark.parametrize("multiply", [sign_dependent, exponent_dependent, wrong_at_the_edge])
def test_what_does_not_decompose_is_refused_with_a_counter_example(multiply: Multiplier) -> None:
    with pytest.raises(DesignError, match="does not decompose") as caught:
        check(multiply)
    a, b, got, expected = (int(part, 16) for part in hexes(str(caught.value.got)))
    assert multiply(a, b) == got != expected
    assert flushing(a, b) == expected


def hexes(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word.startswith("0x")]


@pytest.mark.parametrize(
    "multiply", [lambda a, b: (a * b) & 0xFF, lambda _a, _b: 0, lambda a, b: ieee(a, b) | 0x80]
)
def test_what_is_no_multiplier_of_the_format_is_refused(multiply: Multiplier) -> None:
    with pytest.raises(DesignError, match="is not a multiplier of"):
        check(multiply)


def test_the_sample_covers_all_signs_and_exponents_and_both_edges() -> None:
    a, b = fields_of(PLAN.normal.a, FORM), fields_of(PLAN.normal.b, FORM)
    seen = set(zip(a.sign.tolist(), b.sign.tolist(), a.exponent.tolist(), strict=True))
    assert len(seen) == 4 * 14
    table = check(flushing)[0]
    exponent = predict(table, PLAN.normal, FORM)[1]
    assert {0, 1, 14, 15} <= set(exponent.tolist())


@pytest.mark.parametrize("form", [number_format(2, 1), number_format(5, 2), number_format(8, 7)])
def test_all_formats_can_be_planned_for(form: FloatFormat) -> None:
    made = plan(form, pairs=6000)
    assert len(made.mantissas) == 4**form.mantissa_bits
    assert int(made.pairs.a.max()) < 1 << form.width
    products = [
        ieee_product(int(a), int(b), form, nearest=False)
        for a, b in zip(made.pairs.a, made.pairs.b, strict=True)
    ]
    nan = (1 << (form.width - 1)) - 1
    codes = np.array([nan if p is None else p for p in products], dtype=np.uint64)
    table, found = decompose(made, codes, form, "it")
    assert table_rounding(table) is Rounding.TRUNCATED
    assert {case.behaviour for case in found.specials} == {Behaviour.IEEE}
