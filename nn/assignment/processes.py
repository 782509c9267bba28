"""A search in several processes of this machine, watched from the one that began it."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING

from .search import SharedStudy
from .worker import Task, search_alone, search_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess

    from .search import Counts

_LOOK_S = 1.0


def run_search(
    task: Task, *, jobs: int = 1, watch: Callable[[Counts], None] | None = None
) -> SharedStudy:
    """Search until the budget is used up; other processes may take part in the same folder.

    A process that goes away loses nothing: what it was at is tried again, by another one or, if
    none is left, by this one.

    Args:
        task: what to do.
        jobs: processes of ours.
        watch: told now and then how far the search is.

    Returns:
        The study, finished unless other processes still work on its last candidates.
    """
    study = SharedStudy(task.folder, task.space, task.budget)

    def look(_: object = None) -> None:
        if watch is not None:
            watch(study.counts)

    if jobs > 1 and study.counts.complete < task.budget.trials:
        _in_processes(task, jobs, look)
    if study.counts.complete < task.budget.trials:
        search_here(task, done=look)
    look()
    return study


def _in_processes(task: Task, jobs: int, look: Callable[[], None]) -> None:
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    processes: list[BaseProcess] = [
        context.Process(target=search_alone, args=(task,), daemon=True) for _ in range(jobs)
    ]
    try:
        for process in processes:
            process.start()
        while any(process.is_alive() for process in processes):
            time.sleep(_LOOK_S)
            look()
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            process.join()
