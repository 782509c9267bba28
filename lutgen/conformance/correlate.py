"""Correlation of estimates with published figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .results import Correlation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .results import CircuitResult

PAIRS = (
    ("area_um2", "area_um2"),
    ("power_uw", "power_mw"),
    ("power_glitch_aware_uw", "power_mw"),
    ("delay_ps", "delay_ns"),
)
"""Which estimate is held against which published figure."""
_LEAST = 3


def pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Return the linear correlation of two samples; None without variation in one of them."""
    u, v = x - x.mean(), y - y.mean()
    size = float(np.sqrt((u @ u) * (v @ v)))
    return float(u @ v) / size if size > 0 else None


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Return the rank correlation: the linear one of the ranks, ties at their mean rank."""
    return pearson(ranks(x), ranks(y))


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value, from 1; equal values share the mean of their ranks."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2)[group]


def correlate(results: Sequence[CircuitResult]) -> tuple[Correlation, ...]:
    """Correlate each estimate of cost with the published figure, over the circuits with both."""
    return tuple(_correlation(results, *pair) for pair in PAIRS)


def _correlation(results: Sequence[CircuitResult], estimate: str, figure: str) -> Correlation:
    both = []
    for result in results:
        theirs = result.circuit.published.number(figure)
        if result.characterization is None or theirs is None:
            continue
        ours: float | None = getattr(result.characterization.cost, estimate)
        if ours is not None:
            both.append((ours, theirs))
    if len(both) < _LEAST:
        return Correlation(estimate, figure, len(both), None, None)
    x, y = np.array(both, dtype=np.float64).T
    return Correlation(estimate, figure, len(both), spearman(x, y), pearson(x, y))
