"""Independent models of the floating-point multipliers of rtl/, from their published definitions.

Each returns the products of 1 + i / 2^m and 1 + j / 2^m as exact numbers, float64 [2^m, 2^m], before
they are cut off to m bits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Products: TypeAlias = NDArray[np.float64]


def fractions(bits: int) -> tuple[Products, Products]:
    """Return x as [2^m, 1] and y as [1, 2^m]: entry c is c / 2^m."""
    values = np.arange(1 << bits) / (1 << bits)
    return values[:, None], values[None, :]


def exact(bits: int) -> Products:
    """The exact product."""
    x, y = fractions(bits)
    return (1 + x) * (1 + y)


def mitchell_of(x: Products, y: Products) -> Products:
    """Mitchell 1962: the logarithm of 1 + x is taken for x, and back."""
    return np.where(x + y < 1, 1 + x + y, 2 * (x + y))


def mitchell(bits: int) -> Products:
    """Mitchell's product of mantissas of so many bits."""
    return mitchell_of(*fractions(bits))


def minimally_biased(bits: int) -> Products:
    """Saadat et al. 2018: Mitchell's product of operands whose last bit is 1, plus a constant."""
    last = 2.0**-bits
    x, y = (np.floor(z / last / 2) * 2 * last + last for z in fractions(bits))
    constant = 2.0**-4 + 2.0**-6
    plain = mitchell_of(x, y)
    # With x + y of 1 or more it is 2 (x + y + constant / 2), unless that leaves the range below 4.
    return np.where((x + y >= 1) & (plain + constant >= 4), plain, plain + constant)


def reduction_factors(segments: int = 8, points: int = 256) -> NDArray[np.int64]:
    """Saadat et al. 2020: what makes the mean relative error of each segment 0, in units of 2^-6."""
    z = (np.arange(segments * points) + 0.5) / (segments * points)
    x, y = z[:, None], z[None, :]
    product = (1 + x) * (1 + y)

    def by_segment(values: Products) -> Products:
        return values.reshape(segments, points, segments, points).mean(axis=(1, 3))

    missing = by_segment(1 - mitchell_of(x, y) / product)
    return np.rint(64 * missing / by_segment(1 / product)).astype(np.int64)


def reduced_error(bits: int) -> Products:
    """REALM: Mitchell's product plus the factor of the segment that the operands lie in."""
    segment = np.arange(1 << bits) >> (bits - 3)
    return mitchell(bits) + reduction_factors()[segment[:, None], segment[None, :]] / 64


def cut_off(products: Products, bits: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the mantissas of products, cut off to so many bits, and their carries."""
    carry = products >= 2
    mantissa = np.floor((products / np.where(carry, 2, 1) - 1) * 2**bits)
    return mantissa.astype(np.int64), carry


MANTISSA_MODELS: dict[str, tuple[int, Callable[[], Products]]] = {
    **{f"mant{m}_exact": (m, partial(exact, m)) for m in (3, 7, 10)},
    "mant7_mitchell": (7, partial(mitchell, 7)),
    **{f"mant{m}_mbm": (m, partial(minimally_biased, m)) for m in (5, 7)},
    "mant7_realm": (7, partial(reduced_error, 7)),
    "bf16_exact": (7, partial(exact, 7)),
    "bf16_mbm": (7, partial(minimally_biased, 7)),
}
"""Design name -> mantissa bits, and the function that computes all its products."""
