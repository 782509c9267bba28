"""``rtlgrad sweep``: several multipliers, gradients and seeds, and a table of how they did."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from ..lutgen.executors import dask_workers
from ..nn.data import load_data
from ..nn.training import RunResult, designs_needed, plan_sweep, run_sweep, summarize
from ..nn.training.allocator import keep_freed_memory
from .console import err, number, print_json, print_table
from .training import stored_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..core.errors import RtlgradError
    from ..nn.training import SweepRun, TrainConfig


def run(
    base: TrainConfig,
    *,
    multipliers: Sequence[str],
    gradients: Sequence[str],
    seeds: Sequence[int],
    jobs: int,
    scheduler: str | None,
    root: Path,
    store: Path,
    data_root: Path | None,
    as_json: bool,
) -> int:
    """Do a sweep and print its table; return the exit status."""
    keep_freed_memory()
    runs = plan_sweep(base, multipliers, gradients, seeds, root)
    tables = {
        name: table
        for name in designs_needed(runs)
        if (table := stored_table(name, store)) is not None
    }
    load = partial(load_data, base.data, data_root)
    count = 0

    def done(one: SweepRun, outcome: RunResult | RtlgradError) -> None:
        nonlocal count
        count += 1
        said = (
            f"{100 * outcome.accuracy:.2f} %"
            if isinstance(outcome, RunResult)
            else f"failed: {outcome}"
        )
        err().print(f"{count}/{len(runs)} {one.folder}: {said}", markup=False)

    if scheduler is None:
        outcomes = run_sweep(runs, load, tables, jobs=jobs, done=done)
    else:
        with dask_workers(scheduler) as workers:
            outcomes = run_sweep(runs, load, tables, executor=workers.executor, done=done)
    rows = summarize([outcome for outcome in outcomes.values() if isinstance(outcome, RunResult)])
    failed = {str(f): str(o) for f, o in outcomes.items() if not isinstance(o, RunResult)}
    if as_json:
        print_json({"rows": [asdict(row) for row in rows], "failed": failed})
    elif rows:
        print_table(
            ("multiplier", "gradient", "seeds", "before %", "after %", "spread"),
            [
                (
                    row.multiplier,
                    row.gradient,
                    str(len(row.seeds)),
                    number(row.initial, 2),
                    number(row.mean, 2),
                    number(row.spread, 2),
                )
                for row in rows
            ],
            left=2,
        )
    return 1 if failed else 0
