"""Many runs as one piece of work: multipliers, gradients and seeds, each combination a run.

Every run has a folder of its own and is resumed or only read as `train` does it, so a sweep that
was interrupted goes on when it is given again, and one that grows only does what is new.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import platform
import re
import statistics
import threading
import uuid
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import ConfigError, RtlgradError, ToolFailedError
from ...core.files import write_atomic
from .allocator import keep_freed_memory
from .loop import train
from .multipliers import tables_for
from .schedule import designs_of, final_design

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor, Future

    from ..data import ImageData
    from ..multipliers import MultiplierTable
    from .config import TrainConfig
    from .results import RunResult


_PLACE_NAME = ".sweep"


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        config: what it does.
        folder: where it is kept.
    """

    config: TrainConfig
    folder: Path


@dataclass(frozen=True, slots=True)
class SweepRow:
    """The runs of one multiplier and gradient, over all seeds that are finished.

    Attributes:
        multiplier: a design, a schedule of them, or "fp32".
        gradient: of the products; "-" where there is no table.
        initial: mean test accuracy before training, in percent; None if no weights were given.
        mean: mean test accuracy after training, in percent.
        spread: sample standard deviation over the seeds, in points; None for one seed.
        seeds: of the runs, ascending.
    """

    multiplier: str
    gradient: str
    initial: float | None
    mean: float
    spread: float | None
    seeds: tuple[int, ...]


def plan_sweep(
    base: TrainConfig,
    multipliers: Sequence[str],
    gradients: Sequence[str],
    seeds: Sequence[int],
    root: Path,
) -> tuple[SweepRun, ...]:
    """Return the runs of a sweep, in the order of multipliers, gradients and seeds.

    Where there is no table (fp32, noise) there are no gradients to choose, and one run per seed.
    A run has one thread unless ``base`` says how many: the result depends on it, and must not on
    how many runs go on at a time.

    Args:
        base: what all runs have in common.
        multipliers: designs, "fp32", or schedules (`rtlgrad.nn.training.schedule`).
        gradients: as `rtlgrad.nn.gradients.parse_gradient` reads them.
        seeds: of weights, order and augmentation.
        root: folder of the runs' folders.

    Raises:
        ConfigError: an axis is empty or names something twice, or a configuration is illegal.
    """
    axes: dict[str, Sequence[str | int]] = {
        "multipliers": multipliers,
        "gradients": gradients,
        "seeds": seeds,
    }
    for name, values in axes.items():
        if not values or len(set(values)) != len(values):
            raise ConfigError(f"{name} of a sweep", got=values, expected="one or more, each once")
    runs = []
    for multiplier, gradient, seed in product(multipliers, gradients, seeds):
        config = replace(with_multiplier(base, multiplier), seed=seed, threads=base.threads or 1)
        if config.design is None and gradient != gradients[0]:
            continue
        parts = [multiplier]
        if config.design is not None:
            config = replace(config, gradient=gradient)
            parts.append(gradient)
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join([*parts, f"s{seed}"]))
        runs.append(SweepRun(config, root / name))
    return tuple(runs)


def with_multiplier(base: TrainConfig, multiplier: str) -> TrainConfig:
    """Return a configuration with another multiplier: a design, "fp32" or a schedule.

    Raises:
        ConfigError: it is no schedule that makes sense for the epochs of ``base``.
    """
    if ":" not in multiplier:
        design = None if multiplier == "fp32" else multiplier
        return replace(base, design=design, multipliers=None)
    design = final_design(multiplier, base.epochs)
    return replace(base, design=design, multipliers=multiplier)


def designs_needed(runs: Sequence[SweepRun]) -> tuple[str, ...]:
    """Return the designs whose tables the runs need, each once."""
    names: dict[str, None] = {}
    for run in runs:
        config = run.config
        if config.multipliers is not None:
            names.update(dict.fromkeys(designs_of(config.phases)))
        elif config.design is not None:
            names[config.design] = None
    return tuple(names)


