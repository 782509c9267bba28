"""How often each error occurs, in bins of which 0 has its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BINS = 64


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of operand pairs by error.

    Attributes:
        width: errors per bin, a power of two.
        zero: pairs without error.
        above: pairs by positive error: bin i counts i * width + 1 to (i + 1) * width.
        below: pairs by negative error: bin i counts -(i * width + 1) to -(i + 1) * width.
    """

    width: int
    zero: int
    above: tuple[int, ...]
    below: tuple[int, ...]

    @property
    def total(self) -> int:
        """All operand pairs counted."""
        return self.zero + sum(self.above) + sum(self.below)


def histogram(error: NDArray[np.int64]) -> Histogram:
    """Count errors in the narrowest bins of which ``MAX_BINS`` suffice."""
    positive, negative = error[error > 0], -error[error < 0]
    width = 1
    while _bins(positive, width) + _bins(negative, width) > MAX_BINS:
        width *= 2
    return Histogram(
        width=width,
        zero=int(error.size - positive.size - negative.size),
        above=_counts(positive, width),
        below=_counts(negative, width),
    )


def _bins(distances: NDArray[np.int64], width: int) -> int:
    return -(-int(distances.max()) // width) if distances.size else 0


def _counts(distances: NDArray[np.int64], width: int) -> tuple[int, ...]:
    if not distances.size:
        return ()
    return tuple(np.bincount((distances - 1) // width).tolist())
