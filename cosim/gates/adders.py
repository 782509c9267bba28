"""Full adders of a cell library, and the Yosys input that makes synthesis use them.

ABC maps onto single-output cells only, so it rebuilds every full adder from XOR and NAND gates;
a multiplier is mostly full adders, and commercial synthesis keeps them as one cell. Yosys'
``extract_fa`` finds them in the gate-level design, a ``techmap`` file puts the library's cell in
their place, and ABC maps the rest around them.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .functions import truth_table

if TYPE_CHECKING:
    from .library import GateCell, Library

_PARITY = tuple(bool(state.bit_count() & 1) for state in range(8))
_MAJORITY = tuple(state.bit_count() >= 2 for state in range(8))
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class FullAdder:
    """A cell with the sum and the carry of three bits.

    Attributes:
        cell: the cell.
        inputs: its three inputs.
        sum_pin: output with their parity.
        carry_pin: output with their majority.
    """

    cell: GateCell
    inputs: tuple[str, str, str]
    sum_pin: str
    carry_pin: str


def full_adder(library: Library) -> FullAdder | None:
    """Return the library's smallest full adder with plain inputs and outputs; None without one."""
    found = [adder for cell in library.cells if (adder := _as_full_adder(cell)) is not None]
    return min(found, key=lambda adder: (adder.cell.area_um2, adder.cell.name), default=None)


def full_adder_verilog(adder: FullAdder) -> tuple[str, str]:
    """Return the Verilog that Yosys needs to use a full adder.

    Returns:
        The cell's declaration, for ``read_verilog -lib``, and a file for ``techmap -map`` that
        replaces ``$fa``, whose X is the carry and whose Y is the sum.
    """
    name = adder.cell.name
    a, b, c = adder.inputs
    ports = [*(f"input {pin}" for pin in adder.inputs)]
    ports += [f"output {pin}" for pin in (adder.sum_pin, adder.carry_pin)]
    declaration = f"(* blackbox *)\nmodule {name} ({', '.join(ports)});\nendmodule\n"
    techmap = f"""\
(* techmap_celltype = "$fa" *)
module rtlgrad_full_adder (A, B, C, X, Y);
  parameter WIDTH = 1;
  input [WIDTH-1:0] A, B, C;
  output [WIDTH-1:0] X, Y;
  genvar i;
  generate for (i = 0; i < WIDTH; i = i + 1) begin : bits
    {name} cell_i (.{a}(A[i]), .{b}(B[i]), .{c}(C[i]), .{adder.carry_pin}(X[i]), .{adder.sum_pin}(Y[i]));
  end endgenerate
endmodule
"""
    return declaration, techmap


def full_adder_commands(declaration: str, techmap: str) -> list[str]:
    """Return the Yosys commands that put full adders in, between ``synth -noabc`` and ``abc``.

    Args:
        declaration: file with the cell's declaration.
        techmap: file with the map.
    """
    return [
        f"read_verilog -lib {declaration}",
        "extract_fa -fa",
        f"techmap -map {techmap}",
        # Inverters that extract_fa puts at the adders' pins are word-level cells still.
        "techmap",
        "opt -fast",
        "opt_clean",
    ]


def _as_full_adder(cell: GateCell) -> FullAdder | None:
    if len(cell.inputs) != 3 or len(cell.outputs) != 2:
        return None
    a, b, c = (pin.name for pin in cell.inputs)
    names = [a, b, c, *(pin.name for pin in cell.outputs), cell.name]
    if not all(_IDENTIFIER.fullmatch(name) for name in names):
        return None
    for total, carry in itertools.permutations(cell.outputs):
        tables = truth_table(total.function, (a, b, c)), truth_table(carry.function, (a, b, c))
        if tables == (_PARITY, _MAJORITY):
            return FullAdder(cell, (a, b, c), total.name, carry.name)
    return None
