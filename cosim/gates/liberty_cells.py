"""One ``cell`` group of a Liberty file becomes a :class:`GateCell`, or a reason why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .functions import Function, parse_function, pins_of, truth_table
from .liberty_groups import Template, Units, attribute, cell_name, read_table
from .liberty_registers import EDGE, output_function, read_register, with_setups
from .library import GateCell, InputPin, OutputPin, Register, Sense, TimingArc
from .lookup import LookupTable, weighted_sum

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SENSES: dict[str, Sense] = {
    "positive_unate": "positive",
    "negative_unate": "negative",
    "non_unate": "both",
}
_STATE_GROUPS = {
    "ff_bank": "holds more than one bit",
    "latch": "a latch",
    "latch_bank": "a latch",
    "statetable": "keeps state that only a table describes",
    "memory": "a memory",
}
_MAX_STATE_PINS = 10
"""Cells with more inputs get the plain mean over their ``when`` groups."""


class SkippedCell(Exception):  # noqa: N818 - not an error: the cell is left out
    """Why a cell cannot be used; caught by the library's reader."""


@dataclass(frozen=True, slots=True)
class CellReader:
    """Reads the cells of one library.

    Attributes:
        units: the library's units.
        templates: its table templates.
        default_leakage: its ``default_cell_leakage_power``, in its units.
    """

    units: Units
    templates: Mapping[str, Template]
    default_leakage: str | None

    def read(self, cell: Any) -> GateCell:
        """Return the cell.

        Raises:
            SkippedCell: it is neither a combinational function of single-bit pins nor a
                flip-flop of one bit.
            ConfigError: a function cannot be read.
            ValueError: a figure or table cannot be read.
        """
        _check_kind(cell)
        pins = {name: pin for pin in cell.get_groups("pin") for name in _names(pin)}
        inputs = [name for name, pin in pins.items() if attribute(pin, "direction") == "input"]
        functions = {
            name: parse_function(text)
            for name, pin in pins.items()
            if (text := attribute(pin, "function")) is not None
        }
        register = _register(cell, inputs, functions)
        _check_pins(pins, inputs, functions, register)
        # A flip-flop's bit counts as one more pin: it is as likely 0 as 1.
        states = _states([*inputs, register.state] if register else inputs, functions)
        if register is not None:
            register = with_setups(
                register, {name: pins[name] for name in inputs}, self.templates, self.units
            )
        return GateCell(
            name=cell_name(cell),
            area_um2=float(attribute(cell, "area") or 0.0),
            leakage_nw=self._leakage(cell),
            inputs=tuple(self._input(name, pins[name], states) for name in inputs),
            outputs=tuple(
                self._output(name, pins[name], function, inputs, states, register)
                for name, function in functions.items()
            ),
            register=register,
        )

    def _leakage(self, cell: Any) -> float | None:
        scale = self.units.leakage_nw
        if scale is None:
            return None
        stated = attribute(cell, "cell_leakage_power")
        values = [attribute(group, "value") for group in cell.get_groups("leakage_power")]
        found = [float(value) for value in values if value is not None]
        if stated is None and found:
            return scale * sum(found) / len(found)
        stated = stated if stated is not None else self.default_leakage
        return None if stated is None else scale * float(stated)

    def _input(self, name: str, pin: Any, states: _States) -> InputPin:
        stated = [attribute(pin, key) for key in ("rise_capacitance", "fall_capacitance")]
        capacitance = attribute(pin, "capacitance")
        values = [float(v) for v in ([capacitance] if capacitance else stated) if v is not None]
        if not values:
            raise ValueError(f"pin {name} has no capacitance")
        # Each group counts for the share of the states in which it applies.
        parts = [
            (states.share(attribute(group, "when")), table)
            for group in pin.get_groups("internal_power")
            if (table := self._energy(group)) is not None
        ]
        load = self.units.capacitance_ff * sum(values) / len(values)
        return InputPin(name, load, weighted_sum(parts))

    def _output(
        self,
        name: str,
        pin: Any,
        function: Function,
        inputs: list[str],
        states: _States,
        register: Register | None,
    ) -> OutputPin:
        by_cause: dict[str, list[tuple[float, LookupTable]]] = {}
        for group in pin.get_groups("internal_power"):
            table = self._energy(group)
            if table is None:
                continue
            for cause in (attribute(group, "related_pin") or "").split() or [""]:
                part = (states.share(attribute(group, "when")), table)
                by_cause.setdefault(cause, []).append(part)
        if register is not None and register.clock in by_cause:
            # Reset and preset work before an operation, the clock during it.
            by_cause = {register.clock: by_cause[register.clock]}
        means = [mean for parts in by_cause.values() if (mean := _mean(parts)) is not None]
        energy = _mean([(1.0, mean) for mean in means])
        kind = "combinational" if register is None else EDGE[register.falling]
        arcs = [
            arc
            for group in pin.get_groups("timing")
            if (attribute(group, "timing_type") or "combinational").startswith(kind)
            for arc in self._arcs(group, function, inputs)
        ]
        return OutputPin(name, function, energy, tuple(arcs))

    def _energy(self, group: Any) -> LookupTable | None:
        """Return the mean of the rise and fall tables of an ``internal_power`` group."""
        wanted = ("rise_power", "fall_power", "power")
        tables = [
            table
            for inner in group.groups
            if inner.group_name in wanted
            and (table := self._table(inner, self.units.energy_fj)) is not None
        ]
        return _mean([(1.0, table) for table in tables])

    def _arcs(self, group: Any, function: Function, inputs: list[str]) -> list[TimingArc]:
        tables = {
            inner.group_name: table
            for inner in group.groups
            if (table := self._table(inner, self.units.time_ps)) is not None
        }
        rise, fall = tables.get("cell_rise"), tables.get("cell_fall")
        if rise is None and fall is None:
            return []
        rise, fall = rise or fall, fall or rise
        zero = LookupTable((0.0,), (0.0,), (0.0,))
        slews = tables.get("rise_transition", zero), tables.get("fall_transition", zero)
        assert rise is not None
        assert fall is not None
        stated = _SENSES.get(attribute(group, "timing_sense") or "")
        return [
            TimingArc(pin, stated or _sense(function, pin), rise, fall, *slews)
            for pin in (attribute(group, "related_pin") or "").split()
            if pin in inputs
        ]

    def _table(self, group: Any, scale: float) -> LookupTable | None:
        if not group.get_attributes("values"):
            return None
        return read_table(group, self.templates, self.units, scale)


