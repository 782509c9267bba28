"""Static timing analysis: the longest path through a netlist by the cell library's delays.

In a clocked netlist paths begin at the inputs, which change with the active clock edge, and at the
flip-flops, and end at the outputs and at the flip-flops, which they must reach a setup time before
the next edge. The clock is ideal: it comes everywhere at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .clock import clock_nets
from .functions import pins_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from ..interface import Clocking
    from .library import Sense, TimingArc
    from .netlist import Netlist, Stage

RISE, FALL = 0, 1
_CAUSES: dict[Sense, tuple[tuple[int, ...], tuple[int, ...]]] = {
    # Which input edges make the output (rise, fall).
    "positive": ((RISE,), (FALL,)),
    "negative": ((FALL,), (RISE,)),
    "both": ((RISE, FALL), (RISE, FALL)),
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """When an edge of a net has come at the latest.

    Attributes:
        time_ps: the time, from the change of the operands.
        slew_ps: the edge's slew, the worst of those that can cause it.
        cause: (net, edge) that the latest one came from; None at an input port.
    """

    time_ps: float
    slew_ps: float
    cause: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Timing:
    """The result of a static timing analysis.

    Attributes:
        delay_ps: latest arrival at an output port; 0 if no output depends on an operand. Of a
            clocked netlist, the least clock period: the greatest of ``parts_ps``.
        path: the nets of the longest path, from an input port or the clock to an output port or
            the input of a flip-flop.
        input_slew_ps: assumed slew of the operands and of the clock.
        arrivals: by net: latest rise and latest fall; None for edges that never come. Of a
            clocked netlist, those of the paths that begin where the longest does.
        parts_ps: "input to register", "register to register", "register to output" and "input to
            output" -> the longest of these paths, setup time included; those that there are.
        setup_stated: whether the library states the setup times of all flip-flops.
    """

    delay_ps: float
    path: tuple[int, ...]
    input_slew_ps: float
    arrivals: tuple[tuple[Arrival | None, Arrival | None], ...]
    parts_ps: Mapping[str, float] = field(default_factory=dict)
    setup_stated: bool = True


_End = tuple[float, int, int]
"""When it must be there at the latest, net, edge."""


def analyse_timing(
    netlist: Netlist, clocking: Clocking | None = None, *, input_slew_ps: float = 0.0
) -> Timing | None:
    """Find the longest path, for the worst edge on every pin and without false-path analysis.

    Delays and slews are looked up in the library's tables, beyond their grid by its last cell.

    Args:
        netlist: the mapped netlist, with its loads.
        clocking: its clock, if it has flip-flops.
        input_slew_ps: slew of the operands, which all arrive at time 0, and of the clock.

    Returns:
        The timing, or None where the library states no delay for an output that is in use.

    Raises:
        DesignError: a flip-flop takes another clock.
    """
    clock = clock_nets(netlist, clocking) if clocking is not None else {}
    ports = {net for nets in netlist.inputs.values() for net in nets} - clock.keys()
    best: tuple[_End, tuple[tuple[Arrival | None, Arrival | None], ...]] | None = None
    parts: dict[str, float] = {}
    starts = {"input": ports} | ({"register": set(clock)} if netlist.registers else {})
    for start, sources in starts.items():
        arrivals = _propagate(netlist, sources, clock, input_slew_ps)
        if arrivals is None:
            return None
        ends = {"output": list(_at_outputs(netlist, arrivals))}
        ends["register"] = list(_at_registers(netlist, arrivals))
        for end, found in ends.items():
            if found:
                last = max(found)
                parts[f"{start} to {end}"] = last[0]
                if best is None or last[0] > best[0][0]:
                    best = last, arrivals
    if best is None:
        return Timing(0.0, (), input_slew_ps, ((None, None),) * netlist.nets)
    (delay, net, edge), arrivals = best
    stated = all(one.cell.register is None or one.cell.register.setups for one in netlist.instances)
    return Timing(
        delay, _path(arrivals, net, edge), input_slew_ps, arrivals, parts, setup_stated=stated
    )


def _propagate(
    netlist: Netlist, sources: Collection[int], clock: Collection[int], slew_ps: float
) -> tuple[tuple[Arrival | None, Arrival | None], ...] | None:
    """Return all arrivals if the sources change at time 0; None where a delay is not stated."""
    arrivals: list[list[Arrival | None]] = [[None, None] for _ in range(netlist.nets)]
    for net in sources:
        arrivals[net] = [Arrival(0.0, slew_ps, None)] * 2
    for stage in netlist.stages:
        if stage.pins and not stage.output.arcs:
            return None
        if stage.net not in clock:
            arrivals[stage.net] = _arrivals(stage, netlist.loads_ff[stage.net], arrivals)
    return tuple((rise, fall) for rise, fall in arrivals)


def _at_outputs(
    netlist: Netlist, arrivals: tuple[tuple[Arrival | None, Arrival | None], ...]
) -> Iterator[_End]:
    for nets in netlist.outputs.values():
        for net in nets:
            for edge in (RISE, FALL):
                if (arrival := arrivals[net][edge]) is not None:
                    yield arrival.time_ps, net, edge


def _at_registers(
    netlist: Netlist, arrivals: tuple[tuple[Arrival | None, Arrival | None], ...]
) -> Iterator[_End]:
    """Yield what arrives at the data inputs of flip-flops, setup times added."""
    for instance in netlist.registers:
        register = instance.cell.register
        assert register is not None
        setups = {setup.pin: setup for setup in register.setups}
        data = pins_of(register.next_state)
        for pin, net in instance.pins.items():
            for edge in (RISE, FALL):
                arrival = arrivals[net][edge]
                if pin not in data or pin == register.state or arrival is None:
                    continue
                needed = 0.0
                if pin in setups:
                    table = setups[pin].rise_ps if edge == RISE else setups[pin].fall_ps
                    needed = table.at(arrival.slew_ps, 0.0)
                yield arrival.time_ps + needed, net, edge


def _arrivals(
    stage: Stage, load_ff: float, arrivals: list[list[Arrival | None]]
) -> list[Arrival | None]:
    latest: list[Arrival | None] = [None, None]
    for arc in stage.output.arcs:
        net = stage.pins[arc.pin]
        for edge in (RISE, FALL):
            for source in _CAUSES[arc.sense][edge]:
                start = arrivals[net][source]
                if start is not None:
                    new = _through(arc, edge, start, load_ff, (net, source))
                    latest[edge] = _later(latest[edge], new)
    return latest


def _through(
    arc: TimingArc, edge: int, start: Arrival, load_ff: float, cause: tuple[int, int]
) -> Arrival:
    delay = arc.rise_ps if edge == RISE else arc.fall_ps
    slew = arc.rise_slew_ps if edge == RISE else arc.fall_slew_ps
    return Arrival(
        start.time_ps + delay.at(start.slew_ps, load_ff, extrapolate=True),
        max(0.0, slew.at(start.slew_ps, load_ff, extrapolate=True)),
        cause,
    )


def _later(old: Arrival | None, new: Arrival) -> Arrival:
    """Keep the latest time and, on its own, the worst slew (as timing analysers do)."""
    if old is None:
        return new
    slew = max(old.slew_ps, new.slew_ps)
    last = new if new.time_ps > old.time_ps else old
    return Arrival(last.time_ps, slew, last.cause)


def _path(
    arrivals: tuple[tuple[Arrival | None, Arrival | None], ...], net: int, edge: int
) -> tuple[int, ...]:
    nets: list[int] = []
    while net >= 0:
        nets.append(net)
        arrival = arrivals[net][edge]
        net, edge = arrival.cause if arrival is not None and arrival.cause else (-1, RISE)
    return tuple(reversed(nets))
