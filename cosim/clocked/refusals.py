"""Why operations that were watched make no multiplier with a latency, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .probing import Pair


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the operations of a design make no multiplier with a latency.

    Attributes:
        weight: the greater, the more it explains.
        what: what is wrong, to follow the design's name.
        got: what was seen, with operands.
        expected: what would have been right.
        remedy: what to do.
        unknown: whether the output was X or Z.
    """

    weight: int
    what: str
    got: str
    expected: str
    remedy: str
    unknown: bool = False


def no_start() -> Refusal:
    """There is a done output, and nothing that begins an operation."""
    return Refusal(
        0,
        "has a done output, but neither a start nor a reset input",
        "no way to tell which operands a product belongs to",
        "an input that begins an operation",
        'name it in the sidecar: [clock] start = "PORT" or reset = "PORT"',
    )


def constant(text: str, count: int) -> Refusal:
    """The output is the same for all operands; it is given in hexadecimal."""
    return Refusal(
        0,
        "does not answer to its operands",
        f"the output is {int(text, 16):#x} for each of {count} pairs of operands",
        "products",
        "look at the levels of reset, start and enables in the sidecar's [clock]",
    )


def never_done(pair: Pair, cycles: int, *, stays: bool) -> Refusal:
    """Done does not come, or is asserted all the time."""
    return Refusal(
        1,
        "does not say when its product is there",
        f"for {named(pair)} done does not come within {cycles} clock cycles: "
        + ("it stays asserted" if stays else "it is not asserted"),
        "a done output that is asserted when the product is there",
        "look at the levels of clock, reset, start and done in the sidecar's [clock]",
    )


def unsettled(pair: Pair, cycles: int) -> Refusal:
    """The output goes on changing."""
    return Refusal(
        2,
        "does not settle on a product",
        f"with {named(pair)} held for {cycles} clock cycles the output still changes",
        "an output that stays once the product is there, or a done output",
        "an accumulator is no multiplier; if it is one, give it a done output, or name done, "
        "reset and start in the sidecar's [clock]",
    )


def keeps_state(pair: Pair, one: str, other: str) -> Refusal:
    """The same operands had two products, given in hexadecimal."""
    return Refusal(
        3,
        "keeps state from one operation to the next",
        f"for {named(pair)} the product is {int(one, 16):#x} in one operation and "
        f"{int(other, 16):#x} in another",
        "the same product for the same operands, whatever was applied before",
        "an accumulator is no multiplier; if it is one, look for registers that an operation "
        "does not set, and name clock, reset and start in the sidecar's [clock]",
    )


def too_late(pair: Pair, edge: int, claimed: int) -> Refusal:
    """The output changes after the time that the sidecar says."""
    return Refusal(
        4,
        f"takes longer than the {claimed} cycles that the sidecar says",
        f"for {named(pair)} the output changes until cycle {edge}",
        f"the product after {claimed} clock cycles",
        "correct cycles in the sidecar's [clock]",
    )


def too_early(pair: Pair, edge: int, claimed: int) -> Refusal:
    """All products are there before the time that the sidecar says."""
    return Refusal(
        4,
        f"does not take {claimed} cycles, as the sidecar says",
        f"for all operands, {named(pair)} among them, the product is there after {edge}",
        f"the product after {claimed} clock cycles",
        "correct cycles in the sidecar's [clock], or leave it out",
    )


def varies(early: Pair, early_edge: int, late: Pair, late_edge: int) -> Refusal:
    """The time to the product depends on the operands."""
    return Refusal(
        4,
        "has a latency that varies with its operands, and no done output",
        f"the product is there after {early_edge} clock cycles for {named(early)}, after "
        f"{late_edge} for {named(late)}",
        "the same number of cycles for all operands, or an output that says when it is done",
        "add a done output; or, if the design takes a fixed time and only shows partial results "
        f"before, say so in the sidecar: [clock] cycles = {late_edge}",
    )


def unknown(pair: Pair, text: str) -> Refusal:
    """A simulator shows X or Z in a product, given in hexadecimal."""
    return Refusal(
        5,
        "has an unknown output",
        f"for {named(pair)} the output is {text} in hexadecimal",
        "0 or 1 on every bit",
        "look for registers that neither reset nor operands set, and for undriven nets",
        unknown=True,
    )


def named(pair: Pair) -> str:
    """Return operand codes as messages name them."""
    return f"operand codes a={pair[0]} b={pair[1]}"
