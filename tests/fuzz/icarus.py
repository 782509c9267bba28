"""Tabulates a design by Icarus Verilog alone: its own testbench, none of the tool under test."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LIMIT_S = 60.0


def icarus_codes(
    design: Path, interface: Mapping[str, Any], folder: Path
) -> np.ndarray[Any, Any] | str:
    """Return a design's output codes, uint64 [2^wa, 2^wb], or why Icarus gives none.

    Args:
        design: the Verilog file.
        interface: as in its record.
        folder: where to work.
    """
    a, b, out = (interface[role] for role in ("a", "b", "out"))
    # The time unit of a file that states none; Icarus would take a second.
    unit = folder / "unit.v"
    unit.write_text("`timescale 1ns/1ps\n")
    testbench = folder / "independent.v"
    passed = ", ".join(f".{key}({value})" for key, value in interface["parameters"].items())
    testbench.write_text(
        f"`resetall\n`timescale 1us/1ps\nmodule independent;\n"
        f"reg [{a['width'] - 1}:0] a; reg [{b['width'] - 1}:0] b; wire [{out['width'] - 1}:0] o;\n"
        f"integer i, j; \\{interface['module']}  {f'#({passed})' if passed else ''} dut "
        f"(.\\{a['name']} (a), .\\{b['name']} (b), .\\{out['name']} (o));\n"
        f"initial begin for (i = 0; i < {1 << a['width']}; i = i + 1)\n"
        f"for (j = 0; j < {1 << b['width']}; j = j + 1) begin\n"
        'a = i; b = j; #1 $display("@%b", o); end $finish; end endmodule\n'
    )
    program = folder / "independent.vvp"
    compiled = _run(
        [
            *("iverilog", "-g2012", "-s", "independent", f"-I{design.parent}"),
            *("-o", str(program), str(unit), str(design), str(testbench)),
        ],
        folder,
    )
    if compiled is None:
        return "Icarus does not end compiling it"
    if compiled.returncode:
        return "Icarus does not compile it"
    done = _run(["vvp", "-n", str(program)], folder)
    if done is None:
        return "Icarus does not end"
    rows = [line[1:] for line in done.stdout.splitlines() if line.startswith("@")]
    if len(rows) != 1 << (a["width"] + b["width"]):
        return "Icarus ends early"
    if any(set(row) - {"0", "1"} for row in rows):
        return "Icarus sees X"
    codes = np.array([int(row, 2) for row in rows], np.uint64)
    return codes.reshape(1 << a["width"], 1 << b["width"])


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return None
