"""What to tell the user when a simulation fails."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...core.errors import SimulationError, TimeLimitError, UnknownOutputError
from ..reading.sources import first_error

if TYPE_CHECKING:
    from pathlib import Path

    from ..design import Design
    from ..programs.process import Completed
    from .simulator import Simulator


def build_error(
    ended: Completed, path: Path, simulator: Simulator, limit_s: float
) -> SimulationError:
    """Return the error for a model that cannot be compiled.

    Args:
        ended: how compiling it ended.
        path: the design's file.
        simulator: the compiler.
        limit_s: the time limit in seconds.
    """
    if ended.timed_out:
        return TimeLimitError(
            f"compiling the simulation of {path} did not end within {limit_s:.0f} s"
        )
    missing = re.search(r"undefined reference to .*", ended.output)
    return SimulationError(
        f"the simulation of {path} cannot be compiled by {simulator}",
        got=missing[0] if missing else first_error(ended.output, path),
    )


def run_error(ended: Completed, path: Path, limit_s: float) -> SimulationError:
    """Return the error for a simulation that ended early, or not in time; see `build_error`."""
    if ended.timed_out:
        return TimeLimitError(
            f"the simulation of {path} did not end within {limit_s:.0f} s",
            remedy="look for loops without an end, or raise --time-limit",
        )
    if "DIDNOTCONVERGE" in ended.output or "did not converge" in ended.output:
        return SimulationError(
            f"{path} has a combinational loop that does not settle",
            got="the simulator gave up after 10,000 iterations at one instant",
            remedy="break the feedback path: the outputs must be a function of the operands",
        )
    return SimulationError(
        f"the simulation of {path} ended before all operands were applied",
        got=last_errors(ended.output),
        remedy="look for $finish, $stop, $fatal or failing assertions in the source",
    )


def unknown_output(design: Design, message: str) -> UnknownOutputError:
    """Return the error for an output bit that a simulator shows as X or Z."""
    return UnknownOutputError(
        f"{design.path}: an output bit of {design.name} is X or Z",
        got=message,
        expected="0 or 1 on every output bit",
        remedy="look for undriven nets, z and x literals, and incomplete case or if",
    )


def last_errors(output: str) -> str:
    """Return the lines of a simulation's output that tell why it ended."""
    telling = re.compile(
        r"%Error|\$(?:finish|stop|fatal)|\b(?:ERROR|FATAL|Assertion|Segmentation)\b"
    )
    errors = [line.strip() for line in output.splitlines() if telling.search(line)]
    return " | ".join(errors[:3]) or "no error message"
