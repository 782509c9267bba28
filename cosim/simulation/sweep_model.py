"""A model of several designs: compiles it, measures its clocked lanes, and runs passes in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import RtlgradError
from ..clocked.clocked_lanes import fault_error, plan_arguments, play, with_times
from ..clocked.latency import measure_all
from ..interface import Latency
from ..programs.process import worker_pool
from .agreement import agreed
from .lanes import TOP, Lane, write_model
from .passes import BASE_PASSES, REGISTER_PASSES
from .renaming import renamed, renamed_interface
from .simulation_errors import build_error, run_error, unknown_output
from .simulator import Model, Simulator, build, simulate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..clocked.probing import Script, Trace
    from ..design import Design
    from .passes import Pass

    Codes = NDArray[np.uint64]

TEST_MODULE = "rtlgrad.testbenches.sweep"
_BUILD_LIMIT_S = 600.0
_SHARED_BUILD_LIMIT_S = 240.0  # some 20 times what a full batch takes: it may be split after that
_SECONDS_PER_PRODUCT = 2e-5  # some 50 times what a simulation takes on a quiet machine
_MIN_ROWS = 4


@dataclass(frozen=True, eq=False, slots=True)
class Swept:
    """What a sweep found out about a design.

    Attributes:
        products: sign-decoded outputs, int64 [2^wa, 2^wb] (row = code of a, column = code of b).
        latency: when they appear; None for a combinational design.
        unconfirmed: why Icarus gave no second opinion on a design that should have one, else "".
    """

    products: NDArray[np.int64]
    latency: Latency | None = None
    unconfirmed: str = ""


class ModelFailedError(Exception):
    """A model with several designs failed as a whole; which one is at fault is not known.

    Attributes:
        error: what it would be the error of, were it of one design.
        compiled: whether it was compiled.
    """

    def __init__(self, error: RtlgradError, *, compiled: bool = True) -> None:
        super().__init__(str(error))
        self.error = error
        self.compiled = compiled


class SweepModel:
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
        self.suspected: set[int] = set()
        self._runs = 0
        self._latencies: dict[int, Latency | RtlgradError] = {}
        # Variants of one file share its text.
        distinct = list(
            dict.fromkeys((design.sources.text, design.path.suffix) for design in designs)
        )
        found = renamed([text for text, _ in distinct])
        self._texts = [
            (text, suffix) for (text, _), (_, suffix) in zip(found, distinct, strict=True)
        ]
        names = dict(zip(distinct, (names for _, names in found), strict=True))
        self.lanes = [
            _lane(index, design, names[design.sources.text, design.path.suffix])
            for index, design in enumerate(designs)
        ]

    def build(self, jobs: int) -> None:
        """Compile the model."""
        sources = []
        for index, (text, suffix) in enumerate(self._texts):
            file = self._folder / f"design_{index}{suffix}"
            # Compiler directives of one file must not reach into the next. The time scale is that
            # of a file that states none: its delays, if any, are gate delays in nanoseconds.
            framed = f"`resetall\n`timescale 1ns / 1ps\n{text}\n`resetall\n"
            file.write_text(framed, encoding="utf-8")
            sources.append(file)
        sources += write_model(self._folder, self.lanes)
        self._model, done = build(
            self._simulator, sources, TOP, self._folder, jobs=jobs, limit_s=self._build_limit_s
        )
        if not done.ok:
            path = self._designs[0].path
            raise ModelFailedError(
                build_error(done, path, self._simulator, self._build_limit_s), compiled=False
            )
        if self._simulator is Simulator.VERILATOR:
            self.lanes_with_unknowns = self._find_unknowns()

    def measure_latencies(self) -> None:
        """Measure all clocked lanes; those that cannot be measured take part in no pass."""
        clocked = {
            lane.index: self._designs[lane.index]
            for lane in self.lanes
            if lane.interface.clocking is not None
        }
        self._latencies = measure_all(clocked, self._play)

    def _play(self, scripts: Mapping[int, Script]) -> dict[int, Trace]:
        assert self._model is not None
        self._runs += 1
        found, ended = play(
            self._model,
            TEST_MODULE,
            scripts,
            name=f"probe{self._runs}",
            plusargs=[f"+rtlgrad_skip_{lane.index}_" for lane in self.lanes],
            limit_s=self._time_limit_s,
        )
        if len(found) < len(scripts):
            raise ModelFailedError(
                run_error(ended, self._designs[0].path, self._limit_s(self.lanes))
            )
        return found

    def conclusion(
        self, index: int, passes: Sequence[Mapping[int, Codes | RtlgradError]]
    ) -> Swept | RtlgradError:
        """Return what the passes so far say about one lane."""
        latency = self._latencies.get(index)
        if isinstance(latency, RtlgradError):
            return latency
        results = [result[index] for result in passes if index in result]
        products = agreed(self._designs[index], results, latency)
        if isinstance(products, RtlgradError):
            return products
        if latency is not None:
            files = self._folder.glob(f"*_{index}.cycles")
            latency = with_times(latency, [json.loads(file.read_text()) for file in files])
        return Swept(products, latency)

    def run_all(
        self, items: Sequence[Pass], jobs: int, only: Sequence[int] | None = None
    ) -> list[dict[int, Codes | RtlgradError]]:
        """Run several passes, ``jobs`` of them at a time."""
        with worker_pool(jobs) as pool:
            return list(pool.map(lambda item: self.run(item, only), items))

    def run(self, item: Pass, only: Sequence[int] | None = None) -> dict[int, Codes | RtlgradError]:
        """Run one pass over all lanes, or over some; return output codes or errors by lane."""
        assert self._model is not None
        chosen = [
            lane
            for lane in self.lanes
            if (only is None or lane.index in only)
            and not isinstance(self._latencies.get(lane.index), RtlgradError)
        ]
        if not chosen:
            return {}
        skipped = [lane for lane in self.lanes if lane not in chosen]
        jobs = [
            {
                "index": lane.index,
                "rows": lane.rows,
                "columns": lane.columns,
                "visits": len(self._visited(item, lane)),
                "field_bytes": lane.field_bytes,
                "clocked": lane.interface.clocking is not None,
                "file": str(self._file(item, lane)),
            }
            for lane in chosen
        ]
        ended = simulate(
            self._model,
            TEST_MODULE,
            name=item.name,
            plusargs=[
                *item.plusargs,
                *(f"+rtlgrad_skip_{lane.index}_" for lane in skipped),
                f"+rtlgrad_part={item.part}",
                *(argument for lane in chosen for argument in self._plan(item, lane)),
            ],
            variables={"RTLGRAD_LANES": json.dumps(jobs)},
            limit_s=self._limit_s(chosen),
        )
        results = {lane.index: self._result(item, lane) for lane in chosen}
        if not ended.ok or any(result is None for result in results.values()):
            raise ModelFailedError(
                run_error(ended, self._designs[0].path, self._limit_s(self.lanes))
            )
        return {index: result for index, result in results.items() if result is not None}

    def _plan(self, item: Pass, lane: Lane) -> list[str]:
        latency = self._latencies.get(lane.index)
        if not isinstance(latency, Latency):
            return []
        return [
            *plan_arguments(lane.index, self._designs[lane.index], latency),
            f"+rtlgrad_parts_{lane.index}={self._parts(item, lane)}",
        ]

    def _parts(self, item: Pass, lane: Lane) -> int:
        """Into how many parts a pass divides the rows of a lane, to visit one of them."""
        if item not in REGISTER_PASSES or lane.index in self.suspected:
            return 1
        clocked = lane.interface.clocking is not None
        return max(1, min(len(REGISTER_PASSES), lane.rows // _MIN_ROWS)) if clocked else 1

    def _visited(self, item: Pass, lane: Lane) -> NDArray[np.int64]:
        """Codes of a that a pass visits in a lane."""
        parts = self._parts(item, lane)
        rows = np.arange(item.part % parts, lane.rows, parts)
        return lane.rows - 1 - rows if item.descending else rows

    def _result(self, item: Pass, lane: Lane) -> Codes | RtlgradError | None:
        file = self._file(item, lane)
        failed = file.with_suffix(".error")
        if failed.exists():
            return unknown_output(self._designs[lane.index], failed.read_text())
        failed = file.with_suffix(".fault")
        if failed.exists():
            return fault_error(self._designs[lane.index], json.loads(failed.read_text()))
        if not file.exists():
            return None
        codes: Codes = np.load(file).astype(np.uint64)
        visited = self._visited(item, lane)
        if len(visited) == lane.rows:
            return codes
        # What this pass did not visit says nothing else than the first one did.
        whole: Codes = np.load(self._file(BASE_PASSES[0], lane)).astype(np.uint64)
        whole[visited] = codes[visited]
        return whole

    def _file(self, item: Pass, lane: Lane) -> Path:
        return self._folder / f"{item.name}_{lane.index}.npy"

    @property
    def _build_limit_s(self) -> float:
        return _BUILD_LIMIT_S if len(self._designs) == 1 else _SHARED_BUILD_LIMIT_S

    def _limit_s(self, lanes: Sequence[Lane]) -> float:
        if len(lanes) == 1:
            return self._time_limit_s
        # A batch may be split, so it is given up early: one endless design must not hold
        # the others for the whole of its own limit.
        steps = sum(lane.rows * lane.columns * self._steps(lane) for lane in lanes)
        return min(self._time_limit_s, 20.0 + steps * _SECONDS_PER_PRODUCT)

    def _steps(self, lane: Lane) -> int:
        """Points in time at which one product's simulation looks at the design."""
        latency = self._latencies.get(lane.index)
        return 3 * latency.interval_cycles if isinstance(latency, Latency) else 1

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


def _lane(index: int, design: Design, names: Mapping[str, str]) -> Lane:
    overrides = {names.get(key, key): value for key, value in design.reference.overrides.items()}
    return Lane(index, renamed_interface(design.interface, names), overrides)
