"""A study: a search with its folder, from its images to its results."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.errors import ConfigError, RecordError
from ...core.files import readable_json, write_atomic
from .finals import measure_finalists
from .outcome import front
from .results import (
    Finalist,
    StudyResult,
    best_of,
    nearest_to,
    save_study,
    singles_of,
)
from .search import locked_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ..data import Batches
    from .outcome import Candidate
    from .worker import Task

SETTINGS = "study.json"
_CONCLUDING = ".conclude.lock"
_EVALUATION_BATCH = 250


def search_images(held_out: Batches | None, count: int, seed: int) -> Batches:
    """Draw the images that a search evaluates on from those held out of training.

    Args:
        held_out: the validation images.
        count: how many to draw.
        seed: of the draw.

    Raises:
        ConfigError: there are not as many.
    """
    if held_out is None or held_out.count < count:
        raise ConfigError(
            "not enough images were held out of training to search on",
            got=0 if held_out is None else held_out.count,
            expected=f"{count}; the test images are not used for any choice",
            remedy="lower --images, or train with a greater val_fraction",
        )
    drawn = np.random.default_rng(seed).permutation(held_out.count)[:count]
    rows = torch.from_numpy(np.sort(drawn))
    return replace(
        held_out,
        images=held_out.images[rows],
        labels=held_out.labels[rows],
        batch_size=_EVALUATION_BATCH,
    )


def settings_of(task: Task, **others: Any) -> dict[str, Any]:
    """Return what identifies a study: all that its candidates' figures depend on.

    Args:
        task: of the study.
        **others: what else identifies it, as plain JSON values.
    """
    space, limits = task.space, task.limits
    return {
        "base": task.base.name,
        "base_id": task.base.id,
        "accelerator": str(space.accelerator),
        "tiles": space.tiles,
        "layers": list(space.layers),
        "designs": {design: task.tables[design].id for design in space.designs},
        "images": task.images.count,
        "population": task.budget.population,
        "seed": task.budget.seed,
        "energy": str(task.figure),
        "stop_points": limits.stop_points,
        "max_area_um2": limits.area_um2,
        "max_delay_ps": limits.delay_ps,
        "energy_model": task.energy.to_json(),
        **others,
    }


def enter_study(folder: Path, settings: Mapping[str, Any]) -> None:
    """Begin a study in a folder, or make sure that the one in it is the same.

    Raises:
        ConfigError: the folder holds another study; names what differs.
        RecordError: its settings cannot be read.
    """
    path = folder / SETTINGS
    folder.mkdir(parents=True, exist_ok=True)
    with locked_file(folder / ".settings.lock"):
        if not path.exists():
            write_atomic(path, readable_json(settings))
            return
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecordError(f"{path} is damaged", got=error) from error
    mine = json.loads(readable_json(settings))
    changed = sorted(
        name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)
    )
    if changed:
        raise ConfigError(
            f"{folder} holds another study",
            got="; ".join(_difference(name, mine.get(name), theirs.get(name)) for name in changed),
            expected="the settings that it was begun with",
            remedy="name another folder with --out, or delete this one to begin anew",
        )


def conclude(
    task: Task,
    candidates: Sequence[Candidate],
    parts: Mapping[str, Batches],
    *,
    settings: Mapping[str, Any],
    tables: Mapping[str, tuple[str, str]],
    costs: Mapping[str, Mapping[str, Any]],
    max_loss: float,
    sigmas: float,
    finalists: int,
    jobs: int = 1,
    seconds: Mapping[str, float] | None = None,
    done: Callable[[int, int], None] | None = None,
) -> StudyResult:
    """Measure the front on whole parts of the data set, choose from it, and write all results.

    The choice is made on the validation images; the test images are only reported.

    Args:
        task: of the study.
        candidates: all that it tried.
        parts: "validation" and "test" -> their images.
        settings: what identifies the study.
        tables: design -> (table id, characterization id).
        costs: design -> what else is known of it.
        max_loss: points that may be lost.
        sigmas: standard errors by which the measured loss must be below that.
        finalists: how many of the front to measure, those nearest to ``max_loss``; as many again
            of the candidates with one design.
        jobs: processes at a time.
        seconds: wall time by phase so far.
        done: told how many measurements are done, and of how many.

    Raises:
        ConfigError: the folder cannot be written.
    """
    started = time.perf_counter()
    best = front(candidates)
    mine = nearest_to(best, max_loss, finalists)
    alone = nearest_to(singles_of(candidates), max_loss, finalists)
    with locked_file(task.folder / _CONCLUDING):
        wanted = [one.assignment.by_layer for one in (*mine, *alone)]
        found = measure_finalists(task, parts, wanted, jobs=jobs, done=done)
        measured, singles = (
            [
                Finalist(one, {part: found[part, one.assignment.by_layer] for part in parts})
                for one in group
            ]
            for group in (mine, alone)
        )
        result = StudyResult(
            task=task,
            settings=settings,
            candidates=candidates,
            front=best,
            finalists=measured,
            singles=singles,
            max_loss=max_loss,
            sigmas=sigmas,
            chosen=best_of(measured, max_loss, sigmas),
            best_single=best_of(singles, max_loss, sigmas),
            tables=tables,
            costs=costs,
            seconds={**(seconds or {}), "finals": time.perf_counter() - started},
        )
        save_study(result, task.folder)
    return result


def _difference(name: str, mine: object, theirs: object) -> str:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = sorted(
            key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)
        )
        return f"{name}: {', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''}"
    return f"{name}: {mine!r}, not {theirs!r}"
