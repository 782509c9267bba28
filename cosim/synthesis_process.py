"""Synthesizes one design in a process of its own: ``python -m rtlgrad.cosim.synthesis_process JOB``.

Yosys ends its process when it meets an error, and its ABC writes to standard output; so it
never runs in ours. JOB is a JSON file with ``source``, ``top``, ``out``, ``overrides``,
``adders`` (commands that put full adders in), ``liberty``, ``script`` and ``folder``; the
results are files in that folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_STATE = "t:$dlatch t:$adlatch t:$dlatchsr t:$dff t:$dffe t:$adff t:$adffe t:$sdff t:$sdffe t:$sdffce t:$aldff t:$aldffe t:$dffsr t:$dffsre t:$sr t:$mem t:$mem_v2"
_DIVISIONS = ("$div", "$mod", "$divfloor", "$modfloor")
_PROOF_LIMIT_S = 30


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
        "synth -flatten -noabc",
        f"tee -q -o {folder}/loops.txt check",
        *[str(command) for command in _list(job["adders"])],
        f"abc -liberty {job['liberty']} -script {job['script']}",
        "opt_clean -purge",
        f"tee -q -o {folder}/stat.json stat -json -liberty {job['liberty']}",
        f"write_json {folder}/netlist.json",
        "design -load read",
        "memory",
    ]


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def proof_command(job: dict[str, object]) -> str:
    """Return the command that looks for operands for which an output bit is X."""
    return (
        f"tee -q -o {job['folder']}/unknown.txt sat -enable_undef -set-def-inputs "
        f"-set-any-undef \\{job['out']} -show-inputs -timeout {_PROOF_LIMIT_S}"
    )


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
    libyosys.run_pass(proof_command(job), design)


if __name__ == "__main__":
    main(sys.argv[1])
