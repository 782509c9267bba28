"""Floating-point formats, and what part of such a number a multiplier's ports carry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

KNOWN_FORMATS = {
    "bfloat16": (8, 7),
    "float16": (5, 10),
    "float32": (8, 23),
    "float64": (11, 52),
}
"""Name -> bits of exponent and of mantissa (the leading one not counted)."""

MIN_EXPONENT_BITS, MAX_EXPONENT_BITS = 2, 11
MAX_FORMAT_MANTISSA_BITS = 52
"""What fits 64 bits with a sign; the widest is IEEE's float64."""

MAX_TABLE_MANTISSA_BITS = 11
"""A table of every pair of mantissas has 4^11 entries then; wider ones are sampled."""


class FloatPart(StrEnum):
    """What part of a floating-point number an operand is."""

    SIGNIFICAND = "significand"
    """m + 1 bits with the leading one: an unsigned integer multiplier."""
    MANTISSA = "mantissa"
    """The m bits below the leading one; the product is {carry, mantissa}, m + 1 bits."""
    NUMBER = "number"
    """All of it: sign, biased exponent, mantissa, from the top bit down."""


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """What a floating-point multiplier's ports carry.

    Attributes:
        part: which part of a number.
        mantissa_bits: m, the bits below the leading one; 0 in a sidecar that leaves it to the ports.
        exponent_bits: bits of the exponent; 0 unless ``part`` is a whole number.
    """

    part: FloatPart
    mantissa_bits: int = 0
    exponent_bits: int = 0

    @property
    def width(self) -> int:
        """Bits of an operand."""
        if self.part is FloatPart.NUMBER:
            return 1 + self.exponent_bits + self.mantissa_bits
        return self.mantissa_bits + (self.part is FloatPart.SIGNIFICAND)

    @property
    def bias(self) -> int:
        """What the exponent field holds for a number in [1, 2), after IEEE 754."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def max_exponent(self) -> int:
        """The exponent field of infinities and NaNs, all ones."""
        return (1 << self.exponent_bits) - 1

    @property
    def tabulable(self) -> bool:
        """Whether a mantissa table can hold every pair of mantissas."""
        return 1 <= self.mantissa_bits <= MAX_TABLE_MANTISSA_BITS

    def __str__(self) -> str:
        if self.part is not FloatPart.NUMBER:
            return f"{self.part} of {self.mantissa_bits} mantissa bits"
        key = (self.exponent_bits, self.mantissa_bits)
        named = next((name for name, bits in KNOWN_FORMATS.items() if bits == key), None)
        return named or f"float with {key[0]} exponent and {key[1]} mantissa bits"


def number_format(exponent_bits: int, mantissa_bits: int) -> FloatFormat:
    """Return the format of complete numbers with these bits, a sign on top."""
    return FloatFormat(FloatPart.NUMBER, mantissa_bits, exponent_bits)
