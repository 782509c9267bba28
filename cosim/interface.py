"""What the outside of a multiplier looks like: the data types that every later stage reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_OPERAND_BITS = 2
MAX_OPERAND_BITS = 12
"""Exhaustive simulation and tables take operands of 2 to 12 bits each (2^24 products)."""


class OrderRule(StrEnum):
    """How it was decided which port is operand a and which is b."""

    SIDECAR = "sidecar"
    NAMES = "names"
    DECLARATION = "declaration"


class SignRule(StrEnum):
    """How it was decided whether a port is signed (two's complement)."""

    SIDECAR = "sidecar"
    KEYWORD = "keyword"
    NAME = "name"
    OPERANDS = "operands"
    UNSIGNED = "unsigned"


@dataclass(frozen=True, slots=True)
class Port:
    """One port in one role.

    Attributes:
        name: its name in the Verilog.
        width: bits.
        signed: whether its code is two's complement.
        signed_from: the rule that decided it.
    """

    name: str
    width: int
    signed: bool
    signed_from: SignRule

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest value that the port can carry."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1


@dataclass(frozen=True, slots=True)
class Interface:
    """A multiplier seen from outside.

    Attributes:
        module: name of the top module.
        a: activation operand, the table's row.
        b: weight operand, the table's column.
        out: the product.
        order_from: the rule that told a from b.
        parameters: parameter overrides of this variant, by name.
        front_end: the parser that read the source, "pyverilog" or "pyslang".
    """

    module: str
    a: Port
    b: Port
    out: Port
    order_from: OrderRule
    parameters: Mapping[str, int]
    front_end: str

    @property
    def exact_product_bits(self) -> int:
        """Bits that every exact product needs; one more for a sign where the output has one."""
        low, high = exact_product_range(self.a, self.b)
        if low < 0 or self.out.signed:
            return max((-low - 1).bit_length(), high.bit_length()) + 1
        return high.bit_length()


def exact_product_range(a: Port, b: Port) -> tuple[int, int]:
    """Return the least and the greatest exact product of two operands."""
    corners = [x * y for x in a.limits for y in b.limits]
    return min(corners), max(corners)
