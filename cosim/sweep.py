"""The exhaustive sweep, on the host: from designs to every output code, or to a clear error.

A two-state simulator cannot show an X. So each design is swept more than once, in both
directions, with different values in place of every unknown; an output that depends on an
unknown, or on what was applied before, differs between two sweeps and is refused. Icarus, as
the second opinion, sweeps once: it has X and Z.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import (
    MissingToolError,
    RtlgradError,
    SimulationError,
    TimeLimitError,
    UnknownOutputError,
)
from .batches import plan
from .lanes import TOP, Lane, write_model
from .lint import LintReport
from .process import worker_pool
from .simulator import Model, Simulator, build, require_simulator, simulate
from .sources import first_error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from .design import Design
    from .process import Completed

    Codes = NDArray[np.uint64]

TEST_MODULE = "rtlgrad.testbenches.sweep"
DEFAULT_TIME_LIMIT_S = 120.0
_BUILD_LIMIT_S = 1800.0
_SECONDS_PER_PRODUCT = 2e-5  # some 50 times what a simulation takes on a quiet machine


@dataclass(frozen=True, slots=True)
class Pass:
    """One sweep over all operands.

    Attributes:
        name: for its files.
        reset: what uninitialized storage starts as: 0 all zeros, 1 all ones, 2 random.
        seed: seed of every other unknown.
        descending: direction.
    """

    name: str
    reset: int
    seed: int
    descending: bool

    @property
    def plusargs(self) -> list[str]:
        """The arguments that make the simulation run this pass."""
        direction = ["+rtlgrad_descending"] if self.descending else []
        return [f"+verilator+rand+reset+{self.reset}", f"+verilator+seed+{self.seed}", *direction]


BASE_PASSES = (Pass("zeros", 0, 1, False), Pass("ones", 1, 2, True))
EXTRA_PASSES = tuple(Pass(f"random{seed}", 2, seed, seed % 2 == 0) for seed in range(3, 17))
"""For designs with unknowns: one bit that depends on one is missed with probability 2^-15."""


class _BatchFailedError(Exception):
    """A model with several designs failed as a whole; which one is at fault is not known."""

    def __init__(self, error: RtlgradError) -> None:
        super().__init__(str(error))
        self.error = error


def sweep(
    designs: Sequence[tuple[Design, LintReport]],
    *,
    simulator: Simulator = Simulator.VERILATOR,
    proven: Collection[str] = (),
    jobs: int = 1,
    time_limit_s: float = DEFAULT_TIME_LIMIT_S,
) -> Iterator[tuple[Design, NDArray[np.int64] | RtlgradError]]:
    """Simulate every operand pair of every design.

    Designs share models where that is safe; if a model fails, it is split until the design at
    fault is alone, so that no design costs another its result.

    Args:
        designs: each with what `rtlgrad.cosim.lint.lint` found about it.
        simulator: which one to use.
        proven: names of designs that are known to keep no state and to have no unknown output
            bit; the passes that look for such bits are left out.
        jobs: compiler processes at a time.
        time_limit_s: wall seconds that one design's simulation may take.

    Yields:
        Each design once, as soon as its model is done, with its outputs, sign-decoded, int64
        [2^wa, 2^wb] (row = code of a, column = code of b), or with the error that it ended in.
    """
    require_simulator(simulator)
    reports = {design.name: report for design, report in designs}
    pending = plan(design for design, _ in designs)
    while pending:
        batch = pending.pop(0)
        try:
            results = _sweep_batch(batch, reports, simulator, proven, jobs, time_limit_s)
        except _BatchFailedError as failure:
            if len(batch) > 1:
                half = len(batch) // 2
                pending[:0] = [batch[:half], batch[half:]]
                continue
            results = {batch[0].name: failure.error}
        for design in batch:
            yield design, results[design.name]


def _sweep_batch(
    batch: Sequence[Design],
    reports: Mapping[str, LintReport],
    simulator: Simulator,
    proven: Collection[str],
    jobs: int,
    time_limit_s: float,
) -> dict[str, NDArray[np.int64] | RtlgradError]:
    with tempfile.TemporaryDirectory(prefix="rtlgrad-sweep-") as name:
        running = _Batch(Path(name), batch, simulator, time_limit_s)
        running.build(jobs)
        passes = running.run_all(_base_passes(simulator), jobs)
        suspects = [
            lane.index
            for lane, design in zip(running.lanes, batch, strict=True)
            if design.name not in proven
            and (reports[design.name].may_keep_state or lane.index in running.lanes_with_unknowns)
            # What two passes have already found out needs no more of them.
            and not isinstance(
                _agreed(design, [result[lane.index] for result in passes]), RtlgradError
            )
        ]
        if suspects and simulator is Simulator.VERILATOR:
            passes += running.run_all(EXTRA_PASSES, jobs, only=suspects)
        results = {
            design.name: _agreed(design, [result[i] for result in passes if i in result])
            for i, design in enumerate(batch)
        }
    floating = [design for design in batch if reports[design.name].may_float]
    if simulator is Simulator.VERILATOR:
        for design in floating:
            results[design.name] = _checked_for_z(design, results[design.name], time_limit_s)
    return results


def _base_passes(simulator: Simulator) -> Sequence[Pass]:
    # Icarus is many times slower, shows X by itself, and is there to confirm Verilator's table.
    return BASE_PASSES if simulator is Simulator.VERILATOR else BASE_PASSES[:1]


class _Batch:
    """A model of several designs, being built and run in a scratch folder."""

    def __init__(
        self, folder: Path, designs: Sequence[Design], simulator: Simulator, time_limit_s: float
    ) -> None:
        self._folder = folder
        self._designs = designs
        self._simulator = simulator
        self._time_limit_s = time_limit_s
        self._model: Model | None = None
        self.lanes_with_unknowns: frozenset[int] = frozenset()
        self.lanes = [
            Lane(index, design.interface, dict(design.reference.overrides))
            for index, design in enumerate(designs)
        ]

    def build(self, jobs: int) -> None:
        texts = dict.fromkeys((design.sources.text, design.path.suffix) for design in self._designs)
        sources = []
        for index, (text, suffix) in enumerate(texts):
            file = self._folder / f"design_{index}{suffix}"
            # Compiler directives of one file must not reach into the next. The time scale is that
            # of a file that states none: its delays, if any, are gate delays in nanoseconds.
            framed = f"`resetall\n`timescale 1ns / 1ps\n{text}\n`resetall\n"
            file.write_text(framed, encoding="utf-8")
            sources.append(file)
        sources += write_model(self._folder, self.lanes)
        self._model, done = build(
            self._simulator, sources, TOP, self._folder, jobs=jobs, limit_s=_BUILD_LIMIT_S
        )
        if not done.ok:
            raise _BatchFailedError(self._build_error(done))
        if self._simulator is Simulator.VERILATOR:
            self.lanes_with_unknowns = self._find_unknowns()

    def run_all(
        self, items: Sequence[Pass], jobs: int, only: Sequence[int] | None = None
    ) -> list[dict[int, Codes | RtlgradError]]:
        """Run several passes, ``jobs`` of them at a time."""
        with worker_pool(jobs) as pool:
            return list(pool.map(lambda item: self.run(item, only), items))

    def run(self, item: Pass, only: Sequence[int] | None = None) -> dict[int, Codes | RtlgradError]:
        """Run one pass over all lanes, or over some; return output codes or errors by lane."""
        assert self._model is not None
        chosen = [lane for lane in self.lanes if only is None or lane.index in only]
        skipped = [lane for lane in self.lanes if lane not in chosen]
        jobs = [
            {
                "index": lane.index,
                "rows": lane.rows,
                "columns": lane.columns,
                "field_bytes": lane.field_bytes,
                "file": str(self._folder / f"{item.name}_{lane.index}.npy"),
            }
            for lane in chosen
        ]
        ended = simulate(
            self._model,
            TEST_MODULE,
            name=item.name,
            plusargs=[*item.plusargs, *(f"+rtlgrad_skip_{lane.index}_" for lane in skipped)],
            variables={"RTLGRAD_LANES": json.dumps(jobs)},
            limit_s=self._limit_s(chosen),
        )
        results = {lane.index: self._result(item, lane) for lane in chosen}
        if not ended.ok or any(result is None for result in results.values()):
            raise _BatchFailedError(self._run_error(ended))
        return {index: result for index, result in results.items() if result is not None}

    def _result(self, item: Pass, lane: Lane) -> Codes | RtlgradError | None:
        file = self._folder / f"{item.name}_{lane.index}.npy"
        failed = file.with_suffix(".error")
        if failed.exists():
            return _unknown_output(self._designs[lane.index], failed.read_text())
        return np.load(file).astype(np.uint64) if file.exists() else None

    def _limit_s(self, lanes: Sequence[Lane]) -> float:
        if len(lanes) == 1:
            return self._time_limit_s
        # A batch may be split, so it is given up early: one endless design must not hold
        # the others for the whole of its own limit.
        products = sum(lane.rows * lane.columns for lane in lanes)
        return min(self._time_limit_s, 20.0 + products * _SECONDS_PER_PRODUCT)

    def _find_unknowns(self) -> frozenset[int]:
        """Lanes in which Verilator put a run-time value in place of an X."""
        found: set[int] = set()
        for file in (self._folder / "model").glob("*.cpp"):
            for line in file.read_text(errors="replace").splitlines():
                if "RAND_RESET_ASSIGN" in line:
                    named = re.findall(r"__lane_(\d+)__", line) or re.findall(
                        r"lane_(\d+)__DOT__", line
                    )
                    found |= {int(index) for index in named} or {lane.index for lane in self.lanes}
        return frozenset(found)

    def _build_error(self, ended: Completed) -> RtlgradError:
        path = self._designs[0].path
        if ended.timed_out:
            return TimeLimitError(
                f"compiling the simulation of {path} did not end within {_BUILD_LIMIT_S:.0f} s"
            )
        return SimulationError(
            f"the simulation of {path} cannot be compiled by {self._simulator}",
            got=_build_message(ended.output, path),
        )

    def _run_error(self, ended: Completed) -> RtlgradError:
        path = self._designs[0].path
        if ended.timed_out:
            return TimeLimitError(
                f"the simulation of {path} did not end within {self._limit_s(self.lanes):.0f} s",
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
            got=_last_lines(ended.output),
            remedy="look for $finish, $stop, $fatal or failing assertions in the source",
        )


def _agreed(
    design: Design, passes: Sequence[Codes | RtlgradError]
) -> NDArray[np.int64] | RtlgradError:
    """Return the outputs if all passes agree, else the error that names where they do not."""
    for result in passes:
        if isinstance(result, RtlgradError):
            return result
    arrays = [result for result in passes if not isinstance(result, RtlgradError)]
    for other in arrays[1:]:
        differing = np.argwhere(other != arrays[0])
        if len(differing):
            a, b = (int(code) for code in differing[0])
            one, two = sorted({int(arrays[0][a, b]), int(other[a, b])})
            return UnknownOutputError(
                f"{design.path}: the output of {design.name} is not a function of its operands",
                got=f"for operand codes a={a} b={b} it is {one:#x} in one sweep and {two:#x} in "
                f"another ({len(differing)} of {other.size} operand pairs differ)",
                expected="the same output for the same operands, whatever unknown bits are and "
                "whatever was applied before",
                remedy="look for undriven nets, x literals, incomplete case or if (a latch), and "
                "incomplete sensitivity lists",
            )
    out = design.interface.out
    if not out.signed and bool((arrays[0] > np.uint64(np.iinfo(np.int64).max)).any()):
        return SimulationError(
            f"{design.path}: output {out.name!r} of {design.name} does not fit a table",
            got=f"the value {int(arrays[0].max())}",
            expected="products that fit 32 bits",
        )
    return decode(arrays[0], out.width, out.signed)


def decode(codes: Codes, width: int, signed: bool) -> NDArray[np.int64]:
    """Return the values of output codes: two's complement where ``signed``.

    Args:
        codes: unsigned bit patterns, any shape.
        width: bits of a code, at most 64.
        signed: whether codes are two's complement; unsigned ones must be below 2^63.
    """
    if not signed:
        return codes.astype(np.int64)
    shift = np.int64(64 - width)
    return (codes.astype(np.int64) << shift) >> shift


def _checked_for_z(
    design: Design, result: NDArray[np.int64] | RtlgradError, time_limit_s: float
) -> NDArray[np.int64] | RtlgradError:
    """Sweep a design that can drive Z once more, in a simulator that knows Z."""
    if isinstance(result, RtlgradError):
        return result
    try:
        require_simulator(Simulator.ICARUS)
        unsuspected = {design.name: LintReport(warnings=(), may_float=False)}
        second = _sweep_batch([design], unsuspected, Simulator.ICARUS, (), 1, time_limit_s)
    except MissingToolError as error:
        return UnknownOutputError(
            f"{design.path} has tri-state drivers (z): whether an output floats cannot be told",
            got=str(error.what),
            remedy="install Icarus Verilog (apt-get install iverilog), or remove the z",
        )
    except _BatchFailedError as failure:
        return failure.error
    other = second[design.name]
    if isinstance(other, RtlgradError) or np.array_equal(other, result):
        return other
    return SimulationError(f"{design.path}: Verilator and Icarus disagree about {design.name}")


def _unknown_output(design: Design, message: str) -> UnknownOutputError:
    return UnknownOutputError(
        f"{design.path}: an output bit of {design.name} is X or Z",
        got=message,
        expected="0 or 1 on every output bit",
        remedy="look for undriven nets, z and x literals, and incomplete case or if",
    )


def _build_message(output: str, path: Path) -> str:
    missing = re.search(r"undefined reference to .*", output)
    return missing[0] if missing else first_error(output, path)


def _last_lines(output: str) -> str:
    telling = re.compile(
        r"%Error|\$(?:finish|stop|fatal)|\b(?:ERROR|FATAL|Assertion|Segmentation)\b"
    )
    errors = [line.strip() for line in output.splitlines() if telling.search(line)]
    return " | ".join(errors[:3]) or "no error message"
