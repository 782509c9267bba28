"""A clocked netlist, one clock cycle after the other, for many operand pairs side by side.

A cycle begins at the active clock edge, where every flip-flop takes its next state and the inputs
change; then the gates settle. Asynchronous resets work whenever they are asserted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import DesignError
from ..interface import RESET_CYCLES, ClockStyle
from .clock import clock_nets
from .evaluate import check_ports, settle
from .functions import compiled, pins_of
from .netlist import ZERO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..interface import Clocking, ControlInput, Interface, Latency
    from .functions import Function, Words
    from .netlist import Instance, Netlist

Operands = tuple["Sequence[Words]", "Sequence[Words]"]
"""For each bit of operand a, and of operand b, from the least significant: uint64 [W]."""

State = dict[int, "Words"]
"""State net of each flip-flop -> the bits that it holds, one per lane."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A function of the nets at an instance's pins."""

    operands: tuple[int, ...]
    compute: Callable[..., Words]

    def of(self, values: Sequence[Words]) -> Words:
        return self.compute(*[values[net] for net in self.operands])


@dataclass(frozen=True, slots=True)
class _Follower:
    """What a flip-flop does: its state net, and what it takes when."""

    name: str
    state: int
    following: _Answer
    clear: _Answer | None
    preset: _Answer | None


@dataclass(frozen=True, slots=True)
class Machine:
    """A clocked netlist, ready to run.

    Attributes:
        netlist: the netlist.
        interface: which ports are which.
        clocking: the interface's clock and control signals.
        clock: the nets that carry the clock.
        followers: what its flip-flops do.
    """

    netlist: Netlist
    interface: Interface
    clocking: Clocking
    clock: frozenset[int]
    followers: tuple[_Follower, ...]

    def start(self, words: int, *, ones: bool) -> State:
        """Return a first state: declared initial bits, and 0 or 1 wherever none is declared.

        Args:
            words: words of 64 lanes each.
            ones: whether the other flip-flops hold 1.
        """
        filled = {False: np.zeros(words, np.uint64), True: ~np.zeros(words, np.uint64)}
        initial = self.netlist.initial
        return {one.state: filled[initial.get(one.state, ones)] for one in self.followers}

    def inputs(
        self,
        a: Sequence[Words],
        b: Sequence[Words],
        *,
        reset: bool = False,
        start: bool | Words = False,
    ) -> dict[int, Words]:
        """Return the packed values of all inputs; the clock is at its level before the edge.

        Args:
            a: for each bit of operand a, from the least significant: uint64 [W].
            b: likewise of operand b.
            reset: whether the reset is asserted, where there is one.
            start: whether the start input is; or in which lanes, uint64 [W].
        """
        ports, clocking = self.netlist.inputs, self.clocking
        low = np.zeros_like(a[0])
        high = ~low
        values = dict(zip(ports[self.interface.a.name], a, strict=True))
        values |= dict(zip(ports[self.interface.b.name], b, strict=True))
        values[ports[clocking.clock][0]] = high if clocking.falling else low
        controls: list[tuple[ControlInput | None, bool | Words]] = [
            (clocking.reset, reset),
            (clocking.start, start),
            *((one, True) for one in clocking.enables),
        ]
        for control, asserted in controls:
            if control is not None:
                level = (high if asserted else low) if isinstance(asserted, bool) else asserted
                values[ports[control.name][0]] = ~level if control.active_low else level
        return values

    def done(self, values: Sequence[Words]) -> Words:
        """Return in which lanes done is asserted: uint64 [W]."""
        assert self.clocking.done is not None
        level = values[self.netlist.outputs[self.clocking.done][0]]
        return ~level if self.clocking.done_active_low else level

    def settle(self, inputs: Mapping[int, Words], state: State) -> tuple[list[Words], State]:
        """Let the gates settle, and asynchronous resets with them.

        Returns:
            The value of every net, and the state, which an asserted reset may have changed.

        Raises:
            DesignError: a flip-flop is cleared and preset at once, or resets do not come to rest.
        """
        for _ in range(len(self.followers) + 2):
            values = settle(self.netlist, {**inputs, **state})
            forced = self._forced(values, state)
            if all(np.array_equal(bits, state[net]) for net, bits in forced.items()):
                return values, state
            state = state | forced
        raise DesignError(
            f"{self.netlist.module}: asynchronous resets do not come to rest",
            expected="resets that do not depend on what they reset",
        )

    def edge(self, values: Sequence[Words]) -> State:
        """Return the state after an active clock edge, from the settled values before it.

        What is cleared or preset at the edge stays so.
        """
        taken = {one.state: one.following.of(values) for one in self.followers}
        return taken | self._forced(values, taken)

    def _forced(self, values: Sequence[Words], state: State) -> State:
        """Return the bits of the flip-flops that have a reset or preset, after these."""
        forced: State = {}
        for one in self.followers:
            if one.clear is None and one.preset is None:
                continue
            nowhere = np.zeros_like(state[one.state])
            clear, preset = (
                nowhere if asked is None else asked.of(values) for asked in (one.clear, one.preset)
            )
            if (clear & preset).any():
                raise DesignError(
                    f"{self.netlist.module}: a flip-flop is cleared and preset at once",
                    got=one.name,
                    expected="one of the two at a time",
                )
            forced[one.state] = (state[one.state] & ~clear) | preset
        return forced


