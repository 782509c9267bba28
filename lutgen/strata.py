"""Divides the operand pairs of an integer multiplier into strata, and draws a sample from each.

An operand's class is its sign and the position of its leading one, so that small operands are
looked at as closely as large ones. A stratum is a pair of classes. The pairs of two corners (0, 1,
-1, powers of two, the least and the greatest value) are a stratum of their own, taken as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..cosim.wide import Pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..cosim.interface import Interface, Port

    Codes = NDArray[np.uint64]

DEFAULT_SEED = 0
PROPORTIONAL_PAIRS = 1 << 17
"""Pairs that are spread over the strata in proportion to their sizes."""
EVEN_PAIRS = 1 << 16
"""Pairs that are spread evenly, at most `MOST_EVEN` a stratum."""
MOST_EVEN = 64
_LEAST = 2  # a variance needs two
CORNERS = 0
"""The stratum of the pairs of two corners."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How large a sample to draw.

    Attributes:
        proportional: pairs spread over the strata in proportion to their sizes.
        even: pairs spread evenly.
        most_even: of those, at most so many a stratum.
    """

    proportional: int = PROPORTIONAL_PAIRS
    even: int = EVEN_PAIRS
    most_even: int = MOST_EVEN

    def draws(self, size: int, population: int, strata: int) -> int:
        """Return how many pairs a stratum of that size is to give."""
        even = min(self.most_even, self.even // strata)
        return max(_LEAST, even - (-self.proportional * size // population))


def classes(port: Port) -> int:
    """Number of classes of an operand: w + 1 of unsigned ones, 2 w of signed ones."""
    return 2 * port.width if port.signed else port.width + 1


def class_size(port: Port, index: int) -> int:
    """Return how many codes a class has."""
    if port.signed and index >= port.width:
        length = index - port.width + 1
        return 1 if length == port.width else 1 << (length - 1)
    return 1 << max(index - 1, 0)


def class_of(codes: Codes, port: Port) -> NDArray[np.int64]:
    """Return the class of each code.

    It is the number of bits up to the leading one; negative values count on from there with the
    bits of their magnitudes.
    """
    if not port.signed:
        return _bit_length(codes)
    negative = (codes >> np.uint64(port.width - 1)).astype(bool)
    mask = np.uint64((1 << port.width) - 1)
    magnitude = np.where(negative, (~codes + np.uint64(1)) & mask, codes)
    return _bit_length(magnitude) + np.where(negative, port.width - 1, 0)


def corners(port: Port) -> Codes:
    """Return the corner codes of an operand, uint64, in ascending order."""
    mask = (1 << port.width) - 1
    powers = [1 << k for k in range(port.width)]
    values = [0, *powers, *port.limits]
    if port.signed:
        values += [-power for power in powers]
    return np.array(sorted({value & mask for value in values}), dtype=np.uint64)


def stratum_of(interface: Interface, pairs: Pairs) -> NDArray[np.int64]:
    """Return the stratum of each pair: `CORNERS`, or 1 + class of a * classes of b + class of b."""
    within = 1 + class_of(pairs.a, interface.a) * classes(interface.b)
    within += class_of(pairs.b, interface.b)
    return np.where(_both_corners(interface, pairs), CORNERS, within)


def stratum_sizes(interface: Interface) -> list[int]:
    """Return how many operand pairs each stratum has; some have none."""
    a, b = interface.a, interface.b
    in_a, in_b = (
        np.bincount(class_of(corners(port), port), minlength=classes(port)) for port in (a, b)
    )
    sizes = [len(corners(a)) * len(corners(b))]
    for i in range(classes(a)):
        sizes += [
            class_size(a, i) * class_size(b, j) - int(in_a[i]) * int(in_b[j])
            for j in range(classes(b))
        ]
    return sizes


def draw(interface: Interface, *, seed: int = DEFAULT_SEED, budget: Budget | None = None) -> Pairs:
    """Draw operand pairs from every stratum.

    A stratum with no more pairs than it is to give is taken as a whole; from any other, pairs are
    drawn independently and uniformly, with replacement.

    Args:
        interface: the design's ports.
        seed: of the generator (NumPy's PCG64).
        budget: how many.
    """
    budget = budget or Budget()
    generator = np.random.default_rng(seed)
    sizes = stratum_sizes(interface)
    population, strata = sum(sizes), sum(size > 0 for size in sizes)
    whole = [_product(corners(interface.a), corners(interface.b))]
    drawn: list[tuple[int, int]] = []
    for stratum, size in enumerate(sizes):
        if stratum == CORNERS or not size:
            continue
        count = budget.draws(size, population, strata)
        if size <= count:
            whole.append(_all_of(interface, stratum))
        else:
            drawn.append((stratum, count))
    parts = [*whole, _drawn(interface, drawn, generator)]
    return Pairs(np.concatenate([p.a for p in parts]), np.concatenate([p.b for p in parts]))


def _drawn(
    interface: Interface, wanted: list[tuple[int, int]], generator: np.random.Generator
) -> Pairs:
    strata = np.repeat(
        np.array([stratum for stratum, _ in wanted], dtype=np.int64),
        np.array([count for _, count in wanted], dtype=np.int64),
    )
    pairs = _random(interface, strata, generator)
    # What is a pair of corners belongs to another stratum, and is drawn again.
    while (again := np.flatnonzero(_both_corners(interface, pairs))).size:
        fresh = _random(interface, strata[again], generator)
        pairs.a[again], pairs.b[again] = fresh.a, fresh.b
    return pairs


def _random(
    interface: Interface, strata: NDArray[np.int64], generator: np.random.Generator
) -> Pairs:
    class_a, class_b = np.divmod(strata - 1, classes(interface.b))
    return Pairs(
        _random_codes(interface.a, class_a, generator),
        _random_codes(interface.b, class_b, generator),
    )


def _random_codes(port: Port, of: NDArray[np.int64], generator: np.random.Generator) -> Codes:
    """Draw a code of each given class, uniformly."""
    negative = port.signed & (of >= port.width)
    length = np.where(negative, of - port.width + 1, of)
    below = np.maximum(length - 1, 0).astype(np.uint64)
    bits = generator.integers(0, 1 << 64, len(of), dtype=np.uint64)
    low = bits & ((np.uint64(1) << below) - np.uint64(1))
    # The magnitude 2^(w-1) is that of the least value alone.
    low = np.where(negative & (length == port.width), np.uint64(0), low)
    magnitude = np.where(length > 0, (np.uint64(1) << below) | low, np.uint64(0))
    mask = np.uint64((1 << port.width) - 1)
    return np.where(negative, (~magnitude + np.uint64(1)) & mask, magnitude)


def _all_of(interface: Interface, stratum: int) -> Pairs:
    index_a, index_b = divmod(stratum - 1, classes(interface.b))
    pairs = _product(_class_codes(interface.a, index_a), _class_codes(interface.b, index_b))
    kept = ~_both_corners(interface, pairs)
    return Pairs(pairs.a[kept], pairs.b[kept])


def _class_codes(port: Port, index: int) -> Codes:
    negative = port.signed and index >= port.width
    length = index - port.width + 1 if negative else index
    size = class_size(port, index)
    magnitude = np.arange(size, dtype=np.uint64) + np.uint64(1 << (length - 1) if length else 0)
    mask = np.uint64((1 << port.width) - 1)
    return (~magnitude + np.uint64(1)) & mask if negative else magnitude


def _product(a: Codes, b: Codes) -> Pairs:
    return Pairs(np.repeat(a, len(b)), np.tile(b, len(a)))


def _both_corners(interface: Interface, pairs: Pairs) -> NDArray[np.bool_]:
    return np.isin(pairs.a, corners(interface.a)) & np.isin(pairs.b, corners(interface.b))


def _bit_length(codes: Codes) -> NDArray[np.int64]:
    length = np.zeros(codes.shape, dtype=np.int64)
    rest = codes.copy()
    for step in (32, 16, 8, 4, 2, 1):
        large = rest >= np.uint64(1 << step)
        length += np.where(large, step, 0)
        rest = np.where(large, rest >> np.uint64(step), rest)
    return length + (rest > 0)
