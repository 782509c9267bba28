"""Synthesis: maps a design onto a cell library, and checks what state it keeps."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import ConfigError, DesignError
from ..gates.adders import full_adder, full_adder_commands, full_adder_verilog
from ..gates.liberty import liberty_text, read_library
from ..gates.netlist import read_netlist
from ..programs.process import run
from ..programs.scratch import scratch_folder
from ..programs.tools import require_package
from .mapping import SCRIPTS, best_mapping
from .netlist_cost import Synthesis, conclude, measure_netlist, no_cost
from .structure import check_structure, check_unknowns, named, numbered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..cost import CellLibrary
    from ..design import Design
    from ..gates.library import Library
    from ..gates.stimulus import Stimulus
    from .mapping import Mapping

__all__ = ["SYNTHESIS_LIMIT_S", "Synthesis", "conclude", "synthesize"]

SYNTHESIS_LIMIT_S = 300.0


def synthesize(
    design: Design,
    library: CellLibrary,
    *,
    limit_s: float = SYNTHESIS_LIMIT_S,
    stimulus: Stimulus | None = None,
    stimuli: Sequence[Stimulus] = (),
) -> Synthesis:
    """Map a design onto a cell library with Yosys and ABC.

    Power and codes of a clocked design come with :func:`conclude`, after the simulation.

    Args:
        design: the design.
        library: where the cells come from.
        limit_s: wall seconds that Yosys may take; without a netlist by then there is no cost.
        stimulus: operand stream of the cost's power figures; uniform random operands if None.
        stimuli: operand streams to estimate power for, besides the cost's own.

    Raises:
        DesignError: the design keeps state (a clocked one: other than in registers on the active
            edge of its clock), loops back on itself, or drives a net twice.
        UnknownOutputError: for some operands an output bit of a combinational design is X.
    """
    require_package("pyosys")
    with scratch_folder("synth") as name:
        folder = Path(name)
        source = folder / "design.sv"
        text, names = numbered(design.sources.text)
        source.write_text(text, encoding="utf-8")
        # Yosys' commands and ABC's take no blanks in file names, and no compressed libraries.
        (folder / "cells.lib").write_text(liberty_text(library.path), encoding="utf-8")
        cells = read_library(library.path)
        for script in SCRIPTS:
            shutil.copyfile(script, folder / script.name)
        job = folder / "job.json"
        job.write_text(json.dumps(_job(design, cells, folder, source.name)))
        command: list[str | Path] = [
            Path(sys.executable),
            "-m",
            "rtlgrad.cosim.synthesis.synthesis_process",
            job,
        ]
        # Yosys keeps converted libraries in TMPDIR, by path: ours are all called cells.lib.
        environment = {**os.environ, "TMPDIR": str(folder)}
        done = run(command, limit_s=limit_s, cwd=folder, env=environment)
        check_structure(design, folder, names)
        proven = check_unknowns(design, folder)
        if all((folder / _netlist_file(script)).exists() for script in SCRIPTS):
            mapping = _mapping(design, folder, cells)
            if isinstance(mapping, str):
                return Synthesis(no_cost(library, mapping), proven=False)
            return measure_netlist(
                mapping,
                design.interface,
                library,
                proven=proven,
                stimulus=stimulus,
                stimuli=stimuli,
            )
        if done.timed_out:
            reason = f"synthesis did not end within {limit_s:.0f} s"
        else:
            reason = f"Yosys cannot synthesize it: {_reason(done.output, names)}"
        return Synthesis(no_cost(library, reason), proven=False)


def _job(design: Design, cells: Library, folder: Path, source: str) -> dict[str, object]:
    """Return what the synthesis process is to do."""
    clocked = design.interface.clocking is not None
    return {
        "source": source,
        "top": design.interface.module,
        "out": design.interface.out.name,
        "overrides": dict(design.reference.overrides),
        "clocked": clocked,
        "registers": clocked and bool(cells.registers),
        "adders": _adder_commands(cells, folder),
        "liberty": "cells.lib",
        "scripts": {_netlist_file(script): script.name for script in SCRIPTS},
        "folder": ".",
    }


def _netlist_file(script: Path) -> str:
    return f"netlist_{script.stem}.json"


def _mapping(design: Design, folder: Path, cells: Library) -> Mapping | str:
    """Return the best mapped netlist, or why there is none that can be evaluated."""
    clocking = design.interface.clocking
    if clocking is not None and not cells.registers:
        return f"{cells.name} has no flip-flop that can be evaluated"
    try:
        netlists = [
            (script.stem, read_netlist(folder / _netlist_file(script), cells)) for script in SCRIPTS
        ]
    except (ConfigError, DesignError) as error:
        # What is wrong with such a design (an output without a driver, say) the sweep tells
        # better, with operands.
        return f"{error.what}: {error.got}" if error.got else error.what
    return best_mapping(netlists, clocking)


def _adder_commands(cells: Library, folder: Path) -> list[str]:
    """Return the commands that put the library's full adders in; none if it has none."""
    adder = full_adder(cells)
    if adder is None:
        return []
    declaration, techmap = full_adder_verilog(adder)
    (folder / "adder.v").write_text(declaration)
    (folder / "adder_map.v").write_text(techmap)
    return full_adder_commands("adder.v", "adder_map.v")


def _reason(output: str, names: list[str]) -> str:
    errors = [line.strip() for line in output.splitlines() if "ERROR" in line]
    return named(errors[0], names) if errors else (output.strip()[-200:] or "no message")
