"""Tells from a stream of operands whether a design is a pipeline, and how deep it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .probing import Trace

MAX_DELAY = 64
"""Clock edges that a pipeline is looked through for."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Operands that change in every cycle.

    Attributes:
        first: number of the first cycle.
        numbers: int [cycles], number of each cycle's operands in the pool.
        starts: bool [cycles], whether the start input was asserted.
    """

    first: int
    numbers: NDArray[np.int64]
    starts: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Delay:
    """Where in the output a stream was found again.

    Attributes:
        cycles: clock edges from operands to product, 0 if the output follows without an edge;
            the greatest of any bit.
        aligned: whether all bits of the product come in the same cycle.
    """

    cycles: int
    aligned: bool


def pipeline_delay(
    trace: Trace,
    stream: Stream,
    width: int,
    done: NDArray[np.int8] | None,
    claimed: int | None = None,
) -> Delay | None:
    """Find the delay after which each output bit depends on nothing but one pair of operands.

    Equal operands occur many times in the stream, after and before others; the delay is one
    for which the bit is then always the same. With a done output, that must be asserted for the
    products of those cycles in which start was, and for no others.

    Args:
        trace: what the design answered.
        stream: what it was given; at least `MAX_DELAY` cycles longer than what is looked at.
        width: bits of the output.
        done: int8 [cycles of the trace], None if there is no done output.
        claimed: the only delay to consider.

    Returns:
        The smallest delay; None if there is none, or the output does not depend on the operands.
    """
    count = len(stream.numbers) - MAX_DELAY
    judged = np.flatnonzero(stream.starts[:count])
    order = judged[np.argsort(stream.numbers[judged], kind="stable")]
    heads = np.flatnonzero(np.diff(stream.numbers[order], prepend=-1))
    bits = trace.bits(width)
    fixed = np.zeros((MAX_DELAY + 1, width), bool)
    varies = np.zeros(MAX_DELAY + 1, bool)
    for delay in range(MAX_DELAY + 1):
        at = stream.first + order + max(delay - 1, 0)
        seen = bits[(trace.before if delay == 0 else trace.after)[at]]
        least = np.minimum.reduceat(seen, heads)
        fixed[delay] = (least == np.maximum.reduceat(seen, heads)).all(axis=0) & (least >= 0).all(
            axis=0
        )
        varies[delay] = (seen != seen[0]).any()
    considered = range(MAX_DELAY + 1) if claimed is None else [claimed]
    for delay in considered:
        if delay <= MAX_DELAY and fixed[delay].all() and varies[delay]:
            on_time = done is None or _marks(done, stream, count, delay)
            return Delay(delay, aligned=True) if on_time else None
    if claimed is None and fixed.any(axis=0).all() and varies.all():
        return Delay(int(fixed.argmax(axis=0).max()), aligned=False)
    return None


def _marks(done: NDArray[np.int8], stream: Stream, count: int, delay: int) -> bool:
    at = stream.first + np.arange(count) + max(delay - 1, 0)
    return bool((done[at] == stream.starts[:count]).all())