def run_sweep(
    runs: Sequence[SweepRun],
    load: Callable[[], ImageData],
    tables: Mapping[str, MultiplierTable],
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    done: Callable[[SweepRun, RunResult | RtlgradError], None] | None = None,
) -> dict[Path, RunResult | RtlgradError]:
    """Do the runs of a sweep; one that fails stops no other.

    Args:
        runs: from `plan_sweep`.
        load: gives the data set of all of them; called once in each process, so it must be
            something that can be pickled if there are several.
        tables: of the designs needed, by name.
        jobs: processes at a time.
        executor: does the runs in place of processes of this machine, for example a Dask cluster.
            Its processes must see the working directory by the same path, as a run that a killed
            process leaves is gone on with by another. A process does one run at a time.
        done: told about each run as it ends, in the order in which they end.

    Returns:
        Result or error by folder, in the order of ``runs``.
    """
    outcomes: dict[Path, RunResult | RtlgradError] = {}

    def note(run: SweepRun, outcome: RunResult | RtlgradError) -> None:
        outcomes[run.folder] = outcome
        if done is not None:
            done(run, outcome)

    if executor is not None:
        _on(executor, runs, load, tables, note)
    elif jobs == 1:
        data = load()
        for run in runs:
            note(run, _do(run, data, tables))
    else:
        # Not by fork: torch's threads do not survive one. The processes are ours alone.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(jobs, len(runs)), mp_context=context, initializer=keep_freed_memory
        ) as pool:
            _on(pool, runs, load, tables, note)
    return {run.folder: outcomes[run.folder] for run in runs}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a sweep was started, and a file there by which another process knows the place.

    Attributes:
        folder: the working directory.
        file: below the folder of the runs.
        content: of the file.
    """

    folder: Path
    file: Path
    content: str


def _on(
    executor: Executor,
    runs: Sequence[SweepRun],
    load: Callable[[], ImageData],
    tables: Mapping[str, MultiplierTable],
    note: Callable[[SweepRun, RunResult | RtlgradError], None],
) -> None:
    place = _Place(Path.cwd(), runs[0].folder.parent / _PLACE_NAME, uuid.uuid4().hex)
    write_atomic(place.file, place.content)
    futures = {}
    for run in runs:
        mine = {name: tables[name] for name in designs_needed([run])}
        futures[executor.submit(_do_there, run, load, mine, place)] = run
    try:
        for future in as_completed(futures):
            note(futures[future], _outcome(futures[future], future))
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    finally:
        place.file.unlink(missing_ok=True)


def _outcome(run: SweepRun, future: Future[RunResult | RtlgradError]) -> RunResult | RtlgradError:
    try:
        return future.result()
    except Exception as error:  # an executor has its own kinds for processes that died
        return ToolFailedError(
            f"the process that trained {run.folder} did not answer",
            got=f"{type(error).__name__}: {error}",
            remedy="give the sweep again: it goes on from the last finished epoch",
        )


_one_at_a_time = threading.Lock()
_loaded: dict[bytes, ImageData] = {}
"""The data set that this process trains on, by what loads it."""


def _do_there(
    run: SweepRun,
    load: Callable[[], ImageData],
    tables: Mapping[str, MultiplierTable],
    place: _Place,
) -> RunResult | RtlgradError:
    """Do a run in another process than the sweep's."""
    # Random states, threads and the working directory belong to the whole process.
    with _one_at_a_time:
        try:
            seen = (place.folder / place.file).read_text(encoding="utf-8")
        except OSError:
            seen = ""
        if seen != place.content:
            return ConfigError(
                f"a worker on {platform.node()} does not see the folder of the sweep",
                got=f"not the file {place.folder / place.file}",
                expected="the working directory of the sweep, under the same path",
                remedy="start workers where a shared file system has it",
            )
        with contextlib.chdir(place.folder):
            key = pickle.dumps(load)
            if key not in _loaded:
                _loaded.clear()
                _loaded[key] = load()
            return _do(run, _loaded[key], tables)


def _do(
    run: SweepRun, data: ImageData, tables: Mapping[str, MultiplierTable]
) -> RunResult | RtlgradError:
    try:
        table, scheduled = tables_for(run.config, lambda name: tables[name])
        return train(run.config, data, table, run.folder, tables=scheduled)
    except RtlgradError as error:
        return error


def summarize(results: Sequence[RunResult]) -> tuple[SweepRow, ...]:
    """Return mean and spread over seeds for each multiplier and gradient, in the order given."""
    groups: dict[tuple[str, str], list[RunResult]] = {}
    for result in results:
        key = (result.config.multiplier, "-" if result.design is None else result.config.gradient)
        groups.setdefault(key, []).append(result)
    rows = []
    for (multiplier, gradient), members in groups.items():
        after = [100 * member.test.accuracy for member in members]
        before = [100 * m.initial.accuracy for m in members if m.initial is not None]
        rows.append(
            SweepRow(
                multiplier,
                gradient,
                statistics.fmean(before) if len(before) == len(members) else None,
                statistics.fmean(after),
                statistics.stdev(after) if len(after) > 1 else None,
                tuple(sorted(member.config.seed for member in members)),
            )
        )
    return tuple(rows)
