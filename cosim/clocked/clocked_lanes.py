"""The clocked lanes of a model: plays lists of inputs in them, and tells the sweep their latency."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.errors import RtlgradError, SimulationError, TimeLimitError
from ..interface import ClockStyle, Latency
from ..simulation.simulator import simulate
from .latency import cycle_limit, measure_all
from .probing import read_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ..design import Design
    from ..programs.process import Completed
    from ..simulation.simulator import Model
    from .probing import Script, Trace

NEVER_DONE = 1
"""The kind of fault, in sweep_clocked.sv, of a done that does not come; the other one is a done
that is not there when a pipeline's product is."""
_FIXED_START = ("+verilator+rand+reset+0", "+verilator+seed+1")


def play(
    model: Model,
    test_module: str,
    scripts: Mapping[int, Script],
    *,
    name: str,
    plusargs: Sequence[str],
    limit_s: float,
) -> tuple[dict[int, Trace], Completed]:
    """Play lists of inputs in some lanes of a model.

    Args:
        model: a model with clocked lanes.
        test_module: the cocotb module that waits for them.
        scripts: the lists, by number of the lane.
        name: name of this run; its files carry it.
        plusargs: further arguments for the simulation.
        limit_s: seconds of wall time.

    Returns:
        What the lanes answered, by number, as far as they came to the end; and how the
        simulation ended.
    """
    traces = {index: model.folder / f"{name}_{index}.trace" for index in scripts}
    arguments = ["+rtlgrad_probe", *_FIXED_START, *plusargs]
    for index, script in scripts.items():
        stimulus = model.folder / f"{name}_{index}.stimulus"
        stimulus.write_text("".join(script.lines))
        arguments += [
            f"+rtlgrad_stimulus_{index}={stimulus}",
            f"+rtlgrad_trace_{index}={traces[index]}",
        ]
    ended = simulate(
        model,
        test_module,
        name=name,
        plusargs=arguments,
        variables={"RTLGRAD_PROBED": json.dumps(list(scripts))},
        limit_s=limit_s,
    )
    found = {index: _read(file) for index, file in traces.items()}
    return {index: trace for index, trace in found.items() if trace is not None}, ended


def _read(file: Path) -> Trace | None:
    return read_trace(file.read_text()) if file.exists() else None


def measure_alone(
    design: Design, model: Model, test_module: str, *, limit_s: float
) -> Latency | None:
    """Measure the latency of the only design of a model; None if it is combinational.

    Args:
        design: the design.
        model: its simulation, with the lists of inputs of lane 0.
        test_module: the cocotb module that waits for the end of a list.
        limit_s: seconds of wall time for one list.

    Raises:
        SimulationError: the latency cannot be measured, or the simulation ended early.
        TimeLimitError: it did not end in time.
    """
    if design.interface.clocking is None:
        return None
    runs = itertools.count(1)

    def once(scripts: Mapping[int, Script]) -> dict[int, Trace]:
        name = f"probe{next(runs)}"
        found, ended = play(model, test_module, scripts, name=name, plusargs=[], limit_s=limit_s)
        if ended.timed_out:
            raise TimeLimitError(
                f"measuring the latency of {design.path} did not end within {limit_s:.0f} s"
            )
        if len(found) < len(scripts):
            raise SimulationError(
                f"the simulation of {design.path} ended before its latency was measured",
                remedy="look for $finish, $stop, $fatal or failing assertions in the source",
            )
        return found

    result = measure_all({0: design}, once)[0]
    if isinstance(result, RtlgradError):
        raise result
    return result


def plan_arguments(index: int, design: Design, latency: Latency) -> list[str]:
    """Return the arguments that tell a lane how its design's operations go."""
    flags = {
        "pipelined": latency.style is ClockStyle.PIPELINED,
        "handshake": latency.style is ClockStyle.HANDSHAKE,
        "startheld": latency.start_held,
        "reseteach": latency.reset_each,
    }
    return [
        *(f"+rtlgrad_{flag}_{index}_" for flag, is_set in flags.items() if is_set),
        f"+rtlgrad_cycles_{index}={latency.cycles}",
        f"+rtlgrad_idle_{index}={latency.idle_cycles}",
        f"+rtlgrad_limit_{index}={cycle_limit(design)}",
    ]


def with_times(latency: Latency, seen: Iterable[Sequence[int]]) -> Latency:
    """Return the latency with the least and greatest number of cycles of all operations."""
    if latency.style is not ClockStyle.HANDSHAKE:
        return latency
    times = [latency.least_cycles, latency.cycles, *(cycles for pair in seen for cycles in pair)]
    most = max(times)
    return replace(
        latency,
        cycles=most,
        least_cycles=min(times),
        interval_cycles=latency.interval_cycles + most - latency.cycles,
    )


def fault_error(design: Design, found: Mapping[str, int]) -> SimulationError:
    """Return the error for a fault that a lane reports."""
    clocking = design.interface.clocking
    assert clocking is not None
    where = f"for operand codes a={found['a']} b={found['b']} {clocking.done!r}"
    if found["kind"] == NEVER_DONE:
        return SimulationError(
            f"{design.path}: {design.name} does not say when its product is there",
            got=f"{where} does not come within {cycle_limit(design)} clock cycles",
            expected="a done output that is asserted when the product is there",
            remedy="look for operands for which the design does not come to an end",
        )
    return SimulationError(
        f"{design.path}: {design.name} does not say that its product is there",
        got=f"{where} is not asserted when the pipeline's product is due",
        expected="a done output that is asserted with each product",
        remedy="correct the design, or name another done output in the sidecar's [clock]",
    )
