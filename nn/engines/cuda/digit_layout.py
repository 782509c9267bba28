"""Tables of low rank as tensor cores multiply them: passes of 4, 8 or 16 products of bytes.

Modulo 2^32 the table is ``T[a, w] = base[w] + sum_p f_p * sum_d U[p, a, d] * V[p, w, d]``. One set of
sums serves all passes: before pass i it is multiplied by r_i, after the last by r_P, where
``f_i = r_{i+1} * ... * r_P``. With passes in order of falling powers of two in f, all r exist
modulo 2^32, as odd numbers can be divided by.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..lowrank_types import DigitProducts

WIDTHS = (4, 8, 16)
"""Digits that a pass can have."""

_MODULUS = 1 << 32
_MOST_PARTS = 4
_PASS_COST, _DIGIT_COST = 22.0, 9.2  # cycles per k of a tile, see docs/performance.md


@dataclass(frozen=True, eq=False)
class DigitLayout:
    """A table as passes of products of bytes.

    Attributes:
        activations: int8 [P, 2^wa, D].
        weights: int8 [P, 2^wb, D].
        base: int32 [2^wb].
        factors: int32 [P + 1], the r above.
    """

    activations: NDArray[np.int8]
    weights: NDArray[np.int8]
    base: NDArray[np.int32]
    factors: NDArray[np.int32]

    @property
    def passes(self) -> int:
        """P."""
        return int(self.activations.shape[0])

    @property
    def width(self) -> int:
        """D, the digits of a pass."""
        return int(self.activations.shape[2])

    def table(self) -> NDArray[np.int32]:
        """Return what the layout says, int32 [2^wa, 2^wb], computed as the kernel does."""
        rows, columns = self.activations.shape[1], self.weights.shape[1]
        sums = np.zeros((rows, columns), np.int64)
        for factor, u, v in zip(self.factors, self.activations, self.weights, strict=False):
            products = u.astype(np.int64) @ v.astype(np.int64).T
            sums = (sums * int(factor) + products) % _MODULUS
        total = sums * int(self.factors[-1]) + self.base
        return (total % _MODULUS).astype(np.uint32).view(np.int32)


@dataclass(frozen=True, eq=False)
class _Term:
    """``weight * left[a] * right[w]``."""

    weight: int
    left: NDArray[np.int64]
    right: NDArray[np.int64]


def digit_layout(products: DigitProducts) -> DigitLayout:
    """Return a table's passes.

    Args:
        products: the table as products of digits of 8 bits.
    """
    base = products.base.astype(np.int64)
    terms = [
        _Term(int(weight) % _MODULUS, *(side.astype(np.int64) for side in (left, right)))
        for (p, q), weight in zip(products.pairs, products.weights, strict=True)
        for left, right in [(products.left[p], products.right[q])]
        if weight
    ]
    alone, constant = _of_activations(products)
    classes = _classes([*terms, *alone])
    width = min(WIDTHS, key=lambda digits: _cost(classes, digits))
    passes = [
        (weight, found[start : start + width])
        for weight, found in sorted(classes.items(), key=lambda item: -_twos(item[0]))
        for start in range(0, len(found), width)
    ]
    passes = passes or [(1, [])]
    rows, columns = products.left.shape[1], len(base)
    left = np.zeros((len(passes), rows, width), np.int8)
    right = np.zeros((len(passes), columns, width), np.int8)
    for i, (_, found) in enumerate(passes):
        for d, term in enumerate(found):
            left[i, :, d], right[i, :, d] = term.left, term.right
    weights = [weight for weight, _ in passes]
    shifted = (base + constant) % _MODULUS
    return DigitLayout(left, right, _signed(shifted), _signed(np.array(_ratios(weights))))


def _of_activations(products: DigitProducts) -> tuple[list[_Term], int]:
    """Return what depends on activations alone, as products with 1, and a constant."""
    left = products.left.astype(np.int64)
    total = (products.common.astype(np.int64) @ left) % _MODULUS
    total = np.where(total >= _MODULUS // 2, total - _MODULUS, total)
    if not total.any():
        return [], 0
    unit, ones = int(np.gcd.reduce(total)), np.ones(products.right.shape[1], np.int64)
    rest = total // unit
    low = int(rest.min())
    count = max(1, -(-int(np.ptp(rest)).bit_length() // 8))
    # Digits of -128 to 127 begin at -128 each.
    lowest = -128 * sum(1 << 8 * j for j in range(count))
    digits = [((rest - low) >> 8 * j & 255) - 128 for j in range(count)]
    terms = [_Term(unit << 8 * j, digit, ones) for j, digit in enumerate(digits)]
    return terms, unit * (low - lowest)


def _classes(terms: list[_Term]) -> dict[int, list[_Term]]:
    """Return terms by weight; one joins a class whose weight divides its own if bytes can hold it."""
    classes: dict[int, list[_Term]] = {}
    for term in sorted(terms, key=lambda term: abs(_balanced(term.weight))):
        for weight, found in classes.items():
            joined = _with_weight(term, weight)
            if joined:
                found += joined
                break
        else:
            classes[term.weight] = [term]
    return classes


def _with_weight(term: _Term, weight: int) -> list[_Term]:
    """Return a term as at most `_MOST_PARTS` terms of another weight; none if that cannot be."""
    ratio, rest = divmod(_balanced(term.weight), _balanced(weight))
    if rest:
        return []
    if ratio == 1:
        return [term]
    candidates = []
    for side, other in ((term.left, term.right), (term.right, term.left)):
        factor = 127 // max(1, int(np.abs(side).max()))
        count = -(-abs(ratio) // factor) if factor else _MOST_PARTS + 1
        if count <= _MOST_PARTS:
            shares = [ratio * (i + 1) // count - ratio * i // count for i in range(count)]
            candidates.append((count, shares, side is term.left, side, other))
    if not candidates:
        return []
    _, shares, is_left, side, other = min(candidates, key=lambda candidate: candidate[0])
    pairs = [(share * side, other) if is_left else (other, share * side) for share in shares]
    return [_Term(weight, left, right) for left, right in pairs]


def _balanced(weight: int) -> int:
    return weight if weight < _MODULUS // 2 else weight - _MODULUS


def _cost(classes: dict[int, list[_Term]], width: int) -> float:
    passes = sum(-(-len(found) // width) for found in classes.values())
    return passes * (_PASS_COST + _DIGIT_COST * width)


def _twos(weight: int) -> int:
    """Return how often 2 divides a number that is not 0."""
    return (weight & -weight).bit_length() - 1


def _ratios(weights: list[int]) -> list[int]:
    """Return ``weights[i-1] / weights[i]`` modulo 2^32, 1 before the first, and the last itself."""
    ratios = [1]
    for before, after in itertools.pairwise(weights):
        twos = _twos(after)
        ratios.append((before >> twos) * pow(after >> twos, -1, _MODULUS) % _MODULUS)
    return [*ratios, weights[-1]]


def _signed(values: NDArray[np.int64]) -> NDArray[np.int32]:
    return values.astype(np.uint32).view(np.int32)
