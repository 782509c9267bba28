"""The exhaustive sweep, on the host: from designs to every output code, or to a clear error.

A two-state simulator cannot show an X. So each design is swept more than once, in both
directions, with different values in place of every unknown; an output that depends on an
unknown, or on what was applied before, differs between two sweeps and is refused. Icarus, as
the second opinion, sweeps once: it has X and Z. A clocked design's latency is measured first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import MissingToolError, RtlgradError, SimulationError, UnknownOutputError
from ..programs.scratch import scratch_folder
from .batches import plan
from .lint import LintReport
from .passes import BASE_PASSES, EXTRA_PASSES, REGISTER_PASSES
from .simulator import Simulator, require_simulator
from .sweep_model import ModelFailedError, SweepModel, Swept

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ..design import Design
    from .passes import Pass

__all__ = ["DEFAULT_TIME_LIMIT_S", "Swept", "attempt", "sweep"]

DEFAULT_TIME_LIMIT_S = 120.0
_MAX_SECOND_OPINION = 1 << 18
"""Operand pairs: 9 x 9 bits, which take Icarus some ten seconds."""


def sweep(
    designs: Sequence[tuple[Design, LintReport]],
    *,
    simulator: Simulator = Simulator.VERILATOR,
    proven: Collection[str] = (),
    jobs: int = 1,
    time_limit_s: float = DEFAULT_TIME_LIMIT_S,
) -> Iterator[tuple[Design, Swept | RtlgradError]]:
    """Simulate every operand pair of every design.

    Designs share models where that is safe; if a model fails, it is split until the design at
    fault is alone, so that no design costs another its result.

    Args:
        designs: each with what `rtlgrad.cosim.simulation.lint.lint` found about it.
        simulator: which one to use.
        proven: names of designs that are known to keep no state and to have no unknown output
            bit; the passes that look for such bits are left out. Of a clocked design: that no
            bit becomes unknown once its registers are known; those passes are then shortened.
        jobs: compiler processes at a time.
        time_limit_s: wall seconds that one design's simulation may take.

    Yields:
        Each design once, as soon as its model is done, with what was found, or with the error
        that it ended in.
    """
    require_simulator(simulator)
    reports = {design.name: report for design, report in designs}
    pending = plan(design for design, _ in designs)
    while pending:
        batch = pending.pop(0)
        try:
            results = _sweep_batch(batch, reports, simulator, proven, jobs, time_limit_s)
        except ModelFailedError as failure:
            if len(batch) > 1:
                half = len(batch) // 2
                pending[:0] = [batch[:half], batch[half:]]
                continue
            results = {batch[0].name: failure.error}
        for design in batch:
            yield design, results[design.name]


def attempt(
    batch: Sequence[tuple[Design, LintReport]],
    *,
    proven: Collection[str] = (),
    jobs: int = 1,
    time_limit_s: float = DEFAULT_TIME_LIMIT_S,
) -> dict[str, Swept | RtlgradError] | None:
    """Simulate designs in one model; see `sweep`.

    Returns:
        What `sweep` yields, by name; None if a model of several designs failed as a whole, so
        that the caller has to split it.
    """
    reports = {design.name: report for design, report in batch}
    designs = [design for design, _ in batch]
    try:
        return _sweep_batch(designs, reports, Simulator.VERILATOR, proven, jobs, time_limit_s)
    except ModelFailedError as failure:
        return None if len(designs) > 1 else {designs[0].name: failure.error}


def _sweep_batch(
    batch: Sequence[Design],
    reports: Mapping[str, LintReport],
    simulator: Simulator,
    proven: Collection[str],
    jobs: int,
    time_limit_s: float,
) -> dict[str, Swept | RtlgradError]:
    with scratch_folder("sweep") as folder:
        running = SweepModel(folder, batch, simulator, time_limit_s)
        running.build(jobs)
        running.measure_latencies()
        running.suspected = {
            lane.index
            for lane, design in zip(running.lanes, batch, strict=True)
            if design.name not in proven
            and (reports[design.name].may_keep_state or lane.index in running.lanes_with_unknowns)
        }
        passes = running.run_all(_base_passes(simulator), jobs)
        suspects = [
            lane.index
            for lane, design in zip(running.lanes, batch, strict=True)
            # That no bit is ever X does not tell what depends on what registers hold at first.
            if (lane.index in running.suspected or design.interface.clocking is not None)
            # What two passes have already found out needs no more of them.
            and not isinstance(running.conclusion(lane.index, passes), RtlgradError)
        ]
        if suspects and simulator is Simulator.VERILATOR:
            passes += running.run_all(REGISTER_PASSES, jobs, only=suspects)
            suspects = [index for index in suspects if index in running.suspected]
            passes += running.run_all(EXTRA_PASSES[len(REGISTER_PASSES) :], jobs, only=suspects)
        results = {design.name: running.conclusion(i, passes) for i, design in enumerate(batch)}
    if simulator is Simulator.VERILATOR:
        for design in batch:
            report, result = reports[design.name], results[design.name]
            if isinstance(result, RtlgradError):
                continue
            if report.may_float:
                results[design.name] = _checked_for_z(design, result, time_limit_s)
            elif report.may_overrun:
                results[design.name] = _checked_for_overruns(design, result, time_limit_s)
    return results


def _base_passes(simulator: Simulator) -> Sequence[Pass]:
    # Icarus is many times slower, shows X by itself, and is there to confirm Verilator's table.
    return BASE_PASSES if simulator is Simulator.VERILATOR else BASE_PASSES[:1]


def _checked_for_z(design: Design, result: Swept, time_limit_s: float) -> Swept | RtlgradError:
    """Sweep a design that can drive Z once more, in a simulator that knows Z."""
    try:
        return _confirmed(design, result, time_limit_s)
    except MissingToolError as error:
        return UnknownOutputError(
            f"{design.path} has tri-state drivers (z): whether an output floats cannot be told",
            got=str(error.what),
            remedy="install Icarus Verilog (apt-get install iverilog), or remove the z",
        )
    except ModelFailedError as failure:
        return failure.error


def _checked_for_overruns(
    design: Design, result: Swept, time_limit_s: float
) -> Swept | RtlgradError:
    """Sweep a design that may write beyond an array's end once more, in Icarus if that can.

    Verilator and Yosys may take such an index modulo the array's size, where Verilog has the
    write ignored: that they agree then proves nothing.
    """
    if result.products.size > _MAX_SECOND_OPINION:
        return replace(result, unconfirmed="there are too many operand pairs for Icarus")
    try:
        return _confirmed(design, result, time_limit_s)
    except MissingToolError:
        return replace(result, unconfirmed="Icarus Verilog is not installed")
    except ModelFailedError as failure:
        if failure.compiled:
            return failure.error
        return replace(result, unconfirmed="Icarus Verilog cannot compile it")


def _confirmed(design: Design, result: Swept, time_limit_s: float) -> Swept | RtlgradError:
    """Return the result if Icarus comes to the same one, else the error."""
    require_simulator(Simulator.ICARUS)
    unsuspected = {design.name: LintReport(warnings=(), may_float=False)}
    second = _sweep_batch([design], unsuspected, Simulator.ICARUS, (), 1, time_limit_s)
    other = second[design.name]
    if isinstance(other, RtlgradError):
        return other
    differing = np.argwhere(other.products != result.products)
    if not len(differing):
        return result
    a, b = (int(code) for code in differing[0])
    return SimulationError(
        f"{design.path}: Verilator and Icarus disagree about {design.name}",
        got=f"for operand codes a={a} b={b} Verilator has {int(result.products[a, b])}, Icarus "
        f"{int(other.products[a, b])} ({len(differing)} of {result.products.size} pairs differ)",
        expected="a text that means the same to both",
        remedy="look for writes beyond the end of an array or vector, which Verilog ignores and "
        "tools may put elsewhere",
    )