class Lanes:
    """Operand pairs side by side in one machine.

    Attributes:
        machine: the machine.
        state: what its flip-flops hold.
    """

    def __init__(self, machine: Machine, state: State) -> None:
        self.machine = machine
        self.state = state
        self._settled: tuple[Mapping[int, Words], list[Words]] | None = None

    def values(self, inputs: Mapping[int, Words]) -> list[Words]:
        """Apply inputs (the same object, if they stay as they are); return every net's value."""
        if self._settled is None or self._settled[0] is not inputs:
            values, self.state = self.machine.settle(inputs, self.state)
            self._settled = (inputs, values)
        return self._settled[1]

    def edge(self, inputs: Mapping[int, Words]) -> None:
        """Apply inputs, let them settle, then let the active clock edge come."""
        self.state = self.machine.edge(self.values(inputs))
        self._settled = None

    def widened(self, words: int) -> Lanes:
        """Return ``words`` words of lanes, each with the states of this one's first word."""
        state = {net: np.full(words, bits[0]) for net, bits in self.state.items()}
        return Lanes(self.machine, state)


def begin(lanes: Lanes, operands: Operands) -> dict[int, Words]:
    """Reset, where there is a reset, then idle as long; return the inputs that are left applied."""
    for reset in (True, False):
        inputs = lanes.machine.inputs(*operands, reset=reset)
        for _ in range(RESET_CYCLES):
            lanes.edge(inputs)
    return inputs


def operate(
    lanes: Lanes, latency: Latency, pair: Operands, previous: Mapping[int, Words]
) -> tuple[list[Words], Words]:
    """Run one operation, as the task ``operate`` of testbenches/clocked.svh does; no pipeline.

    Args:
        lanes: the machine in its lanes.
        latency: how long the operation takes; for a handshake, the longest.
        pair: packed operands.
        previous: the inputs that were applied before.

    Returns:
        The packed bits of the product, and for a handshake in which lanes done did not come.
    """
    machine = lanes.machine
    if latency.reset_each:
        previous = machine.inputs(*pair, reset=True)
        for _ in range(RESET_CYCLES):
            lanes.edge(previous)
    handshake = latency.style is ClockStyle.HANDSHAKE
    out = machine.netlist.outputs[machine.interface.out.name]
    waiting = ~np.zeros_like(pair[0][0])
    # Done may still be asserted from the operation before: it must go first.
    fresh = ~machine.done(lanes.values(previous)) if handshake else waiting
    bits = [np.zeros_like(waiting)] * len(out)
    inputs = machine.inputs(*pair, start=True)
    held = inputs if latency.start_held else machine.inputs(*pair)
    for _ in range(latency.cycles):
        lanes.edge(inputs)
        if handshake:
            values = lanes.values(inputs)
            done = machine.done(values)
            fresh = fresh | ~done
            now = waiting & fresh & done
            bits = [bit | (values[net] & now) for bit, net in zip(bits, out, strict=True)]
            waiting = waiting & ~now
            if latency.start_held and now.any():
                held = machine.inputs(*pair, start=waiting)
        read, inputs = inputs, held
    if not handshake:
        values = lanes.values(read if latency.cycles else inputs)
        bits = [values[net] for net in out]
    return bits, waiting


def make_machine(netlist: Netlist, interface: Interface) -> Machine:
    """Prepare a clocked netlist.

    Raises:
        DesignError: its ports are not the interface's, or a flip-flop takes another clock.
        ValueError: the interface has no clock.
    """
    clocking = interface.clocking
    if clocking is None:
        raise ValueError(f"{interface.module} has no clock")
    check_ports(netlist, interface)
    carrying = clock_nets(netlist, clocking)
    followers = tuple(_follower(one) for one in netlist.registers)
    return Machine(netlist, interface, clocking, frozenset(carrying), followers)


def _follower(instance: Instance) -> _Follower:
    register, state = instance.cell.register, instance.state
    assert register is not None
    assert state is not None
    return _Follower(
        instance.name,
        state,
        _answer(register.next_state, instance),
        None if register.clear is None else _answer(register.clear, instance),
        None if register.preset is None else _answer(register.preset, instance),
    )


def _answer(function: Function, instance: Instance) -> _Answer:
    read = tuple(sorted(pins_of(function)))
    pins = instance.pins
    # A constant takes its shape from the constant's net.
    operands = tuple(pins[pin] for pin in read) or (ZERO,)
    return _Answer(operands, compiled(function, read or ("",)))
