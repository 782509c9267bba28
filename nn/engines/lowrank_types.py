"""A product table as a short sum of products of one-operand functions, all of them integers.

Many approximate multipliers leave out or alter few partial products. Their tables, as matrices, then
have a low rank, and a sum of table entries is a handful of ordinary matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Digits: TypeAlias = NDArray[np.int8] | NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class DigitProducts:
    """A table as products of digits of 8 or 16 bits, each of which a machine multiplies exactly.

    Modulo 2^32, with ``p, q = pairs[g]``::

        T[a, b] = base[b] + sum_p common[p] * left[p, a] + sum_g weights[g] * left[p, a] * right[q, b]

    So ``sum_k T[A[m, k], B[k, n]]`` is one product of digit matrices for each of the G pairs, each exact
    in int32 as every sum modulo 2^32 is; plus, for each p with ``common[p] != 0``, the plain sum of
    ``left[p]`` over the activations, as if ``right`` were 1 throughout; plus a sum over weights alone.

    Attributes:
        base: int32 [2^wb].
        left: int8 or int16 [P, 2^wa].
        right: of the same type, [Q, 2^wb].
        pairs: int64 [G, 2], indices into left and right; sorted by weight, then left.
        weights: int32 [G], modulo 2^32.
        common: int32 [P], modulo 2^32.
    """

    base: NDArray[np.int32]
    left: Digits
    right: Digits
    pairs: NDArray[np.int64]
    weights: NDArray[np.int32]
    common: NDArray[np.int32]

    @property
    def count(self) -> int:
        """G, the products of matrices that take the place of look-ups."""
        return len(self.pairs)

    def table(self) -> NDArray[np.int32]:
        """Return what the digits say, int32 [2^wa, 2^wb]."""
        left, right = self.left.astype(np.int64), self.right.astype(np.int64)
        total = self.base.astype(np.int64) + (self.common.astype(np.int64) @ left)[:, None]
        for (p, q), weight in zip(self.pairs, self.weights.astype(np.int64), strict=True):
            # Reduced at once, as 64 bits do not hold sums of many products with weights of 32.
            total += wrapped(weight * np.multiply.outer(left[p], right[q]))
        return wrapped(total)


@dataclass(frozen=True, eq=False)
class LowRankFactors:
    """A table as a sum of products of integer functions; exact, not modulo anything.

    ``T[a, b] = columns[b] + rows[a] + sum_i u[i, a] * v[i, b]``

    Attributes:
        columns: int64 [2^wb].
        rows: int64 [2^wa]; often zeros.
        u: int64 [r, 2^wa].
        v: int64 [r, 2^wb].
    """

    columns: NDArray[np.int64]
    rows: NDArray[np.int64]
    u: NDArray[np.int64]
    v: NDArray[np.int64]

    @property
    def rank(self) -> int:
        """Products of one-operand functions in the sum."""
        return len(self.u)

    def table(self) -> NDArray[np.int64]:
        """Return what the factors say, int64 [2^wa, 2^wb]."""
        return self.columns + self.rows[:, None] + self.u.T @ self.v

    @cached_property
    def bytes(self) -> DigitProducts:
        """The factors as digits of 8 bits."""
        return _digit_products(self, 8)

    @cached_property
    def halves(self) -> DigitProducts:
        """The factors as digits of 16 bits: fewer products, for machines that multiply those as well."""
        return _digit_products(self, 16)


@dataclass(frozen=True, slots=True)
class NoFactors:
    """Why there are no factors of a table.

    Attributes:
        reason: in words.
        searched: whether a sample promised some, so that it took a search to know.
    """

    reason: str
    searched: bool = False


def digit_count(values: NDArray[np.int64], bits: int) -> int:
    """Return how many digits of ``bits`` bits hold an array of integers, a constant apart."""
    return max(1, -(-int(np.ptp(values)).bit_length() // bits))


def wrapped(values: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return integers modulo 2^32, read as int32."""
    return values.astype(np.uint32).view(np.int32)


@dataclass(frozen=True, slots=True)
class _Split:
    """``values = unit * (shift + sum_j 2^(bits * j) * digits[j])``."""

    unit: int
    shift: int
    digits: Digits


def _split(values: NDArray[np.int64], bits: int) -> _Split:
    """Return the fewest balanced digits of a function, its common divisor taken out."""
    unit = int(np.gcd.reduce(values)) or 1
    rest = values // unit
    count = digit_count(rest, bits)
    half = 1 << bits - 1
    # Digits of -half to half - 1 reach from -half * ones to (half - 1) * ones.
    ones = sum(1 << bits * j for j in range(count))
    low, high = int(rest.min()), int(rest.max())
    shift = 0 if low >= -half * ones and high <= (half - 1) * ones else low + half * ones
    raised = rest - shift + half * ones
    dtype = np.int8 if bits == 8 else np.int16
    digits = [((raised >> bits * j & 2 * half - 1) - half).astype(dtype) for j in range(count)]
    return _Split(unit, shift, np.stack(digits))


def _digit_products(factors: LowRankFactors, bits: int) -> DigitProducts:
    base = factors.columns.copy()
    left: list[NDArray[np.int64]] = []
    right: list[NDArray[np.int64]] = []
    common: list[int] = []
    found: list[tuple[int, int, int]] = []  # weight, p, q
    for u, v in zip(factors.u, factors.v, strict=True):
        one, other = _split(u, bits), _split(v, bits)
        base = base + one.unit * one.shift * v
        first = len(right)
        right += list(other.digits)
        for j, digit in enumerate(one.digits):
            weight = one.unit * other.unit << bits * j
            found += [(weight << bits * i, len(left), first + i) for i in range(len(other.digits))]
            left.append(digit)
            common.append(weight * other.shift)
    if np.any(factors.rows):
        alone = _split(factors.rows, bits)
        base = base + alone.unit * alone.shift
        left += list(alone.digits)
        common += [alone.unit << bits * j for j in range(len(alone.digits))]
    dtype = np.int8 if bits == 8 else np.int16
    found = sorted((_residue(weight), p, q) for weight, p, q in found)
    return DigitProducts(
        base=wrapped(base),
        left=_stacked(left, len(factors.rows), dtype),
        right=_stacked(right, len(base), dtype),
        pairs=np.array([(p, q) for _, p, q in found], dtype=np.int64).reshape(-1, 2),
        weights=np.array([weight for weight, _, _ in found], dtype=np.int32),
        common=np.array([_residue(one) for one in common], dtype=np.int32),
    )


def _stacked(rows: list[NDArray[np.int64]], width: int, dtype: type) -> Digits:
    return np.array(rows, dtype=dtype).reshape(-1, width)


def _residue(value: int) -> int:
    """Return an integer modulo 2^32, read as int32."""
    return (value + 2**31) % 2**32 - 2**31