@dataclass(frozen=True, slots=True)
class _States:
    """The states of a cell's pins, each input combination being equally likely."""

    pins: tuple[str, ...]
    outputs: Mapping[str, tuple[bool, ...]]

    def share(self, when: str | None) -> float:
        """Return the share of the states in which a ``when`` condition holds."""
        if when is None or len(self.pins) > _MAX_STATE_PINS:
            return 1.0
        condition = parse_function(when)
        count = 1 << len(self.pins)
        held = 0
        for state in range(count):
            values: dict[str, bool] = {
                pin: bool((state >> k) & 1) for k, pin in enumerate(self.pins)
            }
            values |= {name: table[state] for name, table in self.outputs.items()}
            held += _holds(condition, values)
        return held / count


def _states(inputs: list[str], functions: Mapping[str, Function]) -> _States:
    pins = tuple(inputs)
    if len(pins) > _MAX_STATE_PINS:
        return _States(pins, {})
    return _States(pins, {name: truth_table(f, pins) for name, f in functions.items()})


def _holds(condition: Function, values: Mapping[str, bool]) -> bool:
    unknown = pins_of(condition) - values.keys()
    if unknown:
        raise ValueError(f"a when condition names {', '.join(sorted(unknown))}, which is no pin")
    pins = tuple(sorted(pins_of(condition)))
    index = sum(values[pin] << k for k, pin in enumerate(pins))
    return truth_table(condition, pins)[index]


def _sense(function: Function, pin: str) -> Sense:
    """Derive how an output follows an input from its function."""
    pins = (pin, *sorted(pins_of(function) - {pin}))
    table = truth_table(function, pins)
    pairs = set(zip(table[0::2], table[1::2], strict=True))  # (value at pin = 0, at pin = 1)
    rises, falls = (False, True) in pairs, (True, False) in pairs
    if rises == falls:
        return "both"
    return "positive" if rises else "negative"


def _mean(parts: Iterable[tuple[float, LookupTable]]) -> LookupTable | None:
    kept = [(weight, table) for weight, table in parts if weight > 0]
    total = sum(weight for weight, _ in kept)
    return weighted_sum([(weight / total, table) for weight, table in kept])


def _names(pin: Any) -> list[str]:
    return [str(name).strip().strip('"') for name in pin.args]


def _check_kind(cell: Any) -> None:
    kinds = {group.group_name for group in cell.groups}
    for kind, reason in _STATE_GROUPS.items():
        if kind in kinds:
            raise SkippedCell(reason)
    if attribute(cell, "clock_gating_integrated_cell"):
        raise SkippedCell("a clock gate")
    if kinds & {"bus", "bundle"}:
        raise SkippedCell("has bus pins")


def _register(cell: Any, inputs: list[str], functions: dict[str, Function]) -> Register | None:
    """Read what makes a cell a flip-flop, and put its outputs in terms of its state."""
    if not cell.get_groups("ff"):
        return None
    register = read_register(cell, inputs)
    if isinstance(register, str):
        raise SkippedCell(register)
    for name, function in functions.items():
        of_state = output_function(function, register, cell)
        if of_state is None:
            raise SkippedCell(f"output {name} is not its state alone")
        functions[name] = of_state
    return register


def _check_pins(
    pins: Mapping[str, Any],
    inputs: list[str],
    functions: Mapping[str, Function],
    register: Register | None,
) -> None:
    for name, pin in pins.items():
        direction = attribute(pin, "direction")
        if attribute(pin, "three_state"):
            raise SkippedCell("tri-state")
        if direction not in ("input", "output"):
            raise SkippedCell(f"pin {name} is {direction or 'without direction'}")
        if direction == "output" and name not in functions:
            raise SkippedCell(f"output {name} has no function")
    if not functions:
        raise SkippedCell("no output")
    for name, function in functions.items():
        unknown = pins_of(function) - set(inputs) - ({register.state} if register else set())
        if unknown:
            what = ", ".join(sorted(unknown))
            raise SkippedCell(f"the function of {name} names {what}, which is no input")
