"""Synthesis: proves that a design is combinational, and estimates its area and delay."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ConfigError, DesignError, UnknownOutputError
from .cost import CellLibrary, Cost
from .gates.adders import full_adder, full_adder_commands, full_adder_verilog
from .gates.evaluate import netlist_codes
from .gates.liberty import liberty_text, read_library
from .gates.netlist import read_netlist
from .gates.power import estimate_power
from .gates.timing import analyse_timing
from .process import run
from .sources import LINE_MARKER
from .tools import package_version, require_package

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .design import Design
    from .gates.library import Library

SCRIPT = Path(__file__).parent / "cells" / "abc.script"
_LIMIT_S = 300.0
_FIGURES = (
    "area_um2",
    "delay_ps",
    "power_uw",
    "power_glitch_aware_uw",
    "energy_fj",
    "energy_glitch_aware_fj",
    "leakage_nw",
)
# A row of the solver's table: the name, the value in decimal, hexadecimal and binary.
_SOLUTION = re.compile(r"^\\(\S+)\s+\S+\s+\S+\s+([01]+)$", re.MULTILINE)
_FILE = "rtlgrad_source_"


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What synthesis found out about a design that it did not refuse.

    Attributes:
        cost: area, delay and power; None with the reason where they could not be had.
        proven: whether it was proven that the design keeps no state and that no output bit is X
            for any operands. Not so if Yosys cannot read the text, or the solver gave up.
        codes: output codes of the mapped netlist for all operand codes, uint64 [2^wa, 2^wb];
            None if there is no mapped netlist.
    """

    cost: Cost
    proven: bool
    codes: NDArray[np.uint64] | None = None


def synthesize(design: Design, library: CellLibrary) -> Synthesis:
    """Map a design onto a cell library with Yosys and ABC.

    Args:
        design: the design.
        library: where the cells come from.

    Raises:
        DesignError: the design keeps state, loops back on itself, or drives a net twice.
        UnknownOutputError: for some operands an output bit is X.
    """
    require_package("pyosys")
    with tempfile.TemporaryDirectory(prefix="rtlgrad-synth-") as name:
        folder = Path(name)
        source = folder / "design.sv"
        text, names = _numbered(design.sources.text)
        source.write_text(text, encoding="utf-8")
        # Yosys' commands and ABC's take no blanks in file names, and no compressed libraries.
        (folder / "cells.lib").write_text(liberty_text(library.path), encoding="utf-8")
        cells = read_library(library.path)
        shutil.copyfile(SCRIPT, folder / "abc.script")
        job = folder / "job.json"
        job.write_text(
            json.dumps(
                {
                    "source": source.name,
                    "top": design.interface.module,
                    "out": design.interface.out.name,
                    "overrides": dict(design.reference.overrides),
                    "adders": _adder_commands(cells, folder),
                    "liberty": "cells.lib",
                    "script": "abc.script",
                    "folder": ".",
                }
            )
        )
        command: list[str | Path] = [
            Path(sys.executable),
            "-m",
            "rtlgrad.cosim.synthesis_process",
            job,
        ]
        # Yosys keeps converted libraries in TMPDIR, by path: ours are all called cells.lib.
        environment = {**os.environ, "TMPDIR": str(folder)}
        done = run(command, limit_s=_LIMIT_S, cwd=folder, env=environment)
        _check_structure(design, folder, names)
        proven = _check_unknowns(design, folder)
        if (folder / "netlist.json").exists():
            return _measured(design, folder, library, cells, proven)
        if done.timed_out:
            reason = f"synthesis did not end within {_LIMIT_S:.0f} s"
        else:
            reason = f"Yosys cannot synthesize it: {_reason(done.output, names)}"
        return Synthesis(_no_cost(library, reason), proven=False)


def method() -> str:
    """Name the tools that the figures come from."""
    return (
        f"Yosys (pyosys {package_version('pyosys') or 'absent'}) synth with full adders, ABC &nf; "
        "delay: static timing of the mapped netlist"
    )


def _adder_commands(cells: Library, folder: Path) -> list[str]:
    """Return the commands that put the library's full adders in; none if it has none."""
    adder = full_adder(cells)
    if adder is None:
        return []
    declaration, techmap = full_adder_verilog(adder)
    (folder / "adder.v").write_text(declaration)
    (folder / "adder_map.v").write_text(techmap)
    return full_adder_commands("adder.v", "adder_map.v")


def _numbered(text: str) -> tuple[str, list[str]]:
    """Replace the file names in the `line markers, which may hold blanks, by numbers."""
    names: list[str] = []

    def number(marker: re.Match[str]) -> str:
        if marker["file"] not in names:
            names.append(marker["file"])
        index = names.index(marker["file"])
        return f'`line {marker["line"]} "{_FILE}{index}" {marker["level"]}'

    return LINE_MARKER.sub(number, text), names


