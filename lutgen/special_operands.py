"""What a floating-point multiplier does outside normal numbers.

Operand pairs with zeros, subnormals, infinities and NaN, and those whose products overflow or
underflow, are sampled by class, and what the design answers for a class is given a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from ..cosim.wide import Pairs
from .float_codes import (
    NumberClass,
    class_of,
    codes_from,
    encode,
    ieee_product,
    number_text,
    significand_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from ..cosim.float_format import FloatFormat
    from .mantissa import MantissaTable

PAIRS_PER_CLASS = 512


class Behaviour(StrEnum):
    """What a multiplier answers for a class of operands."""

    IEEE = "ieee"
    """What IEEE 754 says; where that is a rounding, truncated or to nearest, of the exact product
    or of the design's own."""
    FLUSH = "flush to zero"
    """Subnormal operands count as zeros, and subnormal products are zeros, with the right sign."""
    SATURATE = "largest finite number"
    """In place of an infinity."""
    OTHER = "other"


class SpecialClass(StrEnum):
    """Classes of operand pairs, in either order and of either sign."""

    ZERO = "zero x finite"
    SUBNORMAL = "subnormal x finite"
    UNDERFLOW = "underflow"
    OVERFLOW = "overflow"
    INFINITY = "infinity x normal or infinity"
    INFINITY_SUBNORMAL = "infinity x subnormal"
    INFINITY_ZERO = "infinity x zero"
    NAN = "NaN x anything"


@dataclass(frozen=True, slots=True)
class CounterExample:
    """An operand pair for which a design does not answer as expected; numbers are hex and value.

    Attributes:
        a: operand a.
        b: operand b.
        got: the design's product.
        expected: what was expected.
    """

    a: str
    b: str
    got: str
    expected: str

    def __str__(self) -> str:
        return f"{self.a} x {self.b} = {self.got}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class SpecialCase:
    """What a design does with one class of operand pairs.

    Attributes:
        operands: the class.
        behaviour: what it answers; one that all sampled pairs share.
        pairs: how many were sampled.
        other_than_ieee: how many of them are not what IEEE 754 says.
        counter_example: one of those; None if there is none.
    """

    operands: SpecialClass
    behaviour: Behaviour
    pairs: int
    other_than_ieee: int
    counter_example: CounterExample | None = None


