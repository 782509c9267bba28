"""How a product of two significands becomes a mantissa of m bits."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INT64_MANTISSA = 30
"""Products of two significands of so many bits, and one more, fit int64."""


class Rounding(StrEnum):
    """What a multiplier's mantissas are of the exact products' mantissas."""

    TRUNCATED = "truncated"
    """The bits past the last are cut off."""
    NEAREST_EVEN = "nearest, ties to even"
    NEAREST_UP = "nearest, ties up"
    NEITHER = "neither truncated nor rounded"
    """An approximate multiplier's, as a rule."""


ROUNDINGS = (Rounding.TRUNCATED, Rounding.NEAREST_EVEN, Rounding.NEAREST_UP)


def significand_products(i: NDArray[Any], j: NDArray[Any], mantissa_bits: int) -> NDArray[Any]:
    """Return (2^m + i)(2^m + j) for mantissa codes: int64, or Python integers for m > 30."""
    one = 1 << mantissa_bits
    kind = np.int64 if mantissa_bits <= _INT64_MANTISSA else object
    return np.asarray((i.astype(kind) + one) * (j.astype(kind) + one))


def rounded(
    products: NDArray[Any], mantissa_bits: int, rounding: Rounding
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return mantissas and carries of exact products of significands.

    Args:
        products: integers from 2^(2m) up, below 2^(2m+2).
        mantissa_bits: m.
        rounding: how; not `Rounding.NEITHER`.

    Returns:
        Mantissas below 2^m, and whether the rounded product reached 2.
    """
    m = mantissa_bits
    over = np.asarray(products >= 1 << (2 * m + 1), dtype=np.bool_)
    shift = over.astype(products.dtype) + m
    kept = products >> shift
    if rounding is not Rounding.TRUNCATED:
        rest = products - (kept << shift)
        half = 1 << (shift - 1) if products.dtype != object else _halves(shift)
        up = rest >= half
        if rounding is Rounding.NEAREST_EVEN:
            up = (rest > half) | ((rest == half) & (kept & 1 == 1))
        kept = kept + np.asarray(up, dtype=np.bool_).astype(products.dtype)
    # Rounded up from below 2, it is 2; from below 4 it stays below, since (2 - 2^-m)^2 does.
    over |= np.asarray(kept >= 1 << (m + 1), dtype=np.bool_)
    kept = np.where(kept >= 1 << (m + 1), kept >> 1, kept)
    return kept - (1 << m), over


def _halves(shift: NDArray[Any]) -> NDArray[Any]:
    return np.array([1 << (int(bits) - 1) for bits in shift], dtype=object)


def rounding_of(
    products: NDArray[Any],
    mantissa_bits: int,
    mantissa: NDArray[Any],
    carry: NDArray[np.bool_],
) -> Rounding:
    """Return how mantissas and carries come from the exact products, by comparing all of them."""
    for rounding in ROUNDINGS:
        expected, over = rounded(products, mantissa_bits, rounding)
        if np.array_equal(over, carry) and bool(np.all(expected == mantissa)):
            return rounding
    return Rounding.NEITHER
