"""Synthesizes one design in a process of its own: ``python -m rtlgrad.cosim.synthesis.synthesis_process JOB``.

Yosys ends its process when it meets an error, and its ABC writes to standard output; so it
never runs in ours. JOB is a JSON file with ``source``, ``top``, ``out``, ``overrides``,
``clocked`` (whether registers are allowed), ``registers`` (whether the library has flip-flops),
``adders`` (commands that put full adders in), ``liberty``, ``scripts`` (netlist file -> script
for ABC) and ``folder``; the results are files in that folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_STATE = "t:$dlatch t:$adlatch t:$dlatchsr t:$dff t:$dffe t:$adff t:$adffe t:$sdff t:$sdffe t:$sdffce t:$aldff t:$aldffe t:$dffsr t:$dffsre t:$sr t:$mem t:$mem_v2"
_DIVISIONS = ("$div", "$mod", "$divfloor", "$modfloor")
_PROOF_LIMIT_S = 30
STRUCTURE = "structure.json"
_PROVEN_OUTPUT = "rtlgrad_proven"


def cost_commands(job: dict[str, object]) -> list[str]:
    """Return the Yosys commands that check the structure and map it onto cells, in order."""
    folder, top = job["folder"], job["top"]
    overrides = job["overrides"]
    assert isinstance(overrides, dict)
    chosen = " ".join(f"-chparam {name} {value}" for name, value in sorted(overrides.items()))
    return [
        f"read_verilog -sv {job['source']}",
        f"hierarchy -check -top {top} {chosen}",
        "proc",
        "flatten",
        f"tee -q -o {folder}/check.txt check",
        f"tee -q -o {folder}/state.txt select -list {_STATE}",
        "design -save read",
        *(_structure_commands(folder) if job["clocked"] else []),
        "synth -flatten -noabc",
        f"tee -q -o {folder}/loops.txt check",
        *([f"dfflibmap -liberty {job['liberty']}", "opt_clean"] if job["registers"] else []),
        *[str(command) for command in _list(job["adders"])],
        "design -save unmapped",
        *_mapping_commands(job),
        "design -load read",
        "memory",
        *(["async2sync", "dffunmap"] if job["clocked"] else []),
    ]


def _structure_commands(folder: object) -> list[str]:
    """Return the commands that write down all registers and memories."""
    return [
        "memory -nomap",
        "opt_clean",
        f"write_json {folder}/{STRUCTURE}",
        "design -load read",
    ]


def _mapping_commands(job: dict[str, object]) -> list[str]:
    """Return the commands that map the design once by each script."""
    scripts = job["scripts"]
    assert isinstance(scripts, dict)
    return [
        command
        for netlist, script in scripts.items()
        for command in (
            "design -load unmapped",
            f"abc -liberty {job['liberty']} -script {script}",
            "opt_clean -purge",
            f"write_json {job['folder']}/{netlist}",
        )
    ]


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def proof_command(job: dict[str, object]) -> str:
    """Return the command that looks for inputs for which an output bit is X."""
    out = _PROVEN_OUTPUT if job["clocked"] else job["out"]
    return (
        f"tee -q -o {job['folder']}/unknown.txt sat -enable_undef -set-def-inputs "
        f"-set-any-undef \\{out} -show-inputs -timeout {_PROOF_LIMIT_S}"
    )


def cut_registers(module: Any, out: str) -> None:
    """Make every register's bits inputs, and what they take next outputs.

    What is left is combinational. One more output joins ``out`` and all next states, so that the
    solver looks for an X on any of them.
    """
    from pyosys import libyosys as ys

    parts = ys.SigSpec(module.wire(ys.IdString(f"\\{out}")))
    for number, cell in enumerate(list(module.cells_.values())):
        if str(cell.type) != "$dff":
            continue
        bits = cell.getPort(ys.IdString("\\Q"))
        parts.append(cell.getPort(ys.IdString("\\D")))
        held = module.addWire(ys.IdString(f"\\rtlgrad_state{number}"), bits.size())
        held.port_input = True
        module.remove(cell)
        module.connect(bits, ys.SigSpec(held))
    joined = module.addWire(ys.IdString(f"\\{_PROVEN_OUTPUT}"), parts.size())
    joined.port_output = True
    module.connect(ys.SigSpec(joined), parts)
    module.fixup_ports()


def mark_divisions_by_zero(module: Any) -> None:
    """Make the result of every division by zero X, as Verilog has it; Yosys takes a number."""
    from pyosys import libyosys as ys

    for cell in list(module.cells_.values()):
        if str(cell.type) not in _DIVISIONS:
            continue
        result, divisor = cell.getPort(ys.IdString("\\Y")), cell.getPort(ys.IdString("\\B"))
        new = [module.uniquify(ys.IdString(f"\\rtlgrad_{part}")) for part in ("q", "nz", "mux")]
        quotient = ys.SigSpec(module.addWire(new[0], result.size()))
        cell.setPort(ys.IdString("\\Y"), quotient)
        unknown = ys.SigSpec(ys.State.Sx, result.size())
        module.addMux(new[2], unknown, quotient, module.ReduceBool(new[1], divisor), result)


def main(job_file: str) -> None:
    """Run one job; Yosys ends the process with status 1 if a command fails."""
    from pyosys import libyosys

    job = json.loads(Path(job_file).read_text())
    design = libyosys.Design()
    for command in cost_commands(job):
        libyosys.run_pass(command, design)
    # Last, because a cell that the solver does not know ends the process.
    mark_divisions_by_zero(design.top_module())
    if job["clocked"]:
        cut_registers(design.top_module(), job["out"])
    libyosys.run_pass(proof_command(job), design)


if __name__ == "__main__":
    main(sys.argv[1])
