"""From the architectural mean error to an accuracy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from ...lutgen.table import ProductTable
from .architecture import magnitude
from .regression import fit_quadratic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from .architecture import Architecture
    from .regression import Quadratic


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted accuracy.

    Attributes:
        ame: architectural mean error, in units of the logits.
        accuracy: 0 to 1.
        low: lower end of its interval.
        high: upper end.
    """

    ame: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class AccuracyPredictor:
    """Predicts the accuracy of a network from the error tables of its multipliers.

    Called with an assignment it returns an accuracy alone, for a search that sorts out bad
    candidates before it measures the others.

    Attributes:
        architecture: of the network.
        regression: from `severity` to accuracy.
    """

    architecture: Architecture
    regression: Quadratic
    _shifts: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def __call__(self, assignment: Mapping[str, ProductTable]) -> float:
        """Return the predicted accuracy of an assignment; see `predict`."""
        return self._accuracy(self.ame(assignment))

    def accuracy_of(self, table: ProductTable) -> float:
        """Return the predicted accuracy with one table in all layers; errors as for `predict`."""
        return self._accuracy(self.architecture.ame(table))

    def predict(self, assignment: ProductTable | Mapping[str, ProductTable]) -> Prediction:
        """Predict the accuracy with one table in all layers, or with a table for each layer.

        Args:
            assignment: a table, or layer name to table; layers not named multiply exactly.

        Raises:
            ConfigError: a layer that the network has not, or a table of other operands.
        """
        if isinstance(assignment, ProductTable):
            ame = self.architecture.ame(assignment)
        else:
            ame = self.ame(assignment)
        low, high = self.regression.interval(self._severity(ame))
        return Prediction(ame, self._accuracy(ame), low, high)

    def _severity(self, ame: float) -> float:
        return float(severity(ame, self.architecture.margin))

    def _accuracy(self, ame: float) -> float:
        return float(self.regression.value(self._severity(ame)))

    def ame(self, assignment: Mapping[str, ProductTable]) -> float:
        """Return the architectural mean error of an assignment.

        Shifts of layers are added before the magnitude is taken, so that opposite ones cancel.
        What a table does in each layer is computed once and kept.

        Raises:
            ConfigError: a layer that the network has not, or a table of other operands.
        """
        total = np.zeros(self.architecture.matrices.shape[1])
        for layer, table in assignment.items():
            row = self.architecture.index(layer)
            total += self._of(table)[row]
        return magnitude(total)

    def _of(self, table: ProductTable) -> NDArray[np.float64]:
        key = table.content_hash
        if key not in self._shifts:
            self._shifts[key] = self.architecture.shifts(table)
        return self._shifts[key]


def severity(error: ArrayLike, unit: float) -> NDArray[np.float64]:
    """Map an error from 0 up onto 0 to 1: 1 - exp(-error / unit).

    Accuracy falls while errors are of the order of the margins between logits, and stays at chance
    beyond, however large they are; a parabola can follow it on this scale alone.
    """
    return np.asarray(-np.expm1(-np.asarray(error, dtype=np.float64) / unit))


def choose_spread(severities: Sequence[float], count: int) -> list[int]:
    """Choose designs spread evenly over their severities, the least and the greatest included.

    Args:
        severities: one of each design.
        count: how many to choose; all if there are fewer.

    Returns:
        Indices in ascending order.

    Raises:
        ConfigError: fewer than 1 are wanted.
    """
    if count < 1:
        raise ConfigError("no design to measure", got=count, expected="at least 1")
    values = np.asarray(severities, dtype=np.float64)
    free = list(range(len(values)))
    chosen: list[int] = []
    if not free:
        return chosen
    for target in np.linspace(values.min(), values.max(), min(count, len(values))):
        nearest = min(free, key=lambda i: (abs(values[i] - target), i))
        free.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen)


def fit_predictor(
    architecture: Architecture,
    measured: Sequence[tuple[ProductTable, float]],
    *,
    exact: float,
    chance: float,
    level: float = 0.9,
) -> AccuracyPredictor:
    """Fit the regression to designs whose accuracy is known.

    The exact multiplier is a point of its own: error 0, accuracy ``exact``.

    Args:
        architecture: of the network.
        measured: tables with the accuracy of the network when all its layers use them.
        exact: accuracy with exact products.
        chance: accuracy of guessing.
        level: of the intervals.

    Raises:
        ConfigError: tables of other operands, fewer than three of different error, or an exact
            accuracy below chance.
    """
    if exact < chance:
        raise ConfigError(
            "the network is worse than chance with exact products",
            got=f"{100 * exact:.2f} %",
            expected=f"more than {100 * chance:.2f} %",
            remedy="train it first",
        )
    errors = [0.0, *(architecture.ame(table) for table, _ in measured)]
    accuracies = [exact, *(accuracy for _, accuracy in measured)]
    fitted = fit_quadratic(
        severity(errors, architecture.margin), accuracies, low=chance, high=exact, level=level
    )
    return AccuracyPredictor(architecture, fitted)
