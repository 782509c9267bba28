"""How well error metrics of multipliers foretell accuracies, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from ...lutgen.metrics import error_metrics
from .predictor import choose_spread, severity
from .regression import fit_quadratic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from ...lutgen.histogram import OperandHistogram
    from ...lutgen.table import ProductTable
    from .architecture import Architecture

AME = "AME"
_ABOVE_CHANCE = 0.02


@dataclass(frozen=True, slots=True)
class PredictorRow:
    """One metric as a predictor of accuracy.

    Attributes:
        metric: its name.
        spearman: rank correlation of -metric with accuracy, over all designs.
        spearman_between: the same over the designs clearly above chance and not exact; None if
            they are fewer than 3.
        held_out: mean distance in accuracy of the designs that a fit to a few did not see.
        leave_one_out: the same, each design by a fit to all others.
    """

    metric: str
    spearman: float | None
    spearman_between: float | None
    held_out: float | None
    leave_one_out: float | None


def design_metrics(
    tables: Sequence[ProductTable],
    architecture: Architecture,
    histograms: Sequence[OperandHistogram],
) -> dict[str, NDArray[np.float64]]:
    """Return every metric of every design, name to float64 [D], all 0 for exact products.

    Args:
        tables: of the designs.
        architecture: of the network.
        histograms: which operands meet in its layers, for the data-weighted metrics.
    """
    plain = [error_metrics(table) for table in tables]
    counts = np.stack([one.counts.ravel() for one in histograms]).astype(np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    together = counts.sum(axis=0) / counts.sum()
    errors = np.stack([table.error.ravel() for table in tables]).astype(np.float64)
    return {
        AME: np.array([architecture.ame(table) for table in tables]),
        "MAE": np.array([one.mae for one in plain]),
        "MRE": np.array([one.mre_nonzero_pct for one in plain]),
        "WCE": np.array([float(one.wce) for one in plain]),
        "MSE": np.array([one.mse for one in plain]),
        "bias (|mean error|)": np.array([abs(one.bias) for one in plain]),
        "data-weighted |mean error|": np.abs(errors @ together),
        "data-weighted |mean error|, sum over layers": np.abs(errors @ shares.T).sum(axis=1),
        "data-weighted MAE": np.abs(errors) @ together,
    }


def compare(
    metrics: Mapping[str, NDArray[np.float64]],
    accuracies: ArrayLike,
    *,
    units: Mapping[str, float],
    exact: float,
    chance: float,
    fit: int,
) -> list[PredictorRow]:
    """Judge each metric by the measured accuracies.

    All metrics get the same regression, on their own severity, and a choice of designs to fit that
    is spread over their own severities. The unit of a severity is given, or else the median of the
    metric over the designs that are not exact; it never depends on an accuracy.

    Args:
        metrics: name to float [D], no two designs alike.
        accuracies: float [D].
        units: of the severities of some metrics.
        exact: accuracy with exact products.
        chance: accuracy of guessing.
        fit: number of designs for the fit whose error is ``held_out``.
    """
    known = np.asarray(accuracies, dtype=np.float64)
    rows = []
    for name, values in metrics.items():
        wrong = values > 0
        unit = units.get(name) or (float(np.median(values[wrong])) if wrong.any() else 1.0)
        x = severity(values, unit)
        between = wrong & (known > chance + _ABOVE_CHANCE)
        chosen = choose_spread(x.tolist(), fit)
        rows.append(
            PredictorRow(
                name,
                spearman(-values, known),
                spearman(-values[between], known[between]),
                _held_out_error(x, known, chosen, exact, chance),
                _leave_one_out_error(x, known, exact, chance),
            )
        )
    return rows


def spearman(x: ArrayLike, y: ArrayLike) -> float | None:
    """Return Spearman's rank correlation, ties with their mean rank; None where undefined.

    It is Pearson's correlation of the ranks. Undefined for fewer than 3 pairs, or if all values of
    one side are equal.
    """
    a, b = _ranks(np.asarray(x, dtype=np.float64)), _ranks(np.asarray(y, dtype=np.float64))
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    return np.asarray((ends - (sizes - 1) / 2)[group], dtype=np.float64)


def _held_out_error(
    x: NDArray[np.float64],
    known: NDArray[np.float64],
    chosen: list[int],
    exact: float,
    chance: float,
) -> float | None:
    held_out = np.setdiff1d(np.arange(len(x)), chosen)
    if not len(held_out):
        return None
    try:
        fitted = fit_quadratic([0.0, *x[chosen]], [exact, *known[chosen]], low=chance, high=exact)
    except ConfigError:
        return None
    return float(np.abs(fitted.value(x[held_out]) - known[held_out]).mean())


def _leave_one_out_error(
    x: NDArray[np.float64], known: NDArray[np.float64], exact: float, chance: float
) -> float | None:
    try:
        fitted = fit_quadratic([0.0, *x], [exact, *known], low=chance, high=exact)
    except ConfigError:
        return None
    return float(fitted.residuals[1:].mean())
