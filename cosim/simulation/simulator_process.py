"""Runs cocotb's runner in a process of its own: ``python -m rtlgrad.cosim.simulation.simulator_process JOB``.

The runner keeps state, exits the interpreter when a tool is missing and knows no time limit;
in a child process, `rtlgrad.cosim.simulation.simulator` can bound it and read its outcome as a status.
JOB is a JSON file with the keyword arguments for the runner's ``build`` or ``test``.

Exit status: 0 if the step went well; `STEP_FAILED` if the compiler or the simulation failed, as
it does on a bad design; anything else means that the tool chain itself is at fault.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

STEP_FAILED = 3


def main(job_file: str) -> int:
    """Run one job and return the exit status."""
    from cocotb_tools.runner import get_runner

    job = json.loads(Path(job_file).read_text())
    runner = get_runner(job["simulator"])
    try:
        getattr(runner, job["step"])(**job["arguments"])
    except RuntimeError as error:
        # What the runner raises when a command that it started fails.
        if not str(error).startswith("Command failed"):
            raise
        return STEP_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
