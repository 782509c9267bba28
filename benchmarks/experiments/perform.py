"""Doing a study: stage by stage, by the package's own sweeps, and reading back what came out."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from rtlgrad.cli.training import stored_table
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen.record import Characterization, MantissaCharacterization
from rtlgrad.lutgen.store import load, stored_names
from rtlgrad.nn.data import load_data
from rtlgrad.nn.training import (
    METRICS_NAME,
    RESULT_NAME,
    RunResult,
    designs_needed,
    load_result,
    run_sweep,
)

from .study import Bench, DesignFigures, Row, run_folder, runs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rtlgrad.core.errors import RtlgradError
    from rtlgrad.nn.training import SweepRun

    from .study import Arm, Study


@dataclass(frozen=True, slots=True)
class Means:
    """What runs need that is no part of a study.

    Attributes:
        store: folder of the characterized designs.
        data_roots: data set -> folder with its files; the others are searched for.
        jobs: runs at a time.
    """

    store: Path
    data_roots: Mapping[str, Path]
    jobs: int = 1


def design_figures(store: Path) -> dict[str, DesignFigures]:
    """Read the figures of every design that has a table.

    Raises:
        RecordError: a record is damaged.
    """
    found = {}
    for name in stored_names(store):
        made = load(store / name)
        if isinstance(made, MantissaCharacterization):
            kind, metrics = f"m{made.table.mantissa_bits}", made.metrics
            figures = metrics.mre_pct, metrics.bias_pct, metrics.nmed
        elif isinstance(made, Characterization):
            table, metrics = made.table, made.metrics
            alike = (table.width_a, table.signed_a) == (table.width_b, table.signed_b)
            kind = f"{'s' if table.signed_a else 'u'}{table.width_a}" if alike else ""
            some = table.exact != 0
            bias_pct = 100 * float((table.error[some] / table.exact[some]).mean())
            figures = metrics.mre_nonzero_pct, bias_pct, metrics.nmed
        else:
            continue
        found[name] = DesignFigures(name, kind, *figures, made.table.content_hash)
    return found


def perform(
    study: Study, root: Path, means: Means, say: Callable[[str], None]
) -> tuple[Bench, list[str]]:
    """Do what is left to do of a study.

    A run that fails, because its training diverged say, stops no other; a stage that cannot be
    worked out without it ends the study.

    Args:
        study: what to do.
        root: folder of its runs.
        means: what they need.
        say: told about each run that ends.

    Returns:
        The bench with all rows, and what failed.
    """
    bench = Bench(design_figures(means.store), (), root)
    failed: list[str] = []
    for stage in study.stages:
        try:
            arms = stage(bench)
        except ConfigError as error:
            return bench, [*failed, f"{study.name} cannot go on: {error}"]
        failed += _do(arms, root, means, say)
        bench = replace(bench, rows=(*bench.rows, *rows_of(arms, root)))
    return bench, failed


def gather(study: Study, root: Path, store: Path) -> Bench:
    """Return what is there of a study, with nothing done for it.

    Stages are followed as long as they can be worked out from the runs that are finished.
    """
    bench = Bench(design_figures(store), (), root)
    for stage in study.stages:
        try:
            arms = stage(bench)
        except ConfigError:
            break
        bench = replace(bench, rows=(*bench.rows, *rows_of(arms, root)))
    return bench


def rows_of(arms: Sequence[Arm], root: Path) -> tuple[Row, ...]:
    """Read the finished runs of some arms."""
    folders = [(arm, run_folder(root, arm.name, seed)) for arm in arms for seed in arm.seeds]
    return tuple(read_row(arm.name, f) for arm, f in folders if (f / RESULT_NAME).exists())


def read_row(arm: str, folder: Path) -> Row:
    """Read one finished run.

    Raises:
        RecordError: its result is damaged.
    """
    result = load_result(folder)
    lines = (folder / METRICS_NAME).read_text(encoding="utf-8").splitlines()
    epochs = [json.loads(line) for line in lines]
    config = result.config
    return Row(
        arm=arm,
        model=config.model,
        data=config.data,
        multiplier=config.multiplier,
        gradient="-" if result.design is None else config.gradient,
        seed=config.seed,
        epochs=config.epochs,
        images=result.images["train"],
        initial=None if result.initial is None else 100 * result.initial.accuracy,
        accuracy=100 * result.accuracy,
        curve=tuple(100 * e["validation"]["accuracy"] for e in epochs if e["validation"]),
        losses=tuple(e["train_loss"] for e in epochs),
        seconds=result.seconds,
        threads=result.threads,
        table=result.characterization_id,
    )


def _do(arms: Sequence[Arm], root: Path, means: Means, say: Callable[[str], None]) -> list[str]:
    """Do the runs of a stage, a data set after the other; return what failed."""
    runs = runs_of(arms, root)
    failed = []
    for data, group in groupby(runs, key=lambda run: run.config.data):
        left = tuple(run for run in group if not (run.folder / RESULT_NAME).exists())
        if not left:
            continue
        tables = {name: stored_table(name, means.store) for name in designs_needed(left)}
        outcomes = run_sweep(
            left,
            partial(load_data, data, means.data_roots.get(data)),
            {name: table for name, table in tables.items() if table is not None},
            jobs=means.jobs,
            done=lambda run, outcome: say(_line(run, outcome)),
        )
        failed += [
            f"{folder}: {outcome}"
            for folder, outcome in outcomes.items()
            if not isinstance(outcome, RunResult)
        ]
    return failed


def _line(run: SweepRun, outcome: RunResult | RtlgradError) -> str:
    if not isinstance(outcome, RunResult):
        return f"{run.folder.name}: failed: {outcome}"
    before = "" if outcome.initial is None else f"{100 * outcome.initial.accuracy:.2f} % before, "
    return f"{run.folder.name}: {before}{100 * outcome.accuracy:.2f} %, {outcome.seconds:.0f} s"
