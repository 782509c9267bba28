"""Checks one design alone, before it shares a model with others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InterfaceError, VerilogError
from ..programs.process import run
from ..programs.scratch import scratch_folder
from ..programs.tools import find_verilator
from ..reading.sources import Diagnostic, diagnostics, without_comments
from .lanes import Lane, write_model
from .live import TOP as LIVE_TOP
from .live import live_testbench

if TYPE_CHECKING:
    from ..design import Design

LINT_LIMIT_S = 120.0
_PORT_WIDTH_CODES = ("WIDTHTRUNC", "WIDTHEXPAND", "WIDTH", "PINMISSING", "PINNOTFOUND")
_STATE_CODES = ("LATCH", "UNOPTFLAT", "UNDRIVEN", "MULTIDRIVEN", "IMPLICIT", "PINMISSING")

# Sources of Z: tri-state primitives, and literals with a z digit. A question mark is one too,
# but only outside casez, whose patterns are made of them.
_FLOATING = re.compile(
    r"\b(?:bufif[01]|notif[01]|r?[npc]mos|r?tran(?:if[01])?|trireg|highz[01])\b"
    r"|'(?:[sS]?[bBoOdDhH]\s*[0-9a-fA-F_xX]*)?[zZ]"
)
_QUESTION = re.compile(r"'[sS]?[bBoOdDhH]\s*[0-9a-fA-F_xX]*\?")
# An array: a name with a range behind it, in a declaration.
_ARRAY = re.compile(
    r"\b(?:reg|logic|bit|byte|int|integer|shortint|longint|typedef)\b[^;=()]*?\w\s*\[[^\]]*\]\s*[;,=]"
)
# A design may silence its lint, but not hide from us what may make its output unknown.
_PRAGMA = re.compile(r"/\*verilator\s+lint_\w+.*?\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LintReport:
    """What a look at one design found.

    Attributes:
        warnings: Verilator's warnings about the design's own text.
        may_float: the text has something that can drive Z.
        may_overrun: the text has arrays, or an index that can leave its range. Verilog ignores a
            write beyond the end; Verilator and Yosys both may write somewhere else.
    """

    warnings: tuple[Diagnostic, ...]
    may_float: bool
    may_overrun: bool = False

    @property
    def may_keep_state(self) -> bool:
        """Whether a warning hints at latches, loops or undriven nets."""
        return any(warning.code in _STATE_CODES for warning in self.warnings)


def lint(design: Design, *, limit_s: float = LINT_LIMIT_S) -> LintReport:
    """Elaborate a design alone, wrapped as in the sweep.

    Args:
        design: the design.
        limit_s: wall seconds that the elaboration may take.

    Raises:
        VerilogError: Verilator rejects it; the message names file and line.
        InterfaceError: Verilator sees other port widths than the front end.
    """
    verilator = find_verilator()
    with scratch_folder("lint") as name:
        folder = Path(name)
        source = folder / f"design{design.path.suffix}"
        source.write_text(_PRAGMA.sub("", design.sources.text), encoding="utf-8")
        wrapper, top = _wrapper(design, folder)
        command: list[str | Path] = [
            verilator.program,
            "--lint-only",
            "--timing",
            "-Wall",
            "-Wno-fatal",
            "-Werror-MODDUP",
            "-Wno-TIMESCALEMOD",  # the wrapper has a timescale, most designs have none
            "--top-module",
            top,
            source,
            wrapper,
        ]
        done = run(command, limit_s=limit_s, env=verilator.environment(), cwd=folder)
    found = diagnostics(done.output)
    errors = [item for item in found if item.severity == "Error"]
    if done.timed_out:
        raise VerilogError(
            f"{design.path} cannot be elaborated",
            got=f"Verilator did not end within {limit_s:.0f} s",
            remedy="look for loops or recursion without an end in generate blocks and functions",
        )
    if errors or not done.ok:
        message = str(errors[0]) if errors else done.output.strip()[-400:]
        raise VerilogError(f"{design.path} is rejected by Verilator", got=_own(message, wrapper))
    _check_ports(design, [item for item in found if item.where.startswith(str(wrapper))])
    own = tuple(item for item in found if not item.where.startswith(str(wrapper)))
    text = without_comments(design.sources.plain_text)
    return LintReport(own, may_float(text), bool(_ARRAY.search(text)) or any(map(_overruns, own)))


def _wrapper(design: Design, folder: Path) -> tuple[Path, str]:
    """Write the module that simulates a design; return the file and the module's name."""
    if design.interface.tabulable:
        lane = Lane(0, design.interface, dict(design.reference.overrides))
        return write_model(folder, [lane])[0], "rtlgrad_lane_0"
    # A row of the sweep would have more bits than Verilator takes.
    file = folder / f"{LIVE_TOP}.sv"
    file.write_text(live_testbench(design), encoding="utf-8")
    return file, LIVE_TOP


def _check_ports(design: Design, warnings: list[Diagnostic]) -> None:
    # With several outputs the sidecar says which is the product, or the clock's signals have
    # names of their own; the others stay open.
    said = "out" in design.reference.sidecar.ports or design.interface.clocking is not None
    expected = {"PINMISSING"} if said else set()
    for warning in warnings:
        if warning.code in _PORT_WIDTH_CODES and warning.code not in expected:
            raise InterfaceError(
                f"{design.path}: {design.interface.front_end} and Verilator disagree about the ports",
                got=warning.message,
                remedy="report this, with the file; declaring the ports with plain ranges avoids it",
            )


def _own(message: str, wrapper: Path) -> str:
    return message.replace(str(wrapper), "the sweep's wrapper")


def _overruns(warning: Diagnostic) -> bool:
    extraction = warning.code == "WIDTHTRUNC" and warning.message.startswith("Bit extraction")
    return extraction or warning.code == "SELRANGE"


def may_float(text: str) -> bool:
    """Return whether a source text has something that can drive Z."""
    code = without_comments(text)
    if _FLOATING.search(code):
        return True
    return "casez" not in code and "casex" not in code and bool(_QUESTION.search(code))
