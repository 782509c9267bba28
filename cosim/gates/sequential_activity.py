"""Counts how often each net of a clocked netlist changes while operations follow each other.

A clock cycle begins at the active edge: the flip-flops take their next states and the inputs
change at the same instant, and the gates answer. The stream is cut into pieces that run side by
side in lanes; each begins with operations that are not counted, so that its flip-flops hold what
they would have held in one piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..interface import RESET_CYCLES, ClockStyle
from .activity import Activity, add_unit_delay, sinks_of
from .packed import count_ones, pack_codes
from .sequential import Lanes, begin, make_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..interface import Interface, Latency
    from .functions import Words
    from .netlist import Netlist
    from .sequential import Machine, Operands
    from .stimulus import Stimulus

LANES = 1 << 14


def count_clocked_toggles(
    netlist: Netlist, interface: Interface, latency: Latency, stimulus: Stimulus
) -> Activity:
    """Count the toggles of every net, over all operations of a stream but the first.

    An operation takes ``latency.interval_cycles`` clock cycles; in a handshake whose time varies
    with the operands, that is the time of the slowest, and the others wait.

    Returns:
        The toggles; nets that carry the clock toggle twice a cycle. ``transitions`` is the number
        of operations.

    Raises:
        DesignError: the ports differ from the interface's, or a flip-flop takes another clock.
    """
    machine = make_machine(netlist, interface)
    counter = _Counter(machine)
    operations = stimulus.pairs - 1
    count = min(LANES, operations)
    each = -(-operations // count)
    firsts = 1 + each * np.arange(count)
    pipelined = latency.style is ClockStyle.PIPELINED
    # Without a pipeline, the last edge of an operation comes in the first cycle of the next.
    unseen = latency.cycles + 1 if pipelined else 2
    pairs = [_pair(machine, stimulus, firsts - unseen)]
    lanes = Lanes(machine, machine.start(len(pairs[0][0][0]), ones=False))
    values = lanes.values(begin(lanes, pairs[0]))
    for step in range(-unseen, each):
        numbers = firsts + step
        # The last lanes may have fewer operations than the others.
        counted = (numbers < stimulus.pairs) if step >= 0 else np.zeros(count, bool)
        (mask,) = pack_codes(counted.astype(np.uint64), 1)
        for new in _cycles(lanes, latency, _pair(machine, stimulus, numbers)):
            if step >= 0:
                counter.add(values, new, mask)
            values = new
    for net in machine.clock:
        counter.zero[net] = counter.unit[net] = 2 * latency.interval_cycles * operations
    return Activity(counter.zero, counter.unit, operations)


def _pair(machine: Machine, stimulus: Stimulus, numbers: NDArray[np.int64]) -> Operands:
    chosen = numbers.clip(0, stimulus.pairs - 1)
    interface = machine.interface
    a = pack_codes(stimulus.a[chosen], interface.a.width)
    b = pack_codes(stimulus.b[chosen], interface.b.width)
    return a, b


def _cycles(lanes: Lanes, latency: Latency, pair: Operands) -> Iterator[list[Words]]:
    """Run one operation in every lane; yield the settled nets of each of its clock cycles.

    The first cycles' inputs follow the last edge of the operation before.
    """
    machine = lanes.machine
    if latency.style is ClockStyle.PIPELINED:
        inputs = machine.inputs(*pair, start=True)
        yield lanes.values(inputs)
        lanes.edge(inputs)
        return
    if latency.reset_each:
        inputs = machine.inputs(*pair, reset=True)
        for _ in range(RESET_CYCLES):
            yield lanes.values(inputs)
            lanes.edge(inputs)
    waiting = ~np.zeros_like(pair[0][0])
    rest = machine.inputs(*pair)
    inputs = machine.inputs(*pair, start=True)
    handshake = latency.style is ClockStyle.HANDSHAKE
    fresh = np.zeros_like(waiting)
    for cycle in range(latency.cycles + latency.idle_cycles):
        if (cycle and not latency.start_held) or cycle >= latency.cycles:
            inputs = rest
        elif cycle and handshake:
            done = machine.done(lanes.values(inputs))
            waiting = waiting & ~(fresh & done)
            inputs = machine.inputs(*pair, start=waiting)
        values = lanes.values(inputs)
        if handshake:
            fresh = fresh | ~machine.done(values)
        yield values
        lanes.edge(inputs)


class _Counter:
    """Adds up toggles, those of settled values and those with glitches."""

    def __init__(self, machine: Machine) -> None:
        self.netlist = machine.netlist
        self.zero = np.zeros(self.netlist.nets, dtype=np.int64)
        self.unit = np.zeros(self.netlist.nets, dtype=np.int64)
        self._sinks = sinks_of(self.netlist)
        inputs = [net for nets in self.netlist.inputs.values() for net in nets]
        self._sources = [*inputs, *(one.state for one in machine.followers)]

    def add(self, old: list[Words], new: list[Words], mask: Words) -> None:
        """Count one clock cycle in the lanes of the mask."""
        started = [(x & mask) | (y & ~mask) for x, y in zip(old, new, strict=True)]
        self.zero += [count_ones(x ^ y) for x, y in zip(new, started, strict=True)]
        add_unit_delay(self.netlist, self._sinks, new, started, self._sources, self.unit)
