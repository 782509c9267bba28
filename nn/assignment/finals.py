"""Finalists of a search on all images: measured once, in as many processes as are wanted."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...core.files import canonical_json, readable_json, sha256_bytes, write_atomic
from ..training.allocator import keep_freed_memory
from ..training.determinism import reproducible
from .evaluation import AssignmentEvaluator, Measurement, measurement_from_json
from .worker import Task, evaluator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ..data import Batches

FINALS = "finals"


def measure_finalists(
    task: Task,
    parts: Mapping[str, Batches],
    wanted: Sequence[tuple[str, ...]],
    *,
    jobs: int = 1,
    done: Callable[[int, int], None] | None = None,
) -> dict[tuple[str, tuple[str, ...]], Measurement]:
    """Measure assignments on whole parts of the data set; what was measured before is read.

    Args:
        task: of the search.
        parts: name of a part ("validation", "test") -> its images.
        wanted: the designs of the layers, for each assignment.
        jobs: processes at a time.
        done: told how many are done, and of how many.

    Returns:
        (part, designs) -> measurement.
    """
    keys = [(part, designs) for part in parts for designs in dict.fromkeys(wanted)]
    found = {key: known for key in keys if (known := _read(_file(task.folder, *key))) is not None}
    missing = [key for key in keys if key not in found]

    def note(key: tuple[str, tuple[str, ...]], measured: Measurement) -> None:
        found[key] = measured
        part, designs = key
        content = {"part": part, "designs": list(designs), **measured.to_json()}
        write_atomic(_file(task.folder, *key), readable_json(content))
        if done is not None:
            done(len(found), len(keys))

    if missing and jobs == 1:
        _begin(task, parts)
        for key in missing:
            note(key, _measure(*key))
        _here.clear()
    elif missing:
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        with ProcessPoolExecutor(
            min(jobs, len(missing)), context, initializer=_begin_alone, initargs=(task, dict(parts))
        ) as pool:
            futures = {pool.submit(_measure, *key): key for key in missing}
            for future in as_completed(futures):
                note(futures[future], future.result())
    return found


_here: dict[str, Any] = {}
"""What a process keeps from one finalist to the next: the task, and evaluators by part."""


def _begin_alone(task: Task, parts: dict[str, Batches]) -> None:
    keep_freed_memory()
    _begin(task, parts)


def _begin(task: Task, parts: Mapping[str, Batches]) -> None:
    _here.update(task=replace(task, cache_bytes=0), parts=parts, evaluators={})


def _measure(part: str, designs: tuple[str, ...]) -> Measurement:
    task: Task = _here["task"]
    evaluators: dict[str, AssignmentEvaluator] = _here["evaluators"]
    with reproducible(seed=0, threads=task.threads):
        if part not in evaluators:
            evaluators[part] = evaluator(replace(task, images=_here["parts"][part]))
        return evaluators[part].measure(designs)


def _file(folder: Path, part: str, designs: tuple[str, ...]) -> Path:
    digest = sha256_bytes(canonical_json(list(designs)).encode())
    return folder / FINALS / f"{part}-{digest[:16]}.json"


def _read(file: Path) -> Measurement | None:
    try:
        return measurement_from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
