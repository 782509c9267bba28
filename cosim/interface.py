"""What the outside of a multiplier looks like: the data types that every later stage reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .float_format import FloatFormat

MIN_OPERAND_BITS = 2
MAX_OPERAND_BITS = 64
MAX_TABLE_OPERAND_BITS = 12
"""Exhaustive simulation and tables take operands of up to 12 bits each (2^24 products)."""


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
        done_active_low: whether 0 asserts ``done``, as for an output called busy.
        enables: inputs that stay asserted throughout (clock enable, chip select).
        style: what the sidecar says about how operations follow each other; it is measured
            whether that holds. None if it says nothing.
        cycles: what the sidecar says about the latency, likewise.
        decided_from: "sidecar" or "names".
    """

    clock: str
    falling: bool = False
    reset: ControlInput | None = None
    start: ControlInput | None = None
    done: str | None = None
    done_active_low: bool = False
    enables: tuple[ControlInput, ...] = ()
    style: ClockStyle | None = None
    cycles: int | None = None
    decided_from: str = "names"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all inputs that are no operands."""
        controls = (self.reset, self.start, *self.enables)
        return (self.clock, *(control.name for control in controls if control is not None))


RESET_CYCLES = 4
"""Clock cycles for which a reset is asserted: enough for one that is synchronized first."""


@dataclass(frozen=True, slots=True)
class Latency:
    """When a clocked multiplier's product appears, as measured in simulation.

    Attributes:
        style: how operations follow each other.
        cycles: active clock edges from the one that takes the operands to the one after which
            the product can be read, that one included; the greatest seen, for a handshake. 0
            if the product follows the operands without a clock edge.
        least_cycles: the least seen; equal to ``cycles`` except for a handshake whose time
            varies with the operands.
        interval_cycles: clock cycles from the beginning of an operation that takes ``cycles`` to
            the beginning of the next, cycles in reset included; 1 for a pipeline.
        start_held: whether the start input stays asserted until the product is there; else it
            is asserted for one clock edge.
        reset_each: whether each operation begins with `RESET_CYCLES` cycles of reset, which are
            not counted in ``cycles``; the first edge after them takes the operands.
    """

    style: ClockStyle
    cycles: int
    least_cycles: int
    interval_cycles: int
    start_held: bool = False
    reset_each: bool = False

    @property
    def idle_cycles(self) -> int:
        """Cycles from the product of one operation to the beginning of the next."""
        if self.style is ClockStyle.PIPELINED:
            return 0
        return self.interval_cycles - self.cycles - RESET_CYCLES * self.reset_each


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
        format: what its ports carry, for a floating-point multiplier; None for integers.
    """

    module: str
    a: Port
    b: Port
    out: Port
    order_from: OrderRule
    parameters: Mapping[str, int]
    front_end: str
    clocking: Clocking | None = None
    format: FloatFormat | None = None

    @property
    def tabulable(self) -> bool:
        """Whether every operand pair can be simulated: operands of at most 12 bits each."""
        return max(self.a.width, self.b.width) <= MAX_TABLE_OPERAND_BITS

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
