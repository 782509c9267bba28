"""What Yosys found out about a design's structure, and what is refused because of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...core.errors import DesignError, UnknownOutputError
from ..reading.sources import LINE_MARKER
from .registers import unfit_registers
from .synthesis_process import STRUCTURE

if TYPE_CHECKING:
    from pathlib import Path

    from ..design import Design

# A row of the solver's table: the name, the value in decimal, hexadecimal and binary.
_SOLUTION = re.compile(r"^\\(\S+)\s+\S+\s+\S+\s+([01]+)$", re.MULTILINE)
_FILE = "rtlgrad_source_"


def numbered(text: str) -> tuple[str, list[str]]:
    """Replace the file names in the `line markers, which may hold blanks, by numbers.

    Returns:
        The text, and the names by number.
    """
    names: list[str] = []

    def number(marker: re.Match[str]) -> str:
        if marker["file"] not in names:
            names.append(marker["file"])
        index = names.index(marker["file"])
        return f'`line {marker["line"]} "{_FILE}{index}" {marker["level"]}'

    return LINE_MARKER.sub(number, text), names


def named(text: str, names: list[str]) -> str:
    """Put the file names back."""
    return re.sub(rf"{_FILE}(\d+)", lambda found: names[int(found[1])], text)


def check_structure(design: Design, folder: Path, names: list[str]) -> None:
    """Refuse state that is not allowed, double drivers and combinational loops.

    Args:
        design: the design.
        folder: where Yosys' results are.
        names: the names of the source files, by number.

    Raises:
        DesignError: there is one of these; names where.
    """
    if design.interface.clocking is None:
        _check_stateless(design, folder)
    else:
        _check_registers(design, folder, names)
    conflicts = [line for line in _lines(folder / "check.txt") if "conflicting drivers" in line]
    if conflicts:
        raise DesignError(
            f"{design.path}: {design.name} drives a net more than once",
            got=named(conflicts[0].removeprefix("Warning: ").rstrip(":"), names),
            expected="one driver for each net",
        )
    loops = [line for line in _lines(folder / "loops.txt") if "logic loop" in line]
    if loops:
        places = re.findall(rf"source: ({_FILE}\d+:\d+)", "\n".join(_lines(folder / "loops.txt")))
        raise DesignError(
            f"{design.path}: {design.name} has a combinational loop",
            got=named("; ".join(list(dict.fromkeys(places))[:4]), names) or loops[0],
            expected="outputs that depend on the operands alone",
            remedy="break the feedback path",
        )


def check_unknowns(design: Design, folder: Path) -> bool:
    """Refuse a combinational design for which some operands make an output bit X.

    A two-state simulator takes a number for what Verilog defines as X, such as a division by
    zero or an index out of range, and takes the same number every time.

    Returns:
        Whether the solver has proven that no output bit is X. For a clocked design: that none is,
        and none of what the registers take next, for any operands and controls and any 0 and 1
        in the registers. A clocked design is not refused, since the registers may never hold
        what the solver found.

    Raises:
        UnknownOutputError: the solver has found operands for which an output bit is X.
    """
    lines = _lines(folder / "unknown.txt")
    if not any(line.endswith("- model found:") for line in lines):
        return any(line.endswith("- no model found.") for line in lines)
    if design.interface.clocking is not None:
        return False
    found = {name: int(bits, 2) for name, bits in _SOLUTION.findall("\n".join(lines))}
    a, b = design.interface.a.name, design.interface.b.name
    raise UnknownOutputError(
        f"{design.path}: an output bit of {design.name} is X",
        got=f"for operand codes a={found.get(a, 0)} b={found.get(b, 0)}, among others perhaps",
        expected="0 or 1 on every output bit for every operand pair",
        remedy="look for undriven nets, x literals, division by zero, indices out of range, and "
        "memories without a value in every entry",
    )


def _check_stateless(design: Design, folder: Path) -> None:
    state = _lines(folder / "state.txt")
    if not state:
        return
    latch = any("dlatch" in cell or "$sr" in cell for cell in state)
    kind = "a latch" if latch else "a register or memory"
    raise DesignError(
        f"{design.path}: {design.name} keeps state: Yosys infers {kind}",
        got=f"{len(state)} storage cells ({state[0]})",
        expected="a combinational circuit: outputs that depend on the operands alone",
        remedy="assign the output on every path of always blocks (a default in case, an else)"
        if latch
        else f"if it is a clocked multiplier, name its clock in {design.path.stem}.toml: "
        '[clock] clock = "clk"; else remove the clocked part',
    )


def _check_registers(design: Design, folder: Path, names: list[str]) -> None:
    structure = folder / STRUCTURE
    clocking = design.interface.clocking
    if clocking is None or not structure.exists():
        return
    unfit = unfit_registers(structure, clocking)
    if unfit:
        first = unfit[0]
        where = f"{first.signal} ({named(first.place, names)})" if first.place else first.signal
        more = f", and {len(unfit) - 1} more" if len(unfit) > 1 else ""
        edge = "falling" if clocking.falling else "rising"
        raise DesignError(
            f"{design.path}: {design.name} keeps state in {first.what}",
            got=f"{where}{more}",
            expected=f"registers that take the {edge} edge of {clocking.clock}, and no other state",
            remedy=first.remedy,
        )


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
