"""Means of a population from a stratified sample, with confidence intervals.

W. G. Cochran, Sampling Techniques, 3rd ed., 1977, chapter 5: the estimate is the sum of the strata's
sample means weighted by their shares of the population, and its variance the sum of the squared
weights times the strata's sample variances over their sample sizes. A stratum that was taken as a
whole adds no variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95
_Z = 1.959963984540054  # the normal distribution's 97.5 % quantile
_UNSEEN = -math.log(1 - CONFIDENCE)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure estimated from a sample.

    Attributes:
        value: the estimate.
        low: lower end of its 95 % confidence interval; None if the sample cannot tell.
        high: upper end.
    """

    value: float
    low: float | None
    high: float | None

    def times(self, factor: float) -> Estimate:
        """Return the estimate of the figure times a positive number."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Estimate(self.value * factor, low, high)


class Strata:
    """The strata of a sample.

    Args:
        index: int64 [N], the stratum of each sampled item.
        sizes: items of the population in each stratum. Each that is not empty must be sampled, and
            one with a single draw must have a single item.
        whole: whether a stratum whose sample is as large as itself was taken as a whole, rather
            than drawn with replacement.
    """

    def __init__(
        self, index: NDArray[np.int64], sizes: Sequence[int], *, whole: bool = True
    ) -> None:
        used, self._index = np.unique(index, return_inverse=True)
        population = sum(sizes)
        self._counts = np.bincount(self._index)
        # Sizes may exceed int64; only their ratios need be floating-point numbers.
        self._weights = np.array([sizes[stratum] / population for stratum in used])
        taken = [int(n) == sizes[stratum] for n, stratum in zip(self._counts, used, strict=True)]
        self._whole = np.array(taken) & whole

    def __len__(self) -> int:
        return len(self._counts)

    def mean(self, values: NDArray[Any]) -> Estimate:
        """Estimate the population's mean of a figure whose sample values are given, [N].

        If the values do not vary within any stratum that was not taken as a whole, the sample
        says nothing about what it has missed, and there is no interval.
        """
        value, error = self._moments(values.astype(np.float64))
        if error == 0.0 and not self._whole.all():
            return Estimate(value, None, None)
        return Estimate(value, value - _Z * error, value + _Z * error)

    def share(self, flags: NDArray[np.bool_]) -> Estimate:
        """Estimate the share of the population that has a property.

        If all of the sample, or none of it, has the property, the interval's other end is the
        greatest share which leaves that a chance of 5 %. With n of a stratum's items drawn, of
        which a share p differs, none is seen with probability at most exp(-sum n p); the sum of
        weight times p is then greatest if all of ln 20 = sum n p lies where weight / n is.
        """
        value, error = self._moments(flags.astype(np.float64))
        if (flags.all() or not flags.any()) and not self._whole.all():
            drawn = ~self._whole
            unseen = min(1.0, _UNSEEN * float((self._weights[drawn] / self._counts[drawn]).max()))
            return Estimate(1.0, 1.0 - unseen, 1.0) if flags.all() else Estimate(0.0, 0.0, unseen)
        return Estimate(value, max(0.0, value - _Z * error), min(1.0, value + _Z * error))

    def _moments(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """Return the estimate and its standard error."""
        means = np.bincount(self._index, values) / self._counts
        deviations = np.bincount(self._index, np.square(values - means[self._index]))
        variances = deviations / np.maximum(self._counts - 1, 1) / self._counts
        error = np.sqrt(np.square(self._weights[~self._whole]) @ variances[~self._whole])
        return float(self._weights @ means), float(error)
