"""A cell library as this package uses it: functions, loads, energies, delays, in fixed units."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .functions import Function
    from .lookup import LookupTable

Sense = Literal["positive", "negative", "both"]


@dataclass(frozen=True, slots=True)
class InputPin:
    """An input of a cell.

    Attributes:
        name: pin name.
        capacitance_ff: the load that it puts on its net, mean of rise and fall, in fF.
        energy_fj: internal energy of one transition of the pin beyond what the output's
            transition takes, over the slew (fJ); None where the library states none.
    """

    name: str
    capacitance_ff: float
    energy_fj: LookupTable | None


@dataclass(frozen=True, slots=True)
class TimingArc:
    """How an output follows one input.

    Attributes:
        pin: the input.
        sense: whether the output moves with the input, against it, or either way.
        rise_ps: delay of a rising output, in ps.
        fall_ps: delay of a falling output, in ps.
        rise_slew_ps: slew of a rising output, in ps.
        fall_slew_ps: slew of a falling output, in ps.
    """

    pin: str
    sense: Sense
    rise_ps: LookupTable
    fall_ps: LookupTable
    rise_slew_ps: LookupTable
    fall_slew_ps: LookupTable


@dataclass(frozen=True, slots=True)
class OutputPin:
    """An output of a cell.

    Attributes:
        name: pin name.
        function: its value as a function of the cell's input pins; of its state alone, for a
            flip-flop.
        energy_fj: internal energy of one transition over slew and load (fJ), without what goes
            into the load itself; mean over rise and fall, over the pins that can cause the
            transition (the clock, for a flip-flop), and over the cell's states. None where the
            library states none.
        arcs: the timing arcs that end here, from the clock for a flip-flop; empty where the
            library states none.
    """

    name: str
    function: Function
    energy_fj: LookupTable | None
    arcs: tuple[TimingArc, ...]


@dataclass(frozen=True, slots=True)
class Setup:
    """How long before the active clock edge an input of a flip-flop must have settled.

    Attributes:
        pin: the input.
        rise_ps: for a rising input, over the input's slew, at the sharpest clock edge that the
            library tabulates, in ps.
        fall_ps: for a falling input.
    """

    pin: str
    rise_ps: LookupTable
    fall_ps: LookupTable


@dataclass(frozen=True, slots=True)
class Register:
    """What makes a cell a flip-flop (Liberty's ``ff`` group).

    Attributes:
        state: name of the variable that holds its bit; the functions of the outputs read it.
        clock: the clock pin.
        falling: whether it takes its next state at the falling edge.
        next_state: the next state, as a function of the input pins and of the state.
        clear: where this is 1, the state is 0, whatever the clock does; None for never.
        preset: where this is 1, the state is 1; None for never.
        setups: setup times; empty where the library states none.
    """

    state: str
    clock: str
    falling: bool
    next_state: Function
    clear: Function | None
    preset: Function | None
    setups: tuple[Setup, ...]


@dataclass(frozen=True, slots=True)
class GateCell:
    """A combinational cell, or a flip-flop.

    Attributes:
        name: cell name.
        area_um2: the library's area, taken to be um2.
        leakage_nw: static power, mean over its states (nW); None where the library states none.
        inputs: its input pins.
        outputs: its output pins; several for adders.
        register: what makes it a flip-flop; None for a combinational cell.
    """

    name: str
    area_um2: float
    leakage_nw: float | None
    inputs: tuple[InputPin, ...]
    outputs: tuple[OutputPin, ...]
    register: Register | None = None


@dataclass(frozen=True)
class Library:
    """The combinational cells and the flip-flops of one Liberty file.

    Attributes:
        name: the library's own name.
        path: the file.
        sha256: hash of the file's content, as it lies on disk.
        voltage_v: supply voltage of its operating conditions.
        cells: the combinational cells that can be evaluated.
        skipped: other cells -> why they cannot ("a latch", "tri-state" ...).
        registers: the flip-flops that can be evaluated.
    """

    name: str
    path: Path
    sha256: str
    voltage_v: float
    cells: tuple[GateCell, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    registers: tuple[GateCell, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, GateCell]:
        """All cells by name, flip-flops too."""
        return {cell.name: cell for cell in (*self.cells, *self.registers)}
