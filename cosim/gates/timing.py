"""Static timing analysis: the longest path through a netlist by the cell library's delays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        delay_ps: latest arrival at an output port; 0 if no output depends on an operand.
        path: the nets of the longest path, from an input port to an output port.
        input_slew_ps: assumed slew of the operands.
        arrivals: by net: latest rise and latest fall; None for edges that never come.
    """

    delay_ps: float
    path: tuple[int, ...]
    input_slew_ps: float
    arrivals: tuple[tuple[Arrival | None, Arrival | None], ...]


def analyse_timing(netlist: Netlist, *, input_slew_ps: float = 0.0) -> Timing | None:
    """Find the longest path, for the worst edge on every pin and without false-path analysis.

    Delays and slews are looked up in the library's tables, beyond their grid by its last cell.

    Args:
        netlist: the mapped netlist, with its loads.
        input_slew_ps: slew of the operands, which all arrive at time 0.

    Returns:
        The timing, or None where the library states no delay for an output that is in use.
    """
    arrivals: list[list[Arrival | None]] = [[None, None] for _ in range(netlist.nets)]
    for nets in netlist.inputs.values():
        for net in nets:
            arrivals[net] = [Arrival(0.0, input_slew_ps, None)] * 2
    for stage in netlist.stages:
        if stage.pins and not stage.output.arcs:
            return None
        arrivals[stage.net] = _arrivals(stage, netlist.loads_ff[stage.net], arrivals)
    ends = [
        (arrival.time_ps, net, edge)
        for nets in netlist.outputs.values()
        for net in nets
        for edge in (RISE, FALL)
        if (arrival := arrivals[net][edge]) is not None
    ]
    delay, net, edge = max(ends, default=(0.0, -1, RISE))
    frozen = tuple((rise, fall) for rise, fall in arrivals)
    return Timing(delay, _path(frozen, net, edge), input_slew_ps, frozen)


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
