"""Tells from operations one after the other how long each took, and whether that is fixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import refusals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .probing import Operation, Pair, Trace
    from .refusals import Refusal

_EARLY_SHARE = 1 / 16
"""Random operations whose product may stand in the output before its time by coincidence, in a
design that shows partial results."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How long the operations of a design took.

    Attributes:
        least: clock edges of the shortest.
        most: clock edges of the longest.
        cycles_of: by number of the operands in the pool, the cycles after which its product may
            be read.
        products: by the same number, the output in hexadecimal.
    """

    least: int
    most: int
    cycles_of: Mapping[int, int]
    products: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _Settled:
    """One operation of a design without done: how often and when last its output changed."""

    operation: Operation
    edge: int
    changes: int
    final: int


def handshake_times(
    trace: Trace, operations: Sequence[Operation], pool: Sequence[Pair]
) -> Evidence | Refusal:
    """Judge the operations of a design with a done output.

    The product of an operation is the output at the first edge after which done is asserted, but
    not while done still is so from the operation before.
    """
    cycles: dict[int, int] = {}
    products: dict[int, str] = {}
    least, most = 1 << 30, 0
    for operation in operations:
        taken = _done_after(trace, operation)
        if taken is None:
            window = trace.done[operation.first : operation.first + operation.cycles]
            stays = bool((window == 1).all())
            return refusals.never_done(pool[operation.pair], operation.cycles, stays=stays)
        code = int(trace.after[operation.first + taken - 1])
        clash = _clash(trace, code, operation, products, pool)
        if clash is not None:
            return clash
        least, most = min(least, taken), max(most, taken)
        cycles[operation.pair] = max(taken, cycles.get(operation.pair, 0))
    if len(set(products.values())) == 1:
        return refusals.constant(next(iter(products.values())), len(products))
    return Evidence(least, most, cycles, products)


def _done_after(trace: Trace, operation: Operation) -> int | None:
    window = trace.done[operation.first : operation.first + operation.cycles]
    skipped = 0
    if trace.done[operation.first - 1] != 0:
        low = np.flatnonzero(window == 0)
        if not len(low):
            return None
        skipped = int(low[0])
    high = np.flatnonzero(window[skipped:] == 1)
    return skipped + int(high[0]) + 1 if len(high) else None


def settling_times(
    trace: Trace,
    operations: Sequence[Operation],
    pool: Sequence[Pair],
    *,
    special: int,
    runs_free: bool,
    claimed: int | None,
) -> Evidence | Refusal:
    """Judge the operations of a design without a done output, held for long.

    An operation is over at the edge at which its output changes for the last time. Where the
    output goes straight from one product to the next, that is its latency, and it must be the
    same for all. A design that shows partial results may show the product early by coincidence:
    so many random operations must come to the end that coincidence explains the others. One that
    begins operations by itself, at a fixed rhythm, is met at any point of the rhythm: its output
    then changes only at multiples of a period.

    Args:
        trace: what the design answered.
        operations: what it was given; each held at least twice as long as it takes.
        pool: the operands.
        special: how many pairs of the pool, the first ones, are not random.
        runs_free: whether nothing but the operands begins an operation.
        claimed: the latency that the user says it has. It decides where partial results leave
            it open.
    """
    products: dict[int, str] = {}
    settled = []
    for operation in operations:
        item = _settled(trace, operation)
        if 2 * item.edge > operation.cycles:
            return refusals.unsettled(pool[operation.pair], operation.cycles)
        clash = _clash(trace, item.final, operation, products, pool)
        if clash is not None:
            return clash
        settled.append(item)
    if len(set(products.values())) == 1:
        return refusals.constant(next(iter(products.values())), len(products))
    most = max(item.edge for item in settled)
    early = _unexplained(trace, settled, special, runs_free)
    slowest = next(pool[item.operation.pair] for item in settled if item.edge == most)
    if claimed is None and early is not None:
        return refusals.varies(pool[early.operation.pair], early.edge, slowest, most)
    if claimed is not None and most > claimed:
        return refusals.too_late(slowest, most, claimed)
    if claimed is not None and most < claimed and early is None:
        return refusals.too_early(slowest, most, claimed)
    most = most if claimed is None else claimed
    return Evidence(most, most, dict.fromkeys(products, most), products)


def _settled(trace: Trace, operation: Operation) -> _Settled:
    window = trace.after[operation.first - 1 : operation.first + operation.cycles]
    edges = np.flatnonzero(np.diff(window)) + 1
    return _Settled(operation, int(edges[-1]) if len(edges) else 0, len(edges), int(window[-1]))


def _unexplained(
    trace: Trace, settled: Sequence[_Settled], special: int, runs_free: bool
) -> _Settled | None:
    """Return the operation that was over earliest, if some were before their time."""
    most = max(item.edge for item in settled)
    partial = any(item.changes > 1 for item in settled)
    # An output that stays as it is tells nothing, nor does one that is cleared and stays zero.
    telling = [
        item
        for item in settled
        if item.changes and not (partial and set(trace.texts[item.final]) == {"0"})
    ]
    early = [item for item in telling if item.edge < most]
    if not early:
        return None
    if partial:
        drawn = [item for item in telling if item.operation.pair >= special]
        count = sum(item.edge < most for item in drawn)
        if count <= _EARLY_SHARE * len(drawn):
            return None
    elif runs_free and _period(trace, settled) > 1:
        return None
    return min(early, key=lambda item: item.edge)


def _period(trace: Trace, settled: Sequence[_Settled]) -> int:
    """Return the greatest common divisor of the times between changes of the output."""
    first = settled[0].operation.first
    changes: NDArray[np.int64] = np.flatnonzero(np.diff(trace.after[first:]))
    return int(np.gcd.reduce(np.diff(changes))) if len(changes) > 1 else 0


def _clash(
    trace: Trace,
    code: int,
    operation: Operation,
    products: dict[int, str],
    pool: Sequence[Pair],
) -> Refusal | None:
    """Keep a product; return the refusal if the same operands gave another one before."""
    text = trace.texts[code]
    if not trace.known[code]:
        return refusals.unknown(pool[operation.pair], text)
    before = products.setdefault(operation.pair, text)
    return None if before == text else refusals.keeps_state(pool[operation.pair], before, text)