def _named(text: str, names: list[str]) -> str:
    """Put the file names back."""
    return re.sub(rf"{_FILE}(\d+)", lambda found: names[int(found[1])], text)


def _check_structure(design: Design, folder: Path, names: list[str]) -> None:
    state = _lines(folder / "state.txt")
    if state:
        latch = any("dlatch" in cell or "$sr" in cell for cell in state)
        kind = "a latch" if latch else "a register or memory"
        raise DesignError(
            f"{design.path}: {design.name} keeps state: Yosys infers {kind}",
            got=f"{len(state)} storage cells ({state[0]})",
            expected="a combinational circuit: outputs that depend on the operands alone",
            remedy="assign the output on every path of always blocks (a default in case, an else)"
            if latch
            else "remove the clocked part; this version takes combinational multipliers",
        )
    conflicts = [line for line in _lines(folder / "check.txt") if "conflicting drivers" in line]
    if conflicts:
        raise DesignError(
            f"{design.path}: {design.name} drives a net more than once",
            got=_named(conflicts[0].removeprefix("Warning: ").rstrip(":"), names),
            expected="one driver for each net",
        )
    loops = [line for line in _lines(folder / "loops.txt") if "logic loop" in line]
    if loops:
        places = re.findall(rf"source: ({_FILE}\d+:\d+)", "\n".join(_lines(folder / "loops.txt")))
        raise DesignError(
            f"{design.path}: {design.name} has a combinational loop",
            got=_named("; ".join(list(dict.fromkeys(places))[:4]), names) or loops[0],
            expected="outputs that depend on the operands alone",
            remedy="break the feedback path",
        )


def _check_unknowns(design: Design, folder: Path) -> bool:
    """Refuse a design for which the solver found operands that make an output bit X.

    Returns whether the solver has proven that there are none.

    A two-state simulator takes a number for what Verilog defines as X, such as a division by
    zero or an index out of range, and takes the same number every time.
    """
    lines = _lines(folder / "unknown.txt")
    if not any(line.endswith("- model found:") for line in lines):
        return any(line.endswith("- no model found.") for line in lines)
    found = {name: int(bits, 2) for name, bits in _SOLUTION.findall("\n".join(lines))}
    a, b = design.interface.a.name, design.interface.b.name
    raise UnknownOutputError(
        f"{design.path}: an output bit of {design.name} is X",
        got=f"for operand codes a={found.get(a, 0)} b={found.get(b, 0)}, among others perhaps",
        expected="0 or 1 on every output bit for every operand pair",
        remedy="look for undriven nets, x literals, division by zero, indices out of range, and "
        "memories without a value in every entry",
    )


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]


def _reason(output: str, names: list[str]) -> str:
    errors = [line.strip() for line in output.splitlines() if "ERROR" in line]
    return _named(errors[0], names) if errors else (output.strip()[-200:] or "no message")


def _no_cost(library: CellLibrary, reason: str) -> Cost:
    absent = dict.fromkeys(_FIGURES, reason)
    return Cost(None, None, None, {}, library.name, library.sha256, method(), absent)


def _measured(
    design: Design, folder: Path, library: CellLibrary, cells: Library, proven: bool
) -> Synthesis:
    """Measure the mapped netlist, and evaluate it for all operands."""
    try:
        netlist = read_netlist(folder / "netlist.json", cells)
    except (ConfigError, DesignError) as error:
        # What is wrong with such a design (an output without a driver, say) the sweep tells
        # better, with operands.
        return Synthesis(_no_cost(library, error.what), proven=False)
    power = estimate_power(netlist, design.interface)
    timing = analyse_timing(netlist)
    absent = {}
    if timing is None:
        absent["delay_ps"] = "the library states no delays"
    area = netlist.area_um2 if netlist.area_um2 or not netlist.instances else None
    if area is None:
        absent["area_um2"] = "the library states no areas"
    if power.leakage_nw is None:
        absent["leakage_nw"] = "the library states no leakage"
    counts = Counter(instance.cell.name for instance in netlist.instances)
    cost = Cost(
        area_um2=area,
        delay_ps=None if timing is None else timing.delay_ps,
        power_uw=power.power_zero_delay_uw,
        cells=dict(sorted(counts.items())),
        library=library.name,
        library_sha256=library.sha256,
        method=f"{method()}; power: {power.method}, at {power.voltage_v:g} V",
        absent=absent,
        power_glitch_aware_uw=power.power_glitch_aware_uw,
        energy_fj=power.energy_zero_delay_fj,
        energy_glitch_aware_fj=power.energy_glitch_aware_fj,
        leakage_nw=power.leakage_nw,
        clock_mhz=power.clock_mhz,
        stimulus=f"{power.stimulus}, {power.pairs} pairs, seed {power.seed}",
    )
    return Synthesis(cost, proven, netlist_codes(netlist, design.interface))
