"""The flip-flops of the shipped library: figures in ``osu_freepdk45_registers.csv``, as Liberty.

The figures are those published with the OSU FreePDK45 standard cells, reduced as those of the
combinational cells are: delay fitted as t0 + R * load over the published loads, mean of rise and
fall, at an input slew of 0.24 ns; internal energies at that slew, mean of rise and fall (for the
output at a load of 0.5 pF); the setup time at that slew and at the sharpest tabulated clock edge
(0.06 ns), the later of rise and fall. What the cells do at reset and preset is in the functions;
its delays and recovery times are left out, since no operation waits for them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REGISTERS = Path(__file__).with_name("osu_freepdk45_registers.csv")
STATE, INVERSE = "IQ", "IQN"


@dataclass(frozen=True, slots=True)
class RegisterFigures:
    """One flip-flop.

    Attributes:
        name: cell name.
        area_um2: footprint.
        leakage_nw: static power.
        clock: Liberty function that rises at the active edge, ``CLK`` or ``!CLK``.
        next_state: Liberty function of the input pins.
        clear: where the state is 0; empty for never.
        preset: where the state is 1; empty for never.
        capacitance_pf: input pin -> capacitance.
        energy_pj: input pin -> mean internal energy of a transition, where one is published.
        setup_ns: input pin -> setup time.
        output: output pin, which carries the state.
        delay_ns: intrinsic delay t0 from the clock.
        resistance_ns_per_pf: R, the slope of delay over load.
        output_energy_pj: mean internal energy of a transition of the output.
    """

    name: str
    area_um2: float
    leakage_nw: float
    clock: str
    next_state: str
    clear: str
    preset: str
    capacitance_pf: Mapping[str, float]
    energy_pj: Mapping[str, float]
    setup_ns: Mapping[str, float]
    output: str
    delay_ns: float
    resistance_ns_per_pf: float
    output_energy_pj: float

    @property
    def clock_pin(self) -> str:
        """The pin of the clock."""
        return self.clock.lstrip("!")

    @property
    def falling(self) -> bool:
        """Whether the falling edge is the active one."""
        return self.clock.startswith("!")


def read_registers(path: Path = REGISTERS) -> list[RegisterFigures]:
    """Read the published figures of the flip-flops."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        RegisterFigures(
            row["cell"],
            float(row["area_um2"]),
            float(row["leakage"]),
            row["clock"],
            row["next_state"],
            row["clear"],
            row["preset"],
            _by_pin(row["input_caps"]),
            _by_pin(row["input_energies"]),
            _by_pin(row["setup"]),
            row["output"],
            float(row["delay_t0"]),
            float(row["delay_R"]),
            float(row["internal_energy"]),
        )
        for row in rows
    ]


def _by_pin(text: str) -> dict[str, float]:
    return {pin: float(value) for pin, value in (pair.split("=") for pair in text.split(";"))}


def render_register(cell: RegisterFigures, delay: str, transition: str) -> str:
    """Render a flip-flop as a Liberty cell.

    Args:
        cell: its figures.
        delay: values of its delay table.
        transition: values of its transition table.
    """
    lines = [
        f"  cell ({cell.name}) {{",
        f"    area : {cell.area_um2:g};",
        f"    cell_leakage_power : {cell.leakage_nw:g};",
        f"    ff ({STATE}, {INVERSE}) {{",
        f'      clocked_on : "{cell.clock}";',
        f'      next_state : "{cell.next_state}";',
    ]
    lines += [
        f'      {name} : "{function}";'
        for name, function in (("clear", cell.clear), ("preset", cell.preset))
        if function
    ]
    lines.append("    }")
    for pin in cell.capacitance_pf:
        lines += _render_input(cell, pin)
    return "\n".join([*lines, *_render_output(cell, delay, transition), "  }", ""])


def _render_input(cell: RegisterFigures, pin: str) -> list[str]:
    edge = "falling" if cell.falling else "rising"
    lines = [
        f"    pin ({pin}) {{",
        "      direction : input;",
        f"      capacitance : {cell.capacitance_pf[pin]:g};",
    ]
    if pin == cell.clock_pin:
        lines.append("      clock : true;")
    if pin in cell.energy_pj:
        lines += ["      internal_power () {", *_energies(cell.energy_pj[pin]), "      }"]
    if pin in cell.setup_ns:
        lines += [
            "      timing () {",
            f'        related_pin : "{cell.clock_pin}";',
            f"        timing_type : setup_{edge};",
            f'        rise_constraint (scalar) {{ values ("{cell.setup_ns[pin]:g}"); }}',
            f'        fall_constraint (scalar) {{ values ("{cell.setup_ns[pin]:g}"); }}',
            "      }",
        ]
    return [*lines, "    }"]


def _render_output(cell: RegisterFigures, delay: str, transition: str) -> list[str]:
    edge = "falling" if cell.falling else "rising"
    return [
        f"    pin ({cell.output}) {{",
        "      direction : output;",
        f'      function : "{STATE}";',
        "      timing () {",
        f'        related_pin : "{cell.clock_pin}";',
        f"        timing_type : {edge}_edge;",
        "        timing_sense : non_unate;",
        f"        cell_rise (delay_template) {{ values ({delay}); }}",
        f"        cell_fall (delay_template) {{ values ({delay}); }}",
        f"        rise_transition (delay_template) {{ values ({transition}); }}",
        f"        fall_transition (delay_template) {{ values ({transition}); }}",
        "      }",
        "      internal_power () {",
        f'        related_pin : "{cell.clock_pin}";',
        *_energies(cell.output_energy_pj),
        "      }",
        "    }",
    ]


def _energies(value: float) -> list[str]:
    return [
        f'        {edge}_power (scalar) {{ values ("{value:g}"); }}' for edge in ("rise", "fall")
    ]
