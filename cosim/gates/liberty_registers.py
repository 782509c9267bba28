"""The ``ff`` group of a Liberty cell becomes a :class:`Register`, or a reason why not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from .functions import Function, Not, Pin, parse_function, pins_of, substitute, truth_table
from .liberty_groups import attribute, cell_name, read_constraint
from .library import Register, Setup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .liberty_groups import Template, Units

_SETUP = {False: "setup_rising", True: "setup_falling"}
EDGE = {False: "rising_edge", True: "falling_edge"}
"""The ``timing_type`` of the arc from the clock, by whether the edge is the falling one."""


def read_register(cell: Any, inputs: Sequence[str]) -> Register | str:
    """Read what makes a cell a flip-flop; its setup times come with :func:`with_setups`.

    Args:
        cell: a cell group with an ``ff`` group.
        inputs: its input pins.

    Returns:
        The flip-flop, or the reason why it cannot be used.

    Raises:
        ConfigError: a function cannot be read.
    """
    groups = cell.get_groups("ff")
    if len(groups) != 1 or not groups[0].args:
        return "holds more than one bit"
    group = groups[0]
    if attribute(group, "clocked_on_also"):
        return "has two clocks"
    state = cell_name(group)
    if {state, inverse_of(cell)} & set(inputs):
        return "its state has the name of a pin"
    edge = _edge(attribute(group, "clocked_on"))
    if edge is None:
        return "its clock is no pin or inverted pin"
    clock, falling = edge
    following = attribute(group, "next_state")
    if following is None:
        return "has no next state"
    functions = {
        name: _in_state(parse_function(text), cell)
        for name in ("next_state", "clear", "preset")
        if (text := attribute(group, name)) is not None
    }
    unknown = {pin for function in functions.values() for pin in pins_of(function)}
    unknown -= {*inputs, state}
    if clock not in inputs or unknown:
        return f"its functions name {', '.join(sorted(unknown) or [clock])}, which is no input"
    return Register(
        state,
        clock,
        falling,
        functions["next_state"],
        functions.get("clear"),
        functions.get("preset"),
        (),
    )


def inverse_of(cell: Any) -> str:
    """Return the name of the inverse of a flip-flop's state; empty where it has none."""
    (group,) = cell.get_groups("ff")
    return str(group.args[1]).strip().strip('"').strip() if len(group.args) > 1 else ""


def output_function(function: Function, register: Register, cell: Any) -> Function | None:
    """Return an output's function of the state alone; None where it reads anything else."""
    function = _in_state(function, cell)
    return function if pins_of(function) == {register.state} else None


def with_setups(
    register: Register, pins: Mapping[str, Any], known: Mapping[str, Template], units: Units
) -> Register:
    """Add the setup times that the input pins state.

    Raises:
        ValueError: a table cannot be read.
    """
    setups = []
    for name, pin in pins.items():
        for group in pin.get_groups("timing"):
            if attribute(group, "timing_type") != _SETUP[register.falling]:
                continue
            tables = {
                inner.group_name: table
                for inner in group.groups
                if inner.get_attributes("values")
                and (table := read_constraint(inner, known, units)) is not None
            }
            rise, fall = tables.get("rise_constraint"), tables.get("fall_constraint")
            if rise is not None or fall is not None:
                rise, fall = rise or fall, fall or rise
                assert rise is not None
                assert fall is not None
                setups.append(Setup(name, rise, fall))
    return replace(register, setups=tuple(setups))


def _in_state(function: Function, cell: Any) -> Function:
    """Replace the inverse of the state by NOT of the state."""
    inverse = inverse_of(cell)
    (group,) = cell.get_groups("ff")
    return substitute(function, inverse, Not(Pin(cell_name(group)))) if inverse else function


def _edge(clocked_on: str | None) -> tuple[str, bool] | None:
    """Return the clock pin and whether its falling edge is the active one."""
    if clocked_on is None:
        return None
    try:
        function = parse_function(clocked_on)
    except ConfigError:
        return None
    pins = tuple(pins_of(function))
    if len(pins) != 1:
        return None
    at_0, at_1 = truth_table(function, pins)
    return None if at_0 == at_1 else (pins[0], at_0)
