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


class ClockStyle(StrEnum):
    """How operands and products of a clocked multiplier follow each other."""

    PIPELINED = "pipelined"
    """New operands at every clock edge; each product appears a fixed number of cycles later."""
    HELD = "held"
    """Operands stay until the product appears, a fixed number of cycles after reset or change."""
    HANDSHAKE = "handshake"
    """A start input begins an operation, and a done output marks its product."""


@dataclass(frozen=True, slots=True)
class ControlInput:
    """An input of one bit that is neither an operand nor the clock.

    Attributes:
        name: its name in the Verilog.
        active_low: whether 0 asserts it.
    """

    name: str
    active_low: bool = False


@dataclass(frozen=True, slots=True)
class Clocking:
    """The clock of a multiplier that has one, and what goes with it.

    Attributes:
        clock: name of the clock input.
        falling: whether the falling edge is the active one.
        reset: the reset input, asserted before the first operation; None if there is none.
        start: the input that begins an operation, None if there is none.
        done: name of the output that marks the product as valid, None if there is none.
        enables: inputs that stay asserted throughout (clock enable, chip select).
        decided_from: "sidecar" or "names".
    """

    clock: str
    falling: bool = False
    reset: ControlInput | None = None
    start: ControlInput | None = None
    done: str | None = None
    enables: tuple[ControlInput, ...] = ()
    decided_from: str = "names"


@dataclass(frozen=True, slots=True)
class Latency:
    """When a clocked multiplier's product appears, as measured in simulation.

    Attributes:
        style: how operations follow each other.
        cycles: active clock edges from the one that takes the operands to the one after which
            the product can be read, that one included; the greatest seen, for a handshake.
        least_cycles: the least seen; equal to ``cycles`` except for a handshake whose time
            varies with the operands.
        interval_cycles: clock cycles between two operations; 1 for a pipeline.
    """

    style: ClockStyle
    cycles: int
    least_cycles: int
    interval_cycles: int


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
        clocking: its clock and control signals; None for a combinational multiplier.
    """

    module: str
    a: Port
    b: Port
    out: Port
    order_from: OrderRule
    parameters: Mapping[str, int]
    front_end: str
    clocking: Clocking | None = None

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
