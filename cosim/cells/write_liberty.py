"""Writes ``osu_freepdk45.lib`` from the published cell figures in ``osu_freepdk45*.csv``.

Run ``python -m rtlgrad.cosim.cells.write_liberty`` after changing the figures; a test compares
the file with what this module writes.

The figures are those of the OSU FreePDK45 standard cells (Oklahoma State University's cells for
the NCSU FreePDK 45 nm kit; typical corner, 1.1 V, 27 C): area, leakage, pin capacitances, delay
fitted as t0 + R * load at a small input slew, and the mean internal energy of an output
transition. ``osu_freepdk45.csv`` holds the combinational cells, of which the tri-state buffers are
left out, and ``osu_freepdk45_registers.csv`` the flip-flops.
"""

from __future__ import annotations

import csv
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .write_registers import RegisterFigures, read_registers, render_register

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIGURES = Path(__file__).with_name("osu_freepdk45.csv")
LIBRARY = Path(__file__).with_name("osu_freepdk45.lib")

_LOADS_PF = (0.001, 0.005, 0.02, 0.1, 0.5)
_SLEWS_NS = (0.01, 0.5)
_PIN = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Output:
    """One output pin of a cell.

    Attributes:
        name: pin name.
        function: Liberty function of the input pins.
        delay_ns: intrinsic delay t0.
        resistance_ns_per_pf: R, the slope of delay over load.
        energy_pj: mean internal energy of a transition.
    """

    name: str
    function: str
    delay_ns: float
    resistance_ns_per_pf: float
    energy_pj: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One combinational cell.

    Attributes:
        name: cell name.
        area_um2: footprint.
        leakage_nw: static power.
        capacitance_pf: input pin -> capacitance.
        outputs: its output pins.
    """

    name: str
    area_um2: float
    leakage_nw: float
    capacitance_pf: Mapping[str, float]
    outputs: tuple[Output, ...]


def read_figures(path: Path = FIGURES) -> list[Cell]:
    """Read the published figures; rows of one cell are its outputs."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    groups = itertools.groupby(rows, key=lambda row: row["cell"])
    cells = [_cell(name, list(outputs)) for name, outputs in groups]
    return [cell for cell in cells if _is_function_of_its_pins(cell)]


def _cell(name: str, rows: list[dict[str, str]]) -> Cell:
    pins = dict(pair.split("=") for pair in rows[0]["input_caps"].split(";"))
    outputs = tuple(
        Output(
            row["output"],
            row["function"],
            float(row["delay_t0"]),
            float(row["delay_R"]),
            float(row["internal_energy"]),
        )
        for row in rows
    )
    capacitance = {pin: float(value) for pin, value in pins.items()}
    return Cell(name, float(rows[0]["area_um2"]), float(rows[0]["leakage"]), capacitance, outputs)


def _is_function_of_its_pins(cell: Cell) -> bool:
    # The tri-state buffers have an enable pin that their function does not mention.
    return all(set(cell.capacitance_pf) == pins_of(output.function) for output in cell.outputs)


def pins_of(function: str) -> set[str]:
    """Return the pins that a Liberty function names."""
    return set(_PIN.findall(function))


def evaluate(function: str, values: Mapping[str, bool]) -> bool:
    """Return a Liberty function's value for given pin values (juxtaposition means AND)."""
    text = re.sub(r"(?<=[\w)])\s+(?=[\w(!])|(?<=[\w)])(?=\()|(?<=\))(?=\w)", " and ", function)
    text = text.replace("!", " not ").replace("+", " or ").replace("^", " != ")
    # The operands of ^ are pins or parentheses in all published functions, so `not` and `!=`
    # never meet without parentheses between them.
    return bool(eval(text, {"__builtins__": {}}, dict(values)))


def timing_sense(output: Output, pin: str) -> str:
    """Return how an output follows one input: positive_unate, negative_unate or non_unate."""
    others = sorted(pins_of(output.function) - {pin})
    rises = falls = False
    for bits in itertools.product((False, True), repeat=len(others)):
        fixed = dict(zip(others, bits, strict=True))
        low = evaluate(output.function, {**fixed, pin: False})
        high = evaluate(output.function, {**fixed, pin: True})
        rises |= high and not low
        falls |= low and not high
    if rises and falls:
        return "non_unate"
    return "positive_unate" if rises else "negative_unate"


