"""Operand streams for power estimates: random, recorded, or drawn from a joint histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..interface import Interface

DEFAULT_PAIRS = 65_536
DEFAULT_SEED = 0


@dataclass(frozen=True, eq=False, slots=True)
class Stimulus:
    """A sequence of operand pairs, applied one a clock cycle.

    Attributes:
        a: uint64 [N], N >= 2, codes of operand a, read-only.
        b: uint64 [N], codes of operand b, read-only.
        description: what they are, for the record.
        seed: seed of the generator; None for a recorded stream.
    """

    a: NDArray[np.uint64]
    b: NDArray[np.uint64]
    description: str
    seed: int | None

    def __post_init__(self) -> None:
        self.a.flags.writeable = self.b.flags.writeable = False

    @property
    def pairs(self) -> int:
        """Number of operand pairs; the transitions between them are one fewer."""
        return len(self.a)


def uniform_stimulus(
    interface: Interface, *, pairs: int = DEFAULT_PAIRS, seed: int = DEFAULT_SEED
) -> Stimulus:
    """Return independent, uniformly distributed operand codes (NumPy's PCG64).

    Raises:
        ConfigError: fewer than two pairs.
    """
    _check_count(pairs)
    generator = np.random.default_rng(seed)
    a = generator.integers(0, 1 << interface.a.width, pairs, dtype=np.uint64)
    b = generator.integers(0, 1 << interface.b.width, pairs, dtype=np.uint64)
    return Stimulus(a, b, "uniform random operand pairs", seed)


def recorded_stimulus(
    interface: Interface,
    a: NDArray[np.integer[Any]],
    b: NDArray[np.integer[Any]],
    *,
    description: str = "recorded operand pairs",
) -> Stimulus:
    """Return a stream given by the user, in its own order.

    Args:
        interface: the design's interface.
        a: integers [N], *codes* (bit patterns, 0 to 2^wa - 1) of operand a, not values.
        b: integers [N], codes of operand b.
        description: where they come from, for the record.

    Raises:
        ConfigError: not two equally long lists of at least two codes.
    """
    streams = []
    for name, codes, width in (("a", a, interface.a.width), ("b", b, interface.b.width)):
        codes = np.asarray(codes)
        if codes.ndim != 1 or not np.issubdtype(codes.dtype, np.integer):
            raise ConfigError(
                f"operand stream {name} is not a list of codes",
                got=f"{codes.dtype} of shape {codes.shape}",
                expected="integers of shape [N]",
            )
        if codes.size and (int(codes.min()) < 0 or int(codes.max()) >> width):
            raise ConfigError(
                f"operand stream {name} has numbers that are no codes of {width} bits",
                got=f"{codes.min()} to {codes.max()}",
                expected=f"bit patterns, 0 to {(1 << width) - 1}",
                remedy="pass signed values as two's complement bit patterns, or say that they are "
                "values (--values)",
            )
        streams.append(codes.astype(np.uint64))
    if len(streams[0]) != len(streams[1]):
        raise ConfigError(
            "the operand streams differ in length", got=f"{len(streams[0])} and {len(streams[1])}"
        )
    _check_count(len(streams[0]))
    return Stimulus(streams[0], streams[1], description, None)


def histogram_stimulus(
    interface: Interface,
    weights: NDArray[Any],
    *,
    pairs: int = DEFAULT_PAIRS,
    seed: int = DEFAULT_SEED,
    description: str = "operand pairs drawn from a joint histogram",
) -> Stimulus:
    """Draw operand pairs independently from a joint histogram.

    The order of operands in time is not in a histogram: pairs follow each other at random, which
    overstates the toggles of slowly changing operands. A recorded stream keeps the order.

    Args:
        interface: the design's interface.
        weights: non-negative numbers [2^wa, 2^wb] by operand code; they need not sum to 1.
        pairs: how many to draw.
        seed: of the generator.
        description: where the histogram comes from, for the record.

    Raises:
        ConfigError: the weights are not a histogram over the operands' codes.
    """
    _check_count(pairs)
    weights = np.asarray(weights, dtype=np.float64)
    shape = (1 << interface.a.width, 1 << interface.b.width)
    total = weights.sum() if weights.shape == shape else 0.0
    if not (np.isfinite(total) and total > 0 and weights.min() >= 0):
        raise ConfigError(
            "the weights are not a joint histogram of the operands",
            got=f"shape {weights.shape}, sum {total:g}",
            expected=f"finite, non-negative numbers of shape {shape}, not all 0",
        )
    cumulative = np.cumsum(weights.ravel())
    drawn = np.random.default_rng(seed).random(pairs) * cumulative[-1]
    # side="right": an entry without weight has no numbers of its own, so it is never drawn.
    index = np.searchsorted(cumulative, drawn, side="right").astype(np.uint64)
    width = np.uint64(interface.b.width)
    low = np.uint64((1 << interface.b.width) - 1)
    return Stimulus(index >> width, index & low, description, seed)


def _check_count(pairs: int) -> None:
    if pairs < 2:
        raise ConfigError(
            "a power estimate needs transitions", got=f"{pairs} operand pairs", expected="2 or more"
        )
