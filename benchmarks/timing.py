"""Medians of run times."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

K = TypeVar("K")
REPEATS = 9


def median_seconds(action: Callable[[], object], *, threads: int, repeats: int = REPEATS) -> float:
    """Return the median time of ``action`` over ``repeats`` runs, after one to warm up.

    What one thread does is timed by its CPU time, so that other work on the machine disturbs little;
    what several do, by the wall clock.
    """
    return medians_in_turn({"": action}, threads=threads, repeats=repeats)[""]


def medians_in_turn(
    actions: Mapping[K, Callable[[], object]], *, threads: int, repeats: int = REPEATS
) -> dict[K, float]:
    """Return the median time of each action, run one after the other in each of ``repeats`` rounds.

    What disturbs the machine for a while then disturbs all alike, and their ratios little.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    times: dict[K, list[float]] = {name: [] for name in actions}
    for round_ in range(repeats + 1):
        for name, action in actions.items():
            start = clock()
            action()
            if round_:  # the first one warms up
                times[name].append(clock() - start)
    return {name: statistics.median(some) for name, some in times.items()}
