"""Finding the range of activations from data: observers, by name.

An observer sees batches and then proposes a range. All keep a bounded summary, so calibration
may run over as many batches as one likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from ..core.errors import DataError
from ..core.names import pick
from .quantize import activation_params

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from .quantize import OperandFormat

_BINS = 8192
"""Histogram bins over [-reach, reach]; even, so that doubling the reach merges whole bins."""


class RangeObserver(Protocol):
    """Something that looks at activations and then proposes a range."""

    def observe(self, x: Tensor) -> None:
        """Take in a batch of activations, float32 of any shape, finite.

        Raises:
            DataError: NaN or infinity among them.
        """

    def range(self) -> tuple[float, float] | None:
        """Return (low, high), or None if no activation was seen."""


class MinMaxObserver:
    """The least and the greatest activation seen."""

    def __init__(self, operand: OperandFormat) -> None:
        del operand
        self._range: tuple[float, float] | None = None

    def observe(self, x: Tensor) -> None:
        """See `RangeObserver.observe`."""
        seen = finite_range(x)
        if seen is not None:
            self._range = _union(self._range, seen)

    def range(self) -> tuple[float, float] | None:
        """See `RangeObserver.range`."""
        return self._range


class _Histogram:
    """Counts of activations over a symmetric range that doubles when it must."""

    def __init__(self) -> None:
        self.counts = torch.zeros(_BINS, dtype=torch.float64)
        self.reach = 0.0
        self.seen: tuple[float, float] | None = None

    def add(self, x: Tensor) -> None:
        seen = finite_range(x)
        if seen is None:
            return
        self.seen = _union(self.seen, seen)
        peak = max(abs(seen[0]), abs(seen[1]))
        if self.reach == 0.0:
            self.reach = peak  # stays 0 while every activation is 0
        while self.reach < peak:
            self._double()
        if self.reach == 0.0:
            self.counts[_BINS // 2] += x.numel()
            return
        scaled = x.detach().flatten().to(torch.float64).div_(self.reach)
        index = scaled.add_(1.0).mul_(_BINS / 2).floor_().clamp_(0, _BINS - 1).to(torch.int64)
        self.counts += torch.bincount(index, minlength=_BINS).cpu()

    def _double(self) -> None:
        quarter = _BINS // 4
        merged = torch.zeros_like(self.counts)
        merged[quarter:-quarter] = self.counts.view(-1, 2).sum(dim=1)
        self.counts = merged
        self.reach *= 2.0

    @property
    def centres(self) -> Tensor:
        """The middle of each bin, float64 [bins]."""
        steps = torch.arange(_BINS, dtype=torch.float64)
        return ((steps + 0.5) * (2.0 / _BINS) - 1.0) * self.reach


class PercentileObserver:
    """The range that leaves out a small share of the activations at each end.

    Args:
        operand: the multiplier's operand a (not used; every observer is made from it).
        share: of activations left out below and above, each.
    """

    def __init__(self, operand: OperandFormat, share: float = 1e-4) -> None:
        del operand
        self._share = share
        self._histogram = _Histogram()

    def observe(self, x: Tensor) -> None:
        """See `RangeObserver.observe`."""
        self._histogram.add(x)

    def range(self) -> tuple[float, float] | None:
        """See `RangeObserver.range`; bounds are bin edges, never outside what was seen."""
        histogram = self._histogram
        if histogram.seen is None or histogram.reach == 0.0:
            return histogram.seen
        cumulative = histogram.counts.cumsum(0) / histogram.counts.sum()
        width = 2.0 * histogram.reach / _BINS
        first = int(torch.searchsorted(cumulative, self._share, right=True))
        last = int(torch.searchsorted(cumulative, 1.0 - self._share))
        low = first * width - histogram.reach
        high = (min(last, _BINS - 1) + 1) * width - histogram.reach
        return max(low, histogram.seen[0]), min(high, histogram.seen[1])


class MseObserver:
    """The shrunken min/max range whose quantization has the least mean squared error.

    The search runs over 100 even factors of the range seen, on the histogram's bin centres.

    Args:
        operand: the multiplier's operand a: its width and signedness decide the error.
    """

    def __init__(self, operand: OperandFormat) -> None:
        self._operand = operand
        self._histogram = _Histogram()

    def observe(self, x: Tensor) -> None:
        """See `RangeObserver.observe`."""
        self._histogram.add(x)

    def range(self) -> tuple[float, float] | None:
        """See `RangeObserver.range`."""
        histogram = self._histogram
        if histogram.seen is None or histogram.reach == 0.0:
            return histogram.seen
        low, high = histogram.seen
        factors = [step / 100 for step in range(100, 0, -1)]
        best = min(factors, key=lambda factor: self._error(low * factor, high * factor))
        return low * best, high * best

    def _error(self, low: float, high: float) -> float:
        params = activation_params(torch.tensor(low), torch.tensor(high), self._operand)
        scale, zero = float(params.scale), int(params.zero)
        least, greatest = self._operand.activation_limits
        centres = self._histogram.centres
        values = torch.round(centres / scale).add_(zero).clamp_(least, greatest)
        error = values.sub_(zero).mul_(scale).sub_(centres).square_()
        return float(error @ self._histogram.counts)


OBSERVERS: Mapping[str, Callable[[OperandFormat], RangeObserver]] = {
    "minmax": MinMaxObserver,
    "mse": MseObserver,
    "percentile": PercentileObserver,
}
"""Every calibration method by name."""


def get_observer(method: str) -> Callable[[OperandFormat], RangeObserver]:
    """Return the maker of a calibration method's observers.

    Raises:
        UnknownNameError: no such method; lists the legal ones.
    """
    return pick(OBSERVERS, method, kind="calibration method")


def finite_range(x: Tensor) -> tuple[float, float] | None:
    """Return the least and the greatest element, or None if there is none.

    Raises:
        DataError: NaN or infinity among them.
    """
    if x.numel() == 0:
        return None
    low, high = (float(bound) for bound in torch.aminmax(x.detach()))
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise DataError(
            "cannot calibrate: activations are not finite",
            got=f"from {low} to {high}",
            expected="finite activations",
            remedy="look for a diverged training run or a damaged input",
        )
    return low, high


def _union(old: tuple[float, float] | None, new: tuple[float, float]) -> tuple[float, float]:
    return new if old is None else (min(old[0], new[0]), max(old[1], new[1]))
