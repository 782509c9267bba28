"""Floating-point numbers as bit patterns: their fields, and products rounded after IEEE 754."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..cosim.float_format import FloatFormat

    Codes = NDArray[np.uint64]


class NumberClass(StrEnum):
    """What a bit pattern stands for."""

    ZERO = "zero"
    SUBNORMAL = "subnormal"
    NORMAL = "normal"
    INFINITY = "infinity"
    NAN = "NaN"


@dataclass(frozen=True, eq=False, slots=True)
class Fields:
    """The fields of numbers.

    Attributes:
        sign: uint64 [N], 0 or 1.
        exponent: int64 [N], as stored, with its bias.
        mantissa: int64 [N], without the leading one.
    """

    sign: Codes
    exponent: NDArray[np.int64]
    mantissa: NDArray[np.int64]


def fields_of(codes: Codes, form: FloatFormat) -> Fields:
    """Take numbers apart."""
    m, e = np.uint64(form.mantissa_bits), np.uint64(form.exponent_bits)
    return Fields(
        sign=(codes >> (m + e)) & np.uint64(1),
        exponent=((codes >> m) & np.uint64(form.max_exponent)).astype(np.int64),
        mantissa=(codes & ((np.uint64(1) << m) - np.uint64(1))).astype(np.int64),
    )


def codes_from(
    sign: NDArray[Any], exponent: NDArray[Any], mantissa: NDArray[Any], form: FloatFormat
) -> Codes:
    """Put numbers together; the inverse of `fields_of`."""
    m, e = np.uint64(form.mantissa_bits), np.uint64(form.exponent_bits)
    high = (np.asarray(sign).astype(np.uint64) << e) | np.asarray(exponent).astype(np.uint64)
    return (high << m) | np.asarray(mantissa).astype(np.uint64)


def class_of(code: int, form: FloatFormat) -> NumberClass:
    """Return what a bit pattern stands for."""
    exponent = (code >> form.mantissa_bits) & form.max_exponent
    mantissa = code & ((1 << form.mantissa_bits) - 1)
    if exponent == form.max_exponent:
        return NumberClass.NAN if mantissa else NumberClass.INFINITY
    if exponent:
        return NumberClass.NORMAL
    return NumberClass.SUBNORMAL if mantissa else NumberClass.ZERO


def number_text(code: int, form: FloatFormat) -> str:
    """Return a number for people, as bit pattern and value: ``0x3f80 (1)``."""
    shown = f"{code:#0{2 + -(-form.width // 4)}x}"
    kind = class_of(code, form)
    sign = "-" if code >> (form.width - 1) else ""
    if kind in (NumberClass.NAN, NumberClass.INFINITY):
        return f"{shown} ({sign}{kind})"
    significand, exponent = significand_of(code, form)
    return f"{shown} ({sign}{math.ldexp(significand, exponent):.9g})"


def significand_of(code: int, form: FloatFormat) -> tuple[int, int]:
    """Return a finite number's magnitude as (integer, power of two)."""
    exponent = (code >> form.mantissa_bits) & form.max_exponent
    mantissa = code & ((1 << form.mantissa_bits) - 1)
    significand = mantissa | ((1 << form.mantissa_bits) if exponent else 0)
    return significand, max(exponent, 1) - form.bias - form.mantissa_bits


def encode(sign: int, significand: int, exponent: int, form: FloatFormat, *, nearest: bool) -> int:
    """Return the number (-1)^sign * significand * 2^exponent, rounded, as a bit pattern.

    Numbers below the least normal one become subnormal or zero, those past the greatest finite
    one infinite, however rounded: what truncation does there is a matter of its own.

    Args:
        sign: 0 or 1.
        significand: an integer from 0 up.
        exponent: power of two of its unit.
        form: the format.
        nearest: to nearest, ties to even; otherwise towards 0.
    """
    least = 1 - form.bias - form.mantissa_bits  # exponent of the unit of subnormal numbers
    length = significand.bit_length()
    unit = max(exponent + length - 1 - form.mantissa_bits, least)
    kept = _shifted(significand, unit - exponent, nearest)
    if kept >> (form.mantissa_bits + 1):
        kept, unit = kept >> 1, unit + 1
    top = sign << (form.width - 1)
    if kept >> form.mantissa_bits == 0:  # then unit is the least
        return top | kept
    stored = unit - least + 1
    if stored >= form.max_exponent:
        return top | form.max_exponent << form.mantissa_bits
    return top | stored << form.mantissa_bits | (kept - (1 << form.mantissa_bits))


def _shifted(significand: int, right: int, nearest: bool) -> int:
    if right <= 0:
        return significand << -right
    kept = significand >> right
    if nearest:
        rest, half = significand - (kept << right), 1 << (right - 1)
        kept += rest > half or (rest == half and kept & 1)
    return kept


def ieee_product(a: int, b: int, form: FloatFormat, *, nearest: bool) -> int | None:
    """Return the product of two bit patterns after IEEE 754; None stands for any NaN."""
    kinds = (class_of(a, form), class_of(b, form))
    sign = (a ^ b) >> (form.width - 1) & 1
    if NumberClass.NAN in kinds or set(kinds) == {NumberClass.INFINITY, NumberClass.ZERO}:
        return None
    if NumberClass.INFINITY in kinds:
        return sign << (form.width - 1) | form.max_exponent << form.mantissa_bits
    (first, power), (second, other) = significand_of(a, form), significand_of(b, form)
    return encode(sign, first * second, power + other, form, nearest=nearest)
