"""Quadratic regression with clamped values and jackknife+ intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_LEAST_POINTS = 4
"""Three coefficients, and one point that can be left out."""


@dataclass(frozen=True, eq=False)
class Quadratic:
    """A least-squares parabola, and those of all points but one.

    Attributes:
        coefficients: float64 [3], of x^2, x and 1.
        without: float64 [n, 3], the same with each point left out.
        residuals: float64 [n], distance of each point from the clamped parabola without it.
        low: least value; predictions are clamped to it.
        high: greatest value.
        level: share of new points that the interval is to hold.
    """

    coefficients: NDArray[np.float64]
    without: NDArray[np.float64]
    residuals: NDArray[np.float64]
    low: float
    high: float
    level: float

    @property
    def points(self) -> int:
        """Number of points that it was fitted to."""
        return len(self.residuals)

    @property
    def attained(self) -> float:
        """The level that so few points allow: at most n / (n + 1)."""
        return min(self.level, self.points / (self.points + 1))

    def value(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the clamped parabola at x, float64 of its shape."""
        return np.clip(np.polyval(self.coefficients, np.asarray(x, float)), self.low, self.high)

    def interval(self, x: float) -> tuple[float, float]:
        """Return the jackknife+ interval of a new point at x, within 0 to 1.

        With m_i the parabola without point i and r_i the distance of point i from it, the ends are
        order statistics of m_i(x) - r_i and m_i(x) + r_i (R. F. Barber, E. J. Candes, A. Ramdas and
        R. J. Tibshirani, "Predictive inference with the jackknife+", Annals of Statistics 49(1),
        2021, section 1.1). If points are exchangeable it holds a new one with a probability of at
        least 2 * level - 1, and close to ``level`` as a rule. If ``attained`` is lower than
        ``level``, the extremes are taken. It is not clamped as predictions are: what is measured
        strays beyond chance and beyond the exact accuracy by the luck of the test images.
        """
        n = self.points
        around = np.array([np.polyval(row, x) for row in self.without]).clip(self.low, self.high)
        rank = min(math.ceil(self.level * (n + 1) - 1e-9), n)
        ends = (
            np.sort(around - self.residuals)[n - rank],
            np.sort(around + self.residuals)[rank - 1],
        )
        least, greatest = (min(max(float(end), 0.0), 1.0) for end in ends)
        middle = float(self.value(x))
        return min(least, middle), max(greatest, middle)


def fit_quadratic(
    x: ArrayLike, y: ArrayLike, *, low: float, high: float, level: float = 0.9
) -> Quadratic:
    """Fit a parabola by least squares.

    Args:
        x: [n], n at least 4, of at least 4 different values.
        y: [n].
        low: least value that a prediction may have.
        high: greatest.
        level: what the interval is to hold, above 0 and below 1.

    Raises:
        ConfigError: too few points, shapes that differ, or a level or limits that make no sense.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.ndim != 1 or xs.shape != ys.shape or not np.isfinite([xs, ys]).all():
        raise ConfigError(
            "what a parabola is fitted to must be two lists of numbers of one length",
            got=f"shapes {xs.shape} and {ys.shape}",
        )
    if len(np.unique(xs)) < _LEAST_POINTS:
        raise ConfigError(
            "too few measured designs of different error for a quadratic regression",
            got=len(np.unique(xs)),
            expected=f"at least {_LEAST_POINTS}",
            remedy="measure more designs",
        )
    if not 0.0 < level < 1.0 or not low <= high:
        raise ConfigError(
            "illegal level or limits of a regression",
            got=f"level {level}, from {low} to {high}",
            expected="a level between 0 and 1, limits in order",
        )
    everything = np.arange(len(xs))
    others = [everything != i for i in everything]
    without = np.array([_parabola(xs[keep], ys[keep]) for keep in others])
    left_out = np.array([np.polyval(row, at) for row, at in zip(without, xs, strict=True)])
    residuals = np.abs(ys - left_out.clip(low, high))
    return Quadratic(_parabola(xs, ys), without, residuals, low, high, level)


def _parabola(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least-squares coefficients of x^2, x, 1; the shortest such if x has few values."""
    powers = np.vander(x, 3)
    return np.asarray(np.linalg.lstsq(powers, y, rcond=None)[0], dtype=np.float64)