def draw_special(form: FloatFormat, generator: np.random.Generator) -> dict[SpecialClass, Pairs]:
    """Draw operand pairs of every class."""
    top, bias = form.max_exponent, form.bias
    normal, any_finite = (1, top - 1), (0, top - 1)

    def numbers(exponents: tuple[int, int], mantissas: tuple[int, int]) -> NDArray[np.uint64]:
        count = PAIRS_PER_CLASS
        return codes_from(
            generator.integers(0, 2, count),
            generator.integers(exponents[0], exponents[1], count, endpoint=True),
            generator.integers(mantissas[0], mantissas[1], count, endpoint=True),
            form,
        )

    some = (0, (1 << form.mantissa_bits) - 1)
    nonzero = (1, some[1])
    zero, infinity = ((0, 0), (0, 0)), ((top, top), (0, 0))
    subnormal, nan = ((0, 0), nonzero), ((top, top), nonzero)
    kinds: dict[SpecialClass, tuple[tuple[tuple[int, int], tuple[int, int]], ...]] = {
        SpecialClass.ZERO: (zero, (any_finite, some)),
        SpecialClass.SUBNORMAL: (subnormal, (any_finite, nonzero)),
        # The product of two numbers below 2^(1 - bias/2) or so, and of two such large ones.
        SpecialClass.UNDERFLOW: ((normal, some), ((1, max(1, bias // 2)), some)),
        SpecialClass.OVERFLOW: ((normal, some), ((bias + bias // 2, top - 1), some)),
        SpecialClass.INFINITY: (infinity, ((1, top), (0, 0))),
        SpecialClass.INFINITY_SUBNORMAL: (infinity, subnormal),
        SpecialClass.INFINITY_ZERO: (infinity, zero),
        SpecialClass.NAN: (nan, ((0, top), some)),
    }
    found = {}
    for kind, (first, second) in kinds.items():
        a, b = numbers(*first), numbers(*second)
        swap = generator.integers(0, 2, PAIRS_PER_CLASS).astype(bool)
        found[kind] = Pairs(np.where(swap, b, a), np.where(swap, a, b))
    return found


def judge(
    kind: SpecialClass,
    pairs: Pairs,
    products: Sequence[int],
    form: FloatFormat,
    table: MantissaTable | None,
) -> SpecialCase:
    """Name what a design does with a class of operand pairs.

    Args:
        kind: the class.
        pairs: the operands; for overflow and underflow only those whose product is out of range.
        products: the design's answers.
        form: the format.
        table: the design's mantissas, if it has a table of them: results may be rounded from its
            own products.
    """
    operands = [(int(a), int(b)) for a, b in zip(pairs.a, pairs.b, strict=True)]
    rules = _rules(form, table)
    wrong = {
        rule: [
            index
            for index, ((a, b), got) in enumerate(zip(operands, products, strict=True))
            if not _equal(got, expected(a, b), form)
        ]
        for rule, expected in rules.items()
    }
    # Of the several ways of rounding, the one that fits best speaks for IEEE.
    ieee = min((rule for rule in wrong if rule[0] is Behaviour.IEEE), key=lambda r: len(wrong[r]))
    fitting = [rule[0] for rule in (ieee, *wrong) if not wrong[rule]]
    example = None
    if wrong[ieee]:
        index = wrong[ieee][0]
        a, b = operands[index]
        example = _example(a, b, products[index], rules[ieee](a, b), form)
    return SpecialCase(
        operands=kind,
        behaviour=fitting[0] if fitting else Behaviour.OTHER,
        pairs=len(operands),
        other_than_ieee=len(wrong[ieee]),
        counter_example=example,
    )


Rule = tuple[Behaviour, str]


def _rules(
    form: FloatFormat, table: MantissaTable | None
) -> dict[Rule, Callable[[int, int], int | None]]:
    rules: dict[Rule, Callable[[int, int], int | None]] = {}
    for nearest in (False, True):
        way = "nearest" if nearest else "truncated"

        def exact(a: int, b: int, nearest: bool = nearest) -> int | None:
            return ieee_product(a, b, form, nearest=nearest)

        def own(a: int, b: int, nearest: bool = nearest) -> int | None:
            assert table is not None
            return _own_product(a, b, form, table, nearest)

        def flushed(a: int, b: int, nearest: bool = nearest) -> int | None:
            product = ieee_product(_flushed(a, form), _flushed(b, form), form, nearest=nearest)
            return None if product is None else _flushed(product, form)

        rules[Behaviour.IEEE, way] = exact
        if table is not None:
            rules[Behaviour.IEEE, f"own {way}"] = own
        rules[Behaviour.FLUSH, way] = flushed
    rules[Behaviour.SATURATE, ""] = lambda a, b: _saturated(
        ieee_product(a, b, form, nearest=False), form
    )
    rules[Behaviour.FLUSH, "own"] = lambda a, b: _always_zero(a, b, form)
    return rules


def _flushed(code: int, form: FloatFormat) -> int:
    if class_of(code, form) is NumberClass.SUBNORMAL:
        return code >> (form.width - 1) << (form.width - 1)
    return code


def _always_zero(a: int, b: int, form: FloatFormat) -> int | None:
    """Flush whatever the exact product is, if both operands are finite.

    A product just below the least normal number, rounded up, is that number after IEEE 754; one
    that is flushed before rounding is zero.
    """
    finite = (NumberClass.ZERO, NumberClass.SUBNORMAL, NumberClass.NORMAL)
    if class_of(a, form) in finite and class_of(b, form) in finite:
        return (a ^ b) >> (form.width - 1) << (form.width - 1)
    return ieee_product(_flushed(a, form), _flushed(b, form), form, nearest=False)


def _saturated(product: int | None, form: FloatFormat) -> int | None:
    if product is not None and class_of(product, form) is NumberClass.INFINITY:
        return product - 1  # the pattern before infinity is the greatest finite number
    return product


def _own_product(
    a: int, b: int, form: FloatFormat, table: MantissaTable, nearest: bool
) -> int | None:
    """Return the IEEE product with the table's mantissas in place of the exact product's."""
    finite = (NumberClass.SUBNORMAL, NumberClass.NORMAL)
    if class_of(a, form) not in finite or class_of(b, form) not in finite:
        return ieee_product(a, b, form, nearest=nearest)
    (i, power), (j, other) = (_normalized(code, form) for code in (a, b))
    one = 1 << form.mantissa_bits
    significand = (one + int(table.mantissa[i, j])) << int(table.carry[i, j])
    sign = (a ^ b) >> (form.width - 1) & 1
    exponent = power + other + form.mantissa_bits
    return encode(sign, significand, exponent, form, nearest=nearest)


def _normalized(code: int, form: FloatFormat) -> tuple[int, int]:
    """Return mantissa and exponent of the unit of a finite number brought to m + 1 bits."""
    significand, exponent = significand_of(code, form)
    shift = form.mantissa_bits + 1 - significand.bit_length()
    return (significand << shift) - (1 << form.mantissa_bits), exponent - shift


def _equal(got: int, expected: int | None, form: FloatFormat) -> bool:
    if expected is None:
        return class_of(got, form) is NumberClass.NAN
    return got == expected


def _example(a: int, b: int, got: int, expected: int | None, form: FloatFormat) -> CounterExample:
    wanted = "NaN" if expected is None else number_text(expected, form)
    return CounterExample(
        number_text(a, form), number_text(b, form), number_text(got, form), wanted
    )


def remarks(cases: Sequence[SpecialCase]) -> Iterator[str]:
    """Say where a design departs from what users of its table take for granted.

    They count subnormal numbers as zero and let products that are too large be infinite.
    """
    for case in cases:
        if case.behaviour in (Behaviour.OTHER, Behaviour.SATURATE):
            yield (
                f"{case.operands}: {case.behaviour}; {case.other_than_ieee} of {case.pairs} "
                f"sampled products are not those of IEEE 754 ({case.counter_example})"
            )
        elif case.behaviour is Behaviour.IEEE and case.operands in (
            SpecialClass.SUBNORMAL,
            SpecialClass.UNDERFLOW,
        ):
            yield f"{case.operands}: the design computes subnormal numbers, its table does not"
