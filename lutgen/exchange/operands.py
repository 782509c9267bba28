"""What has to be known of a table's operands before its numbers mean anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from ...core.errors import ConfigError
from ...cosim.interface import MAX_TABLE_OPERAND_BITS, MIN_OPERAND_BITS

_NOTATION = re.compile(r"\s*([us])(\d{1,2})\s*x\s*([us])(\d{1,2})\s*", re.IGNORECASE)


class Order(StrEnum):
    """Which operand comes first in a file or a call: a is the activation, b the weight."""

    AB = "ab"
    BA = "ba"


@dataclass(frozen=True, slots=True)
class Operands:
    """Widths and signs of a (activation) and b (weight); signed codes are two's complement.

    Attributes:
        width_a: bits of a.
        width_b: bits of b.
        signed_a: whether a is signed.
        signed_b: whether b is signed.
    """

    width_a: int
    width_b: int
    signed_a: bool
    signed_b: bool

    @property
    def signs(self) -> tuple[bool, bool]:
        """Whether a and b are signed."""
        return self.signed_a, self.signed_b

    @property
    def signed_out(self) -> bool:
        """Whether products can be negative."""
        return self.signed_a or self.signed_b

    def __str__(self) -> str:
        sign = {True: "s", False: "u"}
        return f"{sign[self.signed_a]}{self.width_a}x{sign[self.signed_b]}{self.width_b}"


def parse_operands(text: str) -> Operands:
    """Read the notation of `Operands`: ``u8xs4`` is an unsigned 8-bit a and a signed 4-bit b.

    Raises:
        ConfigError: the text is something else, or a width is not 2 to 12.
    """
    found = _NOTATION.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"{text!r} does not describe operands",
            expected="sign and bits of a (activation), x, sign and bits of b (weight): "
            "u8xu8, s8xs8, u8xs4",
        )
    operands = Operands(
        width_a=int(found[2]),
        width_b=int(found[4]),
        signed_a=found[1].lower() == "s",
        signed_b=found[3].lower() == "s",
    )
    check_widths(operands.width_a, operands.width_b, text)
    return operands


def parse_order(text: str) -> Order:
    """Read ``ab`` or ``ba``.

    Raises:
        ConfigError: the text is something else.
    """
    if text.lower() not in tuple(Order):
        raise ConfigError(
            f"{text!r} is not an order of operands",
            expected="ab (the first operand, or the row, is a, the activation) or ba (it is b, "
            "the weight)",
        )
    return Order(text.lower())


def check_widths(width_a: int, width_b: int, what: str) -> None:
    """Check that operands have widths that a table can be used with.

    Raises:
        ConfigError: a width is not 2 to 12 bits.
    """
    if not all(MIN_OPERAND_BITS <= width <= MAX_TABLE_OPERAND_BITS for width in (width_a, width_b)):
        raise ConfigError(
            f"{what}: operands of {width_a} and {width_b} bits",
            expected=f"{MIN_OPERAND_BITS} to {MAX_TABLE_OPERAND_BITS} bits each",
        )