def liberty(cells: Iterable[Cell], registers: Iterable[RegisterFigures] = ()) -> str:
    """Render cells and flip-flops as a Liberty library."""
    rendered = [_render_cell(cell) for cell in cells]
    for register in registers:
        delay, transition = _over_load(register.delay_ns, register.resistance_ns_per_pf)
        rendered.append(render_register(register, delay, transition))
    body = "\n".join(rendered)
    return f"{_HEADER}{body}}}\n"


_HEADER = f"""\
/* OSU FreePDK45 standard cells, as published by Oklahoma State University for the
   NCSU FreePDK 45 nm kit: typical corner, 1.1 V, 27 C.
   Written by rtlgrad.cosim.cells.write_liberty from the figures in osu_freepdk45.csv and
   osu_freepdk45_registers.csv.
   Delays are linear in the load and do not depend on the input slew; the transition tables are
   the load-dependent part of the delay. */
library (osu_freepdk45) {{
  delay_model : table_lookup;
  time_unit : "1ns";
  voltage_unit : "1V";
  current_unit : "1mA";
  leakage_power_unit : "1nW";
  capacitive_load_unit (1, pf);
  pulling_resistance_unit : "1kohm";
  nom_process : 1;
  nom_voltage : 1.1;
  nom_temperature : 27;
  slew_lower_threshold_pct_rise : 20;
  slew_upper_threshold_pct_rise : 80;
  slew_lower_threshold_pct_fall : 20;
  slew_upper_threshold_pct_fall : 80;
  input_threshold_pct_rise : 50;
  input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50;
  output_threshold_pct_fall : 50;
  default_max_transition : 1;
  lu_table_template (delay_template) {{
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("{", ".join(map(str, _SLEWS_NS))}");
    index_2 ("{", ".join(map(str, _LOADS_PF))}");
  }}
  power_lut_template (energy_template) {{
    variable_1 : input_transition_time;
    index_1 ("{", ".join(map(str, _SLEWS_NS))}");
  }}
"""


def _render_cell(cell: Cell) -> str:
    lines = [
        f"  cell ({cell.name}) {{",
        f"    area : {cell.area_um2:g};",
        f"    cell_leakage_power : {cell.leakage_nw:g};",
    ]
    for pin, capacitance in cell.capacitance_pf.items():
        lines.append(f"    pin ({pin}) {{ direction : input; capacitance : {capacitance:g}; }}")
    for output in cell.outputs:
        lines += _render_output(output)
    return "\n".join([*lines, "  }", ""])


def _render_output(output: Output) -> list[str]:
    lines = [
        f"    pin ({output.name}) {{",
        "      direction : output;",
        f'      function : "{output.function}";',
    ]
    delay, transition = _over_load(output.delay_ns, output.resistance_ns_per_pf)
    energy = ", ".join([f"{output.energy_pj:g}"] * len(_SLEWS_NS))
    for pin in sorted(pins_of(output.function)):
        lines += [
            "      timing () {",
            f'        related_pin : "{pin}";',
            f"        timing_sense : {timing_sense(output, pin)};",
            f"        cell_rise (delay_template) {{ values ({delay}); }}",
            f"        cell_fall (delay_template) {{ values ({delay}); }}",
            f"        rise_transition (delay_template) {{ values ({transition}); }}",
            f"        fall_transition (delay_template) {{ values ({transition}); }}",
            "      }",
            "      internal_power () {",
            f'        related_pin : "{pin}";',
            f'        rise_power (energy_template) {{ values ("{energy}"); }}',
            f'        fall_power (energy_template) {{ values ("{energy}"); }}',
            "      }",
        ]
    return [*lines, "    }"]


def _over_load(delay_ns: float, resistance_ns_per_pf: float) -> tuple[str, str]:
    """Return the values of a delay table and of its transition table."""
    loaded = [resistance_ns_per_pf * load for load in _LOADS_PF]
    return _matrix([delay_ns + part for part in loaded]), _matrix(loaded)


def _matrix(over_load: list[float]) -> str:
    row = ", ".join(f"{value:.6g}" for value in over_load)
    return ", ".join([f'"{row}"'] * len(_SLEWS_NS))


if __name__ == "__main__":
    LIBRARY.write_text(liberty(read_figures(), read_registers()))
