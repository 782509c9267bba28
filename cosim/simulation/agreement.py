"""What several sweeps of one design say together: its products, or that it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import RtlgradError, SimulationError, UnknownOutputError
from ..interface import ClockStyle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..design import Design
    from ..interface import Latency

    Codes = NDArray[np.uint64]


def agreed(
    design: Design, passes: Sequence[Codes | RtlgradError], latency: Latency | None = None
) -> NDArray[np.int64] | RtlgradError:
    """Return the outputs if all passes agree, else the error that names where they do not.

    Args:
        design: the design.
        passes: output codes of each sweep, uint64 [2^wa, 2^wb], or what it ended in.
        latency: how the operations of a clocked design went.

    Returns:
        Sign-decoded outputs, int64 [2^wa, 2^wb].
    """
    for result in passes:
        if isinstance(result, RtlgradError):
            return result
    arrays = [result for result in passes if not isinstance(result, RtlgradError)]
    for other in arrays[1:]:
        differing = np.argwhere(other != arrays[0])
        if len(differing):
            a, b = (int(code) for code in differing[0])
            one, two = sorted({int(arrays[0][a, b]), int(other[a, b])})
            return _disagreement(
                design,
                f"for operand codes a={a} b={b} it is {one:#x} in one sweep and {two:#x} in "
                f"another ({len(differing)} of {other.size} operand pairs differ)",
                latency,
            )
    out = design.interface.out
    if not out.signed and bool((arrays[0] > np.uint64(np.iinfo(np.int64).max)).any()):
        return SimulationError(
            f"{design.path}: output {out.name!r} of {design.name} does not fit a table",
            got=f"the value {int(arrays[0].max())}",
            expected="products that fit 32 bits",
        )
    return decode(arrays[0], out.width, out.signed)


def _disagreement(design: Design, got: str, latency: Latency | None) -> UnknownOutputError:
    what = f"{design.path}: the output of {design.name} is not a function of its operands"
    if latency is None:
        return UnknownOutputError(
            what,
            got=got,
            expected="the same output for the same operands, whatever unknown bits are and "
            "whatever was applied before",
            remedy="look for undriven nets, x literals, incomplete case or if (a latch), and "
            "incomplete sensitivity lists",
        )
    remedy = (
        "look for state that stays from one operation to the next (an accumulator is no "
        "multiplier), and for registers that neither reset nor operands set"
    )
    if latency.style is ClockStyle.HELD:
        remedy += (
            f"; or some operands take more than the {latency.cycles} clock cycles that others "
            "take: then add a done output"
        )
    return UnknownOutputError(
        what,
        got=got,
        expected="the same product for the same operands, whatever registers hold at first, "
        "whatever was applied before, and however long after it is due it is read",
        remedy=remedy,
    )


def decode(codes: Codes, width: int, signed: bool) -> NDArray[np.int64]:
    """Return the values of output codes: two's complement where ``signed``.

    Args:
        codes: unsigned bit patterns, any shape.
        width: bits of a code, at most 64.
        signed: whether codes are two's complement; unsigned ones must be below 2^63.
    """
    if not signed:
        return codes.astype(np.int64)
    shift = np.int64(64 - width)
    return (codes.astype(np.int64) << shift) >> shift
